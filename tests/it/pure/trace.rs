//! `traceparent`, as the W3C recommendation has it.

use painel_shared::trace::TraceContext;

#[test]
fn a_trace_goes_on_in_its_children() {
    let root = TraceContext::root();
    let child = root.child();
    assert_eq!(root.trace_id(), child.trace_id());
    assert_ne!(root, child);
    assert_eq!(root.to_string().parse::<TraceContext>().unwrap(), root);
}

#[test]
fn only_valid_ones_are_taken() {
    let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(valid.parse::<TraceContext>().unwrap().to_string(), valid);
    // A later version may bear more fields.
    assert!("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more".parse::<TraceContext>().is_ok());
    for wrong in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert!(wrong.parse::<TraceContext>().is_err(), "{wrong}");
    }
}

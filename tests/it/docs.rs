//! The code of `docs/adding-a-command.md`, as it stands there.

#![allow(dead_code, unreachable_pub, reason = "parts of the document are compiled, and not used")]

use painel_shared::commands::{self, Definition};
use painel_tests::stack::with_stack;
use painel_workers::handler::AnyHandler;

mod parameters {
    include!(concat!(env!("OUT_DIR"), "/parameters.rs"));
}

mod handler {
    include!(concat!(env!("OUT_DIR"), "/handler.rs"));
}

mod binary {
    include!(concat!(env!("OUT_DIR"), "/binary.rs"));
}

/// Its line in the catalogue.
static DEFINITION: Definition = {
    use parameters::RotateLogs;
    include!(concat!(env!("OUT_DIR"), "/definition.rs"))
};

#[test]
fn the_documents_parameters_are_read_like_the_others() {
    let agent = uuid::Uuid::new_v4();
    let good = serde_json::json!({"agent_id": agent}).as_object().cloned().unwrap();
    assert_eq!(commands::read::<parameters::RotateLogs>(good).unwrap().agent_id.uuid(), agent);
    let wrong = commands::read::<parameters::RotateLogs>(Default::default()).unwrap_err();
    assert_eq!(wrong[0].field, "parameters.agent_id");
}

#[test]
fn the_documents_handler_is_built_like_the_others() {
    use handler::RotateLogs;
    with_stack(|stack| async move {
        let build = include!(concat!(env!("OUT_DIR"), "/built.rs"));
        assert!(build(&stack.vars, &stack.stores).is_ok());
    });
}

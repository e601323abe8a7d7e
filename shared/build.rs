//! Cargo notices a change of a file that is compiled, not a new migration beside those.
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}

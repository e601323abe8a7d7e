//! Takes the code out of `docs/adding-a-command.md`, so that it is compiled by the tests as it stands there.

use std::{env, fs, path::Path};

const DOCUMENT: &str = "../docs/adding-a-command.md";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={DOCUMENT}");
    let document = fs::read_to_string(DOCUMENT)?;
    let blocks: Vec<&str> = document
        .split("```rust\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(code, _)| code))
        .collect();
    let [parameters, definition, handler, built, binary] = blocks[..] else {
        return Err(format!("{DOCUMENT} has {} blocks of Rust; five are known", blocks.len()).into());
    };
    let out = env::var("OUT_DIR")?;
    let write = |name: &str, code: String| fs::write(Path::new(&out).join(name), code);
    // Where the document's files will be, the crates are called otherwise than from here.
    let shared = without_header(parameters).replace("super::", "painel_shared::commands::");
    write("parameters.rs", shared.replace("crate::", "painel_shared::"))?;
    let workers = without_header(handler).replace("    commands,\n", "").replace("crate::", "painel_workers::");
    write("handler.rs", format!("use super::parameters as commands;\n{workers}"))?;
    let binary = without_header(binary).replace("{commands::RotateLogs, process}", "process");
    write("binary.rs", format!("use super::handler::RotateLogs;\n{binary}"))?;
    let line = |code: &str| code.trim().trim_end_matches(',').to_owned();
    write("definition.rs", line(definition))?;
    write("built.rs", line(built))?;
    Ok(())
}

/// The code without the comment that heads its file, which is no file here.
fn without_header(code: &str) -> String {
    code.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect()
}

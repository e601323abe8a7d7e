//! What the documents say is what the sources hold.

use std::{collections::BTreeSet, fs};

use painel_tests::tree::{files, root};

/// By these an error is made; its code comes first.
const MAKERS: [&str; 5] = [
    "HandlerError::retryable(",
    "HandlerError::permanent(",
    "Self::retryable(",
    "Self::permanent(",
    "CommandError::new(",
];

#[test]
fn the_page_for_trouble_names_every_code_of_an_error() {
    let sources = ["shared/src", "workers/src"].into_iter().flat_map(files);
    let made: BTreeSet<String> = sources.flat_map(|path| codes_of(&fs::read_to_string(path).unwrap())).collect();
    let page = fs::read_to_string(root().join("docs/pt-BR/problemas.md")).unwrap();
    let table = page.split("## Os códigos de erro").nth(1).and_then(|rest| rest.split("##").next()).unwrap();
    let first_cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let told: BTreeSet<String> =
        first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(told, made);
}

fn codes_of(source: &str) -> Vec<String> {
    let made = MAKERS.into_iter().flat_map(|maker| source.split(maker).skip(1));
    made.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned)).collect()
}

#[test]
fn the_page_on_pages_shows_the_code_as_it_is() {
    let document = fs::read_to_string(root().join("docs/adding-a-page.md")).unwrap();
    let code: Vec<String> = files("api/src/web").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let blocks = document.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut compared = 0;
    for block in blocks {
        assert!(code.iter().any(|file| file.contains(block)), "no page holds\n{block}");
        compared += 1;
    }
    assert_eq!(compared, 4);
    // And what it names is there.
    let named = document
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.starts_with("api/") || name.starts_with("tests/"));
    for name in named {
        assert!(root().join(name).exists(), "{name}");
    }
}

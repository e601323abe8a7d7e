//! What templates must not hold.

use painel_tests::tree::files;

#[test]
fn nothing_is_marked_safe_and_nothing_stands_inline() {
    let all = files("api/templates");
    assert!(all.len() > 10, "{all:?}");
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        let spaceless: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        for forbidden in ["|safe", "|escape(\"none\")", "autoescape", "<style", "style=\"", "javascript:"] {
            assert!(!spaceless.contains(forbidden), "{} holds {forbidden}", path.display());
        }
        let handlers =
            text.match_indices(" on").filter(|(at, _)| text[*at..].contains("=\"")).map(|(at, _)| &text[at..]);
        for handler in handlers {
            let word: String = handler.trim_start().chars().take_while(|c| c.is_ascii_lowercase()).collect();
            assert!(!handler.trim_start()[word.len()..].starts_with("=\""), "{} holds {word}", path.display());
        }
        for part in text.split("<script").skip(1) {
            assert!(part.starts_with(" src="), "{} holds a script", path.display());
        }
    }
}

//! Whatever the text: no panic, no hanging, a place for every problem.

use std::fmt::Write;

use proptest::prelude::*;

use super::{SMALLEST, parse, said};
use crate::Severity;

/// Pieces that make a text look like a configuration.
const PIECES: [&str; 44] = [
    "models",
    "versions",
    "active",
    "shadow",
    "v1",
    "m",
    "percent",
    "listen",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "#",
    "&a",
    "*a",
    "!!str",
    "|",
    ">",
    "---",
    "...",
    "<<",
    "?",
    "\t",
    "${",
    "${PCT}",
    "$$",
    "~",
    "1e999",
    "-1",
    ".nan",
    "http://u:p@h",
    "\u{0}",
    "\u{feff}",
    "é\u{2028}",
    "token",
];

fn check_problems(text: &str) -> Result<(), TestCaseError> {
    if let Err(problems) = parse(text) {
        prop_assert!(problems.n_errors() > 0);
        for problem in problems.iter() {
            prop_assert!(problem.line > 0 && problem.column > 0, "{problem}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,80}") {
        check_problems(&text)?;
    }

    #[test]
    fn any_bytes_that_are_text(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_problems(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn pieces_of_configurations(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        check_problems(&pieces.concat())?;
    }

    #[test]
    fn a_good_file_with_a_piece_put_in(at in 0usize..170, piece in prop::sample::select(&PIECES[..])) {
        let mut text = SMALLEST.to_owned();
        text.insert_str(at.min(text.len()), piece);
        check_problems(&text)?;
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{below}]").unwrap();
    }
    let said = said(&bomb);
    assert!(said.contains("more than 100000 values"), "{said}");
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    let said = said("models: &a [*a]\n");
    assert!(said.starts_with("error: "), "{said}");
}

#[test]
fn large_and_odd_texts_end_soon() {
    const MANY: usize = 50_000;
    let texts = [
        "[".repeat(MANY),
        "{".repeat(MANY),
        "- ".repeat(MANY),
        "? ".repeat(MANY),
        "a: ".repeat(MANY),
        "&a ".repeat(MANY),
        "x".repeat(MANY),
        "\"".to_owned() + &"x\n".repeat(MANY / 2),
        "#".repeat(MANY),
        "\n".repeat(MANY),
        "x: y\n".repeat(MANY / 5),
        "- x\n".repeat(MANY / 4),
        "${".repeat(MANY / 2),
        format!("models: {}", "${".repeat(MANY / 2)),
        format!("models: {}", "${NONE:-}".repeat(MANY / 9)),
        (0..MANY / 8).map(|n| format!("k{n}: 1\n")).collect(),
        "\u{feff}".repeat(1000),
    ];
    for text in texts {
        let problems = parse(&text).expect_err("none of these is a configuration");
        assert!(problems.n_errors() > 0);
        assert!(problems.to_string().len() < 100_000, "{} bytes of messages", problems.to_string().len());
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let said = said(&"#".repeat(crate::BYTES_MAX + 1));
    assert!(said.contains("larger than 1048576 bytes"), "{said}");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str| crate::load(&folder.path().join(name), &|_| None).unwrap_err().to_string();
    assert!(load("none.yaml").contains("there is no such file"));
    assert!(load("").contains("not a regular file"));
    // A device could be read for ever.
    assert!(load("/dev/zero").contains("not a regular file"));
    std::fs::write(folder.path().join("latin1.yaml"), b"# ok\nmodels: \xe9\n").unwrap();
    assert!(load("latin1.yaml").contains("latin1.yaml:2:9"), "{}", load("latin1.yaml"));
    std::fs::write(folder.path().join("large.yaml"), "#".repeat(crate::BYTES_MAX + 1)).unwrap();
    assert!(load("large.yaml").contains("larger than"));
}

#[test]
fn eight_mistakes_are_told_at_once_in_the_order_of_lines() {
    let problems = parse(
        "listen: nowhere
modles: 1
models:
  fraud:
    versions: { v1: ftp://a, v2: http://b:2 }
    active: v3
    shadow: { version: v2, percent: 101 }
    window: 5
  other/one: { versions: { v1: http://a:1 }, active: v1 }
alerts: { tenants_red: 0 }
drill: maybe
",
    )
    .unwrap_err();
    let lines: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    assert!(problems.iter().all(|problem| problem.severity == Severity::Error));
    assert_eq!(lines, [1, 2, 5, 7, 8, 9, 10, 11], "{problems}");
}

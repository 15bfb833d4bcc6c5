//! What the guide's pages show is what is measured.

use super::*;

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    page.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

/// Start line, content type and body.
fn message(text: &str) -> (&str, &str, &str) {
    let (head, body) = text.split_once("\n\n").unwrap();
    let (start, field) = head.split_once('\n').unwrap();
    (start, field.strip_prefix("content-type: ").unwrap(), body)
}

#[test]
fn the_examples_are_true() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/protocols");
    let mut examples = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        let page = std::fs::read_to_string(&file).unwrap();
        let blocks = blocks(&page);
        for at in 0..blocks.len() {
            let [("http", asked), ("http", answered), ("text", measured)] =
                blocks[at..(at + 3).min(blocks.len())]
            else {
                continue;
            };
            let (request, answer) = (message(asked), message(answered));
            let path = request.0.strip_prefix("POST ").unwrap();
            assert_eq!(answer.0, "HTTP/1.1 200 OK");
            let exchange = typed(path, (request.1, request.2), (answer.1, answer.2));
            let (features, predictions, problem) = decode(&exchange);
            assert_eq!(problem, None, "{}", file.display());
            let found = format!("{features}, {predictions}").replace(", ", "\n");
            assert_eq!(found, measured, "{}", file.display());
            examples += 1;
        }
    }
    assert!(examples >= 7, "{examples} examples");
}

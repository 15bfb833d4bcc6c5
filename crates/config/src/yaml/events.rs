//! Parser events to a tree, within bounds.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::problem::Problem;
use crate::yaml::{Entry, Node, Place, Scalar, Sink, Source, Yaml, shorten};

/// Deepest nesting. The deepest key there is lies 8 deep.
const DEPTH_MAX: usize = 32;

/// Most nodes, aliases counted as often as they are used: an alias bomb ends here.
const NODES_MAX: usize = 100_000;

/// Text to tree. Duplicate keys are collected; whatever stops the parser ends the reading with one error.
///
/// # Errors
///
/// Every problem found: syntax, bounds, several documents, an empty file, tags, duplicate keys.
pub(crate) fn read_tree(text: &str, source: &Source) -> Result<Node, Vec<Problem>> {
    let mut builder = Builder::new(source);
    let end = builder.run(text);
    if let Err(stop) = end {
        builder.sink.error_at(stop.place, "", stop.message).maybe_hint(stop.hint);
    }
    let problems = builder.sink.into_problems();
    match builder.root {
        Some(root) if problems.is_empty() => Ok(root),
        _ => Err(problems),
    }
}

/// Why reading ended early.
struct Stop {
    place: Place,
    message: String,
    hint: Option<String>,
}

impl Stop {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// A list or map that has not ended yet.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Place>, key: Option<(String, Place)> },
}

struct Builder<'a> {
    source: &'a Source,
    sink: Sink<'a>,
    open: Vec<Open>,
    /// Finished anchored nodes with the number of nodes in each.
    anchors: HashMap<usize, (Node, usize)>,
    n_nodes: usize,
    n_documents: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            source,
            sink: Sink::new(source),
            open: Vec::new(),
            anchors: HashMap::new(),
            n_nodes: 0,
            n_documents: 0,
            root: None,
        }
    }

    fn run(&mut self, text: &str) -> Result<(), Stop> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| self.syntax(&error))?;
            self.take(event, span)?;
        }
        let is_empty = match &self.root {
            None => true,
            Some(Node { value: Yaml::Scalar(scalar), .. }) => scalar.plain && scalar.text.is_empty(),
            Some(_) => false,
        };
        if is_empty && self.open.is_empty() {
            let stop = Stop::new(self.source.place(1, 1), "the configuration is empty");
            return Err(stop.hint("give at least `models` with one model"));
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = place_of(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.n_documents += 1;
                if self.n_documents > 1 {
                    let stop = Stop::new(place, "a second YAML document starts here");
                    return Err(stop.hint("a configuration is one document: take the `---` out"));
                }
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), place)?;
                let plain = style == ScalarStyle::Plain;
                let scalar = Scalar { text: text.into_owned(), unexpanded: None, plain, secret: false };
                self.finish(Node { place, value: Yaml::Scalar(scalar) }, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.is_some(), place)?;
                self.start(Open { place, anchor, content: Content::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.is_some(), place)?;
                let content = Content::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.start(Open { place, anchor, content })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn start(&mut self, open: Open) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Stop::new(open.place, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(Stop::new(open.place, "a key must be a plain text, not a list or map"));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Yaml::List(items),
            Content::Map { entries, .. } => Yaml::Map(entries),
        };
        let node = Node { place: open.place, value };
        let n_nodes = if open.anchor == 0 { 1 } else { count(&node) };
        self.finish(node, open.anchor, n_nodes)
    }

    /// Puts a finished node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize, n_nodes: usize) -> Result<(), Stop> {
        self.n_nodes += 1;
        self.check_nodes(node.place)?;
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), n_nodes));
        }
        self.put(node)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        // Counted before it is copied: a bomb must not be built to be measured.
        let n_nodes = self.anchors.get(&anchor).map_or(0, |(_, n_nodes)| *n_nodes);
        self.n_nodes += n_nodes;
        self.check_nodes(place)?;
        let Some((node, _)) = self.anchors.get(&anchor) else {
            return Err(Stop::new(place, "the alias stands inside the value it refers to"));
        };
        let mut node = node.clone();
        node.place = place;
        self.put(node)
    }

    fn check_nodes(&self, place: Place) -> Result<(), Stop> {
        if self.n_nodes <= NODES_MAX {
            return Ok(());
        }
        let stop = Stop::new(place, format!("more than {NODES_MAX} values, aliases expanded"));
        Err(if self.anchors.is_empty() {
            stop
        } else {
            stop.hint("aliases of aliases multiply: write the values out")
        })
    }

    fn put(&mut self, node: Node) -> Result<(), Stop> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, seen, key }) => match key.take() {
                None => *key = Some(key_of(&node)?),
                Some((name, key_place)) => {
                    if let Some(first) = seen.get(&name) {
                        let message =
                            format!("key `{}` is given twice, first on line {}", shorten(&name), first.line);
                        self.sink.error_at(key_place, "", message).hint("keep one of the two");
                    } else {
                        seen.insert(name.clone(), key_place);
                        entries.push(Entry { key: name, key_place, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    fn syntax(&self, error: &ScanError) -> Stop {
        let mark = error.marker();
        let place = self.source.place(mark.line(), mark.col() + 1);
        let (first, end) = self.source.rest_of_line(place.start + 1 - place.column);
        let line = self.source.slice(first, end);
        let stop = Stop::new(place, format!("this is not valid YAML: {}", error.info()));
        if line.contains('\t') {
            stop.hint("YAML is indented with spaces, not with tabs")
        } else if line.contains("${") || line.contains("[*]") {
            stop.hint("inside `{ }` and `[ ]` put quotes around a value that has brackets itself")
        } else {
            stop
        }
    }
}

fn refuse_tag(is_tagged: bool, place: Place) -> Result<(), Stop> {
    if !is_tagged {
        return Ok(());
    }
    Err(Stop::new(place, "YAML tags (`!…`) are not supported")
        .hint("put the value in quotes if it starts with `!`"))
}

fn key_of(node: &Node) -> Result<(String, Place), Stop> {
    match &node.value {
        Yaml::Scalar(scalar) if scalar.text == "<<" && scalar.plain => {
            Err(Stop::new(node.place, "merge keys (`<<`) are not supported").hint("write the keys out"))
        }
        Yaml::Scalar(scalar) => Ok((scalar.text.clone(), node.place)),
        Yaml::List(_) | Yaml::Map(_) => {
            Err(Stop::new(node.place, "a key must be a plain text, not a list or map"))
        }
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Yaml::Scalar(_) => 0,
        Yaml::List(items) => items.iter().map(count).sum(),
        Yaml::Map(entries) => entries.iter().map(|entry| 1 + count(&entry.value)).sum(),
    }
}

fn place_of(span: Span) -> Place {
    let (start, end) = (span.start, span.end);
    Place {
        line: start.line().max(1),
        column: start.col() + 1,
        start: start.index(),
        end: end.index().max(start.index()),
    }
}

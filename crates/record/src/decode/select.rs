//! Values by path: exactly those that the configuration names, in one pass over the body.
//!
//! The paths are merged into a trie that is walked along with the body; what no path enters is skipped. A path with
//! `[*]` gives one value a row; the value of a path without one holds for every row. What is absent, null, an array or
//! an object is a missing value. A body in which no path finds anything is an error: it is not what was configured.

use super::path::{Extract, Segment};
use super::reader::{Kind, Reader};
use super::sink::{Side, Sink};
use super::{DecodeError, DecodeErrorKind};
use crate::CellValue;

type Result<T> = std::result::Result<T, DecodeError>;

/// The paths of one side.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    /// Node 0 is the root.
    nodes: Vec<Node>,
    columns: Vec<Column>,
}

/// A place in the body that some path passes or ends at.
#[derive(Debug, Default)]
struct Node {
    keys: Vec<(String, usize)>,
    indexes: Vec<(u32, usize)>,
    rows: Option<usize>,
    /// Columns whose path ends here.
    ends: Vec<usize>,
}

#[derive(Debug)]
struct Column {
    name: String,
    makes_rows: bool,
}

/// Values found: `found[row * columns + column]`. Values that hold for every row stand in row 0.
#[derive(Debug, Default)]
pub(crate) struct Found {
    values: Vec<Option<CellValue>>,
    rows: u32,
    any: bool,
}

impl Selector {
    /// Merges the paths. Predictions get their names here: the only one is `prediction`, several are `prediction.NAME`.
    pub(crate) fn new(extracts: &[Extract], side: Side) -> Self {
        let mut selector = Self { nodes: vec![Node::default()], columns: Vec::new() };
        for (column, extract) in extracts.iter().enumerate() {
            let mut node = 0;
            for segment in extract.path.segments() {
                node = selector.child(node, segment);
            }
            selector.nodes[node].ends.push(column);
            let name = match side {
                Side::Features => extract.name.clone(),
                Side::Predictions => prediction_name(&extract.name, extracts.len()),
            };
            selector.columns.push(Column { name, makes_rows: extract.path.makes_rows() });
        }
        selector
    }

    /// True when there is nothing to select.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Reads a body into the sink.
    pub(crate) fn read(&self, mut reader: Reader<'_>, sink: &mut Sink<'_>, found: &mut Found) -> Result<()> {
        found.values.clear();
        found.values.resize(self.columns.len(), None);
        found.rows = u32::from(!self.columns.iter().any(|column| column.makes_rows));
        found.any = false;
        self.walk(0, &mut reader, 0, sink, found)?;
        reader.finish()?;
        if !found.any {
            let message = "none of the configured paths is in the body";
            return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
        }
        self.emit(sink, found)?;
        sink.end(false)
    }

    fn emit(&self, sink: &mut Sink<'_>, found: &Found) -> Result<()> {
        let width = self.columns.len();
        for (index, column) in self.columns.iter().enumerate() {
            let name = sink.column(&column.name)?;
            for row in 0..found.rows {
                let from = if column.makes_rows { row as usize } else { 0 };
                let value = found.values.get(from * width + index).copied().flatten();
                sink.push(row, name, value.unwrap_or(CellValue::Missing))?;
            }
        }
        Ok(())
    }

    /// The child of a node along a segment, made when it is not there.
    fn child(&mut self, node: usize, segment: &Segment) -> usize {
        let next = self.nodes.len();
        let parent = &mut self.nodes[node];
        let child = match segment {
            Segment::Key(key) => match parent.keys.iter().find(|(known, _)| known == key) {
                Some((_, child)) => *child,
                None => {
                    parent.keys.push((key.clone(), next));
                    next
                }
            },
            Segment::Index(index) => match parent.indexes.iter().find(|(known, _)| known == index) {
                Some((_, child)) => *child,
                None => {
                    parent.indexes.push((*index, next));
                    next
                }
            },
            Segment::Rows => *parent.rows.get_or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Takes the next value, which stands at `node`.
    fn walk(
        &self,
        node: usize,
        reader: &mut Reader<'_>,
        row: u32,
        sink: &mut Sink<'_>,
        found: &mut Found,
    ) -> Result<()> {
        let here = &self.nodes[node];
        match reader.kind()? {
            Kind::Object => {
                self.mark(here, row, None, found);
                self.walk_object(here, reader, row, sink, found)
            }
            Kind::Array => {
                self.mark(here, row, None, found);
                self.walk_array(here, reader, row, sink, found)
            }
            _ if here.ends.is_empty() => Ok(reader.skip_value()?),
            _ => {
                let value = sink.value(reader.scalar()?)?;
                self.mark(here, row, Some(value), found);
                Ok(())
            }
        }
    }

    fn walk_object(
        &self,
        here: &Node,
        reader: &mut Reader<'_>,
        row: u32,
        sink: &mut Sink<'_>,
        found: &mut Found,
    ) -> Result<()> {
        if here.keys.is_empty() {
            return Ok(reader.skip_value()?);
        }
        // Keys mostly come in the order in which their paths were given.
        let mut guess = 0;
        let mut first = reader.object()?;
        while let Some(key) = reader.next_key(&mut first)? {
            let is_key = |(known, _): &(String, usize)| *known == *key;
            let found_at = match here.keys.get(guess) {
                Some(entry) if is_key(entry) => Some(guess),
                _ => here.keys.iter().position(is_key),
            };
            match found_at.and_then(|index| here.keys.get(index)) {
                Some((_, child)) => self.walk(*child, reader, row, sink, found)?,
                None => reader.skip_value()?,
            }
            guess = found_at.map_or(guess, |index| index + 1);
        }
        Ok(())
    }

    fn walk_array(
        &self,
        here: &Node,
        reader: &mut Reader<'_>,
        row: u32,
        sink: &mut Sink<'_>,
        found: &mut Found,
    ) -> Result<()> {
        if here.rows.is_none() && here.indexes.is_empty() {
            return Ok(reader.skip_value()?);
        }
        let mut first = reader.array()?;
        let mut index = 0;
        while reader.next_element(&mut first)? {
            if let Some((_, child)) = here.indexes.iter().find(|(known, _)| *known == index) {
                self.walk(*child, &mut reader.clone(), row, sink, found)?;
            }
            match here.rows {
                Some(child) => {
                    self.open_row(index, sink, found)?;
                    self.walk(child, reader, index, sink, found)?;
                }
                None => reader.skip_value()?,
            }
            index += 1;
        }
        Ok(())
    }

    fn open_row(&self, row: u32, sink: &Sink<'_>, found: &mut Found) -> Result<()> {
        if row < found.rows {
            return Ok(());
        }
        found.rows = row + 1;
        sink.check_rows(u64::from(found.rows))?;
        let values = (found.rows as usize).saturating_mul(self.columns.len());
        sink.check_cells(values)?;
        found.values.resize(values, None);
        Ok(())
    }

    /// Notes the value of the columns that end at a node.
    fn mark(&self, here: &Node, row: u32, value: Option<CellValue>, found: &mut Found) {
        for column in &here.ends {
            found.any = true;
            if let Some(place) = found.values.get_mut(row as usize * self.columns.len() + column) {
                *place = value;
            }
        }
    }
}

/// What a selected prediction is called.
fn prediction_name(name: &str, count: usize) -> String {
    let base = Side::Predictions.base();
    let prefixed = name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    match (count, prefixed) {
        (1, _) => base.to_owned(),
        (_, true) => name.to_owned(),
        (_, false) => format!("{base}.{name}"),
    }
}

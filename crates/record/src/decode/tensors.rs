//! Tensors of KServe v2, whether they came as JSON, as bytes behind JSON or as protobuf: the same rows in every case.
//!
//! Tensors wait until all are known: dimension 0 is the batch only if every tensor agrees on it. Otherwise the whole
//! body is one row.
//!
//! Names: a tensor with one value a row has its own name; with k values a row they are `NAME.0` to `NAME.k-1`, in row-
//! major order of the dimensions that are left. If only one tensor of a request has several values a row and the
//! profile knows k column names, they are used. A single output is `prediction` (`prediction.0` …), several are
//! `prediction.NAME`. Two tensors of one name are an error.
//!
//! Triton's classification extension answers with texts, `score:index` or `score:index:label`. They are read as the class (the
//! label, else the index) under the output's name and its score under `NAME.score`.

use super::binary::Datatype;
use super::flatten::push_index;
use super::reader::{Number, Scalar};
use super::sink::{Side, Sink};
use super::{DecodeError, DecoderSpec};
use crate::{CellValue, TextRange};

type Result<T> = std::result::Result<T, DecodeError>;

/// Dimensions a tensor may have.
const MAX_DIMENSIONS: usize = 16;

/// A tensor whose head is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: TextRange,
    /// Dimension 0; `None` for a tensor without dimensions.
    pub(crate) batch: Option<u64>,
    /// Where its values stand in the scratch.
    pub(crate) start: usize,
    pub(crate) count: usize,
    /// Set until the values have been read from the bytes that follow.
    pub(crate) binary: Option<Binary>,
}

/// A tensor whose values follow as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binary {
    pub(crate) datatype: Datatype,
    pub(crate) bytes: usize,
}

/// Buffers that live from exchange to exchange.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) cells: Vec<CellValue>,
}

impl Scratch {
    /// Forgets the tensors and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.tensors.clear();
        self.cells.clear();
    }
}

/// A shape, dimension by dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Dimension 0.
    pub(crate) batch: Option<u64>,
    /// The product of all dimensions: 1 without any.
    pub(crate) product: u64,
    dimensions: usize,
}

impl Shape {
    /// No dimension yet.
    pub(crate) const fn new() -> Self {
        Self { batch: None, product: 1, dimensions: 0 }
    }

    /// Adds a dimension; `None` when there are too many, or too many values.
    pub(crate) fn push(&mut self, dimension: u64) -> Option<()> {
        self.dimensions += 1;
        self.batch.get_or_insert(dimension);
        self.product = self.product.checked_mul(dimension).filter(|_| self.dimensions <= MAX_DIMENSIONS)?;
        Some(())
    }
}

/// Writes the tensors as columns.
pub(crate) fn emit(
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    scratch: &Scratch,
    name: &mut String,
) -> Result<()> {
    let Some(first) = scratch.tensors.first() else {
        return Ok(());
    };
    let agreed = first.batch.filter(|_| scratch.tensors.iter().all(|tensor| tensor.batch == first.batch));
    let rows = agreed.unwrap_or(1);
    sink.check_rows(rows)?;
    let rows = u32::try_from(rows).unwrap_or(u32::MAX) as usize;
    if rows == 0 {
        return Ok(());
    }
    let wide = scratch.tensors.iter().filter(|tensor| tensor.count / rows > 1).count();
    for tensor in &scratch.tensors {
        let width = tensor.count / rows;
        let cells = scratch.cells.get(tensor.start..tensor.start + tensor.count).unwrap_or_default();
        if sink.side() == Side::Predictions && are_classes(sink, cells) {
            emit_classes(sink, tensor, (width, scratch.tensors.len() == 1), cells, name)?;
            continue;
        }
        let named =
            sink.side() == Side::Features && wide == 1 && width > 1 && spec.column_names.len() == width;
        for column in 0..width {
            let range = match spec.column_names.get(column) {
                Some(column_name) if named => sink.column(column_name)?,
                _ if width == 1 && sink.side() == Side::Features => sink.kept_column(tensor.name)?,
                _ => {
                    compose(sink, tensor, scratch.tensors.len() == 1, name);
                    if width > 1 {
                        push_index(name, ".", column);
                    }
                    sink.column(name)?
                }
            };
            for (row, value) in cells.iter().skip(column).step_by(width).enumerate() {
                if sink.notes.on() {
                    sink.notes.from(tensor.start + column + row * width);
                }
                sink.push(row as u32, range, *value)?;
            }
        }
    }
    Ok(())
}

/// Whether all values are classes of Triton's.
fn are_classes(sink: &Sink<'_>, cells: &[CellValue]) -> bool {
    let is_class = |cell: &CellValue| match cell {
        CellValue::Text(text) => class(sink.text(*text)).is_some(),
        _ => false,
    };
    // The first tells nearly always.
    !cells.is_empty() && cells.iter().all(is_class)
}

/// The score and the class of `score:index` or `score:index:label`.
fn class(text: &str) -> Option<(f64, &str)> {
    let (score, rest) = text.split_once(':')?;
    let (index, label) = rest.split_once(':').unwrap_or((rest, ""));
    let is_index = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = score.bytes().any(|byte| byte.is_ascii_digit());
    let score = score.parse().ok().filter(|_| is_number && is_index)?;
    // A time of the day has nearly the same form.
    let has_point =
        text.bytes().take_while(|byte| *byte != b':').any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    (has_point || label.contains(char::is_alphabetic))
        .then_some((score, if label.is_empty() { index } else { label }))
}

/// Writes classes as two columns for each of theirs.
fn emit_classes(
    sink: &mut Sink<'_>,
    tensor: &Tensor,
    (width, is_single): (usize, bool),
    cells: &[CellValue],
    name: &mut String,
) -> Result<()> {
    // Two cells of one value: no layout can hold them.
    sink.notes.spoil();
    for column in 0..width {
        compose(sink, tensor, is_single, name);
        if width > 1 {
            push_index(name, ".", column);
        }
        let classes = sink.column(name)?;
        name.push_str(".score");
        let scores = sink.column(name)?;
        for (row, cell) in cells.iter().skip(column).step_by(width).enumerate() {
            let CellValue::Text(text) = cell else { continue };
            let Some((score, class)) = class(sink.text(*text)) else { continue };
            let class = class.to_owned();
            let class = sink.str_value(&class);
            let score = sink.value(Scalar::Number(Number { value: score, inexact_integer: None }))?;
            sink.push(row as u32, classes, class)?;
            sink.push(row as u32, scores, score)?;
        }
    }
    Ok(())
}

/// The name that a tensor's columns begin with.
fn compose(sink: &Sink<'_>, tensor: &Tensor, single: bool, name: &mut String) {
    name.clear();
    name.push_str(sink.side().base());
    if sink.side() == Side::Predictions {
        if single {
            return;
        }
        name.push('.');
    }
    name.push_str(sink.text(tensor.name));
}

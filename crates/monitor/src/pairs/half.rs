//! One answer as it waits for the other: its predictions and who asked.

use std::sync::Arc;

use record::{Cell, Inference};

use crate::pairs::names::Names;

/// Predictions of one answer that are compared; an answer with more is [`Answer::TooLarge`].
pub(crate) const MAX_CELLS: usize = 4_096;

/// Longest request id that is kept, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Longest tenant name that is kept, in bytes.
const MAX_TENANT_BYTES: usize = 64;

/// A predicted value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Text(Arc<str>),
    Missing,
}

/// One prediction of one row.
#[derive(Clone, Debug)]
pub(crate) struct Predicted {
    pub(crate) row: u32,
    /// The prediction's number in [`Names`].
    pub(crate) name: u16,
    pub(crate) value: Value,
}

/// The predictions of an answer, by row and name, each once.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) n_rows: u32,
    pub(crate) cells: Vec<Predicted>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Not 2xx, or without a prediction that could be read.
    Failed,
    TooLarge,
    Rows(Rows),
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Half {
    pub(crate) id: Box<[u8]>,
    pub(crate) version: Arc<str>,
    pub(crate) tenant: Option<Box<str>>,
    pub(crate) at_ms: i64,
    pub(crate) answer: Answer,
}

impl Half {
    pub(crate) fn new(
        inference: &Inference<'_>,
        version: Arc<str>,
        names: &mut Names,
        exclude: &[String],
    ) -> Self {
        let id = inference.request_id;
        Self {
            id: id[..id.len().min(MAX_ID_BYTES)].into(),
            version,
            tenant: inference.tenant.filter(|tenant| !tenant.is_empty()).map(tenant),
            at_ms: inference.at_ms,
            answer: answer(inference, names, exclude),
        }
    }

    /// Predictions held, for limits.
    pub(crate) fn n_cells(&self) -> usize {
        match &self.answer {
            Answer::Rows(rows) => rows.cells.len(),
            Answer::Failed | Answer::TooLarge => 0,
        }
    }
}

fn tenant(bytes: &[u8]) -> Box<str> {
    let text = String::from_utf8_lossy(bytes);
    text[..text.floor_char_boundary(MAX_TENANT_BYTES)].into()
}

fn answer(inference: &Inference<'_>, names: &mut Names, exclude: &[String]) -> Answer {
    let decoded = inference.decoded;
    let is_failed = inference.status.is_some_and(|status| !(200..300).contains(&status))
        || inference.problem.is_some()
        || decoded.prediction_rows() == 0;
    if is_failed {
        return Answer::Failed;
    }
    let mut cells = Vec::new();
    for cell in decoded.predictions() {
        if cells.len() == MAX_CELLS {
            return Answer::TooLarge;
        }
        if exclude.iter().any(|name| *name == cell.name) {
            continue;
        }
        let Some(name) = names.prediction(cell.name) else { continue };
        let value = match cell.value {
            Cell::Number(number) => Value::Number(number),
            Cell::Text(text) => Value::Text(names.text(text)),
            Cell::Missing => Value::Missing,
        };
        cells.push(Predicted { row: cell.row, name, value });
    }
    // Tensors come column by column, objects row by row. A value that is named twice counts once: the first.
    cells.sort_by_key(|cell| (cell.row, cell.name));
    cells.dedup_by_key(|cell| (cell.row, cell.name));
    cells.shrink_to_fit();
    Answer::Rows(Rows { n_rows: decoded.prediction_rows(), cells })
}

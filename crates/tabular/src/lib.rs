//! Data files as typed columns: CSV, Parquet and JSON lines, streamed.
//!
//! # Why
//! `compare`, `baseline`, `replay` and `detect` take the files people have. What they compute must not depend on the
//! format: the same data as CSV, Parquet and JSON lines gives the same columns, types and numbers.
//!
//! # How
//! [`Table::open`] recognises the format by magic bytes and by name. [`Table::schema`] decides the columns' types: from the
//! metadata (Parquet), or by a first pass over the file (CSV, JSON lines), because a column is numeric only if *every*
//! value in it is a number. [`Table::scan`] then delivers [`Batch`]es of a few thousand rows, with as many or as few
//! columns as asked for; [`Table::rows`] delivers single rows. Memory is bounded by the batch, not by the file.
//!
//! # Types
//! - A number is an `f64`; integers beyond 2^53 are rounded to the nearest. `inf` and `-inf` are numbers.
//! - A missing value is an empty CSV cell, `NaN`, a JSON `null` or absent key, a Parquet null. In JSON and Parquet an empty
//!   string is text; CSV cannot tell it from a missing value.
//! - Booleans are the categories `true` and `false`, in CSV too (`True`, `FALSE`), if nothing else is in the column.
//! - Dates, times and timestamps are text in ISO 8601.
//! - Nested objects (JSON) and structs (Parquet) are flattened: `customer.age`. Lists are left out and reported in
//!   [`Schema::skipped`], and so are CSV columns without a name (the row index that pandas writes).

mod batch;
mod csv;
mod error;
mod format;
mod json;
mod lines;
mod number;
mod parquet;
mod rows;
mod schema;
mod table;

pub use batch::{Batch, Column, TextColumn};
pub use error::Error;
pub use format::Format;
pub use number::format_number;
pub use rows::{Cell, Row, Rows};
pub use schema::{ColumnInfo, ColumnKind, Oddity, Schema, SkippedColumn};
pub use table::{Progress, ReadAs, Scan, Table, Want};

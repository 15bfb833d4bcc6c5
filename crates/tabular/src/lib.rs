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
//! A folder or a pattern (`parts/*.csv`) is one table of the files in it, which must have the same columns.
//!
//! # Types
//! Values are read by [`record::value`], the same as in requests: missing tokens, numbers, booleans, codes, blanks around them.
//! Texts are delivered as the keys under which live traffic counts them.
//! - A number is an `f64`; integers beyond 2^53 are rounded to the nearest. `inf` and `-inf` are numbers.
//! - Booleans are the categories `true` and `false`; 0 and 1 among them are booleans.
//! - Digits with leading zeros (`02139`) are categories, if nothing but digits is in the column.
//! - Dates, times and timestamps are text in ISO 8601.
//! - Nested objects (JSON) and structs (Parquet) are flattened: `customer.age`. Lists are left out and reported in
//!   [`Schema::skipped`], and so are CSV columns without a name (the row index that pandas writes).

mod batch;
mod csv;
mod deliver;
mod error;
mod format;
mod json;
mod lines;
mod number;
mod options;
mod parquet;
mod parts;
mod rows;
mod schema;
mod spool;
mod table;

pub use batch::{Batch, Column, TextColumn};
pub use error::Error;
pub use format::Format;
pub use number::format_number;
pub use options::{Decimal, ReadOptions, parse_decimal, parse_delimiter, parse_encoding};
pub use parts::files_of;
pub use rows::{Cell, Row, Rows};
pub use schema::{ColumnInfo, ColumnKind, Oddity, Schema, SkippedColumn};
pub use table::{Progress, ReadAs, Scan, Table, Want};

//! Whole files through the public interface.

#![allow(clippy::unwrap_used, reason = "a failure in a test's helper is the test's failure")]

/// The same data in three formats gives the same table.
mod agree;
/// CSV: spellings, quotes, blank lines, and everything that is refused.
mod csv_files;
/// CSV as other programs write it, packed files, encodings, several files as one table.
mod dialects;
/// JSON lines: nesting, absent keys, and everything that is refused.
mod json_files;
/// Parquet: every physical type, nested columns, broken files.
mod parquet_files;
/// What is written comes back.
mod round_trip;
/// The same values by every way in: files, requests, tensors, records.
mod ways;

mod support;

//! What can be wrong with a data file: each error says which file, where in it, and what to do.

use std::io;

/// Why a data file could not be read. The text has two lines at most: what and where, then `hint:` with the cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened.
    #[error("cannot open `{file}`: {cause}\nhint: {hint}")]
    Open {
        /// The file as it was named.
        file: String,
        /// What the system said.
        cause: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The file could not be read to its end.
    #[error("cannot read `{file}`: {cause}")]
    Read {
        /// The file as it was named.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The temporary file of an unpacked or translated file could not be written.
    #[error(
        "`{file}`: cannot write a temporary file: {cause}\nhint: is there room in the folder for temporary files (TMPDIR)?"
    )]
    Spool {
        /// The file as it was named.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The files of a folder or a pattern do not make one table.
    #[error("`{file}`: {what}\nhint: {hint}")]
    Parts {
        /// The file that differs, or the folder or pattern.
        file: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// Neither name nor content tell the format.
    #[error("`{file}`: {what}\nhint: {hint}")]
    Format {
        /// The file as it was named.
        file: String,
        /// What was found.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// There is no data: nothing at all, or a header and no rows.
    #[error("`{file}`: {what}\nhint: {hint}")]
    NoData {
        /// The file as it was named.
        file: String,
        /// What there is instead.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A line is not what the format wants.
    #[error("`{file}` line {line}: {what}\nhint: {hint}")]
    Line {
        /// The file as it was named.
        file: String,
        /// Line number, from 1.
        line: u64,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A Parquet file, or one column of it, cannot be decoded.
    #[error("`{file}`{place}: {what}\nhint: {hint}")]
    Parquet {
        /// The file as it was named.
        file: String,
        /// Empty, or ` column `name``.
        place: String,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The file has another content than at the first pass.
    #[error(
        "`{file}` line {line}: `{value}` is not a number any more: the file changed while it was read\nhint: compare a copy that nobody writes to"
    )]
    Changed {
        /// The file as it was named.
        file: String,
        /// Line number, from 1.
        line: u64,
        /// The cell that does not fit the type found at the first pass.
        value: String,
    },
    /// The table has no column of this index.
    #[error("`{file}` has {columns} columns, there is none with index {index}")]
    NoColumn {
        /// The file as it was named.
        file: String,
        /// Columns there are.
        columns: usize,
        /// The index asked for.
        index: usize,
    },
}

/// A quotation for messages: control characters escaped, and not longer than 40 characters.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut short: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(excerpt("a\tb"), "a\\tb");
        assert_eq!(excerpt(&"x".repeat(50)).chars().count(), 41);
    }
}

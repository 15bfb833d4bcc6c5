//! What is wrong with a configuration: where, what, and what to do.
//!
//! A problem carries the line it is about, already masked (see [`crate::yaml`]), so that it can be printed long after the
//! text has gone, and so that no secret can reach a log through it.

use std::fmt;

use crate::yaml::Place;

/// Most problems reported for one file; more are only counted.
const REPORTED_MAX: usize = 100;

/// Whether a problem keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// One thing that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The key it is about, `models.fraud.shadow.percent`; empty when it is about the file as a whole.
    pub path: String,
    /// Name of the file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where it stands; the excerpt is taken from there when everything is known that must not be shown.
    pub(crate) place: Place,
    /// The line it is about, secrets masked; empty when there is none.
    pub(crate) excerpt: String,
    /// Where the caret stands in `excerpt`, in characters from 0.
    pub(crate) caret: usize,
    /// How many characters the caret underlines, at least 1.
    pub(crate) width: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        writeln!(f, "{}", self.message)?;
        write!(f, "  --> {}:{}:{}", self.file, self.line, self.column)?;
        if !self.excerpt.is_empty() {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "\n {number} | {}", self.excerpt)?;
            write!(f, "\n {margin} | {}{}", " ".repeat(self.caret), "^".repeat(self.width.max(1)))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, by line. At least one is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts by place.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        sort(&mut problems);
        Self(problems)
    }

    /// The problems, by line and column.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many of them are errors.
    pub fn n_errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(REPORTED_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.0.len().saturating_sub(REPORTED_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more problems"),
        }
    }
}

/// By line, then by column; problems at one place stay in the order they were found.
pub(crate) fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| (problem.line, problem.column));
}

//! What goes to stdout and stderr, and the exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Fine.
    Fine,
    /// Drift was found, or a check failed.
    Found,
    /// Usage or configuration error.
    Usage,
}

/// An error whose message is complete and goes out as it is, with the exit code for usage errors.
pub(crate) type Outcome = anyhow::Result<Exit>;

/// Runs a command that writes data to stdout.
pub(crate) fn with_stdout(command: impl FnOnce(&mut dyn Write) -> anyhow::Result<u8>) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let code = command(&mut out)?;
    out.flush()?;
    Ok(Exit::from(code))
}

/// One line of data.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())
}

/// Text with names from outside, without what would steer a terminal.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// One line for people, beside the data.
pub(crate) fn note(text: impl AsRef<str>) {
    // A closed stderr is nobody to tell it to.
    drop(writeln!(io::stderr().lock(), "{}", text.as_ref()));
}

/// Whether progress bars and colour make sense.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints an error with its causes and turns the outcome into an exit code.
pub(crate) fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Exit::Fine) => ExitCode::SUCCESS,
        Ok(Exit::Found) => ExitCode::from(1),
        Ok(Exit::Usage) => ExitCode::from(2),
        // `driftline … | head` is no error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            note(format!("error: {}", with_causes(&error)));
            ExitCode::from(2)
        }
    }
}

/// An error and its causes, each said once: some messages hold their cause already.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
        text
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::{visible, with_causes};

    #[test]
    fn names_do_not_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\nä"), "a\u{fffd}[2Jb\u{fffd}ä");
    }

    #[test]
    fn causes_are_said_once() {
        let said =
            anyhow!("disk full").context("cannot write: disk full; free some space").context("state folder");
        assert_eq!(with_causes(&said), "state folder: cannot write: disk full; free some space");
        assert_eq!(with_causes(&anyhow!("inner").context("outer")), "outer: inner");
    }
}

//! How the demo's lines look.

use std::io::{self, IsTerminal};
use std::time::Duration;

use crate::output::line;

/// Prints to stdout; colour on a terminal only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    colour: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && io::stdout().is_terminal() }
    }

    /// A line as it is.
    pub(super) fn say(&self, text: impl AsRef<str>) -> io::Result<()> {
        line(text)
    }

    /// An empty line and a heading.
    pub(super) fn heading(&self, text: &str) -> io::Result<()> {
        line("")?;
        line(self.paint(text, "1"))
    }

    /// A name and what it is, in columns.
    pub(super) fn field(&self, name: &str, value: impl AsRef<str>) -> io::Result<()> {
        line(format!("  {name:<11} {}", value.as_ref()))
    }

    /// A step of the timeline: time since the change, the same by default, what happened.
    pub(super) fn step(&self, here: Duration, nominal: Duration, what: &str) -> io::Result<()> {
        line(format!("  {:>10}  {:>14}   {what}", seconds(here), seconds(nominal)))
    }

    /// `kept` or `BROKEN`.
    pub(super) fn verdict(&self, is_kept: bool) -> String {
        if is_kept { self.paint("kept", "32") } else { self.paint("BROKEN", "1;31") }
    }

    /// Red when something fires.
    pub(super) fn alarm(&self, text: &str) -> String {
        self.paint(text, "31")
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// `12.3 s`, or `2 min 1.2 s` from a minute on.
pub(super) fn seconds(time: Duration) -> String {
    // Rounded first, so that 59.96 s does not become 60.0 s.
    let tenths = (time.as_secs_f64() * 10.0).round() as u64;
    let (minutes, tenths) = (tenths / 600, tenths % 600);
    let seconds = format!("{}.{} s", tenths / 10, tenths % 10);
    if minutes == 0 { seconds } else { format!("{minutes} min {seconds}") }
}

/// As [`seconds`], milliseconds below one second.
pub(super) fn short(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { seconds(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        for (ms, expected) in [
            (0, "0.0 s"),
            (12_340, "12.3 s"),
            (59_949, "59.9 s"),
            (59_960, "1 min 0.0 s"),
            (121_200, "2 min 1.2 s"),
            (160_000, "2 min 40.0 s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(ms)), expected);
        }
    }
}

//! JSON lines on standard input: `kubectl logs … | driftline observe -c observe.yaml`.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::format::Format;
use super::lines::{LINE_BYTES, Lines, too_long};
use super::{SourceContext, SourceError};

/// Standard input as a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StdinSpec {
    /// What a line holds.
    pub format: Format,
}

/// Reads to the end, or until it has to stop.
pub(crate) async fn run(spec: &StdinSpec, context: &SourceContext) -> Result<(), SourceError> {
    read(tokio::io::stdin(), spec, context).await
}

async fn read(
    input: impl AsyncRead + Unpin,
    spec: &StdinSpec,
    context: &SourceContext,
) -> Result<(), SourceError> {
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut lines = Lines::new(spec.format, context);
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        // What has been read is counted before anything is waited for.
        if lines.is_full() || !input.buffer().contains(&b'\n') {
            lines.flush().await?;
        }
        let piece = tokio::select! {
            piece = input.fill_buf() => piece,
            () = context.stopped() => return Ok(()),
        };
        let piece = piece.map_err(|error| SourceError::Failed {
            source_name: context.name.clone(),
            message: format!("standard input cannot be read: {error}"),
        })?;
        if piece.is_empty() {
            if !line.is_empty() && !is_too_long {
                lines.take(&line);
            }
            return lines.flush().await;
        }
        let (end, used) = match piece.iter().position(|byte| *byte == b'\n') {
            Some(at) => (Some(at), at + 1),
            None => (None, piece.len()),
        };
        if !is_too_long {
            line.extend_from_slice(piece.get(..end.unwrap_or(used)).unwrap_or_default());
        }
        input.consume(used);
        if line.len() > LINE_BYTES && !is_too_long {
            is_too_long = true;
            lines.refuse(&too_long());
            line = Vec::new();
        }
        if end.is_some() {
            if !is_too_long {
                lines.take(line.strip_suffix(b"\r").unwrap_or(&line));
            }
            is_too_long = false;
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::Bench;

    async fn fed(text: &[u8]) -> Bench {
        let bench = Bench::new("fraud");
        read(text, &StdinSpec::default(), &bench.context()).await.unwrap();
        bench
    }

    #[tokio::test]
    async fn lines_are_counted_to_the_last_even_without_its_line_break() {
        let bench = fed(b"{\"features\":{\"a\":1}}\r\n\n{\"model\":\"other\",\"features\":{\"a\":2}}").await;
        assert_eq!(bench.models(), ["fraud", "other"]);
        assert_eq!(bench.context().counters.status().accepted, 2);
    }

    #[tokio::test]
    async fn a_bad_line_costs_only_itself() {
        let bench = fed(b"{\"features\":{\"a\":1}}\nnot json\n{\"features\":{\"a\":2}}\n").await;
        let status = bench.context().counters.status();
        assert_eq!(status.accepted, 2);
        assert!(status.rejected.contains(&("malformed", 1)), "{status:?}");
    }

    #[tokio::test]
    async fn an_endless_line_is_skipped_and_takes_no_room() {
        let mut text = vec![b'x'; 3 * LINE_BYTES];
        text.extend_from_slice(b"\n{\"features\":{\"a\":1}}\n");
        let bench = fed(&text).await;
        let status = bench.context().counters.status();
        assert_eq!(status.accepted, 1);
        assert!(status.rejected.contains(&("too_large", 1)), "{status:?}");
    }

    #[tokio::test]
    async fn it_ends_when_it_has_to_and_not_before_what_it_read_was_counted() {
        let bench = Bench::new("fraud");
        let (mut writer, reader) = tokio::io::duplex(1024);
        let context = bench.context();
        let running = tokio::spawn(async move { read(reader, &StdinSpec::default(), &context).await });
        tokio::io::AsyncWriteExt::write_all(&mut writer, b"{\"features\":{\"a\":1}}\n{\"fea").await.unwrap();
        while bench.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        bench.stop.send(true).unwrap();
        running.await.unwrap().unwrap();
        assert_eq!(bench.context().counters.status().accepted, 1);
    }
}

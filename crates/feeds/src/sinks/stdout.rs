//! JSON lines on standard output.
//!
//! Writes block this sink's own thread while the reader is slow; what then doesn't fit into the queue is dropped. When
//! the reader is gone, so is the sink.

use std::io::Write;
use std::time::Duration;

use crate::sinks::{BatchRule, SinkContext, SinkError, Taken};

/// Lines written with one call. Nobody waits for a batch to fill.
const BATCH: BatchRule = BatchRule { records: 1_000, bytes: 256 * 1024, age: Duration::ZERO };

pub(super) async fn run(context: &SinkContext) -> Result<(), SinkError> {
    write_to(&mut std::io::stdout(), context).await
}

async fn write_to(out: &mut impl Write, context: &SinkContext) -> Result<(), SinkError> {
    let mut text = Vec::new();
    while let Some(batch) = context.take(&BATCH).await {
        text.clear();
        for taken in &batch {
            text.extend_from_slice(taken.line().json());
            text.push(b'\n');
        }
        // Given back on failure: whoever closes the queue counts what waits.
        out.write_all(&text).and_then(|()| out.flush()).map_err(SinkError::Closed)?;
        batch.into_iter().for_each(Taken::written);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::SinkOrder;
    use crate::sinks::testing::{context, line};

    /// Takes this many bytes, then the reader is gone.
    struct Reader(usize, Vec<u8>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.1.len() + bytes.len() > self.0 {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn lines_end_with_a_line_break() {
        let (context, orders) = context();
        ["{\"a\":1}", "{\"a\":2}"].iter().for_each(|json| context.queue.try_push(line(json)));
        orders.send_replace(SinkOrder::Finish);
        let mut out = Reader(1_000, Vec::new());
        write_to(&mut out, &context).await.unwrap();
        assert_eq!(out.1, b"{\"a\":1}\n{\"a\":2}\n");
        assert_eq!((context.queue.status().written, context.queue.queued()), (2, 0));
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_ends_it_and_nothing_is_uncounted() {
        let (context, _orders) = context();
        context.queue.try_push(line("{}"));
        assert!(matches!(write_to(&mut Reader(0, Vec::new()), &context).await, Err(SinkError::Closed(_))));
        let status = context.queue.status();
        assert_eq!((status.written, status.queued), (0, 1));
    }
}

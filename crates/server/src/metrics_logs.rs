//! The inference log's metrics.

use feeds::sinks::SinkStatus;

use crate::exposition::{Exposition, Kind};

/// Appends the sinks' families. Without sinks there are none.
pub(crate) fn render(page: &mut Exposition, sinks: &[SinkStatus]) {
    if sinks.is_empty() {
        return;
    }
    let help = "Records of the inference log, by what became of them.";
    page.family("driftline_log_records_total", Kind::Counter, help);
    for sink in sinks {
        for (result, count) in [("written", sink.written), ("dropped", sink.dropped_total())] {
            page.sample(&[("sink", sink.sink), ("result", result)], count as f64);
        }
    }
    let help = "Records of the inference log that were not written, by reason.";
    page.family("driftline_log_dropped_total", Kind::Counter, help);
    for sink in sinks {
        for (reason, count) in &sink.dropped {
            page.sample(&[("sink", sink.sink), ("reason", reason)], *count as f64);
        }
    }
    type Figure = (&'static str, &'static str, fn(&SinkStatus) -> f64);
    let figures: [Figure; 3] = [
        ("driftline_log_queue_records", "Records that wait or are being written.", |sink| sink.queued as f64),
        ("driftline_log_queue_bytes", "Bytes they hold.", |sink| sink.queued_bytes as f64),
        ("driftline_log_up", "1 when what the sink did last succeeded.", |sink| f64::from(u8::from(sink.up))),
    ];
    for (name, help, value) in figures {
        page.family(name, Kind::Gauge, help);
        for sink in sinks {
            page.sample(&[("sink", sink.sink)], value(sink));
        }
    }
}

//! What is known of the version that a rollback would go to, by its own answers.
//!
//! Copies of requests measure it while another version serves, and so did clients in its last minutes. A rollback to a
//! version that is above the same limits now would help nobody: it is held, said and proposed for approval. Nothing known is
//! nothing against it. Drift does not speak against a version either: it is in the requests.

use std::sync::Arc;

use record::Lane;

use super::Controller;
use crate::policy::{ModelPolicy, Policy};
use crate::signal::{Kind, SignalReading, value_text};

/// A measurement that was the last one for longer than this says nothing any more, milliseconds of steady time.
const MEASURED_FOR_MS: u64 = 15 * 60_000;

/// Fewer copies in the horizon of a rule judge nothing: copies are a small share of the requests.
const COPIES_MIN: u64 = 20;

/// The last measurement of a stable version.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// What is wrong with it, in words.
    trouble: Option<String>,
    /// The version.
    version: Arc<str>,
    at_steady_ms: u64,
}

impl Controller {
    /// Takes note of what the signals say about the stable version of every model.
    pub(super) fn measure_targets(&mut self, signals: &[SignalReading]) {
        let at_steady_ms = self.clock.steady_ms();
        for entry in &mut self.models {
            if let Some(trouble) = measure(&self.policy, &entry.policy, signals) {
                let version = Arc::clone(&entry.policy.stable);
                entry.measured = Some(Measured { trouble, version, at_steady_ms });
            }
        }
    }

    /// What speaks against a rollback to the stable version, in words; `None` when nothing is known against it.
    pub(super) fn target_trouble(&self, model_idx: usize) -> Option<String> {
        let entry = &self.models[model_idx];
        let stable = &entry.policy.stable;
        if self.unhealthy.contains(&(entry.policy.name.to_string(), stable.to_string())) {
            return Some(format!("`{stable}` does not answer its probes"));
        }
        let measured = entry.measured.as_ref().filter(|measured| measured.version == *stable)?;
        let age_ms = self.clock.steady_ms().saturating_sub(measured.at_steady_ms);
        if age_ms > MEASURED_FOR_MS { None } else { measured.trouble.clone() }
    }
}

/// What is wrong with the stable version; the outer `None` when too few of its answers were seen to say.
fn measure(policy: &Policy, model: &ModelPolicy, signals: &[SignalReading]) -> Option<Option<String>> {
    let mut known = false;
    for rule in policy.rules.iter().filter(|rule| policy.moves_traffic(rule)) {
        let condition = &rule.condition;
        let (Kind::Latency | Kind::Errors, Some(limit)) = (condition.kind(), condition.above) else {
            continue;
        };
        let horizon_ms = policy.horizon_ms(condition);
        let own = signals.iter().filter(|one| {
            one.model == model.name
                && one.version == model.stable
                && (one.signal, one.horizon_ms) == (condition.signal, horizon_ms)
        });
        for reading in own {
            let above = reading.is_above(limit, COPIES_MIN);
            known |= above.is_some();
            if above == Some(true) {
                return Some(Some(words(reading, limit)));
            }
        }
    }
    known.then_some(None)
}

/// "`v1` fails 28% of its copies (120 in the last 60 s, limit 5%)".
fn words(reading: &SignalReading, limit: f64) -> String {
    let SignalReading { version, signal, n, .. } = reading;
    let what = match reading.lane {
        Lane::Shadow => "copies",
        Lane::Prod => "requests",
    };
    let (value, limit) = (value_text(*signal, reading.value), value_text(*signal, limit));
    let secs = reading.horizon_ms / 1_000;
    match signal.spec().kind {
        Kind::Errors => {
            format!("`{version}` fails {value} of its {what} ({n} in the last {secs} s, limit {limit})")
        }
        _ => format!(
            "`{version}` takes {value} ({}) for its {what} ({n} in the last {secs} s, limit {limit})",
            signal.as_str()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;
    use crate::testing::policy;

    fn errors(lane: Lane, hits: u64, n: u64) -> SignalReading {
        SignalReading::share((&"fraud".into(), &"v1".into(), lane), Signal::ErrorRate, 60_000, hits, n)
            .unwrap()
    }

    fn said(signals: &[SignalReading]) -> Option<Option<String>> {
        let policy = policy();
        measure(&policy, &policy.models[0], signals)
    }

    #[test]
    fn copies_that_fail_beyond_chance_speak_against_it() {
        assert_eq!(
            said(&[errors(Lane::Shadow, 28, 100)]).flatten().as_deref(),
            Some("`v1` fails 28% of its copies (100 in the last 60 s, limit 5%)")
        );
        assert_eq!(said(&[errors(Lane::Shadow, 0, 100)]), Some(None), "it is well");
        assert_eq!(said(&[errors(Lane::Shadow, 2, 30)]), None, "chance explains it");
        assert_eq!(said(&[errors(Lane::Shadow, 5, 9)]), None, "too few");
        assert_eq!(said(&[]), None, "nothing is known");
        let another = SignalReading { version: "v3".into(), ..errors(Lane::Shadow, 50, 100) };
        assert_eq!(said(&[another]), None);
    }

    #[test]
    fn slow_copies_do_too() {
        let of = (&"fraud".into(), &"v1".into(), Lane::Shadow);
        let slow = SignalReading::plain(of, Signal::LatencyP95, 60_000, 812.0, 60);
        let text = said(std::slice::from_ref(&slow)).flatten().expect("is above the limit");
        assert!(text.contains("812") && text.contains("500") && text.contains("60 in the last"), "{text}");
        assert_eq!(said(&[SignalReading { value: 300.0, ..slow }]), Some(None));
    }
}

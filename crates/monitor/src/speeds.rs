//! Predictions that are speeds: how fast an answer came, not what it says.
//!
//! They follow the load, so that every night and every busy hour would be drift. They are measured and shown like any other
//! prediction, but no verdict is given about them and no detector watches them: what is too slow is for the rules about latency.

/// What an LLM's answer is measured by, beside its content.
const SPEEDS: [&str; 3] =
    ["prediction.ttft_ms", "prediction.tokens_per_second", "prediction.deltas_per_second"];

/// Whether a feature is one of them.
pub(crate) fn is_speed(feature: &str) -> bool {
    SPEEDS.contains(&feature)
}

#[cfg(test)]
mod tests {
    use crate::readings::Verdict;
    use crate::testing::{number, profiled, usual};
    use crate::{Engine, ReferenceKind};

    #[test]
    fn a_busy_hour_is_no_drift_of_the_answers() {
        let mut engine = Engine::new(vec![profiled()]);
        for i in 0..900 {
            let mut row = usual(i);
            row.prediction.clear();
            let rate = if i < 400 { 80.0 } else { 20.0 } + (i % 10) as f64;
            row.prediction.insert("tokens_per_second".to_owned(), number(rate));
            row.prediction.insert("total_tokens".to_owned(), number(rate));
            engine.observe_record(&row).unwrap();
        }
        let window = engine.window("v1", record::Lane::Prod, "all").unwrap();
        let of = |name: &str| window.of(name, ReferenceKind::Baseline).unwrap();
        let speed = of("prediction.tokens_per_second");
        assert!(speed.psi > 1.0, "it is measured: {speed:?}");
        assert_eq!(speed.verdict, Verdict::Inconclusive);
        assert_eq!(of("prediction.total_tokens").verdict, Verdict::Fail);
        let layout = engine.detector_counts("m").unwrap().layout;
        let watched: Vec<&str> = layout.features.iter().map(|feature| &*feature.feature).collect();
        assert!(watched.contains(&"prediction.total_tokens"), "{watched:?}");
        assert!(!watched.contains(&"prediction.tokens_per_second"), "{watched:?}");
    }
}

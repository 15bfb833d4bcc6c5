//! Requests that come again: a retry, or a record that a source has delivered twice, is one observation.
//!
//! The same request id, of the same tenant, to the same version and lane, with the same features, counts once. Ids are remembered
//! for five to ten minutes, and 16 384 to 32 768 of them a model. Without an id nothing is known, and everything counts.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use record::{Cell, Decoded, Lane};

/// Requests of one generation; there are two.
const GENERATION: usize = 16_384;

/// The longest that a generation takes in, milliseconds.
const GENERATION_MS: i64 = 300_000;

/// What of a request has been counted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// Its features; its answer could not be read then.
    Features,
    Everything,
}

/// The requests of the last minutes, by their hash: whether their answer was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeats {
    newer: HashMap<u64, bool, Plain>,
    older: HashMap<u64, bool, Plain>,
    since_ms: i64,
    /// Keyed anew in each process: nobody can choose ids that collide.
    hash: RandomState,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Sender<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) tenant: Option<&'a [u8]>,
    pub(crate) version: &'a str,
    pub(crate) is_shadow: bool,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(id: &'a [u8], tenant: Option<&'a [u8]>, version: &'a str, lane: Lane) -> Self {
        Self { id, tenant, version, is_shadow: lane == Lane::Shadow }
    }
}

impl Repeats {
    /// Takes note of a request and says what of it was counted before.
    pub(crate) fn see(&mut self, sender: &Sender<'_>, decoded: &Decoded, now_ms: i64) -> Before {
        if sender.id.is_empty() || decoded.feature_rows() == 0 {
            return Before::Nothing;
        }
        let mut hasher = self.hash.build_hasher();
        sender.hash(&mut hasher);
        hash_rows(decoded, &mut hasher);
        self.note(hasher.finish(), decoded.prediction_rows() > 0, now_ms)
    }

    fn note(&mut self, key: u64, answered: bool, now_ms: i64) -> Before {
        if self.newer.len() >= GENERATION || now_ms.saturating_sub(self.since_ms) >= GENERATION_MS {
            let idle = now_ms.saturating_sub(self.since_ms) >= 2 * GENERATION_MS;
            self.older = std::mem::take(&mut self.newer);
            if idle {
                self.older = HashMap::default();
            }
            self.since_ms = now_ms;
        }
        let before = match self.newer.get(&key).or_else(|| self.older.get(&key)) {
            None => Before::Nothing,
            Some(false) if answered => Before::Features,
            Some(_) => Before::Everything,
        };
        if before != Before::Everything {
            self.newer.insert(key, answered);
        }
        before
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // A hash, a flag, and what a table needs beside them.
        (self.newer.capacity() + self.older.capacity()) * 18
    }
}

/// The features' values in their order. Names are the same wherever the values are.
fn hash_rows(decoded: &Decoded, hasher: &mut impl Hasher) {
    let mut mixed = u64::from(decoded.feature_rows());
    let mut mix = |word: u64| mixed = (mixed.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for cell in decoded.features() {
        mix(u64::from(cell.row) << 32 | cell.name.len() as u64);
        match cell.value {
            Cell::Number(x) => mix(x.to_bits()),
            Cell::Missing => mix(1),
            Cell::Text(text) => {
                mix(text.len() as u64 | 1 << 63);
                for chunk in text.as_bytes().chunks(8) {
                    let mut word = [0; 8];
                    word[..chunk.len()].copy_from_slice(chunk);
                    mix(u64::from_le_bytes(word));
                }
            }
        }
    }
    hasher.write_u64(mixed);
}

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain(u64);

impl BuildHasher for Plain {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Plain {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use record::{Lane, Record};

    use super::*;
    use crate::testing::{exchange, number, profiled, record};
    use crate::{Engine, ReferenceSpec};

    fn rows(engine: &Engine, feature: &str) -> u64 {
        engine.counts("all", feature).map_or(0, |counts| counts.iter().sum())
    }

    fn duplicates(engine: &mut Engine) -> u64 {
        engine.readings(1).models[0].dropped.get("duplicate").copied().unwrap_or(0)
    }

    fn row(id: &str, x: f64) -> Record {
        Record { request_id: Some(id.to_owned()), ..record([("x", number(x))]) }
    }

    #[test]
    fn a_record_that_comes_again_counts_once() {
        let mut engine = Engine::new(vec![profiled()]);
        let mut send = |row: Record| _ = engine.observe_record(&row).unwrap();
        (0..5).for_each(|_| send(row("a", 1.0)));
        send(row("a", 2.0));
        send(row("b", 1.0));
        send(Record { tenant: Some("t".to_owned()), ..row("a", 1.0) });
        send(Record { version: Some("v2".to_owned()), ..row("a", 1.0) });
        (0..3).for_each(|_| send(Record { request_id: None, ..row("a", 1.0) }));
        assert_eq!(
            rows(&engine, "x"),
            1 + 1 + 1 + 1 + 3,
            "four retries are none, what differs is another one"
        );
        assert_eq!(duplicates(&mut engine), 4);
    }

    #[test]
    fn an_answer_that_a_retry_brings_counts_and_the_features_do_not_count_again() {
        let mut spec = profiled();
        spec.reference = match spec.reference {
            ReferenceSpec::Profile { profile, .. } => ReferenceSpec::Profile { profile, learn: 1 },
            other => other,
        };
        let mut engine = Engine::new(vec![spec]);
        engine.observe(&record::Exchange {
            request_id: "learned".into(),
            ..exchange(r#"{"instances":[{"x":1,"c":"a"}]}"#, r#"{"predictions":[1]}"#)
        });
        let body = r#"{"instances":[{"x":1,"c":"a"},{"x":2,"c":"b"}]}"#;
        let before = rows(&engine, "x");
        let failed = record::Exchange { status: 503, ..exchange(body, "") };
        let answered = exchange(body, r#"{"predictions":[1,2]}"#);
        for sent in [&failed, &failed, &answered, &answered] {
            let seen = engine.observe(sent).unwrap();
            assert_eq!(seen.decoded.feature_rows(), 2, "who follows sees each of them");
        }
        assert_eq!((rows(&engine, "x") - before, rows(&engine, "prediction")), (2, 2));
        assert_eq!(duplicates(&mut engine), 2);
        // The copy to a shadow is another inference.
        engine.observe(&record::Exchange { lane: Lane::Shadow, version: "v2".into(), ..answered });
        assert_eq!(duplicates(&mut engine), 2);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_time() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.note(7, true, 1_000_000), Before::Nothing);
        assert_eq!(repeats.note(7, true, 1_200_000), Before::Everything);
        assert_eq!(repeats.note(7, true, 1_300_000), Before::Everything, "of the generation before");
        assert_eq!(repeats.note(7, true, 1_900_000), Before::Nothing, "over ten minutes ago");
        for key in 0..1_000_000 {
            repeats.note(key << 7, true, 1_900_000);
        }
        assert!(repeats.newer.len() + repeats.older.len() <= 2 * GENERATION);
        assert!(repeats.memory_bytes() < 2_000_000, "{}", repeats.memory_bytes());
        assert_eq!(repeats.note(999_999 << 7, true, 1_900_000), Before::Everything);
    }
}

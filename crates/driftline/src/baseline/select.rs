//! Exact order statistics of more numbers than fit into memory: radix selection over several passes.
//!
//! A float becomes an integer of the same order. Each pass counts, for the numbers that share the leading bits found so
//! far with a wanted one, the next 11 bits; after six passes all 64 bits are known. Memory is 16 KiB per wanted rank and
//! column at most, and nothing depends on how the numbers are distributed.

/// Passes that find all bits.
pub(super) const PASSES: u32 = 6;
/// Bits found in a pass; the last one finds what is left.
const DIGIT_BITS: u32 = 11;

/// Finds the numbers at given ranks.
#[derive(Debug)]
pub(super) struct Selector {
    pass: u32,
    wanted: Vec<Wanted>,
    /// Leading bits of wanted numbers, ascending, with the counts of the next bits.
    tables: Vec<(u64, Vec<u64>)>,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Bits found so far.
    prefix: u64,
    /// Rank among the numbers with this prefix, from 0.
    rank: u64,
}

impl Selector {
    /// For ranks counted from 0.
    pub(super) fn new(ranks: impl IntoIterator<Item = u64>) -> Self {
        let wanted = ranks.into_iter().map(|rank| Wanted { prefix: 0, rank }).collect();
        let mut selector = Self { pass: 0, wanted, tables: Vec::new() };
        selector.clear_tables();
        selector
    }

    /// Counts a finite number; in every pass each one once, in any order.
    pub(super) fn add(&mut self, value: f64) {
        let key = key(value);
        let prefix = key.checked_shr(unknown_bits(self.pass)).unwrap_or(0);
        let Ok(at) = self.tables.binary_search_by_key(&prefix, |(prefix, _)| *prefix) else { return };
        let digit = (key >> unknown_bits(self.pass + 1)) & (digits(self.pass) - 1);
        if let Some(count) = self.tables.get_mut(at).and_then(|(_, counts)| counts.get_mut(digit as usize)) {
            *count += 1;
        }
    }

    /// Ends a pass.
    pub(super) fn end_pass(&mut self) {
        let digit_bits = unknown_bits(self.pass) - unknown_bits(self.pass + 1);
        for wanted in &mut self.wanted {
            let Ok(at) = self.tables.binary_search_by_key(&wanted.prefix, |(prefix, _)| *prefix) else {
                continue;
            };
            let Some((_, counts)) = self.tables.get(at) else { continue };
            for (digit, count) in counts.iter().enumerate() {
                if wanted.rank < *count {
                    wanted.prefix = (wanted.prefix << digit_bits) | digit as u64;
                    break;
                }
                wanted.rank -= count;
            }
        }
        self.pass += 1;
        self.clear_tables();
    }

    /// The numbers at the ranks, in their order, after [`PASSES`] passes.
    pub(super) fn finish(self) -> Vec<f64> {
        self.wanted.iter().map(|wanted| number(wanted.prefix)).collect()
    }

    fn clear_tables(&mut self) {
        let mut prefixes: Vec<u64> = self.wanted.iter().map(|wanted| wanted.prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let n_digits = if self.pass < PASSES { digits(self.pass) as usize } else { 0 };
        self.tables = prefixes.into_iter().map(|prefix| (prefix, vec![0; n_digits])).collect();
    }
}

/// Bits not yet known when a pass begins.
fn unknown_bits(pass: u32) -> u32 {
    64 - (pass * DIGIT_BITS).min(64)
}

/// Values of the digit found in a pass.
fn digits(pass: u32) -> u64 {
    1 << (unknown_bits(pass) - unknown_bits(pass + 1))
}

/// An integer of the same order; `-0.0` is `0.0`.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn number(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn select(values: &[f64], ranks: &[u64]) -> Vec<f64> {
        let mut selector = Selector::new(ranks.iter().copied());
        for _ in 0..PASSES {
            values.iter().for_each(|value| selector.add(*value));
            selector.end_pass();
        }
        selector.finish()
    }

    proptest! {
        #[test]
        fn as_a_sort_has_it(
            values in prop::collection::vec(prop_oneof![-1e300..1e300, -2.0..2.0, Just(0.0), Just(-0.0), Just(7.0)], 1..200),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        ) {
            let ranks: Vec<u64> = picks.iter().map(|pick| pick.index(values.len()) as u64).collect();
            let mut sorted: Vec<f64> = values.iter().map(|v| v + 0.0).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let expected: Vec<f64> = ranks.iter().map(|rank| sorted[*rank as usize]).collect();
            prop_assert_eq!(select(&values, &ranks), expected);
        }
    }
}

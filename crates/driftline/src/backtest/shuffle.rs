//! Records mixed among their times.

use std::collections::HashMap;

use anyhow::{Result, bail};
use record::{Lane, Record};

use super::read::Records;

/// Records that are mixed at once, all in memory.
const MAX_RECORDS: usize = 5_000_000;

/// All records, in memory.
pub(super) fn all(records: &mut Records<'_>) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    while let Some(record) = records.next()? {
        if all.len() == MAX_RECORDS {
            bail!("more than {MAX_RECORDS} records cannot be mixed at once: give fewer files");
        }
        all.push(record);
    }
    Ok(all)
}

/// Every record with the content of another one of the same model, version and lane, and its own time. Nothing changes over
/// time then but the rate at which requests come.
pub(super) fn mixed(records: &mut Records<'_>, seed: u64) -> Result<Vec<Record>> {
    let mut all = all(records)?;
    let mut alike: HashMap<(String, Option<String>, Lane), Vec<usize>> = HashMap::new();
    for (at, record) in all.iter().enumerate() {
        alike.entry((record.model.clone(), record.version.clone(), record.lane)).or_default().push(at);
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut groups: Vec<Vec<usize>> = alike.into_values().collect();
    // A map has no order that stays.
    groups.sort_unstable();
    for places in groups {
        for last in (1..places.len()).rev() {
            let other = random.usize(..=last);
            let (a, b) = (places[last], places[other]);
            let (ts_a, ts_b) = (all[a].ts, all[b].ts);
            all.swap(a, b);
            (all[a].ts, all[b].ts) = (ts_a, ts_b);
        }
    }
    Ok(all)
}

/// The places of a model's records, in their order, cut into blocks of `block` which are drawn without replacement. Within a
/// block everything stays as it was: neighbours, the order of each tenant's requests, copies beside their requests, retries.
/// The last block is shorter.
pub(super) fn blocks(places: &[usize], block: usize, seed: u64) -> Vec<usize> {
    let mut blocks: Vec<&[usize]> = places.chunks(block.max(1)).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut blocks);
    blocks.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_move_as_a_whole_and_nothing_is_lost(n in 0_usize..500, block in 1_usize..60, seed in any::<u64>()) {
            let places: Vec<usize> = (0..n).map(|at| at * 3).collect();
            let moved = blocks(&places, block, seed);
            prop_assert_eq!(&moved, &blocks(&places, block, seed), "one seed, one order");
            let mut sorted = moved.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, places);
            // A neighbour is only lost where a block ends.
            let broken = moved.windows(2).filter(|pair| pair[1] != pair[0] + 3).count();
            prop_assert!(broken < n.div_ceil(block).max(1));
        }
    }
}

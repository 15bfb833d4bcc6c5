//! Records mixed among their times.

use std::collections::HashMap;

use anyhow::{Result, bail};
use record::{Lane, Record};

use super::read::Records;

/// Records that are mixed at once, all in memory.
const MAX_RECORDS: usize = 5_000_000;

/// Every record with the content of another one of the same model, version and lane, and its own time. Nothing changes over
/// time then but the rate at which requests come.
pub(super) fn mixed(records: &mut Records<'_>, seed: u64) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    while let Some(record) = records.next()? {
        if all.len() == MAX_RECORDS {
            bail!("more than {MAX_RECORDS} records cannot be mixed at once: give fewer files");
        }
        all.push(record);
    }
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

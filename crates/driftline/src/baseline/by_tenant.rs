//! What each tenant's rows look like, in the bins of the profile: `--by COLUMN`.

use std::collections::HashMap;

use anyhow::{Result, bail};
use monitor::profile::{
    FeatureProfile, MIN_TENANT_ROWS, Profile, TenantFeature, TenantProfile, detector_slot_of, slot_of,
};
use record::{Cell, Privacy, value};
use tabular::Column as Values;

use super::columns::Columns;

/// Tenants that are kept; as many as a running instance has windows for by default.
const TENANTS_MAX: usize = 1_000;

/// Values that are kept in order, a tenant and feature.
const WATCHED_MAX: usize = 10_000;

/// One tenant's counts.
struct Tally {
    rows: u64,
    /// By the feature: counts per slot, and the values among the rows in the detector's slots.
    features: Vec<(Vec<u64>, Vec<u8>)>,
}

/// Takes the column out of the features; its values are names of tenants.
pub(super) fn take_out(features: &mut Vec<FeatureProfile>, by: &str) {
    features.retain(|feature| feature.name != by);
}

/// Adds what each tenant's rows look like. `rules`: as live traffic will show values.
///
/// # Errors
/// When no file has the column, or none of its values comes often enough.
pub(super) fn add(
    columns: &mut Columns,
    by: &str,
    profile: &mut Profile,
    rules: &Privacy,
    notes: &mut Vec<String>,
) -> Result<()> {
    let Some(tenant_column) = columns.columns.iter().position(|column| column.name == by) else {
        bail!("`--by {by}`: no file has this column");
    };
    // Features by the column they were made of; hidden names are those of hidden columns.
    let places: Vec<Option<usize>> = columns
        .columns
        .iter()
        .map(|column| {
            let name = rules.name(&column.name);
            profile.features.iter().position(|feature| *feature.name == *name)
        })
        .collect();
    let names: Vec<String> = columns.columns.iter().map(|column| column.name.clone()).collect();
    let features = &profile.features;
    let mut tenants: HashMap<String, Tally> = HashMap::new();
    let (mut over, mut nameless) = (0_u64, 0_u64);
    columns.pass(|_| true, &mut |indexes, batch| {
        let values_of = |column: usize| {
            let place = indexes.iter().position(|index| *index == column)?;
            batch.columns().get(place)
        };
        let named = values_of(tenant_column);
        let mut scratch = String::new();
        for row in 0..batch.n_rows() {
            let Some(name) = named.and_then(|values| text_of(values, row)) else {
                nameless += 1;
                continue;
            };
            let has_room = tenants.len() < TENANTS_MAX;
            let new = || Tally {
                rows: 0,
                features: features.iter().map(|one| (vec![0; one.bins.slots()], Vec::new())).collect(),
            };
            let tally = match tenants.get_mut(&name) {
                Some(tally) => tally,
                None if has_room => tenants.entry(name).or_insert_with(new),
                None => {
                    over += 1;
                    continue;
                }
            };
            tally.rows += 1;
            for (place, index) in indexes.iter().enumerate() {
                let Some(at) = places.get(*index).copied().flatten() else { continue };
                let Some(values) = batch.columns().get(place) else { continue };
                let hidden;
                let cell = match cell_of(values, row) {
                    Cell::Text(text) => {
                        hidden = rules.text(&names[*index], text);
                        Cell::Text(&hidden)
                    }
                    cell => cell,
                };
                let (feature, (counts, watched)) = (&features[at], &mut tally.features[at]);
                let slot = slot_of(&feature.bins, cell, &mut scratch);
                if let Some(count) = counts.get_mut(slot) {
                    *count += 1;
                }
                let has_value = slot != feature.bins.missing();
                if has_value && watched.len() < WATCHED_MAX {
                    watched.push(match &feature.detector {
                        Some(detector) => detector_slot_of(&detector.bins, cell, &mut scratch) as u8,
                        None => slot as u8,
                    });
                }
            }
        }
    })?;
    let found = tenants.len();
    let mut kept: Vec<(String, Tally)> =
        tenants.into_iter().filter(|(_, tally)| tally.rows >= MIN_TENANT_ROWS).collect();
    kept.sort_unstable_by(|a, b| b.1.rows.cmp(&a.1.rows).then_with(|| a.0.cmp(&b.0)));
    if kept.is_empty() {
        bail!(
            "`--by {by}`: none of its {found} values has {MIN_TENANT_ROWS} rows, so none can have a reference of its own"
        );
    }
    note(by, (found - kept.len(), over, nameless), notes);
    profile.tenants = kept.into_iter().map(|(name, tally)| tenant(&name, tally, features, rules)).collect();
    Ok(())
}

fn tenant(name: &str, tally: Tally, features: &[FeatureProfile], rules: &Privacy) -> TenantProfile {
    let feature = |(feature, (mut counts, watched)): (&FeatureProfile, (Vec<u64>, Vec<u8>))| {
        // Rows of files that don't have the column.
        let counted: u64 = counts.iter().sum();
        if let Some(missing) = counts.last_mut() {
            *missing += tally.rows - counted;
        }
        TenantFeature::new(feature, counts, &watched)
    };
    TenantProfile {
        name: rules.id("tenant", name.as_bytes()).unwrap_or_else(|| name.to_owned()),
        rows: tally.rows,
        features: features.iter().zip(tally.features).map(feature).collect(),
    }
}

fn note(by: &str, (few, over, nameless): (usize, u64, u64), notes: &mut Vec<String>) {
    if few > 0 {
        notes.push(format!(
            "`--by {by}`: {few} tenants have fewer than {MIN_TENANT_ROWS} rows: they are learned from live traffic"
        ));
    }
    if over > 0 {
        notes.push(format!(
            "`--by {by}`: {over} rows of further tenants were left out, the profile keeps {TENANTS_MAX}"
        ));
    }
    if nameless > 0 {
        notes.push(format!("`--by {by}`: {nameless} rows name no tenant and count in the total alone"));
    }
}

fn cell_of(values: &Values, row: usize) -> Cell<'_> {
    match values {
        Values::Numbers(values) => match values.get(row) {
            Some(x) if x.is_finite() => Cell::Number(*x),
            _ => Cell::Missing,
        },
        Values::Text(texts) => texts.get(row).map_or(Cell::Missing, Cell::Text),
    }
}

fn text_of(values: &Values, row: usize) -> Option<String> {
    match cell_of(values, row) {
        Cell::Text(text) => Some(text.to_owned()),
        Cell::Number(x) => {
            let mut scratch = String::new();
            Some(value::shortest(x, &mut scratch).to_owned())
        }
        Cell::Missing => None,
    }
}

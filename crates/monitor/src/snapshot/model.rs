//! One model's windows and references as bytes, and back with every check.

use record::Lane;
use stats::{Bins, CategoricalBins, NumericBins, Window};

use super::RestoreError;
use super::codec::{Reader, Writer};
use super::{detector, growth, tenants};
use crate::features::{Feature, Frozen, Side, Stage};
use crate::fit::Types;
use crate::learn::{Column, Raw, Sets};
use crate::profile::FeatureProfile;
use crate::role::Role;
use crate::rules::Rules;
use crate::state::State;
use crate::tenant_reference::TenantReferences;
use crate::windows::{Ring, WindowSet};

pub(super) type Read<T> = Result<T, RestoreError>;

pub(super) const fn corrupt<T>(what: &'static str) -> Read<T> {
    Err(RestoreError::Corrupt { what })
}

// === writing ===

pub(super) fn write(out: &mut Writer, state: &State) {
    out.len(state.versions.len());
    state.versions.names().for_each(|name| out.text(name));
    out.len(state.tenants.named().len());
    state.tenants.named().iter().for_each(|name| out.text(name));
    state.seen.iter().for_each(|seen| out.u64(*seen));
    out.len(state.features.len());
    state.features.iter().for_each(|feature| write_feature(out, feature));
    tenants::write(out, state);
    out.len(state.sets.len());
    state.sets.iter().for_each(|set| write_set(out, set));
    let own = state.own.sorted();
    out.len(own.len());
    for ((version, feature), first) in own {
        out.len(version);
        out.len(feature);
        out.len(first.counts.len());
        first.counts.iter().for_each(|count| out.u64(*count));
    }
    growth::write(out, state);
}

fn write_feature(out: &mut Writer, feature: &Feature) {
    out.text(&feature.name);
    let flags = feature.side as u8 | u8::from(feature.seen) << 1 | (feature.types as u8) << 2;
    out.u8(flags | u8::from(feature.late) << 7);
    out.text(feature.owner.as_deref().unwrap_or_default());
    match &feature.stage {
        Stage::Frozen(frozen) => {
            out.u8(0);
            out.i64(frozen.at_ms);
            write_bins(out, &frozen.bins);
            out.len(frozen.counts.len());
            frozen.counts.iter().for_each(|count| out.u64(*count));
            detector::write_reference(out, frozen.detector.as_ref());
            out.u8(feature.role() as u8);
        }
        // Texts of which most came once look like identifiers: these are written nowhere, and learned from the beginning.
        Stage::Learning(column) if column.texts().len() * 2 > column.rows.len() && column.sets.is_empty() => {
            out.u8(1);
            (0..3).for_each(|_| out.len(0));
        }
        Stage::Learning(column) => {
            out.u8(1);
            out.len(column.texts().len());
            column.texts().iter().for_each(|text| out.text(text));
            out.len(column.rows.len());
            column.rows.iter().for_each(|raw| out.u64(raw.bits()));
            out.len(column.sets.len());
            for sets in &column.sets {
                out.u32(sets.all);
                out.u32(sets.tenant);
            }
        }
    }
}

pub(super) fn write_bins(out: &mut Writer, bins: &Bins) {
    match bins {
        Bins::Numeric(numeric) => {
            out.u8(0);
            let range = numeric.range();
            out.u8(u8::from(range.is_some()));
            let (lo, hi) = range.unwrap_or_default();
            out.u64(lo.to_bits());
            out.u64(hi.to_bits());
            out.len(numeric.inner_edges().len());
            numeric.inner_edges().iter().for_each(|edge| out.u64(edge.to_bits()));
        }
        Bins::Categorical(categorical) => {
            out.u8(1);
            out.len(categorical.categories().len());
            categorical.categories().iter().for_each(|category| out.text(category));
        }
    }
}

fn write_set(out: &mut Writer, set: &WindowSet) {
    out.len(set.version);
    out.u8(u8::from(set.lane == Lane::Shadow));
    out.u32(set.tenant);
    out.u64(set.rows);
    out.i64(set.last_at_ms);
    out.len(set.rings.len());
    for ring in &set.rings {
        out.u8(u8::from(ring.is_some()));
        if let Some(ring) = ring {
            write_window(out, &ring.current);
            if let Some(previous) = &ring.previous {
                write_window(out, previous);
            }
        }
    }
    tenants::write_owners(out, &set.owners);
    detector::write_live(out, set.detector.as_deref());
}

fn write_window(out: &mut Writer, window: &Window) {
    out.len(window.len());
    out.0.extend(window.iter());
}

// === reading ===

/// Fills a new state; `state` must be as [`State::new`] makes it.
pub(super) fn read(bytes: &mut Reader<'_>, mut state: State, rules: &Rules, now_ms: i64) -> Read<State> {
    for _ in 0..bytes.len(4)? {
        if !state.versions.restore(bytes.text()?, now_ms) {
            return corrupt("a version");
        }
    }
    // What a profile has of its tenants is in the snapshot as well.
    state.tenant_references = TenantReferences::default();
    let names = read_tenants(bytes, &mut state)?;
    state.seen = [bytes.u64()?, bytes.u64()?];
    state.features = crate::features::FeatureTable::new();
    for _ in 0..bytes.len(6)? {
        let name = bytes.text()?;
        let flags = bytes.u8()?;
        let side = if flags & 1 == 0 { Side::Features } else { Side::Predictions };
        let Some(types) = Types::ALL.get(usize::from(flags >> 2 & 0x1f)).copied() else {
            return corrupt("a feature's type");
        };
        if state.features.contains(name) {
            return corrupt("a feature's name");
        }
        let owner = bytes.text()?;
        let stage = read_stage(bytes, name, rules)?;
        let at = state.features.insert(name.into(), side, stage);
        let feature = state.features.get_mut(at);
        (feature.seen, feature.types, feature.late) = (flags & 2 != 0, types, flags & 0x80 != 0);
        feature.forced = rules.filter.forces(&feature.name);
        feature.owner = Some(owner).filter(|owner| !owner.is_empty()).map(Into::into);
    }
    state.plan_detectors();
    tenants::read(bytes, &mut state, &names)?;
    for at in 0..bytes.len(30)? {
        read_set(bytes, &mut state, rules, &names, at)?;
    }
    read_own(bytes, &mut state)?;
    growth::read(bytes, &mut state)?;
    for at in 0..state.features.len() {
        // What earlier versions wrote knows it by the windows only.
        let counted = state.sets.iter().any(|set| set.ring(at).is_some());
        let feature = state.features.get_mut(at);
        if counted && !feature.seen {
            (feature.seen, feature.types) = (true, Types::Agree);
        }
    }
    check_learned(&state)?;
    bytes.end()?;
    Ok(state)
}

/// The references of versions that have their own.
fn read_own(bytes: &mut Reader<'_>, state: &mut State) -> Read<()> {
    for _ in 0..bytes.len(12)? {
        let (version, feature) = (bytes.u32()? as usize, bytes.u32()? as usize);
        let counts = (0..bytes.len(8)?).map(|_| bytes.u64()).collect::<Read<Vec<u64>>>()?;
        let sum = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        let known = version < state.versions.len() && feature < state.features.len();
        let frozen = if known { state.features.get(feature).frozen() } else { None };
        let fits = frozen.is_some_and(|frozen| frozen.bins.slots() == counts.len()) && sum.is_some();
        if !fits || !state.own.restore(version, feature, counts) {
            return corrupt("a version's own reference");
        }
    }
    Ok(())
}

/// The tenants' numbers in this state, by their stored numbers: pinned tenants may have changed in between.
fn read_tenants(bytes: &mut Reader<'_>, state: &mut State) -> Read<Vec<u32>> {
    let mut tenants: Vec<u32> =
        ["all", "other", "invalid"].iter().filter_map(|name| state.tenants.shown(name)).collect();
    for _ in 0..bytes.len(4)? {
        match state.tenants.restore(bytes.text()?) {
            Some(id) if !tenants.contains(&id) => tenants.push(id),
            _ => return corrupt("a tenant"),
        }
    }
    Ok(tenants)
}

fn read_stage(bytes: &mut Reader<'_>, name: &str, rules: &Rules) -> Read<Stage> {
    match bytes.u8()? {
        0 => {
            let at_ms = bytes.i64()?;
            let bins = read_bins(bytes)?;
            let counts = (0..bytes.len(8)?).map(|_| bytes.u64()).collect::<Read<Vec<u64>>>()?;
            let sum = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
            let reference = detector::read_reference(bytes)?;
            let Some(role) = Role::ALL.get(usize::from(bytes.u8()?)).copied() else {
                return corrupt("a role");
            };
            if counts.len() != bins.slots() || bins.slots() > stats::MAX_WINDOW_SLOTS || sum.is_none() {
                return corrupt("reference counts");
            }
            let feature =
                FeatureProfile { detector: reference, role, ..FeatureProfile::new(name, bins, counts) };
            Ok(Stage::Frozen(Frozen::new(feature, at_ms)))
        }
        1 => read_column(bytes, rules).map(Stage::Learning),
        _ => corrupt("a feature's stage"),
    }
}

fn read_column(bytes: &mut Reader<'_>, rules: &Rules) -> Read<Column> {
    let mut column = Column::default();
    for _ in 0..bytes.len(4)? {
        column.restore_text(bytes.text()?);
    }
    let rows = bytes.len(8)?;
    if rows > rules.learn {
        return corrupt("learned rows");
    }
    column.rows = (0..rows).map(|_| Ok(Raw::from_bits(bytes.u64()?))).collect::<Read<_>>()?;
    let sets = bytes.len(8)?;
    if sets != if rules.previous { rows } else { 0 } {
        return corrupt("learned rows");
    }
    let mut pair = || Ok(Sets { all: bytes.u32()?, tenant: bytes.u32()? });
    column.sets = (0..sets).map(|_| pair()).collect::<Read<_>>()?;
    Ok(column)
}

pub(super) fn read_bins(bytes: &mut Reader<'_>) -> Read<Bins> {
    let bins = match bytes.u8()? {
        0 => {
            let has_range = bytes.u8()? == 1;
            let (lo, hi) = (f64::from_bits(bytes.u64()?), f64::from_bits(bytes.u64()?));
            let edges =
                (0..bytes.len(8)?).map(|_| bytes.u64().map(f64::from_bits)).collect::<Read<Vec<f64>>>()?;
            let numeric = match has_range {
                true => NumericBins::from_edges(lo, hi, edges),
                false => NumericBins::from_quantile_edges(edges),
            };
            numeric.map(Bins::Numeric)
        }
        1 => {
            let categories =
                (0..bytes.len(4)?).map(|_| bytes.text().map(str::to_owned)).collect::<Read<Vec<String>>>()?;
            CategoricalBins::new(categories).map(Bins::Categorical)
        }
        _ => return corrupt("a kind of bins"),
    };
    bins.or_else(|_| corrupt("bins"))
}

fn read_set(bytes: &mut Reader<'_>, state: &mut State, rules: &Rules, names: &[u32], at: usize) -> Read<()> {
    let version = bytes.u32()? as usize;
    let lane = match bytes.u8()? {
        0 => Lane::Prod,
        1 => Lane::Shadow,
        _ => return corrupt("a lane"),
    };
    let tenant = names.get(bytes.u32()? as usize).copied();
    let (Some(tenant), true) = (tenant, version < state.versions.len()) else {
        return corrupt("a window's owner");
    };
    if state.set(version, lane, tenant) != at {
        return corrupt("a window's owner");
    }
    let (rows, last_at_ms) = (bytes.u64()?, bytes.i64()?);
    let rings = bytes.len(1)?;
    if rings > state.features.len() {
        return corrupt("a number of windows");
    }
    let rings =
        (0..rings).map(|feature| read_ring(bytes, state, rules, feature)).collect::<Read<Vec<_>>>()?;
    let owners = tenants::read_owners(bytes, names, rules.window)?;
    let plan = state.plan_of(&state.sets[at]);
    let detector = detector::read_live(bytes, &state.watch, plan)?;
    let set = &mut state.sets[at];
    (set.owners, set.detector) = (owners, detector);
    (set.rows, set.last_at_ms, set.rings, set.generation) = (rows, last_at_ms, rings, 1);
    Ok(())
}

fn read_ring(bytes: &mut Reader<'_>, state: &State, rules: &Rules, feature: usize) -> Read<Option<Ring>> {
    if bytes.u8()? == 0 {
        return Ok(None);
    }
    let Some(frozen) = state.features.get(feature).frozen() else { return corrupt("a window without bins") };
    let mut window = || {
        let len = bytes.len(1)?;
        let slots = bytes.bytes(len)?.iter().copied();
        Window::restore(rules.window, frozen.bins.slots(), slots).or_else(|_| corrupt("a window's slot"))
    };
    let current = window()?;
    let previous = if rules.previous { Some(window()?) } else { None };
    Ok(Some(Ring { current, previous, pushed: 0 }))
}

/// Learned rows may only point at window sets that exist.
fn check_learned(state: &State) -> Read<()> {
    let known = |set: u32| (set as usize) < state.sets.len();
    for feature in state.features.iter() {
        if let Stage::Learning(column) = &feature.stage
            && column
                .sets
                .iter()
                .any(|sets| !known(sets.all) || !(known(sets.tenant) || sets.tenant == Sets::NONE))
        {
            return corrupt("a learned row's windows");
        }
    }
    Ok(())
}

//! Tenants' own references, and whose the rows of a total are, as bytes and back with every check.

use super::codec::{Reader, Writer};
use super::model::{Read, corrupt};
use crate::detector::{TenantCounts, tenant_slots};
use crate::features::{Frozen, Side};
use crate::state::State;
use crate::tenant_reference::{FirstRows, NOBODY, Owners, Place, Ready};

// === writing ===

pub(super) fn write(out: &mut Writer, state: &State) {
    let all = state.tenant_references.sorted();
    out.len(all.len());
    for (place, side, first) in all {
        out.u32(place.tenant);
        out.len(place.version);
        out.len(place.feature);
        out.u8(side as u8 | (u8::from(first.ready.is_some()) << 1));
        first.halves.iter().for_each(|half| integers(out, half));
        out.len(first.watched.len());
        out.0.extend_from_slice(&first.watched);
        let Some(ready) = &first.ready else { continue };
        integers(out, &ready.counts);
        out.u8(u8::from(ready.watched.is_some()) | (u8::from(ready.fixed) << 1));
        if let Some(watched) = &ready.watched {
            integers(out, &watched.counts);
            out.u64(watched.tau.to_bits());
        }
    }
}

pub(super) fn write_owners(out: &mut Writer, owners: &Owners) {
    for side in [Side::Features, Side::Predictions] {
        let rows = owners.iter(side);
        out.len(rows.len());
        rows.for_each(|tenant| out.u32(tenant));
    }
}

fn integers(out: &mut Writer, numbers: &[u64]) {
    out.len(numbers.len());
    numbers.iter().for_each(|number| out.u64(*number));
}

// === reading ===

/// `tenants`: their numbers in this state, by their stored numbers.
pub(super) fn read(bytes: &mut Reader<'_>, state: &mut State, tenants: &[u32]) -> Read<()> {
    for _ in 0..bytes.len(22)? {
        let tenant = tenants.get(bytes.u32()? as usize).copied();
        let (version, feature) = (bytes.u32()? as usize, bytes.u32()? as usize);
        let flags = bytes.u8()?;
        let side = if flags & 1 == 0 { Side::Features } else { Side::Predictions };
        let known = version < state.versions.len().max(1) && feature < state.features.len();
        let (Some(tenant), true, 0..=3) = (tenant, known, flags) else {
            return corrupt("a tenant's reference");
        };
        let of = state.features.get(feature);
        let Some(frozen) = of.frozen().filter(|_| of.side == side) else {
            return corrupt("a tenant's reference");
        };
        let mut first = read_waiting(bytes, frozen)?;
        if flags & 2 != 0 {
            first.ready = Some(read_ready(bytes, frozen)?);
        }
        if !state.tenant_references.restore(Place { tenant, version, feature }, side, first) {
            return corrupt("a tenant's reference");
        }
    }
    Ok(())
}

fn read_waiting(bytes: &mut Reader<'_>, frozen: &Frozen) -> Read<FirstRows> {
    let mut halves = [Vec::new(), Vec::new()];
    for half in &mut halves {
        *half = read_integers(bytes)?;
    }
    if !halves.iter().all(|half| half.is_empty() || half.len() == frozen.bins.slots())
        || halves[0].len() != halves[1].len()
    {
        return corrupt("a tenant's first rows");
    }
    let rows = halves.iter().flatten().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    let len = bytes.len(1)?;
    let watched = bytes.bytes(len)?.to_vec();
    let slots = tenant_slots(frozen);
    if rows.is_none() || watched.iter().any(|slot| usize::from(*slot) >= slots) {
        return corrupt("a tenant's first rows");
    }
    Ok(FirstRows { halves, watched, ready: None })
}

fn read_ready(bytes: &mut Reader<'_>, frozen: &Frozen) -> Read<Ready> {
    let counts = read_counts(bytes, frozen.bins.slots())?;
    let rows = counts.iter().sum();
    let flags = bytes.u8()?;
    let watched = match flags & 1 {
        0 => None,
        _ => {
            let counts = read_counts(bytes, tenant_slots(frozen))?;
            let tau = f64::from_bits(bytes.u64()?);
            if tau.is_nan() || tau < 1.0 {
                return corrupt("a tenant's reference");
            }
            Some(TenantCounts { counts, tau })
        }
    };
    Ok(Ready { counts, rows, watched, fixed: flags & 2 != 0 })
}

/// Counts of so many slots, with a sum that is a number.
fn read_counts(bytes: &mut Reader<'_>, slots: usize) -> Read<Vec<u64>> {
    let counts = read_integers(bytes)?;
    let sum = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    if counts.len() == slots && sum.is_some() { Ok(counts) } else { corrupt("a tenant's counts") }
}

pub(super) fn read_owners(bytes: &mut Reader<'_>, tenants: &[u32], window: usize) -> Read<Owners> {
    let mut owners = Owners::default();
    for side in [Side::Features, Side::Predictions] {
        let len = bytes.len(4)?;
        if len > window {
            return corrupt("whose rows are in a window");
        }
        for _ in 0..len {
            let tenant = match bytes.u32()? {
                NOBODY => None,
                stored => match tenants.get(stored as usize) {
                    Some(tenant) => Some(*tenant),
                    None => return corrupt("whose rows are in a window"),
                },
            };
            owners.push(side, tenant, 1, window);
        }
    }
    Ok(owners)
}

fn read_integers(bytes: &mut Reader<'_>) -> Read<Vec<u64>> {
    (0..bytes.len(8)?).map(|_| bytes.u64()).collect()
}

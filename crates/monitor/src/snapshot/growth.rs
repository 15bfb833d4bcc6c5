//! How far references have grown as bytes, and back with every check.

use super::codec::{Reader, Writer};
use super::model::{Read, corrupt};
use crate::features::{Frozen, Stage};
use crate::grow::{Growing, Stretch};
use crate::state::State;

// === writing ===

pub(super) fn write(out: &mut Writer, state: &State) {
    out.block(|out| {
        out.len(state.features.len());
        for feature in state.features.iter() {
            let since_ms = match &feature.stage {
                Stage::Frozen(frozen) => frozen.since_ms,
                Stage::Learning(column) => Some(column.since_ms),
            };
            out.u8(u8::from(since_ms.is_some()));
            out.i64(since_ms.unwrap_or_default());
        }
        let growing: Vec<_> = state.growth.iter().collect();
        out.len(growing.len());
        for (feature, growing) in growing {
            out.len(feature);
            write_growing(out, growing);
        }
    });
}

fn write_growing(out: &mut Writer, growing: &Growing) {
    for ms in [growing.since_ms, growing.until_ms, growing.covers_ms, growing.trend_ms.unwrap_or_default()] {
        out.i64(ms);
    }
    out.u64(growing.learned);
    out.u64(growing.taken);
    out.u64(growing.outside.to_bits());
    out.u64(growing.values.to_bits());
    out.u8(u8::from(growing.trend_ms.is_some()) | u8::from(growing.held.is_some()) << 1);
    write_counts(out, &growing.first);
    for stretch in [Some(&growing.pending), growing.held.as_ref(), Some(&growing.ripe)].into_iter().flatten()
    {
        write_counts(out, &stretch.shown);
        write_counts(out, &stretch.detector);
        out.u64(stretch.values);
        out.u64(stretch.outside);
        [stretch.covers_ms, stretch.from_ms, stretch.to_ms].iter().for_each(|ms| out.i64(*ms));
    }
}

fn write_counts(out: &mut Writer, counts: &[u64]) {
    out.len(counts.len());
    counts.iter().for_each(|count| out.u64(*count));
}

// === reading ===

/// Fills in how far the references of a state have grown. Of what earlier versions wrote, which do not say it, those that are
/// `learned` begin to grow.
pub(super) fn read(bytes: &mut Reader<'_>, state: &mut State) -> Read<()> {
    let mut bytes = bytes.block()?;
    if bytes.len(9)? != state.features.len() {
        return corrupt("a number of references that grow");
    }
    for feature in state.features.iter_mut() {
        let (is_learned, since_ms) = (bytes.u8()? != 0, bytes.i64()?);
        match &mut feature.stage {
            Stage::Frozen(frozen) => frozen.since_ms = Some(since_ms).filter(|_| is_learned),
            Stage::Learning(column) => column.since_ms = since_ms,
        }
    }
    for _ in 0..bytes.len(88)? {
        let at = bytes.u32()? as usize;
        if at >= state.features.len() || state.growth.get(at).is_some() {
            return corrupt("a reference that grows");
        }
        let Stage::Frozen(frozen) = &mut state.features.get_mut(at).stage else {
            return corrupt("a reference that grows");
        };
        let growing = read_growing(&mut bytes, frozen)?;
        frozen.expect(growing.outside_share());
        state.growth.insert(at, growing);
    }
    bytes.end()
}

fn read_growing(bytes: &mut Reader<'_>, frozen: &Frozen) -> Read<Growing> {
    let (since_ms, until_ms, covers_ms, trend_ms) = (bytes.i64()?, bytes.i64()?, bytes.i64()?, bytes.i64()?);
    let (learned, taken) = (bytes.u64()?, bytes.u64()?);
    let (outside, values) = (f64::from_bits(bytes.u64()?), f64::from_bits(bytes.u64()?));
    let flags = bytes.u8()?;
    let is_share = (0.0..=values).contains(&outside) && values.is_finite();
    if !is_share || covers_ms < 0 || flags > 3 {
        return corrupt("how far a reference has grown");
    }
    let first = read_counts(bytes, frozen.bins.slots())?;
    let pending = read_stretch(bytes, frozen)?;
    let held = if flags & 2 != 0 { Some(read_stretch(bytes, frozen)?) } else { None };
    let ripe = read_stretch(bytes, frozen)?;
    let trend_ms = Some(trend_ms).filter(|_| flags & 1 != 0);
    Ok(Growing {
        first,
        learned,
        taken,
        since_ms,
        until_ms,
        covers_ms,
        outside,
        values,
        trend_ms,
        pending,
        held,
        ripe,
    })
}

fn read_stretch(bytes: &mut Reader<'_>, frozen: &Frozen) -> Read<Stretch> {
    let shown = read_counts(bytes, frozen.bins.slots())?;
    let slots = frozen.detector.as_ref().map_or(frozen.bins.slots(), |detector| detector.counts.len());
    let detector = read_counts(bytes, slots)?;
    let (values, outside) = (bytes.u64()?, bytes.u64()?);
    let (covers_ms, from_ms, to_ms) = (bytes.i64()?, bytes.i64()?, bytes.i64()?);
    if covers_ms < 0 {
        return corrupt("the time that rows cover");
    }
    Ok(Stretch { shown, detector, values, outside, covers_ms, to_ms, from_ms })
}

/// As many counts as slots, or none, whose sum fits.
fn read_counts(bytes: &mut Reader<'_>, slots: usize) -> Read<Vec<u64>> {
    let counts = (0..bytes.len(8)?).map(|_| bytes.u64()).collect::<Read<Vec<u64>>>()?;
    let sum = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    if sum.is_none() || !(counts.is_empty() || counts.len() == slots) {
        return corrupt("counts that a reference grows by");
    }
    Ok(counts)
}

//! Detectors and their bins as bytes, and back with every check.

use std::collections::HashSet;
use std::sync::Arc;

use stats::Bins;
use stats::detect::{DetectorBins, DetectorMemory, DriftMemory};

use super::codec::{Reader, Writer};
use super::model::{Read, corrupt, read_bins, write_bins};
use crate::detector::{DetectorReference, Found, Live, LiveMemory, Planned, RateMemory, Watch};

// === writing ===

pub(super) fn write_reference(out: &mut Writer, reference: Option<&DetectorReference>) {
    let Some(reference) = reference else { return out.u8(0) };
    match &reference.bins {
        DetectorBins::Ordered(bins) => {
            out.u8(1);
            write_bins(out, &Bins::Numeric(bins.clone()));
        }
        DetectorBins::Values(values) => {
            out.u8(2);
            floats(out, values);
        }
        DetectorBins::Categories { kept, rare } => {
            out.u8(3);
            write_bins(out, &Bins::Categorical(kept.clone()));
            out.len(rare.len());
            rare.iter().for_each(|name| out.text(name));
        }
    }
    integers(out, &reference.counts);
    out.u64(reference.tau.to_bits());
}

pub(super) fn write_live(out: &mut Writer, live: Option<&Live>) {
    let Some(live) = live else { return out.u8(0) };
    out.u8(1);
    out.block(|out| {
        let LiveMemory { detector, rate, alarms, found } = live.memory();
        for number in [rate.rows, rate.ms] {
            out.u64(number.to_bits());
        }
        out.u64(alarms);
        out.u8(u8::from(found.is_some()));
        if let Some(found) = found {
            out.i64(found.since_ms);
            out.len(found.suspects.len());
            for (feature, change, psi) in found.suspects {
                out.len(feature);
                out.text(&change);
                out.u64(psi.to_bits());
            }
        }
        write_memory(out, &detector);
    });
}

fn write_memory(out: &mut Writer, memory: &DetectorMemory) {
    for number in [memory.fingerprint, memory.rows, memory.reset_at, memory.slices] {
        out.u64(number);
    }
    out.u32(memory.open_rows);
    for number in [memory.mean_slice, memory.gains_at] {
        out.u64(number.to_bits());
    }
    out.u8(u8::from(memory.recovered));
    out.len(memory.evidence.len());
    memory.evidence.iter().for_each(|evidence| floats(out, evidence));
    out.len(memory.recent.len());
    out.0.extend_from_slice(&memory.recent);
    out.u8(u8::from(memory.drift.is_some()));
    if let Some(drift) = &memory.drift {
        out.u64(drift.start);
        out.len(drift.listed.len());
        out.0.extend(drift.listed.iter().map(|listed| u8::from(*listed)));
        integers(out, &drift.since);
        out.u64(drift.since_rows);
        floats(out, &drift.reported);
        integers(out, &drift.window);
        out.u64(drift.window_rows);
        out.u32(drift.calm_windows);
    }
}

fn floats(out: &mut Writer, numbers: &[f64]) {
    out.len(numbers.len());
    numbers.iter().for_each(|number| out.u64(number.to_bits()));
}

fn integers(out: &mut Writer, numbers: &[u64]) {
    out.len(numbers.len());
    numbers.iter().for_each(|number| out.u64(*number));
}

// === reading ===

pub(super) fn read_reference(bytes: &mut Reader<'_>) -> Read<Option<DetectorReference>> {
    let bins = match bytes.u8()? {
        0 => return Ok(None),
        1 => match read_bins(bytes)? {
            Bins::Numeric(bins) => DetectorBins::Ordered(bins),
            Bins::Categorical(_) => return corrupt("a detector's bins"),
        },
        2 => DetectorBins::Values(read_floats(bytes)?),
        3 => {
            let Bins::Categorical(kept) = read_bins(bytes)? else { return corrupt("a detector's bins") };
            let rare = (0..bytes.len(4)?).map(|_| bytes.text().map(str::to_owned));
            DetectorBins::Categories { kept, rare: rare.collect::<Read<HashSet<String>>>()? }
        }
        _ => return corrupt("a kind of detector's bins"),
    };
    let reference = DetectorReference { bins, counts: read_integers(bytes)?, tau: read_float(bytes)? };
    if reference.is_sound() { Ok(Some(reference)) } else { corrupt("a detector's counts") }
}

/// A detector whose state belongs to another reference than `plan`'s, or that is switched off now, starts anew.
pub(super) fn read_live(
    bytes: &mut Reader<'_>,
    watch: &Watch,
    plan: Option<(Arc<Planned>, Vec<bool>)>,
) -> Read<Option<Box<Live>>> {
    match bytes.u8()? {
        0 => return Ok(None),
        1 => {}
        _ => return corrupt("a detector"),
    }
    let mut bytes = bytes.block()?;
    let rate = RateMemory { rows: read_float(&mut bytes)?, ms: read_float(&mut bytes)? };
    let alarms = bytes.u64()?;
    let found = match bytes.u8()? {
        0 => None,
        _ => {
            let since_ms = bytes.i64()?;
            let suspect = |bytes: &mut Reader<'_>| {
                Ok((bytes.u32()? as usize, bytes.text()?.to_owned(), read_float(bytes)?))
            };
            let suspects = (0..bytes.len(16)?).map(|_| suspect(&mut bytes)).collect::<Read<Vec<_>>>()?;
            Some(Found { since_ms, suspects })
        }
    };
    let detector = read_memory(&mut bytes)?;
    bytes.end()?;
    let memory = LiveMemory { detector, rate, alarms, found };
    let Some((planned, silent)) = plan.filter(|_| watch.is_on()) else { return Ok(None) };
    Ok(Live::restore(watch, planned, silent, memory).map(Box::new))
}

fn read_memory(bytes: &mut Reader<'_>) -> Read<DetectorMemory> {
    let mut memory = DetectorMemory {
        fingerprint: bytes.u64()?,
        rows: bytes.u64()?,
        reset_at: bytes.u64()?,
        slices: bytes.u64()?,
        open_rows: bytes.u32()?,
        mean_slice: read_float(bytes)?,
        gains_at: read_float(bytes)?,
        recovered: bytes.u8()? != 0,
        ..DetectorMemory::default()
    };
    memory.evidence = (0..bytes.len(4)?).map(|_| read_floats(bytes)).collect::<Read<Vec<_>>>()?;
    let recent = bytes.len(1)?;
    memory.recent = bytes.bytes(recent)?.to_vec();
    if bytes.u8()? != 0 {
        let start = bytes.u64()?;
        let listed = bytes.len(1)?;
        memory.drift = Some(DriftMemory {
            start,
            listed: bytes.bytes(listed)?.iter().map(|listed| *listed != 0).collect(),
            since: read_integers(bytes)?,
            since_rows: bytes.u64()?,
            reported: read_floats(bytes)?,
            window: read_integers(bytes)?,
            window_rows: bytes.u64()?,
            calm_windows: bytes.u32()?,
        });
    }
    Ok(memory)
}

fn read_float(bytes: &mut Reader<'_>) -> Read<f64> {
    bytes.u64().map(f64::from_bits)
}

fn read_floats(bytes: &mut Reader<'_>) -> Read<Vec<f64>> {
    (0..bytes.len(8)?).map(|_| read_float(bytes)).collect()
}

fn read_integers(bytes: &mut Reader<'_>) -> Read<Vec<u64>> {
    (0..bytes.len(8)?).map(|_| bytes.u64()).collect()
}

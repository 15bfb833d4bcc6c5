//! Two sketches in the bytes of Apache DataSketches (<https://datasketches.apache.org>), all little-endian.

use anyhow::{Context, Result, ensure};
use bytes::Buf;

/// Families, the third byte.
const FREQUENCY: u8 = 10;
const KLL: u8 = 15;

/// A value stands for `2^level` rows, and rows are counted in 64 bits.
const LEVELS_MAX: usize = 61;

const SHORT: &str = "the sketch ends too early";

/// A KLL sketch of doubles.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KllDoubles {
    /// Values by level: one on level `l` stands for `2^l` rows.
    pub(super) levels: Vec<Vec<f64>>,
    /// Smallest and largest value ever seen; `None` for a sketch of nothing.
    pub(super) ends: Option<[f64; 2]>,
}

impl KllDoubles {
    /// Reads one.
    ///
    /// # Errors
    /// For anything else, and for one that contradicts itself.
    pub(super) fn read(mut from: &[u8]) -> Result<Self> {
        const EMPTY: u8 = 1;
        const SINGLE: u8 = 4;
        let from = &mut from;
        let [preamble, _, family, flags] = four(from)?;
        ensure!(family == KLL, "no KLL sketch: its family is {family}");
        // k and m, which say how it goes on, not what it holds.
        from.try_get_u32_le().context(SHORT)?;
        if flags & EMPTY != 0 {
            return Ok(Self::default());
        }
        if flags & SINGLE != 0 {
            let value = from.try_get_f64_le().context(SHORT)?;
            return Ok(Self { levels: vec![vec![value]], ends: Some([value; 2]) });
        }
        let n = from.try_get_u64_le().context(SHORT)?;
        let [_, _, n_levels, _] = four(from)?;
        let n_levels = usize::from(n_levels);
        // Five integers, or, as whylogs writes it, six.
        let more = usize::from(preamble).checked_sub(5).context("a KLL sketch without a whole preamble")? * 4;
        *from = from.get(more..).context(SHORT)?;
        ensure!((1..=LEVELS_MAX).contains(&n_levels), "a KLL sketch of {n_levels} levels");
        let begins =
            (0..n_levels).map(|_| from.try_get_u32_le()).collect::<Result<Vec<u32>, _>>().context(SHORT)?;
        let mut ends = [0.0; 2];
        for end in &mut ends {
            *end = from.try_get_f64_le().context(SHORT)?;
        }
        let mut left = n;
        let mut levels = Vec::with_capacity(n_levels);
        for (level, begin) in begins.iter().enumerate() {
            // Where the last level ends is not written: it holds the rows that the others do not stand for.
            let values = match begins.get(level + 1) {
                Some(next) => u64::from(next.checked_sub(*begin).context("levels of a KLL sketch overlap")?),
                None => left >> level,
            };
            ensure!(values <= from.remaining() as u64 / 8, SHORT);
            let rows = values.checked_mul(1 << level);
            left = rows
                .and_then(|rows| left.checked_sub(rows))
                .context("a KLL sketch holds more than it has seen")?;
            levels.push((0..values).map(|_| from.try_get_f64_le()).collect::<Result<Vec<f64>, _>>()?);
        }
        ensure!(left == 0, "a KLL sketch does not hold what it has seen");
        Ok(Self { levels, ends: Some(ends) })
    }
}

/// Texts of a frequent-items sketch with the rows that each has at least.
///
/// # Errors
/// For anything else, and for one that contradicts itself.
pub(super) fn frequent_strings(mut from: &[u8]) -> Result<Vec<(String, u64)>> {
    const EMPTY: u8 = 4;
    let from = &mut from;
    let [_, _, family, _] = four(from)?;
    ensure!(family == FREQUENCY, "no sketch of frequent items: its family is {family}");
    let [_, flags, _, _] = four(from)?;
    if flags & EMPTY != 0 || !from.has_remaining() {
        return Ok(Vec::new());
    }
    let items = from.try_get_u32_le().context(SHORT)?;
    from.try_get_u32_le().context(SHORT)?;
    // The sum of all rows, and by how much a count may be too low.
    from.try_get_u64_le().context(SHORT)?;
    from.try_get_u64_le().context(SHORT)?;
    ensure!(u64::from(items) <= from.remaining() as u64 / 12, SHORT);
    let rows = (0..items).map(|_| from.try_get_u64_le()).collect::<Result<Vec<u64>, _>>().context(SHORT)?;
    let text = |rows: u64| {
        let length = from.try_get_u32_le().context(SHORT)? as usize;
        let (bytes, rest) = from.split_at_checked(length).context(SHORT)?;
        *from = rest;
        let text = std::str::from_utf8(bytes).context("a frequent item is no text")?;
        Ok((text.to_owned(), rows))
    };
    rows.into_iter().map(text).collect()
}

fn four(from: &mut &[u8]) -> Result<[u8; 4]> {
    let (four, rest) = from.split_first_chunk().context(SHORT)?;
    *from = rest;
    Ok(*four)
}

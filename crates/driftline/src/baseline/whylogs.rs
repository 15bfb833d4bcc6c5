//! A profile that whylogs 1.x has written (`profile.bin`) as one of ours.
//!
//! The file is the magic number, a header about segments, a header with the names of columns and metrics, and a chunk of
//! metrics for each column. Numbers are in a KLL sketch, texts in a sketch of the most frequent ones.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use monitor::profile::{ColumnBuilder, Profile};
use prost::Message;

use super::datasketches::{KllDoubles, frequent_strings};
use super::summary::{Summary, Thin, Weighted, shown};

const MAGIC: &[u8] = b"WHY1";

#[derive(Clone, PartialEq, Message)]
struct SegmentHeader {
    /// Where each segment begins; none in a file without segments.
    #[prost(map = "uint32, uint64", tag = "5")]
    offsets: HashMap<u32, u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(map = "string, message", tag = "2")]
    column_offsets: HashMap<String, Offsets>,
    #[prost(map = "uint32, string", tag = "5")]
    metric_paths: HashMap<u32, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Offsets {
    #[prost(uint64, repeated, tag = "1")]
    offsets: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct ChunkHeader {
    #[prost(uint32, tag = "3")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Chunk {
    #[prost(map = "uint32, message", tag = "1")]
    components: HashMap<u32, Component>,
}

/// One number or sketch of a metric.
#[derive(Clone, PartialEq, Message)]
struct Component {
    #[prost(int64, tag = "2")]
    n: i64,
    #[prost(message, optional, tag = "4")]
    frequent_items: Option<Sketch>,
    #[prost(message, optional, tag = "6")]
    kll: Option<Sketch>,
}

#[derive(Clone, PartialEq, Message)]
struct Sketch {
    #[prost(bytes = "vec", tag = "1")]
    sketch: Vec<u8>,
}

/// The metrics of a column by their paths: `counts/n`, `distribution/kll`.
struct Metrics<'a>(BTreeMap<&'a str, Component>);

impl Metrics<'_> {
    fn count(&self, path: &str) -> u64 {
        self.0.get(path).and_then(|component| u64::try_from(component.n).ok()).unwrap_or(0)
    }

    /// Numbers, texts and booleans.
    fn kinds(&self) -> [u64; 3] {
        let of = |path| self.count(path);
        [of("types/integral").saturating_add(of("types/fractional")), of("types/string"), of("types/boolean")]
    }
}

/// Reads a profile.
///
/// # Errors
/// When it is none of whylogs, or says what cannot be.
pub(super) fn profile(file: &[u8], mut summary: Summary<'_>) -> Result<Profile> {
    let (header, body) = headers(file)?;
    let mut columns = BTreeMap::new();
    for (name, offsets) in &header.column_offsets {
        let metrics = metrics(&header, body, offsets).with_context(|| format!("column `{}`", shown(name)))?;
        columns.insert(name, metrics);
    }
    summary.rows(columns.values().map(|metrics| metrics.count("counts/n")).max().unwrap_or(0));
    for (name, metrics) in &columns {
        summary.feature(name, |column, thin, notes| fill(name, metrics, column, thin, notes))?;
    }
    summary.finish()
}

fn headers(bytes: &[u8]) -> Result<(Header, &[u8])> {
    let mut rest = bytes.strip_prefix(MAGIC).context("no profile of whylogs 1.x")?;
    let segments = SegmentHeader::decode_length_delimited(&mut rest).context("its header cannot be read")?;
    let n = segments.offsets.len();
    ensure!(n <= 1, "{n} segments in one file: write each into its own, as whylogs' writers do");
    let header = Header::decode_length_delimited(&mut rest).context("its header cannot be read")?;
    Ok((header, rest))
}

fn metrics<'a>(header: &'a Header, body: &[u8], offsets: &Offsets) -> Result<Metrics<'a>> {
    let [offset] = *offsets.offsets else { anyhow::bail!("is in {} parts", offsets.offsets.len()) };
    let begin = usize::try_from(offset).ok().and_then(|offset| body.get(offset..));
    let mut chunk = begin.context("lies behind the end of the file")?;
    let length = ChunkHeader::decode_length_delimited(&mut chunk).context("its chunk cannot be read")?.length;
    let chunk = chunk.get(..length as usize).context("goes on behind the end of the file")?;
    let chunk = Chunk::decode(chunk).context("its chunk cannot be read")?;
    let named = |(index, component)| Some((header.metric_paths.get(&index)?.as_str(), component));
    Ok(Metrics(chunk.components.into_iter().filter_map(named).collect()))
}

/// A column by what most of its values are.
fn fill(
    name: &str,
    metrics: &Metrics<'_>,
    column: &mut ColumnBuilder,
    thin: &mut Thin,
    notes: &mut Vec<String>,
) -> Result<bool> {
    let [numbers, texts, booleans] = metrics.kinds();
    let component = |path: &str| metrics.0.get(path);
    if booleans > numbers.max(texts) {
        let n_true = metrics.count("counts/true").min(booleans);
        column.push_texts("true", thin.of(n_true));
        column.push_texts("false", thin.of(booleans - n_true));
    } else if numbers > texts {
        let Some(sketch) = component("distribution/kll").and_then(|one| one.kll.as_ref()) else {
            notes.push(format!("`{}` is left out: the profile has no distribution of it", shown(name)));
            return Ok(false);
        };
        let sketch = KllDoubles::read(&sketch.sketch)?;
        let ends = sketch.ends.map_or([None; 2], |ends| ends.map(Some));
        let values =
            Weighted::of_levels(&sketch.levels, ends).context("its sketch holds what is no number")?;
        values.push(column, thin);
    } else {
        let Some(sketch) =
            component("frequent_items/frequent_strings").and_then(|one| one.frequent_items.as_ref())
        else {
            notes.push(format!("`{}` is left out: the profile has no frequent items of it", shown(name)));
            return Ok(false);
        };
        let mut left = metrics.count("counts/n").saturating_sub(metrics.count("counts/null"));
        for (text, n) in frequent_strings(&sketch.sketch)? {
            left = left.checked_sub(n).context("its frequent items are more than its values")?;
            column.push_texts(&text, thin.of(n));
        }
        column.push_others(thin.of(left));
    }
    Ok(true)
}

#[cfg(test)]
#[path = "whylogs_tests.rs"]
mod tests;

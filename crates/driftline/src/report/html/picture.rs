//! One feature as a picture: what was and what is per bin, and below it what each bin adds to the PSI.

use std::fmt::Write as _;

use super::super::{FeatureReport, Slot, percent, statistic};
use super::{class, escape, short};

/// Bars of a histogram; further categories are added up in one bar.
const BARS_MAX: usize = 24;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 214.0;
/// Left end of the bars: labels of the axis stand before it.
const LEFT: f64 = 34.0;
/// Top and bottom of the histogram, then of the contributions.
const TOP: f64 = 8.0;
const BOTTOM: f64 = 128.0;
const PARTS_TOP: f64 = 158.0;
const PARTS_BOTTOM: f64 = 208.0;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    slot: Slot,
    /// What it adds to the PSI.
    part: f64,
}

pub(super) fn figure(at: usize, feature: &FeatureReport) -> String {
    let bars = shortened(&parts(&feature.histogram));
    let (n_reference, n_current) = totals(&feature.histogram);
    let shares = |bar: &Bar| (bar.slot.reference as f64 / n_reference, bar.slot.current as f64 / n_current);
    let highest = bars.iter().map(shares).fold(0.0_f64, |top, (r, c)| top.max(r).max(c)).max(1e-9);
    let largest = bars.iter().map(|bar| bar.part).fold(1e-9_f64, f64::max);
    let step = (WIDTH - LEFT) / bars.len().max(1) as f64;
    let mut svg = String::new();
    for share in [0.5, 1.0] {
        let y = BOTTOM - share * (BOTTOM - TOP);
        // Writing to a String cannot fail.
        write!(
            svg,
            "<line class=\"faint\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{WIDTH}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 5.0,
            y + 3.5,
            share * highest * 100.0
        )
        .ok();
    }
    for (index, bar) in bars.iter().enumerate() {
        let (reference, current) = shares(bar);
        let x = LEFT + step * index as f64;
        let label = &bar.slot.label;
        let title =
            format!("{label}: {} → {}, adds {}", percent(reference), percent(current), statistic(bar.part));
        let rect = |class: &str, from: f64, width: f64, bottom: f64, height: f64| {
            format!(
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                x + step * from,
                bottom - height,
                step * width
            )
        };
        let room = BOTTOM - TOP;
        write!(
            svg,
            "<g><title>{}</title>{}{}{}</g>",
            escape(&title),
            rect("ref", 0.08, 0.84, BOTTOM, reference / highest * room),
            rect("cur", 0.28, 0.44, BOTTOM, current / highest * room),
            rect("part", 0.08, 0.84, PARTS_BOTTOM, bar.part / largest * (PARTS_BOTTOM - PARTS_TOP))
        )
        .ok();
    }
    let (first, last) =
        (bars.first().map_or("", |b| &b.slot.label), bars.last().map_or("", |b| &b.slot.label));
    format!(
        "<figure class=\"panel\" id=\"f{at}\"><figcaption>{name} <span class=\"{class}\">PSI {psi}, {verdict}</span></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"histogram of {name}\">{svg}\
         <line x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{WIDTH}\" y2=\"{BOTTOM}\"/>\
         <line x1=\"{LEFT}\" y1=\"{PARTS_BOTTOM}\" x2=\"{WIDTH}\" y2=\"{PARTS_BOTTOM}\"/>\
         <text x=\"{LEFT}\" y=\"142\">{first}</text><text x=\"{WIDTH}\" y=\"142\" text-anchor=\"end\">{last}</text>\
         <text x=\"{before}\" y=\"165\" text-anchor=\"end\">{most}</text></svg></figure>",
        name = escape(&feature.feature),
        class = class(feature),
        psi = escape(&statistic(feature.psi)),
        verdict = feature.verdict().as_str(),
        first = escape(&short(first)),
        last = escape(&short(last)),
        before = LEFT - 5.0,
        most = escape(&format!("{largest:.2}")),
    )
}

fn totals(slots: &[Slot]) -> (f64, f64) {
    let total = |side: fn(&Slot) -> u64| slots.iter().map(side).sum::<u64>().max(1) as f64;
    (total(|slot| slot.reference), total(|slot| slot.current))
}

/// Each bin with its term of the PSI.
fn parts(slots: &[Slot]) -> Vec<Bar> {
    let (n_reference, n_current) = totals(slots);
    let floored = |count: u64, total: f64| (count as f64 / total).max(stats::FLOOR);
    let bar = |slot: &Slot| {
        let (p, q) = (floored(slot.reference, n_reference), floored(slot.current, n_current));
        Bar { slot: slot.clone(), part: (q - p) * (q / p).ln() }
    };
    slots.iter().map(bar).collect()
}

/// At most [`BARS_MAX`] bars: those with the most rows keep their place, the others are added up at the end.
fn shortened(bars: &[Bar]) -> Vec<Bar> {
    if bars.len() <= BARS_MAX {
        return bars.to_vec();
    }
    let mut by_size: Vec<usize> = (0..bars.len()).collect();
    by_size
        .sort_by_key(|at| bars.get(*at).map(|bar| std::cmp::Reverse(bar.slot.reference + bar.slot.current)));
    let largest: std::collections::HashSet<usize> = by_size.into_iter().take(BARS_MAX - 1).collect();
    let mut kept: Vec<Bar> = Vec::with_capacity(BARS_MAX);
    let mut rest = Bar { slot: Slot { label: String::new(), reference: 0, current: 0 }, part: 0.0 };
    for (at, bar) in bars.iter().enumerate() {
        if largest.contains(&at) {
            kept.push(bar.clone());
        } else {
            rest.slot.reference += bar.slot.reference;
            rest.slot.current += bar.slot.current;
            rest.part += bar.part;
        }
    }
    let n_rest = bars.len() - kept.len();
    rest.slot.label = format!("{n_rest} others");
    kept.push(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_categories_become_few_bars_that_still_add_up() {
        let mut slots: Vec<Slot> =
            (0..99).map(|i| Slot { label: format!("k{i}"), reference: 1, current: 2 }).collect();
        slots.push(Slot { label: "other".to_owned(), reference: 0, current: 900 });
        let bars = shortened(&parts(&slots));
        assert_eq!((bars.len(), bars[BARS_MAX - 1].slot.label.as_str()), (BARS_MAX, "77 others"));
        assert_eq!(bars[BARS_MAX - 2].slot.label, "other", "the largest is among those kept");
        assert_eq!(bars.iter().map(|bar| bar.slot.reference).sum::<u64>(), 99);
    }

    #[test]
    fn parts_add_up_to_the_psi_even_when_bars_are_joined() {
        let slots: Vec<Slot> = (1..60_u64)
            .map(|i| Slot { label: format!("k{i}"), reference: i * 3, current: (60 - i) * 2 })
            .collect();
        let (n_reference, n_current) = totals(&slots);
        let share = |of: fn(&Slot) -> u64, n: f64| slots.iter().map(|s| of(s) as f64 / n).collect::<Vec<_>>();
        let (p, q) = (share(|s| s.reference, n_reference), share(|s| s.current, n_current));
        let psi: f64 = p.iter().zip(&q).map(|(p, q)| (q - p) * (q / p).ln()).sum();
        let sum: f64 = shortened(&parts(&slots)).iter().map(|bar| bar.part).sum();
        assert!((sum - psi).abs() < 1e-9, "{sum} {psi}");
    }
}

//! Pairs the columns of both sides and measures each pair.

use anyhow::{Context, Result, bail};
use monitor::Role;
use stats::{Bins, BinsError, CategoricalBins};

use super::CompareArgs;
use super::exact::{self, Cut, Measured};
use super::rule::FailOn;
use super::sample::{Sample, Texts, decisive_counts};
use super::source::{Kind, Source};
use super::{change, findings, truncation};
use crate::report::{FeatureKind, FeatureReport, NumberSummary, Report, Slot, Summary, Verdict};

/// Rows each side must have more of: below, PSI exceeds 0.2 by chance too often.
pub(crate) const ROWS_ENOUGH: u64 = 100;
/// Share of mistakes among the features that are marked as significant.
const FALSE_DISCOVERIES: f64 = 0.01;
/// Categories that are shown of each side.
const TOP_CATEGORIES: usize = 5;
/// Probability that chance alone takes a PSI above its critical value, shared by all features: that of live windows.
const ALPHA: f64 = 0.001;

/// A feature both sides have.
struct Pair {
    name: String,
    numeric: bool,
    kinds: [Kind; 2],
}

/// Compares as the arguments say.
pub(super) fn compare(args: &CompareArgs) -> Result<Report> {
    if args.reference.as_os_str() == "-" && args.current.as_os_str() == "-" {
        bail!("`--reference -` and `--current -`: only one of them can be standard input");
    }
    let mut reference = Source::open(&args.reference, &args.data).context("reference")?;
    let mut current = Source::open(&args.current, &args.data).context("current")?;
    reference.keep_empty_texts(&mut current);
    let mut report = Report {
        reference: reference.name().to_owned(),
        current: current.name().to_owned(),
        rows_reference: reference.n_rows(),
        rows_current: current.n_rows(),
        rule: args.fail_on.as_ref().map_or_else(FailOn::default_rule, FailOn::of_drift).to_string(),
        ..Report::default()
    };
    let pairs = pair_columns(args, &reference, &current, &mut report)?;
    let wanted: Vec<(String, bool)> = pairs.iter().map(|pair| (pair.name.clone(), pair.numeric)).collect();
    for source in [&mut reference, &mut current] {
        if let Source::Data(file) = source {
            file.prepare(&wanted)?;
        }
    }
    findings::gone(&reference, &current, &mut report);
    for pair in &pairs {
        let texts = texts_among_numbers(pair, &mut current)?;
        let alpha = ALPHA / pairs.len() as f64;
        let mut feature = measure(args, pair, &mut reference, &mut current, alpha, &mut report.notes)?;
        feature.type_differs = feature.type_differs.max(texts);
        if feature.verdict() == Verdict::OtherType {
            findings::type_differs(&pair.name, pair.numeric, feature.type_differs, &mut report);
        }
        report.features.push(feature);
    }
    let texts: Vec<String> = report.findings.iter().map(|finding| finding.text.clone()).collect();
    report.notes.splice(0..0, texts);
    name_significant(&mut report.features);
    judge(args.fail_on.as_ref(), &mut report);
    Ok(report)
}

/// The features to compare, in the reference's order; notes about all others.
fn pair_columns(
    args: &CompareArgs,
    reference: &Source,
    current: &Source,
    report: &mut Report,
) -> Result<Vec<Pair>> {
    let (left, right) = (reference.columns(), current.columns());
    let known = |name: &String| left.iter().chain(&right).any(|(column, _)| column == name);
    if let Some(unknown) = args.only.iter().find(|name| !known(name)) {
        bail!(
            "`--only {unknown}`: neither file has this column; there are {}",
            listed(left.iter().map(|(name, _)| name))
        );
    }
    let unknown = args.exclude.iter().filter(|name| !known(name));
    report.notes.extend(unknown.map(|name| format!("`--exclude {name}`: neither file has this column")));
    let chosen = |name: &String| {
        if args.only.is_empty() { !args.exclude.contains(name) } else { args.only.contains(name) }
    };

    let mut pairs = Vec::new();
    for (name, left_kind) in left.iter().filter(|(name, _)| chosen(name)) {
        match right.iter().find(|(other, _)| other == name) {
            None => report.only_in_reference.push(name.clone()),
            Some((_, right_kind)) => {
                let numeric = is_numeric(*left_kind, *right_kind);
                report.notes.extend(kinds_differ(name, *left_kind, *right_kind));
                pairs.push(Pair { name: name.clone(), numeric, kinds: [*left_kind, *right_kind] });
            }
        }
    }
    let is_left = |name: &String| left.iter().any(|(other, _)| other == name);
    report.only_in_current =
        right.iter().map(|(name, _)| name).filter(|name| chosen(name) && !is_left(name)).cloned().collect();
    if pairs.is_empty() {
        bail!(
            "no column to compare: `{}` has {}, `{}` has {}",
            reference.name(),
            listed(left.iter().map(|(name, _)| name)),
            current.name(),
            listed(right.iter().map(|(name, _)| name))
        );
    }
    note_columns(reference, &pairs, report);
    note_columns(current, &pairs, report);
    if !report.only_in_current.is_empty() {
        let names = listed(report.only_in_current.iter());
        report.notes.push(format!("only in the current file, not compared: {names}"));
    }
    Ok(pairs)
}

/// Whether a feature is compared as numbers: the reference decides, as it does for live traffic.
fn is_numeric(reference: Kind, current: Kind) -> bool {
    matches!((reference, current), (Kind::Numeric, _) | (Kind::Unknown, Kind::Numeric))
}

/// The note about a feature that is numeric on one side only. Booleans are 1 and 0 in numbers, and 1 and 0 are booleans.
fn kinds_differ(name: &str, reference: Kind, current: Kind) -> Option<String> {
    match (reference, current) {
        (Kind::Numeric, Kind::Categorical) => Some(format!(
            "`{name}` is numeric in the reference file and text in the current file: texts count as the number they spell, all others as missing"
        )),
        (Kind::Categorical, Kind::Numeric) => Some(format!(
            "`{name}` is numeric in the current file and text in the reference file: compared as categories"
        )),
        _ => None,
    }
}

/// Notes about columns that could not be read, or are text because of a few cells.
fn note_columns(source: &Source, pairs: &[Pair], report: &mut Report) {
    let Source::Data(file) = source else { return };
    let name = source.name();
    report.notes.extend(file.notes.iter().cloned());
    for skipped in &file.schema.skipped {
        let column = if skipped.name.is_empty() {
            "a column".to_owned()
        } else {
            format!("column `{}`", skipped.name)
        };
        report.notes.push(format!("`{name}`: {column} is left out: it {}", skipped.reason));
    }
    for column in
        file.schema.columns.iter().filter(|column| pairs.iter().any(|pair| pair.name == column.name))
    {
        if let Some(oddity) = &column.oddity {
            report.notes.push(format!(
                "`{name}`: column `{}` is text, because {} of its {} values are not numbers, first `{}` in line {}; if that means a missing value, use --na",
                column.name, oddity.n_texts, oddity.n_texts + oddity.n_numbers, oddity.value, oddity.line
            ));
        }
    }
}

/// Up to eight names.
fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    const SHOWN: usize = 8;
    let all: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match all.get(SHOWN..) {
        None | Some([]) => all.join(", "),
        Some(rest) => format!("{} and {} more", all.get(..SHOWN).unwrap_or_default().join(", "), rest.len()),
    }
}

/// The share of texts among the current values of a numeric feature, missing ones left out.
fn texts_among_numbers(pair: &Pair, current: &mut Source) -> Result<f64> {
    match (pair.kinds, current) {
        ([Kind::Numeric, Kind::Categorical], Source::Data(file)) => file.share_of_texts(&pair.name),
        ([Kind::Numeric, Kind::Categorical], Source::Profile { .. }) => Ok(1.0),
        _ => Ok(0.0),
    }
}

/// The share of numbers among the current values of a text feature: all of them, unless numbers may be codes that the reference
/// has as text.
fn numbers_among_texts(pair: &Pair, reference: &Option<Sample>, bins: &Bins) -> f64 {
    if pair.kinds != [Kind::Categorical, Kind::Numeric] {
        return 0.0;
    }
    let spells = |text: &str| record::value::number(text).is_some();
    let spelled = match (reference, bins) {
        (Some(Sample::Texts(texts)), _) => texts.counts.keys().any(|text| spells(text)),
        // Of a column that is not judged a profile keeps no category.
        (_, Bins::Categorical(bins)) => {
            bins.categories().is_empty() || bins.categories().iter().any(|category| spells(category))
        }
        _ => true,
    };
    f64::from(u8::from(!spelled))
}

fn measure(
    args: &CompareArgs,
    pair: &Pair,
    reference: &mut Source,
    current: &mut Source,
    alpha: f64,
    notes: &mut Vec<String>,
) -> Result<FeatureReport> {
    let about = || format!("feature `{}`", pair.name);
    let left = sample(reference, pair)?;
    let right = sample(current, pair)?;
    if let (Some(Sample::Numbers(left)), Some(Sample::Numbers(right))) = (&left, &right) {
        let cut = Cut { bins: args.bins, binning: args.binning };
        let measured = exact::measure(left, right, cut).with_context(about)?;
        let said = change::of_numbers(&pair.name, &measured);
        return Ok(FeatureReport { change: said, ..describe(pair, measured, None, alpha)? });
    }
    let frozen = reference.profile_feature(&pair.name).or_else(|| current.profile_feature(&pair.name));
    let bins = match (frozen, &left) {
        (Some(frozen), _) => frozen.bins.clone(),
        (None, Some(Sample::Texts(left))) => categories(left).with_context(about)?,
        (None, _) => bail!("{}: neither file has values", about()),
    };
    let counts = |source: &Source, sample: &Option<Sample>| match (sample, source.profile_feature(&pair.name))
    {
        (Some(sample), _) => sample.count(&bins).with_context(about),
        (None, Some(feature)) if feature.bins == bins => Ok(feature.counts.clone()),
        (None, _) => {
            bail!("{}: the profiles have different bins; compare a data file with one of them", about())
        }
    };
    let counts = [counts(reference, &left)?, counts(current, &right)?];
    let decisive = match (&left, &right) {
        (Some(Sample::Texts(left)), Some(Sample::Texts(right))) => decisive_counts(left, right),
        (None, Some(sample)) => {
            reference.profile_feature(&pair.name).and_then(|feature| sample.decisive(feature))
        }
        // Of a profile there are only the bins it was made with.
        _ => None,
    };
    let judged = match (&left, &right) {
        (Some(Sample::Texts(left)), Some(Sample::Texts(right))) => truncation::judged(left, right),
        _ => None,
    };
    let names = [reference.name(), current.name()];
    truncation::note(&pair.name, &bins, &counts, frozen.is_some(), judged.is_some(), names, notes);
    let role = match (&left, reference.profile_feature(&pair.name)) {
        (Some(Sample::Texts(texts)), _) => texts.role.role(),
        (_, Some(feature)) => feature.role,
        _ => Role::Value,
    };
    note_role(&pair.name, role, notes);
    let type_differs = numbers_among_texts(pair, &left, &bins);
    let summaries = [summary(pair, &left, &bins, &counts[0])?, summary(pair, &right, &bins, &counts[1])?];
    let measured = Measured {
        bins,
        counts,
        decisive,
        ks: None,
        ks_p_value: None,
        wasserstein: None,
        summaries: [None; 2],
        outside: None,
    };
    let change = change::of_bins(&pair.name, &measured, &summaries, right.as_ref());
    let mut feature = FeatureReport {
        summaries,
        type_differs,
        change,
        ..describe(pair, measured, judged.as_ref(), alpha)?
    };
    if !role.is_judged() {
        (feature.judged, feature.beyond_chance, feature.size) = (false, false, None);
    }
    Ok(feature)
}

/// One side's values where both sides are not known number by number: of a profile the bins alone.
fn summary(pair: &Pair, sample: &Option<Sample>, bins: &Bins, counts: &[u64]) -> Result<Summary> {
    let rows = counts.iter().sum::<u64>().max(1) as f64;
    let named = |(name, count): (&str, u64)| (name.to_owned(), count as f64 / rows);
    Ok(match (sample, bins) {
        (Some(Sample::Numbers(numbers)), _) => Summary::Numbers(exact::summary(numbers)?.unwrap_or_default()),
        (Some(Sample::Texts(texts)), _) => {
            Summary::Categories(texts.top(TOP_CATEGORIES).into_iter().map(named).collect())
        }
        (None, Bins::Numeric(numeric)) => {
            let mut summary = NumberSummary::default();
            if let (Some((lo, hi)), [first, .., last]) = (numeric.range(), &mut summary.quantiles) {
                (*first, *last) = (Some(lo), Some(hi));
            }
            Summary::Numbers(summary)
        }
        (None, Bins::Categorical(_)) if pair.numeric => Summary::Numbers(NumberSummary::default()),
        (None, Bins::Categorical(categories)) => {
            let mut all: Vec<(&str, u64)> =
                categories.categories().iter().map(String::as_str).zip(counts.iter().copied()).collect();
            all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            let filled = all.into_iter().filter(|(_, count)| *count > 0);
            Summary::Categories(filled.take(TOP_CATEGORIES).map(named).collect())
        }
    })
}

/// The sample of a data file; `None` for a profile.
fn sample(source: &mut Source, pair: &Pair) -> Result<Option<Sample>> {
    match source {
        Source::Data(file) => file.take(&pair.name, pair.numeric).map(Some),
        Source::Profile { .. } => Ok(None),
    }
}

/// A bin for every category of the reference.
fn categories(reference: &Texts) -> Result<Bins, BinsError> {
    let mut categories: Vec<String> = reference.counts.keys().map(ToString::to_string).collect();
    categories.sort_unstable();
    CategoricalBins::new(categories).map(Bins::from)
}

fn describe(
    pair: &Pair,
    measured: Measured,
    judged: Option<&truncation::Judged>,
    alpha: f64,
) -> Result<FeatureReport> {
    let Measured { bins, counts: [before, after], decisive, ks, ks_p_value, wasserstein, summaries, .. } =
        measured;
    let Some(distances) = stats::distances(&bins, &before, &after) else {
        bail!("feature `{}`: a side has no rows", pair.name);
    };
    let [decisive_before, decisive_after] = match &decisive {
        Some(decisive) => decisive.counts.each_ref(),
        None => [&before, &after],
    };
    let size = stats::detect::measure(decisive_before, decisive_after, 1.0);
    let (m, n) = (before.iter().sum::<u64>(), after.iter().sum::<u64>());
    let (psi_judged, psi_critical, beyond_chance) = match judged {
        None => chance(&bins, &before, &after, alpha),
        Some(judged) => chance(&judged.bins, &judged.counts[0], &judged.counts[1], alpha),
    }
    .with_context(|| format!("feature `{}`: a side has no rows", pair.name))?;
    let missing = |counts: &[u64], rows: u64| {
        counts.get(bins.missing()).map_or(0.0, |missing| *missing as f64 / rows as f64)
    };
    let slots = bins.labels().into_iter().zip(before.iter().zip(&after)).enumerate();
    let shown = slots.filter(|(at, (_, (r, c)))| !bins.droppable(*at) || **r + **c > 0);
    let histogram = shown.map(|(_, (label, (r, c)))| Slot { label, reference: *r, current: *c }).collect();
    Ok(FeatureReport {
        feature: pair.name.clone(),
        kind: if pair.numeric { FeatureKind::Numeric } else { FeatureKind::Categorical },
        psi: distances.psi,
        psi_judged,
        js_divergence: distances.js_divergence,
        js_distance: distances.js_distance,
        ks,
        ks_p_value,
        wasserstein,
        missing_reference: missing(&before, m),
        missing_current: missing(&after, n),
        type_differs: 0.0,
        psi_critical,
        beyond_chance,
        size,
        significant: false,
        judged: true,
        enough_rows: m > ROWS_ENOUGH && n > ROWS_ENOUGH,
        drifted: false,
        histogram,
        summaries: summaries.map(|summary| Summary::Numbers(summary.unwrap_or_default())),
        change: None,
    })
}

/// PSI, its critical value, and whether it is more than chance explains; `None` when a side has no rows.
fn chance(bins: &Bins, before: &[u64], after: &[u64], alpha: f64) -> Option<(f64, Option<f64>, bool)> {
    let distances = stats::distances(bins, before, after)?;
    let (m, n) = (before.iter().sum::<u64>(), after.iter().sum::<u64>());
    let critical = stats::psi_critical(distances.bins, n, m, alpha);
    let beyond = critical.is_some_and(|critical| distances.psi > critical)
        && stats::beyond_chance(bins, before, after, 1.0, alpha);
    Some((distances.psi, critical, beyond))
}

/// Marks the features whose difference is more than chance, so that one in a hundred of the marked ones is expected to be
/// marked by mistake (Benjamini and Hochberg), however many features there are. Each has its chance by the bins, and numbers a
/// second one by Kolmogorov and Smirnov's.
fn name_significant(features: &mut [FeatureReport]) {
    let by_bins = features.iter().map(|feature| feature.size.map_or(f64::NAN, |size| size.p_value));
    let by_values = features.iter().map(|feature| feature.ks_p_value.unwrap_or(f64::NAN));
    let p_values: Vec<f64> = by_bins.chain(by_values).collect();
    let rejected = stats::benjamini_hochberg(&p_values, FALSE_DISCOVERIES);
    let (by_bins, by_values) = rejected.split_at(features.len());
    for (feature, (one, other)) in features.iter_mut().zip(by_bins.iter().zip(by_values)) {
        feature.significant = *one || *other;
    }
}

/// Which features drifted, and whether the comparison failed.
///
/// `drifted` asks for enough rows; `--fail-on` does not, because a check in a pipeline that silently passes is worse than one
/// that fails with a note.
fn judge(fail_on: Option<&FailOn>, report: &mut Report) {
    let rule = fail_on.map_or_else(FailOn::default_rule, FailOn::of_drift);
    let mut thin = Vec::new();
    for feature in &mut report.features {
        let holds = rule.holds(feature);
        feature.drifted = holds && feature.enough_rows;
        report.failed |= fail_on.is_some_and(|fail_on| fail_on.holds(feature));
        if holds && !feature.enough_rows {
            thin.push(feature.feature.clone());
        }
        if !matches!(feature.verdict(), Verdict::Drifted | Verdict::Moved) {
            // Nothing to explain.
            feature.change = None;
        }
        note_identifier(feature, &mut report.notes);
    }
    report.failed |= fail_on.is_some_and(FailOn::holds_for_gone) && !report.only_in_reference.is_empty();
    if !thin.is_empty() {
        let names = listed(thin.iter());
        report.notes.push(format!("`{rule}` holds for {names}, but a side has only {ROWS_ENOUGH} rows or fewer: not counted as drifted"));
    }
}

/// Values that do not come again cannot be compared with those that came before.
fn note_role(feature: &str, role: Role, notes: &mut Vec<String>) {
    let what = match role {
        Role::Value => return,
        Role::Identifier => "an identifier",
        Role::Time => "a time or a counter",
        Role::Text => "free text",
    };
    notes.push(format!(
        "`{feature}` looks like {what}: it is not judged, its values do not come again; leave it out with --exclude {feature}"
    ));
}

/// A category for nearly every row cannot be compared: every new row is a new category.
fn note_identifier(feature: &FeatureReport, notes: &mut Vec<String>) {
    let rows: u64 = feature.histogram.iter().map(|slot| slot.reference).sum();
    let n_categories = feature.histogram.len() as u64;
    let is_category = feature.judged && feature.kind == FeatureKind::Categorical;
    if is_category && n_categories > 100 && n_categories * 4 > rows {
        notes.push(format!(
            "`{0}` has {n_categories} categories in {rows} reference rows: an identifier or a time? leave it out with --exclude {0}",
            feature.feature
        ));
    }
}

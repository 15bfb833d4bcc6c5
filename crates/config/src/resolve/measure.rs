//! How a model is measured: bodies, reference, window, tenants.

use std::path::Path;
use std::sync::Arc;

use monitor::profile::{FeatureProfile, Profile};
use monitor::{DetectorSpec, ModelSpec, PairSpec, ReferenceSpec, TenantSpec};
use record::{DecoderSpec, Extract, Privacy};
use stats::{BinningRule, RangeRule};

use crate::raw::{
    Baseline, Binning, BinningRange, BinningType, DetectorDetail, DriftDetector, File, Model, Pairs,
    PairsDetail, Prediction, Shadow, ShadowMode, Tenant, default_grow, default_learn,
};
use crate::resolve::{Context, files, privacy};
use crate::suggest::did_you_mean;
use crate::text::{FileName, PathText};
use crate::yaml::Cursor;

/// Largest profile file: 10 000 features of 250 bins stay far below.
const PROFILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Rows that a reference needs before the monitor compares anything with it.
const REFERENCE_ROWS_MIN: usize = 100;

/// Longest name of a feature or tenant, in bytes.
const LABEL_BYTES_MAX: usize = 256;

/// Resolves all models.
pub(crate) fn resolve(file: &File, root: &Cursor<'_>, context: &mut Context<'_, '_>) -> Vec<ModelSpec> {
    let privacy = privacy::resolve(&file.privacy, &root.key("privacy"), context);
    let at = root.key("models");
    file.models
        .iter()
        .map(|(name, model)| one((file, &privacy), name, model, &at.key(name), context))
        .collect()
}

fn one(
    (file, privacy): (&File, &Arc<Privacy>),
    name: &str,
    model: &Model,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> ModelSpec {
    let reference = hidden(reference(model, at, context), privacy, at, context);
    let window = model.window.detail();
    let (include, exclude, judge) = features(model, at, context);
    if let ReferenceSpec::Profile { profile, .. } = &reference {
        check_known(&include, profile, at, context);
    }
    ModelSpec {
        name: name.into(),
        versions: model.versions.iter().map(|(version, _)| version.into()).collect(),
        owner: model.active.as_ref().map(|active| active.0.as_str().into()),
        decoder: DecoderSpec { privacy: Arc::clone(privacy), ..decoder(model, &reference) },
        binning: binning(&model.binning, at, context),
        window: window.size,
        min_requests: min_requests(file, model, at, context),
        alpha: window.significance,
        tenants: tenants(file, model, at, context),
        limits: file.limits.windows(),
        detector: detector(model, at, context),
        pairs: pairs(model),
        reference,
        grow: grow(model),
        include,
        exclude,
        judge,
    }
}

/// On unless it is off when copies are sent; else only when it is asked for.
fn pairs(model: &Model) -> Option<PairSpec> {
    let copies = |shadow: &Shadow| shadow.mode == ShadowMode::Copy && shadow.observe;
    let detail = match &model.pairs {
        Some(Pairs::Off(_)) => return None,
        Some(Pairs::Detail(detail)) => *detail,
        None => {
            model.shadow.as_ref().filter(|shadow| shadow.as_slice().iter().any(copies))?;
            PairsDetail::default()
        }
    };
    Some(PairSpec {
        absolute_tolerance: detail.absolute_tolerance,
        relative_tolerance: detail.relative_tolerance,
        max_disagreement: detail.max_disagreement,
        max_wait: detail.max_wait.0,
    })
}

/// On unless it is off. With the window before the current one as reference there is nothing that stands still.
fn detector(model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> DetectorSpec {
    let detail = match &model.detector {
        Some(DriftDetector::Off(_)) => return DetectorSpec { enabled: false, ..DetectorSpec::default() },
        Some(DriftDetector::Detail(detail)) => {
            if matches!(model.baseline, Some(Baseline::PreviousWindow(_))) {
                let message =
                    "with `baseline: previous-window` the detector has no reference that stands still";
                let hint = "take `detector` out, or give a profile or `learn` as `baseline`";
                context.sink.warning(&at.key("detector"), message).hint(hint);
            }
            *detail
        }
        None => DetectorDetail::default(),
    };
    DetectorSpec {
        enabled: true,
        false_alarm_every: detail.false_alarm_every.0,
        tenants: detail.tenants,
        min_effect: detail.min_effect,
        strict: detail.strict,
    }
}

fn decoder(model: &Model, reference: &ReferenceSpec) -> DecoderSpec {
    let extract = |(name, path): (&str, &PathText)| Extract { name: name.to_owned(), path: path.0.clone() };
    let features = model.features.as_ref().and_then(|features| features.detail().paths);
    let predictions = match &model.prediction {
        None => Vec::new(),
        Some(Prediction::Path(path)) => vec![Extract { name: "prediction".to_owned(), path: path.0.clone() }],
        Some(Prediction::Paths(paths)) => paths.iter().map(extract).collect(),
    };
    DecoderSpec {
        protocol: model.protocol.into(),
        features: features.iter().flat_map(|paths| paths.iter().map(extract)).collect(),
        predictions,
        column_names: match reference {
            ReferenceSpec::Profile { profile, .. } => {
                profile.features.iter().map(|feature| feature.name.clone()).collect()
            }
            ReferenceSpec::Learn { .. } | ReferenceSpec::PreviousWindow => Vec::new(),
        },
        ..DecoderSpec::default()
    }
}

fn grow(model: &Model) -> std::time::Duration {
    match &model.baseline {
        Some(Baseline::Detail(detail)) => detail.grow.0,
        _ => default_grow().0,
    }
}

fn reference(model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> ReferenceSpec {
    let at = at.key("baseline");
    let profile =
        |name: &FileName, learn: usize, at: &Cursor<'_>, context: &mut Context<'_, '_>| match profile(
            name, at, context,
        ) {
            Some(profile) => ReferenceSpec::Profile { profile: Arc::new(profile), learn },
            None => ReferenceSpec::Learn { rows: learn },
        };
    match &model.baseline {
        None => ReferenceSpec::Learn { rows: default_learn() },
        Some(Baseline::PreviousWindow(_)) => ReferenceSpec::PreviousWindow,
        Some(Baseline::File(name)) => profile(name, default_learn(), &at, context),
        Some(Baseline::Detail(detail)) => match &detail.file {
            Some(name) => profile(name, detail.learn, &at.key("file"), context),
            None => ReferenceSpec::Learn { rows: detail.learn },
        },
    }
}

/// The reference as live traffic will look. A number that is hashed is a category, which no profile of numbers knows.
fn hidden(
    reference: ReferenceSpec,
    privacy: &Privacy,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> ReferenceSpec {
    let ReferenceSpec::Profile { profile, learn } = reference else { return reference };
    let is_number = |feature: &&FeatureProfile| privacy.is_named(&feature.name) && feature.bins.is_ordered();
    if let Some(feature) = profile.features.iter().find(is_number) {
        let name = &feature.name;
        let message =
            format!("`privacy` hashes `{name}`, and the profile knows it as a number: it cannot be compared");
        let hint = format!("take it out with `features: {{ exclude: [{name}] }}`");
        context.sink.warning(&at.key("baseline"), message).hint(hint);
    }
    let profile = Arc::unwrap_or_clone(profile).hidden(privacy);
    ReferenceSpec::Profile { profile: Arc::new(profile), learn }
}

fn profile(name: &FileName, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<Profile> {
    let path = files::located(name, context);
    let content = match files::read_regular(&path, PROFILE_BYTES_MAX) {
        Ok(content) => content,
        Err(problem) => {
            files::report(&problem, &path, at, context);
            return None;
        }
    };
    match Profile::from_json(&content) {
        Ok(profile) if profile.features.is_empty() => {
            context.sink.error(at, "the profile has no feature").hint(remake(&path, &content));
            None
        }
        Ok(profile) => Some(profile),
        Err(error) => {
            context.sink.error(at, format!("not a reference profile: {error}")).hint(remake(&path, &content));
            None
        }
    }
}

/// Names that data files have.
const DATA_EXTENSIONS: [&str; 14] = [
    "csv", "tsv", "tab", "txt", "parquet", "pq", "parq", "jsonl", "ndjson", "json", "gz", "zst", "data",
    "arff",
];

/// The command that makes a profile. It never writes over a file that is there and is no profile: that may be the training
/// data itself.
fn remake(path: &Path, content: &[u8]) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_profile = content.windows(PROFILE_KEY.len()).take(1 << 12).any(|window| window == PROFILE_KEY);
    if is_profile {
        return format!(
            "make it again with `driftline baseline DATA.csv -o {}`",
            crate::yaml::shorten(&name)
        );
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is_data = DATA_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
        || content.starts_with(b"PAR1");
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("model");
    let output = format!("{stem}-baseline.json");
    let (data, output) = match is_data {
        true => (path.display().to_string(), path.with_file_name(&output).display().to_string()),
        false => ("DATA.csv".to_owned(), output),
    };
    format!(
        "make a profile with `driftline baseline {} -o {1}` and name that: `baseline: {1}`",
        shell(&data),
        shell(&output)
    )
}

const PROFILE_KEY: &[u8] = b"\"driftline_profile\"";

/// A path as an argument that can be pasted into a shell.
fn shell(path: &str) -> String {
    let shown: String = path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match shown.contains(|c: char| c.is_whitespace() || "'\"$&;()*?<>|".contains(c)) {
        true => format!("'{}'", shown.replace('\'', "'\\''")),
        false => shown,
    }
}

fn binning(raw: &Binning, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> BinningRule {
    match raw.kind {
        BinningType::Quantile => {
            if raw.range.is_some() {
                let message = "`range` has no meaning with bins by quantile";
                context
                    .sink
                    .error(&at.key("binning").key("range"), message)
                    .hint("take it out, or use `type: equal-width`");
            }
            BinningRule::Quantile { bins: raw.bins }
        }
        BinningType::EqualWidth => BinningRule::EqualWidth {
            bins: raw.bins,
            range: match raw.range {
                None | Some(BinningRange::Minmax) => RangeRule::MinMax,
                Some(BinningRange::Quantile) => RangeRule::Quantile,
                Some(BinningRange::Iqr) => RangeRule::Iqr,
            },
        },
    }
}

/// Requests a window must exceed to judge; a window that can never hold that many is refused.
fn min_requests(file: &File, model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> u64 {
    let window = model.window.detail();
    let alerts = file.alerts.min_requests;
    let min_requests = window.min_requests.unwrap_or(alerts);
    let (needed, key) =
        if alerts >= min_requests { (alerts, "alerts.min_requests") } else { (min_requests, "min_requests") };
    let at = at.key("window");
    if window.size as u64 <= needed {
        let message = format!(
            "a window of {} requests never holds more than {needed}: it never raises an alert",
            window.size
        );
        let hint = format!("make the window larger or `{key}` smaller");
        context.sink.error(&at, message).hint(hint);
    } else if matches!(model.baseline, Some(Baseline::PreviousWindow(_))) && window.size < REFERENCE_ROWS_MIN
    {
        let message =
            format!("a window of {} requests is too small to be the reference of the next", window.size);
        context.sink.error(&at, message).hint(format!("make it {REFERENCE_ROWS_MIN} or larger"));
    }
    min_requests
}

fn tenants(file: &File, model: &Model, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> TenantSpec {
    let Tenant::Detail(detail) = &model.tenant else {
        return TenantSpec { limit: file.limits.tenants, pinned: Vec::new() };
    };
    let at = at.key("tenant").key("pinned");
    check_labels(&detail.pinned, "tenant", &at, context);
    for (index, tenant) in detail.pinned.iter().enumerate() {
        if tenant == "all" || tenant == "other" {
            let message = format!("`{tenant}` is not a tenant's name: Driftline uses it itself");
            context.sink.error(&at.item(index), message);
        }
    }
    let limit = detail.limit.unwrap_or(file.limits.tenants);
    if detail.pinned.len() > limit {
        let message =
            format!("{} tenants are pinned but only {limit} get windows of their own", detail.pinned.len());
        context.sink.error(&at, message).hint("raise `limit`");
    }
    TenantSpec { limit, pinned: detail.pinned.clone() }
}

fn features(
    model: &Model,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let Some(raw) = &model.features else { return (Vec::new(), Vec::new(), Vec::new()) };
    let at = at.key("features");
    let detail = raw.detail();
    let include_at = if at.key("include").is_set() { at.key("include") } else { at.clone() };
    check_labels(&detail.include, "feature", &include_at, context);
    check_labels(&detail.exclude, "feature", &at.key("exclude"), context);
    check_labels(&detail.judge, "feature", &at.key("judge"), context);
    for (index, name) in detail.exclude.iter().enumerate() {
        if detail.include.contains(name) {
            let below = at.key("exclude").item(index);
            let message = format!("feature `{}` is both included and excluded", below.shown(name));
            context.sink.error(&below, message).hint("keep it in one of the two");
        }
    }
    (detail.include, detail.exclude, detail.judge)
}

/// Warns of features that the profile does not know: they are learned from traffic, which is seldom meant.
fn check_known(include: &[String], profile: &Profile, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let at = at.key("features");
    let at = if at.key("include").is_set() { at.key("include") } else { at };
    for (index, name) in include.iter().enumerate() {
        if profile.feature(name).is_none() && name != "prediction" && !name.starts_with("prediction.") {
            let below = at.item(index);
            let hint = did_you_mean(name, profile.features.iter().map(|feature| feature.name.as_str()));
            let message =
                format!("the baseline has no feature `{}`: it is learned from traffic", below.shown(name));
            context.sink.warning(&below, message).maybe_hint(hint);
        }
    }
}

/// Checks names that end in labels: not empty, not twice, not too long, nothing invisible.
fn check_labels(names: &[String], what: &str, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    for (index, name) in names.iter().enumerate() {
        let below = at.item(index);
        if name.is_empty() || name.len() > LABEL_BYTES_MAX || name.chars().any(char::is_control) {
            let message =
                format!("expected the name of a {what}: 1 to {LABEL_BYTES_MAX} bytes, no control characters");
            context.sink.error(&below, message);
        } else if names[..index].contains(name) {
            context.sink.error(&below, format!("{what} `{}` is named twice", below.shown(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hint_writes_over_data() {
        let hint = |path: &str, content: &[u8]| remake(Path::new(path), content);
        assert_eq!(
            hint("../train.parquet", b"PAR1"),
            "make a profile with `driftline baseline ../train.parquet -o ../train-baseline.json` and name that: `baseline: ../train-baseline.json`"
        );
        assert!(
            hint("my data.csv.gz", b"\x1f\x8b")
                .contains("baseline 'my data.csv.gz' -o 'my data-baseline.json'")
        );
        assert!(hint("part-0", b"PAR1").contains("baseline part-0 -o part-0-baseline.json"));
        assert!(hint("Cargo.toml", b"[workspace]").contains("baseline DATA.csv -o Cargo-baseline.json"));
        assert!(
            hint("b.json", b"{\"driftline_profile\":7}").ends_with("`driftline baseline DATA.csv -o b.json`")
        );
    }
}

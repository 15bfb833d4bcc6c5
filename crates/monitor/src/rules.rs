//! What of a model's settings the counting needs, in the form it needs.

use sha2::{Digest, Sha256};

use crate::features::Filter;
use crate::profile::BuildRules;
use crate::spec::{ModelSpec, ReferenceSpec};

/// Most rows a reference is learned from.
const MAX_LEARN_ROWS: usize = 100_000;

/// Values that all learning features of a model may hold together (32 MB); beyond it they are frozen early.
const MAX_LEARN_VALUES: usize = 4_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) build: BuildRules,
    /// Rows per window, at least 1.
    pub(crate) window: usize,
    /// Whether the reference is the window before the current one.
    pub(crate) previous: bool,
    /// Rows a feature without a reference is learned from; 0 when nothing is learned.
    pub(crate) learn: usize,
    /// Learned references grow until they cover so much time, milliseconds; `None` where they stay as they were learned.
    pub(crate) grow_ms: Option<i64>,
    /// Values that may be held while learning.
    pub(crate) learn_values: usize,
    pub(crate) feature_limit: usize,
    pub(crate) version_limit: usize,
    pub(crate) filter: Filter,
}

impl Rules {
    pub(crate) fn new(spec: &ModelSpec) -> Self {
        let window = spec.window.max(1);
        let learn = match &spec.reference {
            ReferenceSpec::Profile { learn, .. } => *learn,
            ReferenceSpec::Learn { rows } => (*rows).max(1),
            ReferenceSpec::PreviousWindow => window,
        };
        Self {
            build: BuildRules { binning: spec.binning, categories: spec.limits.categories },
            window,
            previous: matches!(spec.reference, ReferenceSpec::PreviousWindow),
            learn: learn.min(MAX_LEARN_ROWS),
            grow_ms: grow_ms(spec),
            learn_values: MAX_LEARN_VALUES,
            feature_limit: spec.limits.features,
            version_limit: spec.limits.versions,
            filter: Filter::new(spec),
        }
    }
}

fn grow_ms(spec: &ModelSpec) -> Option<i64> {
    let grows = !matches!(spec.reference, ReferenceSpec::PreviousWindow);
    let ms = i64::try_from(spec.grow.as_millis()).unwrap_or(i64::MAX);
    Some(ms).filter(|ms| grows && *ms > 0)
}

/// A hash of everything that decides what a slot means: two settings with one signature can share their windows.
pub(crate) fn signature(spec: &ModelSpec) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    match &spec.reference {
        ReferenceSpec::Profile { profile, learn } => {
            add(&format!("profile {learn} {}", profile.schema_hash()));
            for feature in &profile.features {
                add(&format!("{:?}", feature.counts));
            }
            for tenant in &profile.tenants {
                add(&tenant.name);
                tenant.features.iter().for_each(|feature| add(&format!("{:?}", feature.counts)));
            }
        }
        ReferenceSpec::Learn { rows } => add(&format!("learn {rows}")),
        ReferenceSpec::PreviousWindow => add("previous"),
    }
    add(&spec.decoder.privacy.fingerprint());
    add(&format!("{:?} {} {}", spec.binning, spec.window, spec.limits.categories));
    for names in [&spec.include, &spec.exclude, &spec.judge] {
        add(&names.len().to_string());
        names.iter().for_each(|name| add(name));
    }
    hash.finalize().into()
}

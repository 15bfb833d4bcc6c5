//! Builders that the tests of this crate share.

use std::sync::Arc;

use record::{Body, DecoderSpec, Exchange, FeatureValue, Lane, Record};
use stats::{BinningRule, CategoricalBins, NumericBins, RangeRule};

use crate::profile::{FeatureProfile, Profile};
use crate::{
    Engine, FeatureReading, ModelSpec, ReferenceKind, ReferenceSpec, TenantSpec, WindowLimits, WindowReadings,
};

/// SplitMix64, even over [0, 1).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, standard deviation 1, close to normal.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

pub(crate) const BASELINE: ReferenceKind = ReferenceKind::Baseline;

/// Counts records, none of which may be refused.
pub(crate) fn feed(engine: &mut Engine, records: impl IntoIterator<Item = Record>) {
    for record in records {
        engine.observe_record(&record).unwrap();
    }
}

pub(crate) fn spec(reference: ReferenceSpec) -> ModelSpec {
    ModelSpec {
        detector: crate::DetectorSpec::default(),
        name: "m".into(),
        versions: Vec::new(),
        owner: None,
        decoder: DecoderSpec::default(),
        reference,
        grow: std::time::Duration::from_secs(7 * 86_400),
        binning: BinningRule::EqualWidth { bins: 4, range: RangeRule::MinMax },
        window: 200,
        min_requests: 100,
        alpha: 0.01,
        tenants: TenantSpec::default(),
        pairs: None,
        limits: WindowLimits::default(),
        include: Vec::new(),
        exclude: Vec::new(),
        judge: Vec::new(),
    }
}

/// `x` even over [0, 4) in four bins, `c` half `a` and half `b`; 1 000 rows each.
pub(crate) fn profile() -> Arc<Profile> {
    let numeric = NumericBins::equal_width(0.0, 4.0, 4).unwrap();
    let categorical = CategoricalBins::new(vec!["a".to_owned(), "b".to_owned()]).unwrap();
    Arc::new(Profile {
        name: "training".to_owned(),
        created_at_ms: 5,
        rows: 1_000,
        features: vec![
            FeatureProfile::new("x", numeric, vec![250, 250, 250, 250, 0]),
            FeatureProfile::new("c", categorical, vec![500, 500, 0, 0]),
        ],
        tenants: Vec::new(),
    })
}

pub(crate) fn profiled() -> ModelSpec {
    spec(ReferenceSpec::Profile { profile: profile(), learn: 100 })
}

/// A record of version `v1` with these features.
pub(crate) fn record<'a>(features: impl IntoIterator<Item = (&'a str, FeatureValue)>) -> Record {
    Record {
        model: "m".to_owned(),
        version: Some("v1".to_owned()),
        ts: Some(7),
        features: features.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Record::default()
    }
}

pub(crate) fn number(x: f64) -> FeatureValue {
    FeatureValue::Number(x)
}

pub(crate) fn text(text: &str) -> FeatureValue {
    FeatureValue::Text(text.to_owned())
}

/// The `i`th row of traffic like that of [`profile`], with a prediction.
pub(crate) fn usual(i: usize) -> Record {
    let mut record =
        record([("x", number((i % 4) as f64)), ("c", text(if i.is_multiple_of(2) { "a" } else { "b" }))]);
    record.prediction.insert("score".to_owned(), number((i % 10) as f64));
    record
}

pub(crate) fn exchange(request: &str, response: &str) -> Exchange {
    Exchange {
        at_ms: 7,
        model: "m".into(),
        version: "v1".into(),
        lane: Lane::Prod,
        tenant: None,
        request_id: "id".into(),
        status: 200,
        latency_ms: 1.0,
        first_byte_ms: None,
        headers: Vec::new(),
        path: "/v1/models/m:predict".into(),
        request: Body::complete(request.to_owned()),
        response: Body::complete(response.to_owned()),
        pairing: record::Pairing::Unknown,
    }
}

impl Engine {
    /// The readings of one window set.
    pub(crate) fn window(&mut self, version: &str, lane: Lane, tenant: &str) -> Option<Arc<WindowReadings>> {
        let readings = self.readings(0);
        let of = |w: &&Arc<WindowReadings>| *w.version == *version && w.lane == lane && *w.tenant == *tenant;
        readings.models[0].windows.iter().find(of).cloned()
    }

    /// The window counts of one feature of version `v1` in production.
    pub(crate) fn counts(&self, tenant: &str, feature: &str) -> Option<Vec<u64>> {
        let histograms = self.histograms("m", "v1", Lane::Prod, tenant)?;
        histograms.into_iter().find(|h| *h.feature == *feature).map(|h| h.current_counts)
    }
}

impl WindowReadings {
    pub(crate) fn of(&self, feature: &str, kind: ReferenceKind) -> Option<&FeatureReading> {
        self.features.iter().find(|reading| *reading.feature == *feature && reading.reference == kind)
    }
}

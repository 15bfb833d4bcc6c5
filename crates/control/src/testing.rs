//! Readings, policies and stores for tests.

use std::sync::Arc;

use monitor::{
    DetectorPhase, DetectorReading, DriftReading, FeatureReading, ModelReadings, Readings, ReferenceKind,
    ReferenceState, SuspectReading, Verdict, WindowReadings,
};
use record::Lane;

use crate::policy::{ModelPolicy, Policy, RollbackMode};
use crate::signal::{Kind, Signal, SignalReading};

/// The default rules over the model `fraud`: `v2` active, `v1` stable.
pub(crate) fn policy() -> Policy {
    Policy {
        rules: Policy::default_rules(),
        min_requests: 100,
        tenants_red: 3,
        latency_horizon_ms: 60_000,
        rollback_on: Kind::MOVE_TRAFFIC.into(),
        models: vec![model("fraud")],
        retrain: Vec::new(),
        runbook_base_url: "https://runbooks.example/driftline/".to_owned(),
        dashboard_url: None,
    }
}

pub(crate) fn model(name: &str) -> ModelPolicy {
    ModelPolicy {
        auto_rollback: true,
        name: name.into(),
        versions: vec!["v1".into(), "v2".into(), "v3".into()],
        active: "v2".into(),
        stable: "v1".into(),
        shadow: Some("v3".into()),
        shadow_percent: 5.0,
        mode: RollbackMode::Automatic,
        cooldown_ms: 600_000,
        max_rollbacks: 3,
        max_rollbacks_per_ms: 86_400_000,
        approval_ms: 1_800_000,
    }
}

pub(crate) fn reading(feature: &str, psi: f64) -> FeatureReading {
    FeatureReading {
        feature: feature.into(),
        reference: ReferenceKind::Baseline,
        n: 1_000,
        reference_n: 1_000,
        psi,
        js_divergence: psi / 10.0,
        psi_critical: 0.05,
        psi_noise: 0.01,
        bins: 11,
        psi_debiased: (psi - 0.01).max(0.0),
        verdict: if psi > 0.05 { Verdict::Fail } else { Verdict::Pass },
        change: None,
    }
}

/// A prod window whose newest row is at 0.
pub(crate) fn window(version: &str, tenant: &str, requests: u64, features: &[(&str, f64)]) -> WindowReadings {
    WindowReadings {
        version: version.into(),
        lane: Lane::Prod,
        tenant: tenant.into(),
        requests,
        rows: requests,
        last_at_ms: 0,
        learning: None,
        features: features.iter().map(|(feature, psi)| reading(feature, *psi)).collect(),
        detector: None,
    }
}

/// A detector that has found a drift of this size; none for 0.
pub(crate) fn detector(psi: f64) -> DetectorReading {
    let suspect = SuspectReading {
        feature: "amount".into(),
        change: "amount: higher (median 33 → 60)".to_owned(),
        psi,
        severity: "moderate",
    };
    let drift = DriftReading { since_ms: 1, requests_ago: 420, notice: psi < 0.005, suspects: vec![suspect] };
    DetectorReading {
        phase: if psi > 0.0 { DetectorPhase::Drifted } else { DetectorPhase::Armed },
        evidence_ratio: 0.5,
        arl0: 10_000.0,
        rows: 5_000,
        alarms: u64::from(psi > 0.0),
        drift: (psi > 0.0).then_some(drift),
    }
}

pub(crate) fn readings(at_ms: i64, windows: Vec<WindowReadings>) -> Readings {
    let model = ModelReadings {
        model: "fraud".into(),
        reference: ReferenceState::Ready {
            source: "profile",
            rows: 1_000,
            features: 1,
            at_ms: 0,
            growth: None,
        },
        windows: windows.into_iter().map(Arc::new).collect(),
        quality: Vec::new(),
        dropped: Default::default(),
        unreadable: Default::default(),
        features: Vec::new(),
        fit: None,
        rows: 0,
        active: None,
    };
    Readings { at_ms, models: vec![model] }
}

/// Readings at `at_ms` of one version's feature `amount` in the total.
pub(crate) fn drift(at_ms: i64, version: &str, psi: f64) -> Readings {
    let mut window = window(version, "all", 1_000, &[("amount", psi)]);
    window.last_at_ms = at_ms;
    // New rows in every look.
    window.rows = at_ms.unsigned_abs();
    readings(at_ms, vec![window])
}

/// The p95 of the last minute, from 200 requests; none for `None`.
pub(crate) fn latency(version: &str, p95_ms: Option<f64>) -> SignalReading {
    let (model, version) = ("fraud".into(), version.into());
    let n = if p95_ms.is_some() { 200 } else { 0 };
    let value = p95_ms.unwrap_or(f64::NAN);
    let of = (&model, &version, Lane::Prod);
    SignalReading { lower: 0.0, ..SignalReading::plain(of, Signal::LatencyP95, 60_000, value, n) }
}

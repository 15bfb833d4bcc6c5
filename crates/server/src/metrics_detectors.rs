//! Metrics of the sequential detectors.

use monitor::{DetectorPhase, DetectorReading, Readings, WindowReadings};

use crate::exposition::{Exposition, Kind};

type Value = fn(&DetectorReading) -> f64;

const FAMILIES: [(&str, Kind, &str, Value); 5] = [
    (
        "driftline_detector_state",
        Kind::Gauge,
        "Sequential detector: 0 warming up, 1 watching, 2 drift was found, 3 watching after a drift that is over.",
        |detector| match detector.phase {
            DetectorPhase::WarmUp => 0.0,
            DetectorPhase::Armed => 1.0,
            DetectorPhase::Drifted => 2.0,
            DetectorPhase::Resolved => 3.0,
        },
    ),
    (
        "driftline_detector_evidence_ratio",
        Kind::Gauge,
        "Evidence of drift over what an alarm needs; an alarm is raised at 1.",
        |detector| detector.evidence_ratio,
    ),
    (
        "driftline_detector_psi",
        Kind::Gauge,
        "Size of the drift that was found: the largest debiased PSI among the features that drifted; 0 without one.",
        DetectorReading::psi,
    ),
    (
        "driftline_detector_arl0_requests",
        Kind::Gauge,
        "Requests that pass on average between two alarms that are wrong.",
        |detector| detector.arl0,
    ),
    ("driftline_detector_alarms_total", Kind::Counter, "Alarms that the detector has raised.", |detector| {
        detector.alarms as f64
    }),
];

/// A series per detector: the total's and those of tenants that are watched on their own.
pub(crate) fn render(page: &mut Exposition, readings: &Readings) {
    let watched = || {
        let windows = readings.models.iter().flat_map(|model| model.windows.iter().map(move |w| (model, w)));
        windows.filter_map(|(model, window)| Some((&*model.model, &**window, window.detector.as_ref()?)))
    };
    for (name, kind, help, value) in FAMILIES {
        page.family(name, kind, help);
        for (model, window, detector) in watched() {
            page.sample(&labels(model, window), value(detector));
        }
    }
    page.family(
        "driftline_psi_p_value",
        Kind::Gauge,
        "Probability that chance alone gives a PSI as large, of the total over tenants.",
    );
    for model in &readings.models {
        for window in model.windows.iter().filter(|window| &*window.tenant == "all") {
            for reading in &window.features {
                let Some(p) = reading.psi_p_value() else { continue };
                let [model, version, lane, tenant] = labels(&model.model, window);
                let (feature, reference) =
                    (("feature", &*reading.feature), ("reference", reading.reference.as_str()));
                page.sample(&[model, version, lane, tenant, feature, reference], p);
            }
        }
    }
}

fn labels<'a>(model: &'a str, window: &'a WindowReadings) -> [(&'static str, &'a str); 4] {
    [
        ("model", model),
        ("version", &window.version),
        ("lane", window.lane.as_str()),
        ("tenant", &window.tenant),
    ]
}

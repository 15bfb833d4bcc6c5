//! Requests that came in broken, and what they explain.
//!
//! A feature that most requests lack, or that is of another type in most of them, changes the predictions of every version alike:
//! what fires about drift then moves no traffic. The fault is named by a rule about quality.

use std::sync::Arc;

use monitor::{Check, ModelReadings, QualityReading, Readings};
use record::Lane;

use super::Controller;
use crate::decide::FiringAlert;
use crate::evaluate::{TENANT_ALL, describe_quality, quality_excess};
use crate::policy::Scope;
use crate::signal::Kind;

/// From this share of broken values on, beyond the reference's, a fault explains what the predictions do.
const MOST: f64 = 0.5;

/// A fault that is mended explains what windows still hold for this long, milliseconds of steady time.
const REMEMBERED_MS: u64 = 5 * 60_000;

/// The last fault in the requests of a model.
#[derive(Clone, Debug)]
pub(super) struct DataFault {
    /// Which, in words.
    pub(super) words: String,
    /// The version whose requests it was found in.
    version: Arc<str>,
    at_steady_ms: u64,
}

impl Controller {
    /// Takes note of faults in the requests to the active version of every model.
    pub(super) fn note_data_faults(&mut self, readings: &Readings) {
        let at_steady_ms = self.clock.steady_ms();
        for entry in &mut self.models {
            let model = readings.models.iter().find(|one| *one.model == *entry.policy.name);
            let Some(worst) = model.and_then(|model| worst(model, &entry.active)) else { continue };
            let (words, version) = (describe_quality(worst), Arc::clone(&entry.active));
            entry.data_fault = Some(DataFault { words, version, at_steady_ms });
        }
    }

    /// The fault in the requests that explains everything that fires about the active version, in words.
    pub(super) fn explained_by_data(&self, model_idx: usize, firing: &[FiringAlert]) -> Option<String> {
        let entry = &self.models[model_idx];
        let fault = entry.data_fault.as_ref().filter(|fault| fault.version == entry.active)?;
        if self.clock.steady_ms().saturating_sub(fault.at_steady_ms) > REMEMBERED_MS {
            return None;
        }
        let follows = |alert: &FiringAlert| {
            let rule = self.policy.rule(&alert.name);
            rule.is_some_and(|rule| matches!(rule.condition.kind(), Kind::Drift | Kind::Frozen))
        };
        let is_about_active =
            |alert: &&FiringAlert| alert.version.as_deref().is_none_or(|version| version == &*entry.active);
        firing.iter().filter(is_about_active).all(follows).then(|| fault.words.clone())
    }
}

/// The feature that is broken in most requests of a version.
fn worst<'a>(model: &'a ModelReadings, version: &str) -> Option<&'a QualityReading> {
    let is_fault = |one: &&QualityReading| {
        *one.version == *version
            && one.lane == Lane::Prod
            && *one.tenant == *TENANT_ALL
            && matches!(one.check, Check::Missing | Check::Type | Check::Absent)
            && Scope::Features.holds(&one.feature)
    };
    let excess = |one: &QualityReading| quality_excess(one).unwrap_or(0.0);
    let worst = model.quality.iter().filter(is_fault).max_by(|a, b| excess(a).total_cmp(&excess(b)));
    worst.filter(|one| excess(one) > MOST)
}

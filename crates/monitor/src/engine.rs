//! The engine: every model's windows, behind one writer.

use std::collections::HashMap;
use std::sync::Arc;

use record::{Decoded, Exchange, Inference, Lane, LoggedHeader, Pairing, Privacy, Record};

use crate::batch::Batch;
use crate::detector::DetectorCounts;
use crate::model::Model;
use crate::profile::Profile;
use crate::readings::{FeatureHistogram, Readings, SampleReading};
use crate::spec::ModelSpec;
use crate::state::Head;

/// Longest version that a record may name, in bytes.
const MAX_VERSION_BYTES: usize = 128;

/// Why a record was not counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// No model of this name is configured.
    #[error("model `{model}` is not configured: add it under `models` or correct the record's `model`")]
    UnknownModel {
        /// The record's model.
        model: String,
    },
    /// Too many versions came in with records.
    #[error("version `{version}` is one too many: the limit is `{limit}` versions a model")]
    VersionLimit {
        /// The record's version.
        version: String,
        /// The limit.
        limit: usize,
    },
    /// The version's name is too long.
    #[error("`version` has `{bytes}` bytes: at most `{MAX_VERSION_BYTES}` are allowed")]
    VersionTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The request was refused (4xx): no inference took place.
    #[error("`status` is `{status}`: a refused request is no inference")]
    Refused {
        /// The record's status.
        status: u16,
    },
}

/// Records in, readings out. One writer; readers take [`Readings`].
///
/// What counts: every row of a batch is an observation. A row without a known feature is `missing` there. A request that
/// was refused (4xx) is not an inference and counts nowhere (`refused`); one whose answer cannot be read, or is not 2xx,
/// counts for its features but not for predictions.
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) models: Vec<Model>,
    by_name: HashMap<Arc<str>, usize>,
    decoded: Decoded,
    /// Tenant and request id of the inference under way, where privacy changes them.
    hidden: Hidden,
    batch: Batch,
    /// The caller's time at the last [`Engine::readings`], unix milliseconds; 0 before the first.
    pub(crate) now_ms: i64,
    unknown_model: u64,
}

impl Engine {
    /// An engine with empty windows.
    pub fn new(specs: Vec<ModelSpec>) -> Self {
        let mut engine = Self::default();
        engine.configure(specs);
        engine
    }

    /// Takes over new settings. A model whose features, reference, bins and window size are the same keeps its windows;
    /// the others start anew, and those that are not named any more are forgotten.
    pub fn configure(&mut self, specs: Vec<ModelSpec>) {
        let mut old: HashMap<Arc<str>, Model> =
            self.models.drain(..).map(|model| (model.spec.name.clone(), model)).collect();
        self.by_name.clear();
        for spec in specs {
            if self.by_name.contains_key(&spec.name) {
                continue;
            }
            self.by_name.insert(spec.name.clone(), self.models.len());
            let model = match old.remove(&spec.name) {
                Some(mut model) => {
                    model.configure(spec);
                    model
                }
                None => Model::new(spec),
            };
            self.models.push(model);
        }
    }

    /// Decodes an exchange and counts its rows. What cannot be counted is counted by reason in
    /// [`crate::ModelReadings::dropped`]; a bad request changes no window. An exchange whose version is empty belongs to
    /// the active one.
    ///
    /// Gives the inference as it was counted, or with the problem that kept it from being; `None` when its model is not
    /// configured.
    pub fn observe<'a>(&'a mut self, exchange: &'a Exchange) -> Option<Inference<'a>> {
        let Some(at) = self.by_name.get(&exchange.model).copied() else {
            self.unknown_model += 1;
            return None;
        };
        let model = &mut self.models[at];
        let privacy = &model.decoder.spec().privacy;
        self.hidden = Hidden::of(privacy, exchange.tenant.as_deref(), &exchange.request_id);
        self.hidden.version = model.hidden_version(&exchange.version);
        let headers = exchange.headers.iter();
        self.hidden.headers =
            headers.map(|(name, value)| (Arc::clone(name), privacy.header(name, value))).collect();
        let head = Head {
            version: self.hidden.version.as_ref().unwrap_or(&exchange.version),
            lane: exchange.lane,
            tenant: Hidden::shown(&self.hidden.tenant, exchange.tenant.as_deref()),
            at_ms: exchange.at_ms,
        };
        let problem =
            model.observe_exchange(exchange, &head, &mut self.decoded, &mut self.batch, self.now_ms);
        let version = if exchange.version.is_empty() { self.models[at].active_name() } else { head.version };
        Some(Inference {
            at_ms: exchange.at_ms,
            model: &exchange.model,
            version,
            lane: exchange.lane,
            tenant: Hidden::shown(&self.hidden.tenant, exchange.tenant.as_deref()),
            request_id: Hidden::shown(&self.hidden.request_id, Some(&exchange.request_id))
                .unwrap_or_default(),
            status: (exchange.status != 0).then_some(exchange.status),
            latency_ms: Some(exchange.latency_ms).filter(|ms| ms.is_finite()),
            request_bytes: Some(exchange.request.total_bytes),
            response_bytes: Some(exchange.response.total_bytes),
            headers: &self.hidden.headers,
            pairing: exchange.pairing,
            decoded: &self.decoded,
            problem,
        })
    }

    /// Counts one record. Without a version it belongs to the active one; without a time to the last
    /// [`Engine::readings`].
    ///
    /// # Errors
    ///
    /// [`ObserveError`]; the record then changes no window.
    pub fn observe_record<'a>(&'a mut self, record: &'a Record) -> Result<Inference<'a>, ObserveError> {
        let Some(at) = self.by_name.get(record.model.as_str()).copied() else {
            self.unknown_model += 1;
            return Err(ObserveError::UnknownModel { model: shown_name(&record.model) });
        };
        let model = &mut self.models[at];
        if let Some(status) = record.status.filter(|status| is_refused(*status)) {
            model.state.drop_rows("refused", 1);
            return Err(ObserveError::Refused { status });
        }
        let version = match &record.version {
            Some(version) if version.len() > MAX_VERSION_BYTES => {
                model.state.drop_rows("version_limit", 1);
                return Err(ObserveError::VersionTooLong { bytes: version.len() });
            }
            Some(version) => model.hidden_version(version).unwrap_or_else(|| Arc::from(version.as_str())),
            None => Arc::from(model.active_name()),
        };
        let at_ms = record.ts.unwrap_or(self.now_ms);
        let privacy = &model.decoder.spec().privacy;
        record.fill(&mut self.decoded, privacy.spec().detectors.card);
        privacy.apply(&mut self.decoded);
        let (tenant, request_id) =
            (record.tenant.as_deref(), record.request_id.as_deref().unwrap_or_default());
        self.hidden = Hidden::of(privacy, tenant.map(str::as_bytes), request_id.as_bytes());
        let version = self.hidden.version.insert(version);
        let head = Head {
            version,
            lane: record.lane,
            tenant: Hidden::shown(&self.hidden.tenant, tenant.map(str::as_bytes)),
            at_ms,
        };
        model.observe(&head, request_id.as_bytes(), &self.decoded, &mut self.batch, self.now_ms);
        if model.state.versions.find(version).is_none() {
            let limit = model.rules.version_limit;
            return Err(ObserveError::VersionLimit { version: version.to_string(), limit });
        }
        Ok(Inference {
            at_ms,
            model: &record.model,
            version: self.hidden.version.as_deref().unwrap_or_default(),
            lane: record.lane,
            tenant: Hidden::shown(&self.hidden.tenant, tenant.map(str::as_bytes)),
            request_id: Hidden::shown(&self.hidden.request_id, Some(request_id.as_bytes()))
                .unwrap_or_default(),
            status: record.status,
            latency_ms: record.latency_ms,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            headers: &[],
            pairing: Pairing::Unknown,
            decoded: &self.decoded,
            problem: None,
        })
    }

    /// The version that a record belongs to, as it may be shown; `None` of a model that is not configured, or a name too long.
    pub fn version_of(&self, record: &Record) -> Option<Arc<str>> {
        let model = self.find(&record.model)?;
        match &record.version {
            Some(version) if version.len() > MAX_VERSION_BYTES => None,
            Some(version) => {
                Some(model.hidden_version(version).unwrap_or_else(|| Arc::from(version.as_str())))
            }
            None => Some(Arc::from(model.active_name())),
        }
    }

    /// Says which version is active: the shadow lane is compared with its production windows. When another one was active
    /// before, these windows and their detectors start empty. True when that was so.
    pub fn set_active(&mut self, model: &str, version: &str) -> bool {
        self.find_mut(model).is_some_and(|model| model.set_active(version))
    }

    /// Every statistic, in the order of the configuration. Only windows that changed since the last call are computed
    /// again; the others are shared with its result.
    pub fn readings(&mut self, now_ms: i64) -> Readings {
        if self.now_ms == 0 {
            self.models.iter_mut().for_each(|model| model.state.versions.touch(now_ms));
        }
        self.now_ms = now_ms;
        Readings {
            at_ms: now_ms,
            models: self.models.iter_mut().map(|model| model.readings(now_ms)).collect(),
        }
    }

    /// How the production rows so far fit the model's reference, however few they are: for a sample of requests that is looked at
    /// before there is traffic. `None` for a model that is not configured.
    pub fn sample(&self, model: &str) -> Option<SampleReading> {
        self.find(model).map(Model::sample)
    }

    /// Takes note of a drift: forgets the evidence that the model's detectors have gathered, and any drift that they have
    /// found. They watch on. False for a model that is not configured.
    pub fn reset_detectors(&mut self, model: &str) -> bool {
        let found = self.find_mut(model);
        found.map(|model| model.state.reset_detectors()).is_some()
    }

    /// What the detectors of the model's versions have counted, to be added to what other replicas have; `None` for a model
    /// that is not configured or not watched, and while there is no reference.
    pub fn detector_counts(&self, model: &str) -> Option<DetectorCounts> {
        self.find(model)?.state.detector_counts()
    }

    /// The histograms behind one window set's readings; `None` if it has no rows.
    pub fn histograms(
        &self,
        model: &str,
        version: &str,
        lane: Lane,
        tenant: &str,
    ) -> Option<Vec<FeatureHistogram>> {
        self.find(model)?.histograms(version, lane, tenant)
    }

    /// The reference in force; `None` while it is being learned. With the previous window as reference this is the
    /// first window, from which the bins were cut.
    pub fn profile(&self, model: &str) -> Option<Profile> {
        self.find(model)?.profile()
    }

    /// Observations of models that are not configured, since the start.
    pub fn unknown_model(&self) -> u64 {
        self.unknown_model
    }

    /// Memory of windows, references and learning buffers in bytes, estimated.
    pub fn memory_bytes(&self) -> usize {
        let of = |model: &Model| {
            model.state.memory_bytes()
                + model.repeats.memory_bytes()
                + model.before_drill.as_ref().map_or(0, |before| before.state.memory_bytes())
        };
        self.models.iter().map(of).sum()
    }

    pub(crate) fn find(&self, model: &str) -> Option<&Model> {
        self.by_name.get(model).map(|at| &self.models[*at])
    }

    pub(crate) fn find_mut(&mut self, model: &str) -> Option<&mut Model> {
        self.by_name.get(model).map(|at| &mut self.models[*at])
    }
}

/// A name from outside as a message may show it: cut, and without personal data.
fn shown_name(name: &str) -> String {
    let cut: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
    Privacy::default().name(&cut).into_owned()
}

/// An inference's ids and version after privacy; `None` where they stay as they came.
#[derive(Debug, Default)]
struct Hidden {
    version: Option<Arc<str>>,
    tenant: Option<String>,
    request_id: Option<String>,
    headers: Vec<LoggedHeader>,
}

impl Hidden {
    fn of(privacy: &Privacy, tenant: Option<&[u8]>, request_id: &[u8]) -> Self {
        Self {
            tenant: tenant.and_then(|tenant| privacy.id("tenant", tenant)),
            request_id: privacy.id("request_id", request_id),
            ..Self::default()
        }
    }

    fn shown<'a>(hidden: &'a Option<String>, plain: Option<&'a [u8]>) -> Option<&'a [u8]> {
        hidden.as_deref().map(str::as_bytes).or(plain)
    }
}

/// 4xx: the request was refused before or instead of an inference.
pub(crate) fn is_refused(status: u16) -> bool {
    (400..500).contains(&status)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

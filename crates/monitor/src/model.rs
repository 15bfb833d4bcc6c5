//! One model: its settings, its decoder, and what it has counted.

use std::borrow::Cow;
use std::sync::Arc;

use record::{DecodeErrorKind, Decoded, Decoder, Exchange, Lane, Pairing};

use crate::batch::Batch;
use crate::chance::Criticals;
use crate::engine::is_refused;
use crate::features::{Side, Stage};
use crate::profile::{FeatureProfile, Profile};
use crate::readings::ReferenceState;
use crate::repeats::{Before, Repeats, Sender};
use crate::rules::{Rules, signature};
use crate::spec::{ModelSpec, ReferenceSpec};
use crate::state::{Head, State};

/// The version of inferences that name none while no active version is known.
const UNKNOWN_VERSION: &str = "unknown";

/// What a drill puts back.
#[derive(Debug)]
pub(crate) struct BeforeDrill {
    pub(crate) state: State,
    /// The version that was active.
    pub(crate) active: Option<Arc<str>>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) spec: ModelSpec,
    pub(crate) rules: Rules,
    pub(crate) decoder: Decoder,
    pub(crate) state: State,
    /// What was counted before the drill that is running.
    pub(crate) before_drill: Option<Box<BeforeDrill>>,
    /// The version that clients get.
    pub(crate) active: Option<Arc<str>>,
    /// Grows with every change of the settings that readings depend on.
    pub(crate) settings: u64,
    pub(crate) criticals: Criticals,
    /// The requests of the last minutes.
    pub(crate) repeats: Repeats,
    /// See [`signature`].
    pub(crate) signature: [u8; 32],
}

impl Model {
    pub(crate) fn new(spec: ModelSpec) -> Self {
        let rules = Rules::new(&spec);
        Self {
            state: State::new(&spec, &rules),
            decoder: Decoder::new(spec.decoder.clone()),
            criticals: Criticals::new(spec.alpha),
            repeats: Repeats::default(),
            signature: signature(&spec),
            rules,
            spec,
            before_drill: None,
            active: None,
            settings: 0,
        }
    }

    /// Takes over new settings; what was counted stays if slots still mean the same.
    pub(crate) fn configure(&mut self, spec: ModelSpec) {
        if signature(&spec) != self.signature {
            let (active, settings) = (self.active.take(), self.settings + 1);
            let (rows, dropped) = (self.state.rows, std::mem::take(&mut self.state.dropped));
            let unreadable = std::mem::take(&mut self.state.unreadable);
            *self = Self { active, settings, ..Self::new(spec) };
            (self.state.rows, self.state.dropped, self.state.unreadable) = (rows, dropped, unreadable);
            return;
        }
        self.rules = Rules::new(&spec);
        self.decoder = Decoder::new(spec.decoder.clone());
        self.criticals = Criticals::new(spec.alpha);
        self.settings += 1;
        let before = self.before_drill.as_deref_mut().map(|before| &mut before.state);
        for state in std::iter::once(&mut self.state).chain(before) {
            state.configure(&spec);
        }
        self.spec = spec;
    }

    /// Makes `version` the active one and says whether that is a change. Rows that it served before are no evidence of how it
    /// serves now: its production windows and detectors start empty. The first version that is set takes what is there,
    /// which are the restored windows of the same version, or none.
    pub(crate) fn set_active(&mut self, version: &str) -> bool {
        let version: Arc<str> = version.into();
        self.state.serve(&version);
        let before = self.active.replace(version.clone());
        let moved = before.is_some_and(|before| before != version);
        if moved {
            self.state.begin_anew(&version);
        }
        moved
    }

    /// Remembers what [`Self::end_drill`] puts back; false when a drill is running.
    pub(crate) fn begin_drill(&mut self) -> bool {
        let fresh = self.before_drill.is_none();
        if fresh {
            let before = BeforeDrill { state: self.state.clone(), active: self.active.clone() };
            self.before_drill = Some(Box::new(before));
        }
        fresh
    }

    /// Puts back what was counted before the drill. A version that the drill has left active starts empty, as after any
    /// other switch.
    pub(crate) fn end_drill(&mut self) {
        let Some(before) = self.before_drill.take() else { return };
        self.state = before.state;
        if let Some(active) = &self.active {
            self.state.serve(active);
        }
        if let Some(active) = self.active.clone().filter(|active| Some(active) != before.active.as_ref()) {
            self.state.begin_anew(&active);
        }
    }

    /// The version that clients get, as a name for inferences that say none.
    pub(crate) fn active_name(&self) -> &str {
        self.active.as_deref().unwrap_or(UNKNOWN_VERSION)
    }

    /// A version from outside as it may be shown; `None` when it may stay. What the configuration names stays.
    pub(crate) fn hidden_version(&self, version: &str) -> Option<Arc<str>> {
        if self.spec.versions.iter().any(|known| **known == *version) {
            return None;
        }
        match self.decoder.spec().privacy.name(version) {
            Cow::Borrowed(_) => None,
            Cow::Owned(hidden) => Some(hidden.into()),
        }
    }

    /// Decodes an exchange and counts its rows; says what kept rows or predictions from being counted. `head` is the
    /// exchange's, made unreadable; its version may be empty.
    pub(crate) fn observe_exchange(
        &mut self,
        exchange: &Exchange,
        head: &Head<'_>,
        decoded: &mut Decoded,
        batch: &mut Batch,
        now: i64,
    ) -> Option<&'static str> {
        if is_refused(exchange.status) {
            decoded.clear();
            self.state.drop_rows("refused", 1);
            return Some("refused");
        }
        let problem = match self.decoder.decode(exchange, decoded) {
            Err(error) => {
                self.state.drop_rows(error.kind.as_str(), 1);
                return Some(error.kind.as_str());
            }
            Ok(outcome) => outcome.response_error.map(|error| error.kind),
        };
        let problem = problem.and_then(|kind| match kind {
            DecodeErrorKind::Status => None,
            DecodeErrorKind::UpstreamError => Some(kind.as_str()),
            _ => Some("response"),
        });
        if let Some(reason) = problem {
            self.state.drop_rows(reason, 1);
        }
        let active;
        let version = if head.version.is_empty() {
            active = self.active.clone().unwrap_or_else(|| UNKNOWN_VERSION.into());
            &active
        } else {
            head.version
        };
        if exchange.pairing == Pairing::Noise {
            return problem;
        }
        self.observe(&Head { version, ..*head }, &exchange.request_id, decoded, batch, now);
        problem
    }

    /// Counts decoded rows; without effect but for the drop counters when they cannot be counted, or were before under the same
    /// request `id`.
    pub(crate) fn observe(
        &mut self,
        head: &Head<'_>,
        id: &[u8],
        decoded: &Decoded,
        batch: &mut Batch,
        now: i64,
    ) {
        let before = self.repeats.see(&Sender::new(id, head.tenant, head.version, head.lane), decoded, now);
        let (state, rules) = (&mut self.state, &self.rules);
        if before == Before::Everything {
            state.drop_rows("duplicate", 1);
            return;
        }
        state.count_unreadable(decoded);
        let features = if before == Before::Features { 0 } else { decoded.feature_rows() };
        let predictions = decoded.prediction_rows();
        let watching = head.lane == Lane::Prod && state.watch.draw(features.max(predictions));
        if !batch.begin(state, head.lane, features, predictions, watching) {
            state.drop_rows("too_many_rows", 1);
            return;
        }
        let Some(version) = state.version(head.version, rules, now, self.active.as_deref()) else {
            state.drop_rows("version_limit", 1);
            return;
        };
        if features > 0 {
            batch.fill(state, rules, head.lane, Side::Features, decoded.features());
        }
        batch.fill(state, rules, head.lane, Side::Predictions, decoded.predictions());
        let active = self.active.as_deref().is_none_or(|active| *active == **head.version);
        state.count(rules, head, version, batch, active, now);
    }

    pub(crate) fn reference(&self) -> ReferenceState {
        let source = match &self.spec.reference {
            ReferenceSpec::Profile { .. } => "profile",
            ReferenceSpec::Learn { .. } => "learned",
            ReferenceSpec::PreviousWindow => "previous_window",
        };
        let frozen = || self.state.features.iter().filter_map(|feature| feature.frozen());
        if let ReferenceSpec::Profile { profile, .. } = &self.spec.reference {
            let (rows, at_ms) = (profile.rows, profile.created_at_ms);
            let (features, growth) = (frozen().count(), None);
            return ReferenceState::Ready { source, rows, features, at_ms, growth };
        }
        if let Some(rows) = frozen().map(|frozen| frozen.rows).max() {
            let at_ms = frozen().map(|frozen| frozen.at_ms).max().unwrap_or_default();
            let (features, growth) = (frozen().count(), self.growth());
            return ReferenceState::Ready { source, rows, features, at_ms, growth };
        }
        let rows = self.state.features.iter().map(|feature| match &feature.stage {
            Stage::Learning(column) => column.rows.len() as u64,
            Stage::Frozen(_) => 0,
        });
        ReferenceState::Learning { rows: rows.max().unwrap_or(0), wanted: self.rules.learn as u64 }
    }

    /// The reference in force as a profile; `None` while nothing is frozen.
    pub(crate) fn profile(&self) -> Option<Profile> {
        let features: Vec<FeatureProfile> = self
            .state
            .features
            .iter()
            .filter_map(|feature| {
                let frozen = feature.frozen()?;
                let (bins, counts) = (frozen.bins.clone(), frozen.counts.clone());
                let detector = frozen.detector.clone();
                let (name, role) = (&*feature.name, feature.role());
                Some(FeatureProfile { detector, ..FeatureProfile::new(name, bins, counts) }.with_role(role))
            })
            .collect();
        if features.is_empty() {
            return None;
        }
        let (name, created_at_ms, rows) = match (&self.spec.reference, self.reference()) {
            (ReferenceSpec::Profile { profile, .. }, _) => {
                (profile.name.clone(), profile.created_at_ms, profile.rows)
            }
            (_, ReferenceState::Ready { rows, at_ms, .. }) => (self.spec.name.to_string(), at_ms, rows),
            (_, ReferenceState::Learning { .. }) => return None,
        };
        Some(Profile { name, created_at_ms, rows, features, tenants: Vec::new() })
    }
}

//! The sample through the engine that measures live traffic, and what it says of each model.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use monitor::{Engine, ModelSpec, ReferenceSpec, SampleReading};
use record::{Body, Decoded, Decoder, Exchange, Lane, Pairing, Record};

use super::requests::{Request, Requests};
use crate::json_lines::Lines;

/// Every model against the sample.
pub(super) struct Report {
    /// Whether every model that has requests in the sample would be armed, and at least one has.
    pub(super) armed: bool,
    /// The requests' file.
    pub(super) file: String,
    /// One entry per model, in the order of the configuration.
    pub(super) models: Vec<ModelReport>,
    /// The first record of a model that is not configured: line and problem, and how many there are.
    pub(super) strangers: Option<(FirstProblem, u64)>,
}

/// One model against the sample.
pub(super) struct ModelReport {
    pub(super) spec: ModelSpec,
    pub(super) tally: Tally,
    pub(super) sample: SampleReading,
}

/// The first of several problems.
#[derive(Clone, Debug)]
pub(super) struct FirstProblem {
    pub(super) line: usize,
    pub(super) problem: String,
}

/// What became of a model's requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) read: u64,
    pub(super) not_read: u64,
    pub(super) first_problem: Option<FirstProblem>,
}

impl Tally {
    fn take(&mut self, line: usize, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.read += 1,
            Err(problem) => {
                self.not_read += 1;
                self.first_problem.get_or_insert(FirstProblem { line, problem });
            }
        }
    }
}

impl ModelReport {
    /// Whether the sample says anything about it.
    pub(super) fn has_requests(&self) -> bool {
        self.tally.read + self.tally.not_read > 0
    }

    /// Whether drift would be judged.
    pub(super) fn is_armed(&self) -> bool {
        self.tally.read > 0 && self.sample.fit.as_ref().is_none_or(|fit| fit.armed)
    }
}

/// Models that wait for requests.
pub(super) struct Sample {
    engine: Engine,
    models: Vec<(ModelSpec, Decoder, Tally)>,
    /// Whose request bodies are; `None` when that is not known.
    bodies: Option<usize>,
    file: String,
    strangers: Option<(FirstProblem, u64)>,
    decoded: Decoded,
}

impl Sample {
    /// For these models. `bodies` names the one that request bodies are for.
    pub(super) fn new(mut specs: Vec<ModelSpec>, bodies: Option<&str>) -> Result<Self> {
        for spec in &mut specs {
            spec.detector.enabled = false;
            spec.pairs = None;
        }
        let bodies = match bodies {
            None => (specs.len() == 1).then_some(0),
            Some(name) => match specs.iter().position(|spec| *spec.name == *name) {
                None => bail!("`--model {name}` is not configured; there is: {}", names(&specs)),
                found => found,
            },
        };
        let models =
            specs.iter().map(|spec| (spec.clone(), Decoder::new(spec.decoder.clone()), Tally::default()));
        Ok(Self {
            models: models.collect(),
            engine: Engine::new(specs),
            bodies,
            file: String::new(),
            strangers: None,
            decoded: Decoded::new(),
        })
    }

    /// Counts all requests of a file.
    pub(super) fn read(&mut self, lines: Lines) -> Result<()> {
        lines.name().clone_into(&mut self.file);
        let mut requests = Requests::new(lines);
        while let Some((line, request)) = requests.next()? {
            match request {
                Request::Body(body) => self.body(line, body)?,
                Request::Records(Ok(records)) => records.iter().for_each(|record| self.record(line, record)),
                Request::Records(Err(problem)) => self.stranger(line, problem),
            }
        }
        Ok(())
    }

    /// Counts the rows of a data file.
    pub(super) fn read_table(&mut self, path: &Path) -> Result<()> {
        self.file = path.display().to_string();
        let Some((spec, ..)) = self.bodies.and_then(|at| self.models.get(at)) else {
            return Err(self.unnamed(1));
        };
        let model = Arc::clone(&spec.name);
        super::table::for_each(path, &model, |line, record| self.record(line, record))
    }

    fn unnamed(&self, line: usize) -> anyhow::Error {
        let specs: Vec<ModelSpec> = self.models.iter().map(|(spec, ..)| spec.clone()).collect();
        anyhow!(
            "`{}`, line {line}: a request body names no model, and there are {} models: say which with `--model`, one of {}",
            self.file,
            specs.len(),
            names(&specs)
        )
    }

    fn body(&mut self, line: usize, body: Vec<u8>) -> Result<()> {
        let unnamed = || self.unnamed(line);
        let at = self.bodies.filter(|at| *at < self.models.len()).ok_or_else(unnamed)?;
        let (spec, decoder, tally) = &mut self.models[at];
        let exchange = exchange(&spec.name, body);
        // Decoded once more for the words: the engine keeps the reason only.
        let outcome = match decoder.decode(&exchange, &mut self.decoded) {
            Err(error) => Err(error.to_string()),
            Ok(_) if self.decoded.feature_rows() == 0 => Err("no value in it that is a feature".to_owned()),
            Ok(_) => Ok(()),
        };
        if outcome.is_ok() {
            self.engine.observe(&exchange);
        }
        tally.take(line, outcome);
        Ok(())
    }

    fn record(&mut self, line: usize, record: &Record) {
        // Recorded answers of a shadow are no requests of their own.
        let as_served = Record { lane: Lane::Prod, version: None, ..record.clone() };
        let name = record.model.as_str();
        let outcome = self.engine.observe_record(&as_served).map(|_| ()).map_err(|error| error.to_string());
        match self.models.iter_mut().find(|(spec, ..)| *spec.name == *name) {
            Some((.., tally)) => tally.take(line, outcome),
            None => self.stranger(line, outcome.err().unwrap_or_default()),
        }
    }

    fn stranger(&mut self, line: usize, problem: String) {
        let (_, count) = self.strangers.get_or_insert((FirstProblem { line, problem }, 0));
        *count += 1;
    }

    /// What the sample says.
    pub(super) fn report(self) -> Report {
        let engine = self.engine;
        let models: Vec<ModelReport> = self
            .models
            .into_iter()
            .filter_map(|(spec, _, tally)| {
                let sample = engine.sample(&spec.name)?;
                Some(ModelReport { spec, tally, sample })
            })
            .collect();
        let asked = || models.iter().filter(|model| model.has_requests());
        let armed = asked().next().is_some() && asked().all(ModelReport::is_armed);
        Report { armed, file: self.file, models, strangers: self.strangers }
    }
}

fn names(specs: &[ModelSpec]) -> String {
    let names: Vec<&str> = specs.iter().map(|spec| &*spec.name).collect();
    names.join(", ")
}

/// A request as the gateway would have seen it, with an answer that says nothing.
fn exchange(model: &Arc<str>, body: Vec<u8>) -> Exchange {
    let content_type: Option<&'static [u8]> = match body.first() {
        Some(b'{' | b'[') => Some(b"application/json"),
        _ if body.contains(&b',') => Some(b"text/csv"),
        _ => None,
    };
    Exchange {
        at_ms: 0,
        model: Arc::clone(model),
        version: "".into(),
        lane: Lane::Prod,
        tenant: None,
        request_id: Bytes::new(),
        status: 200,
        latency_ms: f64::NAN,
        first_byte_ms: None,
        headers: Vec::new(),
        path: Bytes::new(),
        request: Body { content_type: content_type.map(Bytes::from_static), ..Body::complete(body) },
        response: Body::default(),
        pairing: Pairing::Alone,
    }
}

/// Features of the profile of which the reference has one value only.
pub(super) fn constants(spec: &ModelSpec) -> Vec<&str> {
    let ReferenceSpec::Profile { profile, .. } = &spec.reference else { return Vec::new() };
    let constant = profile.features.iter().filter(|feature| feature.is_constant());
    constant.map(|feature| feature.name.as_str()).collect()
}

//! Windows and references as bytes, so that a restart does not begin blind.
//!
//! `DRIFTWIN`, the format's version (u32), the payload's length (u64), the payload, SHA-256 over all before it; numbers
//! are little-endian. A file that ends early, was damaged or has another version is refused as a whole and changes
//! nothing. A model whose settings changed what its slots mean is skipped and starts anew.

mod codec;
mod detector;
mod growth;
mod model;
mod tenants;

use sha2::{Digest, Sha256};

use self::codec::{Reader, Writer};
use crate::engine::Engine;
use crate::model::Model;
use crate::state::State;

const MAGIC: &[u8; 8] = b"DRIFTWIN";
const VERSION: u32 = 6;
/// Magic, version and length.
const HEADER: usize = 8 + 4 + 8;
const CHECKSUM: usize = 32;

/// What [`Engine::restore`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Models whose windows are back.
    pub restored: Vec<String>,
    /// Models whose windows are not, and why.
    pub skipped: Vec<(String, &'static str)>,
}

/// Why a snapshot was refused. Nothing was restored then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Something else.
    #[error("not a window snapshot: delete the file to start with empty windows")]
    NotASnapshot,
    /// Written by a version of Driftline with another format.
    #[error("the window snapshot has version `{found}`, this program reads `{VERSION}`: windows start empty")]
    Version {
        /// The snapshot's version.
        found: u32,
    },
    /// It ends early.
    #[error("the window snapshot has `{found}` of `{expected}` bytes: it was not written to its end")]
    Torn {
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// It was changed after it was written.
    #[error("the window snapshot's checksum does not match: the file is damaged")]
    Checksum,
    /// The checksum is right and the content is not: a fault of the program that wrote it.
    #[error("the window snapshot is not plausible: {what}")]
    Corrupt {
        /// What cannot be.
        what: &'static str,
    },
}

impl Engine {
    /// Every window, reference, and row being learned from, as bytes. Of a model in a drill: as it was before.
    /// Counters since the start ([`crate::ModelReadings::rows`], `dropped`) are not part of it.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        out.u32(VERSION);
        out.block(|out| {
            out.len(self.models.len());
            for model in &self.models {
                out.text(&model.spec.name);
                out.0.extend_from_slice(&model.signature);
                let (state, active) = match model.before_drill.as_deref() {
                    Some(before) => (&before.state, &before.active),
                    None => (&model.state, &model.active),
                };
                out.text(active.as_deref().unwrap_or_default());
                out.block(|out| model::write(out, state));
            }
        });
        let checksum: [u8; CHECKSUM] = Sha256::digest(&out.0).into();
        out.0.extend_from_slice(&checksum);
        out.0
    }

    /// Puts a snapshot's windows and references in place of those of the models of the same name. Models that are not
    /// configured any more, or whose features, reference, bins or window size are others now, are skipped.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the engine is then as it was.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<RestoreReport, RestoreError> {
        let mut payload = Reader(checked(bytes)?);
        let mut report = RestoreReport::default();
        let mut states = Vec::new();
        for _ in 0..payload.len(4)? {
            let name = payload.text()?;
            let signature = payload.signature()?;
            let active = payload.text()?;
            let mut body = payload.block()?;
            match self.find(name) {
                None => report.skipped.push((name.to_owned(), "the model is not configured any more")),
                Some(model) if model.signature != signature => {
                    report.skipped.push((name.to_owned(), "its reference, bins, window or features changed"));
                }
                Some(model) => {
                    let fresh = State::new(&model.spec, &model.rules);
                    let state = model::read(&mut body, fresh, &model.rules, self.now_ms)?;
                    if agrees(model, &state) {
                        report.restored.push(name.to_owned());
                        states.push((active, state));
                    } else {
                        report.skipped.push((name.to_owned(), "it has learned another reference since"));
                    }
                }
            }
        }
        payload.end()?;
        for (name, (active, state)) in report.restored.iter().zip(states) {
            if let Some(model) = self.find_mut(name) {
                put_back(model, active, state);
            }
        }
        Ok(report)
    }
}

/// The payload, once version, length and checksum are right.
fn checked(bytes: &[u8]) -> Result<&[u8], RestoreError> {
    let mut header = Reader(bytes);
    if header.bytes(MAGIC.len()).ok() != Some(MAGIC.as_slice()) {
        return Err(RestoreError::NotASnapshot);
    }
    let torn = |expected: u64| RestoreError::Torn { expected, found: bytes.len() as u64 };
    let version = header.u32().map_err(|_| torn((HEADER + CHECKSUM) as u64))?;
    if version != VERSION {
        return Err(RestoreError::Version { found: version });
    }
    let payload = header.u64().map_err(|_| torn((HEADER + CHECKSUM) as u64))?;
    let expected = payload.saturating_add((HEADER + CHECKSUM) as u64);
    if expected != bytes.len() as u64 {
        return Err(torn(expected));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
    if Sha256::digest(content).as_slice() != checksum {
        return Err(RestoreError::Checksum);
    }
    Ok(&content[HEADER..])
}

/// Whether every reference that the model has by now is the stored one.
fn agrees(model: &Model, stored: &State) -> bool {
    let stored_bins = |name: &str| {
        stored.features.iter().find(|feature| *feature.name == *name)?.frozen().map(|frozen| &frozen.bins)
    };
    model.state.features.iter().all(|feature| match feature.frozen() {
        Some(frozen) => stored_bins(&feature.name) == Some(&frozen.bins),
        None => true,
    })
}

/// The windows belong to the version that was active when they were stored: if another one is by now, its windows start
/// empty.
fn put_back(model: &mut Model, stored: &str, mut state: State) {
    state.rows = model.state.rows;
    state.dropped = std::mem::take(&mut model.state.dropped);
    state.unreadable = std::mem::take(&mut model.state.unreadable);
    state.references = model.state.references + 1;
    state.watch.planned_for(state.references);
    model.state = state;
    model.state.own_profile(&model.spec);
    if let Some(active) = &model.active {
        model.state.serve(active);
    }
    model.before_drill = None;
    match model.active.clone() {
        None if !stored.is_empty() => model.active = Some(stored.into()),
        Some(active) if !stored.is_empty() && *active != *stored => model.state.begin_anew(&active),
        _ => {}
    }
}

#[cfg(test)]
mod tests;

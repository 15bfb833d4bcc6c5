//! Saved positions: a file of JSON per source, replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{SourceContext, SourceError};

/// Where a source keeps its position.
#[derive(Clone, Debug)]
pub(crate) struct PositionFile(PathBuf);

impl PositionFile {
    /// The file of a source of this kind.
    pub(crate) fn of(context: &SourceContext, kind: &str) -> Self {
        Self(context.state_dir.join(format!("{}.{kind}.json", context.name)))
    }

    /// What was saved; `None` when nothing was.
    ///
    /// # Errors
    /// It is there and cannot be read. Beginning anew would count everything twice, so that is left to a person.
    pub(crate) fn load<T: DeserializeOwned>(
        &self,
        context: &SourceContext,
    ) -> Result<Option<T>, SourceError> {
        let failed = |what: String| SourceError::Failed {
            source_name: context.name.clone(),
            message: format!(
                "its saved position `{}` cannot be read: {what}; mend it, or remove it to begin anew",
                self.0.display()
            ),
        };
        let bytes = match fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string()))
    }

    /// Puts it into the place of what was saved before.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn save<T: Serialize>(&self, position: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(position)?;
        write_atomically(&self.0, &bytes)
    }
}

fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Does what may wait for a disk or a network file system, where it holds up no other source.
pub(crate) async fn blocking<T: Send + 'static>(
    context: &SourceContext,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SourceError::Failed {
        source_name: context.name.clone(),
        message: format!("its work on files ended early: {error}"),
    })
}

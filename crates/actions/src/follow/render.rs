//! From a value to a configuration in force: fill in, test, reload; and back to the old one when that fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::actuators::run_program;
use crate::call::Failure;
use crate::template::Template;

/// What is made of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderSpec {
    /// The configuration, with `{{ value }}` and `{{ target }}`.
    pub template: Template,
    /// Where it goes.
    pub output: PathBuf,
    /// What each value stands for, `{{ target }}`; a value that is not here is refused. Empty: any value, which is its
    /// own target.
    pub targets: BTreeMap<String, String>,
    /// A program that tests the configuration, with its arguments; empty for none.
    pub test: Vec<String>,
    /// A program that puts it in force, with its arguments; empty for none.
    pub reload: Vec<String>,
    /// Time for each program.
    pub timeout: Duration,
}

/// What came of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The configuration is that already.
    Unchanged,
    /// It is in force now.
    InForce,
}

/// Puts values in force.
#[derive(Clone, Debug)]
pub struct Renderer {
    spec: RenderSpec,
}

#[derive(Serialize)]
struct Values<'a> {
    value: &'a str,
    target: &'a str,
}

impl Renderer {
    /// Makes it.
    pub const fn new(spec: RenderSpec) -> Self {
        Self { spec }
    }

    /// Puts a value in force.
    ///
    /// # Errors
    /// An unknown value; a configuration that can't be written; one that fails its test or can't be loaded: then the old
    /// one is back, and in force.
    pub async fn put(&self, value: &str) -> Result<Put, Failure> {
        let target = match self.spec.targets.get(value) {
            Some(target) => target.as_str(),
            None if self.spec.targets.is_empty() => value,
            None => {
                let known: Vec<&str> = self.spec.targets.keys().map(String::as_str).collect();
                return Err(Failure::never(format!("`{value}` is none of {}", known.join(", "))));
            }
        };
        let text = self
            .spec
            .template
            .fill(&Values { value, target })
            .map_err(|error| Failure::never(format!("the template: {error}")))?;
        let output = &self.spec.output;
        let failed = |error: std::io::Error| Failure::later(format!("`{}`: {error}", output.display()));
        let old = match std::fs::read(output) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if old.as_deref() == Some(text.as_bytes()) {
            return Ok(Put::Unchanged);
        }
        replace(output, text.as_bytes()).map_err(failed)?;
        if let Err(failure) = self.run(&self.spec.test).await {
            self.back(old.as_deref());
            return Err(failure.at("the configuration fails its test, the old one is back"));
        }
        if let Err(failure) = self.run(&self.spec.reload).await {
            self.back(old.as_deref());
            // Whatever of the new one was loaded is replaced by the old one.
            if let Err(again) = self.run(&self.spec.reload).await {
                tracing::error!(failure = %again, "the old configuration is back, and could not be loaded either");
            }
            return Err(failure.at("the configuration could not be loaded, the old one is back"));
        }
        Ok(Put::InForce)
    }

    async fn run(&self, argv: &[String]) -> Result<(), Failure> {
        if argv.is_empty() {
            return Ok(());
        }
        run_program(argv, &[], self.spec.timeout).await
    }

    fn back(&self, old: Option<&[u8]>) {
        let output = &self.spec.output;
        let done = match old {
            Some(old) => replace(output, old),
            None => std::fs::remove_file(output),
        };
        if let Err(error) = done {
            tracing::error!(file = %output.display(), %error, "the old configuration could not be put back");
        }
    }
}

/// Writes a file in one step, with the rights of the one that it replaces.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    std::fs::write(&fresh, content)?;
    if let Ok(old) = std::fs::metadata(path) {
        std::fs::set_permissions(&fresh, old.permissions())?;
    }
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_fails_its_test_is_never_in_force() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (output, log) = (folder.path().join("active.conf"), folder.path().join("reloads"));
            let (path, log_path) = (output.to_str().unwrap(), log.to_str().unwrap());
            let renderer = Renderer::new(RenderSpec {
                template: Template::text("server {{ target }};\n").unwrap(),
                output: output.clone(),
                targets: BTreeMap::from([
                    ("v1".to_owned(), "10.0.0.1:80".to_owned()),
                    ("v2".to_owned(), "bad".to_owned()),
                ]),
                test: words(&["sh", "-c", "! grep -q bad \"$1\"", "sh", path]),
                reload: words(&["sh", "-c", "cat \"$1\" >> \"$2\"", "sh", path, log_path]),
                timeout: Duration::from_secs(5),
            });
            let failure = renderer.put("v2").await.unwrap_err();
            assert!(failure.reason.starts_with("the configuration fails its test"), "{failure}");
            assert!(!output.exists(), "there was none before");
            assert_eq!(renderer.put("v1").await.unwrap(), Put::InForce);
            assert_eq!(renderer.put("v1").await.unwrap(), Put::Unchanged);
            renderer.put("v2").await.unwrap_err();
            assert_eq!(std::fs::read_to_string(&output).unwrap(), "server 10.0.0.1:80;\n");
            assert_eq!(std::fs::read_to_string(&log).unwrap(), "server 10.0.0.1:80;\n", "one reload");
            let unknown = renderer.put("v3").await.unwrap_err();
            assert_eq!((unknown.reason.as_str(), unknown.retry), ("`v3` is none of v1, v2", false));
        });
    }

    #[test]
    fn what_cannot_be_loaded_is_taken_back() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let output = folder.path().join("active.conf");
            std::fs::write(&output, "old").unwrap();
            let renderer = Renderer::new(RenderSpec {
                template: Template::text("{{ value }}").unwrap(),
                output: output.clone(),
                targets: BTreeMap::new(),
                test: Vec::new(),
                reload: words(&["grep", "-q", "old", output.to_str().unwrap()]),
                timeout: Duration::from_secs(5),
            });
            assert!(renderer.put("v1").await.is_err());
            assert_eq!(std::fs::read_to_string(&output).unwrap(), "old");
        });
    }
}

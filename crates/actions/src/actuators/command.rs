//! A local program with its arguments. No shell: a value is one argument, whatever it holds.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::Wanted;
use crate::call::Failure;
use crate::template::Template;

/// Bytes of a program's output that are kept.
const OUTPUT_MAX: u64 = 4 * 1024;

/// A program as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandSpec {
    /// The program and its arguments.
    pub argv: Vec<Template>,
    /// What reads back, with its arguments; empty for nothing. Success is exit code 0.
    pub verify: Vec<Template>,
}

#[derive(Debug)]
pub(super) struct CommandSwitch {
    spec: CommandSpec,
    timeout: Duration,
}

impl CommandSwitch {
    pub(super) fn new(spec: &CommandSpec, timeout: Duration) -> Self {
        Self { spec: spec.clone(), timeout }
    }

    fn filled(argv: &[Template], wanted: &Wanted<'_>) -> Result<Vec<String>, Failure> {
        let fill = |template: &Template| {
            template.fill(&wanted.values()).map_err(|error| Failure::never(format!("an argument: {error}")))
        };
        argv.iter().map(fill).collect()
    }

    async fn run(&self, argv: &[Template], wanted: &Wanted<'_>) -> Result<(), Failure> {
        let argv = Self::filled(argv, wanted)?;
        let values = wanted.values();
        let env = [
            ("DRIFTLINE_MODEL", values.model.to_owned()),
            ("DRIFTLINE_FROM", values.from.to_owned()),
            ("DRIFTLINE_TO", values.to.to_owned()),
            ("DRIFTLINE_KIND", values.kind.to_owned()),
            ("DRIFTLINE_DECISION_ID", values.decision_id.to_string()),
        ];
        run(&argv, &env, self.timeout).await
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        self.run(&self.spec.argv, wanted).await
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        if self.spec.verify.is_empty() {
            return Ok(());
        }
        self.run(&self.spec.verify, wanted).await.map_err(|failure| failure.at("reading back"))
    }

    pub(super) fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let argv = Self::filled(&self.spec.argv, wanted)?;
        Ok(format!("run {}", argv.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ")))
    }
}

/// Runs a program to its end, or for so long; what takes longer is killed.
pub(crate) async fn run(argv: &[String], env: &[(&str, String)], timeout: Duration) -> Result<(), Failure> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Failure::never("there is no program to run"));
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(env.iter().map(|(name, value)| (*name, value.as_str())));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| Failure::never(format!("`{program}` does not start: {error}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(timeout, async {
        let (_, stderr, status) = tokio::join!(beginning(stdout), beginning(stderr), child.wait());
        status.map(|status| Output { status, stdout: Vec::new(), stderr })
    })
    .await;
    match ended {
        Err(_) => Err(Failure::later(format!("`{program}` took longer than {timeout:?} and was killed"))),
        Ok(Err(error)) => Err(Failure::later(format!("`{program}`: {error}"))),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String =
                said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(500).collect();
            Err(Failure::later(format!("`{program}` ended with {}: {said}", output.status)))
        }
    }
}

/// The beginning of what a program says; the rest is read and forgotten, so that it never waits for us.
async fn beginning(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        // A pipe that breaks has said what it had to say.
        drop((&mut pipe).take(OUTPUT_MAX).read_to_end(&mut kept).await);
        drop(tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuators::ActuatorKind;
    use crate::actuators::testing::{change, make};
    use crate::testing::block_on;

    fn argv(words: &[&str]) -> Vec<Template> {
        words.iter().map(|word| Template::text(word).unwrap()).collect()
    }

    #[test]
    fn arguments_are_arguments_and_nothing_else() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("active; touch $(oops)");
            let path = file.to_str().unwrap();
            let spec = CommandSpec {
                argv: argv(&["cp", "/dev/null", path]),
                verify: argv(&[
                    "sh",
                    "-c",
                    "test -f \"$1\" && test \"$DRIFTLINE_TO\" = \"$2\"",
                    "sh",
                    path,
                    "{{ to }}",
                ]),
            };
            let actuator = make(ActuatorKind::Command(spec), &[]);
            assert!(actuator.verify(&change()).await.is_err());
            actuator.apply(&change()).await.unwrap();
            actuator.verify(&change()).await.unwrap();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        });
    }

    #[test]
    fn what_goes_wrong_is_said() {
        block_on(async {
            let said = |words: &[&str], timeout: u64| {
                let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
                async move { run(&argv, &[], Duration::from_millis(timeout)).await.unwrap_err() }
            };
            let missing = said(&["/no/such/program"], 5_000).await;
            assert!(missing.reason.contains("does not start") && !missing.retry, "{missing}");
            let failed = said(&["sh", "-c", "echo no way >&2; exit 3"], 5_000).await;
            assert!(failed.reason.contains("exit status: 3: no way"), "{failed}");
            let slow = said(&["sleep", "60"], 50).await;
            assert!(slow.reason.contains("was killed"), "{slow}");
            let loud = said(&["sh", "-c", "head -c 300000 /dev/zero >&2; exit 1"], 30_000).await;
            assert!(loud.reason.contains("exit status: 1"), "{loud}");
        });
    }
}

//! `follow`: a sidecar that keeps another gateway's configuration at the version that a parameter, a file or an endpoint
//! names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use actions::{AwsSpec, FollowSpec, Followed, Put, RenderSpec, Renderer, Secret, Template};
use anyhow::{Context as _, bail};
use clap::Args;

use crate::logging::LogFormat;
use crate::output::{Exit, Outcome};
use crate::run;

/// Time for one look at what is followed.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `follow`.
#[derive(Args, Debug)]
pub(crate) struct FollowArgs {
    /// Follow a parameter of AWS Systems Manager, such as /model/current
    #[arg(long, value_name = "NAME", required_unless_present_any = ["file", "http"], conflicts_with_all = ["file", "http"])]
    ssm: Option<String>,
    /// Its region [default: of the environment or the profile]
    #[arg(long, requires = "ssm")]
    region: Option<String>,
    /// Address in place of the service's own
    #[arg(long, value_name = "URL", requires = "ssm")]
    endpoint_url: Option<String>,
    /// Follow the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "http")]
    file: Option<PathBuf>,
    /// Follow the body of an HTTP endpoint's answer (DRIFTLINE_TOKEN holds a bearer token)
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// Template of the configuration: {{ value }} is what is followed, {{ target }} what --map makes of it
    #[arg(long, value_name = "FILE")]
    template: PathBuf,
    /// Where the configuration goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What a value stands for; a value without a --map is refused. Without any --map every value is taken
    #[arg(long = "map", value_name = "VALUE=TARGET")]
    targets: Vec<String>,
    /// Command that tests the configuration; no shell
    #[arg(long, value_name = "COMMAND", default_value = "")]
    test: String,
    /// Command that puts it in force; no shell
    #[arg(long, value_name = "COMMAND", default_value = "")]
    reload: String,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    every: f64,
    /// Seconds that a command may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    timeout: f64,
    /// Look once, and end: 0 when the configuration is in force, 1 when not
    #[arg(long)]
    once: bool,
}

/// `driftline follow`.
pub(crate) fn run(args: &FollowArgs, format: LogFormat) -> Outcome {
    let followed = Followed::new(&source(args)?, LOOK_TIMEOUT, now_ms)?;
    let renderer = Renderer::new(render(args)?);
    let every = seconds("--every", args.every)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.once {
        return runtime.block_on(async {
            match step(&followed, &renderer, &mut None).await {
                Ok(()) => Ok(Exit::Fine),
                Err(complaint) => {
                    tracing::error!(complaint, "not in force");
                    Ok(Exit::Found)
                }
            }
        });
    }
    run::say(format, &format!("following {}, into {}", followed.name(), args.output.display()));
    let follow = async {
        let (mut in_force, mut told) = (None, None);
        loop {
            let complaint = step(&followed, &renderer, &mut in_force).await.err();
            if complaint != told
                && let Some(complaint) = &complaint
            {
                tracing::error!(complaint, "the configuration stays as it is");
            }
            told = complaint;
            // A tenth is drawn: sidecars that were started together do not ask together.
            tokio::time::sleep(every.mul_f64(0.95 + fastrand::f64() / 10.0)).await;
        }
    };
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            () = follow => {}
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok(Exit::Fine)
    })
}

/// One look.
async fn step(followed: &Followed, renderer: &Renderer, in_force: &mut Option<String>) -> Result<(), String> {
    let value = followed.value().await.map_err(|failure| failure.to_string())?;
    if in_force.as_ref() == Some(&value) {
        return Ok(());
    }
    let began = std::time::Instant::now();
    let put = renderer.put(&value).await.map_err(|failure| failure.to_string())?;
    if put == Put::InForce {
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(value, ms, "in force");
    }
    *in_force = Some(value);
    Ok(())
}

fn source(args: &FollowArgs) -> anyhow::Result<FollowSpec> {
    if let Some(parameter) = &args.ssm {
        let aws = AwsSpec { region: args.region.clone(), endpoint: args.endpoint_url.clone(), profile: None };
        return Ok(FollowSpec::Ssm { aws, parameter: parameter.clone() });
    }
    match (&args.file, &args.http) {
        (Some(file), _) => Ok(FollowSpec::File(file.clone())),
        (None, Some(url)) => {
            let token = std::env::var("DRIFTLINE_TOKEN").ok().filter(|token| !token.is_empty());
            Ok(FollowSpec::Http { url: Secret::new(url.as_str()), token: token.map(Secret::new) })
        }
        (None, None) => bail!("nothing to follow: give --ssm, --file or --http"),
    }
}

fn render(args: &FollowArgs) -> anyhow::Result<RenderSpec> {
    let path = args.template.display();
    let text = std::fs::read_to_string(&args.template).with_context(|| format!("the template `{path}`"))?;
    let template =
        Template::text(&text).map_err(|error| anyhow::anyhow!("the template `{path}`: {error}"))?;
    for name in template.names() {
        if !["value", "target"].contains(&name.as_str()) {
            bail!("the template `{path}` uses `{name}`; there are `value` and `target`");
        }
    }
    let mut targets = BTreeMap::new();
    for pair in &args.targets {
        let (value, target) =
            pair.split_once('=').with_context(|| format!("--map `{pair}`: expected VALUE=TARGET"))?;
        targets.insert(value.to_owned(), target.to_owned());
    }
    let words = |name: &str, text: &str| {
        shlex::split(text).with_context(|| format!("{name}: a quote is not closed in `{text}`"))
    };
    Ok(RenderSpec {
        template,
        output: args.output.clone(),
        targets,
        test: words("--test", &args.test)?,
        reload: words("--reload", &args.reload)?,
        timeout: seconds("--timeout", args.timeout)?,
    })
}

fn seconds(name: &str, value: f64) -> anyhow::Result<Duration> {
    if !(value.is_finite() && (0.1..=86_400.0).contains(&value)) {
        bail!("{name} must be between 0.1 and 86400 seconds");
    }
    Ok(Duration::from_secs_f64(value))
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

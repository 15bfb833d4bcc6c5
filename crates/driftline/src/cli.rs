//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::backtest::BacktestArgs;
use crate::baseline::BaselineArgs;
use crate::check::CheckArgs;
use crate::compare::CompareArgs;
use crate::demo::DemoArgs;
use crate::demo::example::ExampleArgs;
use crate::detect::DetectArgs;
use crate::drill::DrillArgs;
use crate::follow::FollowArgs;
use crate::logging::LogFormat;
use crate::replay::ReplayArgs;

/// Shadow traffic, live drift measurement and automatic rollback for machine-learning models.
#[derive(Debug, Parser)]
#[command(
    name = "driftline",
    version,
    after_help = "Start here:\n  driftline demo\n  driftline run --prod http://127.0.0.1:8001 --shadow http://127.0.0.1:8002 --percent 5"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How log lines look; the level is set by RUST_LOG
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Gateway, probes, alerts, rollback, admin API and metrics in one process
    #[command(
        after_help = "Examples:\n  driftline run -c driftline.yaml\n  driftline run --prod http://model-v2:8080 --shadow http://model-v1:8080 --percent 5"
    )]
    Run(RunArgs),
    /// Probes without a gateway: measures what sources and the receivers of the admin address bring
    #[command(
        after_help = "Examples:\n  driftline observe -c observe.yaml\n  kubectl logs -f deploy/model | driftline observe -c observe.yaml"
    )]
    Observe(ObserveArgs),
    /// Two example models and real data that drifts: from change to rollback in under a minute
    #[command(after_help = "Example:\n  driftline demo --exit-after-rollback")]
    Demo(DemoArgs),
    /// The demo's models and clients, each by itself, for a stack of containers
    #[command(after_help = "Example:\n  driftline example model --version v2 --listen 127.0.0.1:8002")]
    Example(ExampleArgs),
    /// Compare two data files, or a file with a reference profile
    #[command(
        after_help = "Examples:\n  driftline compare --reference train.parquet --current today.csv\n  driftline compare --reference profile.json --current today.jsonl --format json --fail-on 'psi>0.2'"
    )]
    Compare(CompareArgs),
    /// Watch rows on standard input, or the sum of replicas: drift is found as soon as there is evidence, with a stated rate of false alarms
    #[command(
        after_help = "Examples:\n  driftline detect --reference train.csv --arl 100000 < today.csv\n  tail -f requests.jsonl | driftline detect --reference train.parquet --exclude id,label\n  driftline detect --merge http://driftline-0:9464,http://driftline-1:9464"
    )]
    Detect(DetectArgs),
    /// Play recorded inferences to a policy: which alarms and rollbacks it would have made, and when
    #[command(
        after_help = "Examples:\n  driftline backtest -c changed.yaml logs/*.jsonl.gz\n  driftline backtest -c driftline.yaml --shuffle logs/prod.jsonl"
    )]
    Backtest(BacktestArgs),
    /// Build a reference profile from data files
    #[command(
        after_help = "Examples:\n  driftline baseline train.parquet -o fraud-baseline.json --name fraud --exclude id,label\n  driftline baseline --from sagemaker statistics.json -o fraud-baseline.json\n  driftline baseline --from whylogs profile.bin -o fraud-baseline.json"
    )]
    Baseline(BaselineArgs),
    /// Send a data file's rows as inference requests
    #[command(
        after_help = "Example:\n  driftline replay today.csv --to http://127.0.0.1:8080/v2/models/fraud/infer --rps 200"
    )]
    Replay(ReplayArgs),
    /// Run the rollback test against a running instance and print each step with its time
    #[command(
        after_help = "Example:\n  driftline drill --admin http://127.0.0.1:9464 --psi 0.35 --latency-ms 530"
    )]
    Drill(DrillArgs),
    /// Validate a configuration: all errors at once, with line and column
    #[command(
        after_help = "Examples:\n  driftline check -c driftline.yaml\n  driftline check -c driftline.yaml --sample requests.jsonl"
    )]
    Check(CheckArgs),
    /// Write generated configuration
    #[command(
        after_help = "Examples:\n  driftline export prometheus-rules -c driftline.yaml -o rules.yml\n  driftline export compose -c driftline.yaml -o stack"
    )]
    Export(ExportArgs),
    /// Show what a running instance does
    #[command(after_help = "Example:\n  driftline status --admin http://127.0.0.1:9464")]
    Status(StatusArgs),
    /// Ask a URL once: 0 when it answers 2xx, else 1; for containers that hold nothing but this program
    #[command(after_help = "Example:\n  driftline healthcheck --url http://127.0.0.1:9464/readyz")]
    Healthcheck(HealthcheckArgs),
    /// Send all traffic back to the stable version
    #[command(after_help = "Example:\n  driftline rollback --model fraud --reason 'scores look wrong'")]
    Rollback(RollbackArgs),
    /// Send all traffic to a version again
    #[command(after_help = "Example:\n  driftline promote --model fraud --version v2")]
    Promote(PromoteArgs),
    /// Switch automatic rollback on or off
    #[command(after_help = "Example:\n  driftline auto-rollback off --model fraud")]
    AutoRollback(AutoRollbackArgs),
    /// Approve the rollback that waits for it
    #[command(after_help = "Example:\n  driftline approve --model fraud")]
    Approve(ChangeArgs),
    /// Turn down the rollback that waits for approval
    #[command(after_help = "Example:\n  driftline reject --model fraud --reason 'a holiday, not drift'")]
    Reject(ChangeArgs),
    /// Hold a model where it is: no alert moves its traffic
    #[command(after_help = "Example:\n  driftline hold --model fraud --minutes 120 --reason 'load test'")]
    Hold(HoldArgs),
    /// Let a model go that is held
    #[command(after_help = "Example:\n  driftline release --model fraud")]
    Release(ChangeArgs),
    /// Start a training now
    #[command(after_help = "Example:\n  driftline retrain --model fraud --trainer airflow")]
    Retrain(RetrainArgs),
    /// Keep another gateway's configuration at the version that a parameter, a file or an endpoint names
    #[command(
        after_help = "Example:\n  driftline follow --ssm /model/current --map v1=10.0.0.1:8080 --map v2=10.0.0.2:8080 \\\n    --template upstream.conf.tmpl -o /etc/nginx/conf.d/upstream.conf --test 'nginx -t' --reload 'nginx -s reload'"
    )]
    Follow(FollowArgs),
    /// Print shell completions
    #[command(after_help = "Example:\n  driftline completions bash > /etc/bash_completion.d/driftline")]
    Completions(CompletionsArgs),
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Configuration file [default: driftline.yaml, unless --prod is given]
    #[arg(short, long, env = "DRIFTLINE_CONFIG", conflicts_with = "prod")]
    pub(crate) config: Option<PathBuf>,
    /// The model that answers clients, when there is no file
    #[arg(long, value_name = "URL")]
    pub(crate) prod: Option<String>,
    /// The model that gets copies
    #[arg(long, value_name = "URL", requires = "prod")]
    pub(crate) shadow: Option<String>,
    /// Where a rollback goes [default: nowhere, --prod is stable]
    #[arg(long, value_name = "URL", requires = "prod")]
    pub(crate) stable: Option<String>,
    /// Share of requests to copy, 0 to 100 [default: 5]
    #[arg(long, requires = "shadow")]
    pub(crate) percent: Option<f64>,
    /// Address that takes traffic [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", requires = "prod")]
    pub(crate) listen: Option<String>,
    /// Address of metrics, API and dashboard [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", requires = "prod")]
    pub(crate) admin: Option<String>,
    /// Reference profile of the training data; without it the first requests are the reference
    #[arg(long, value_name = "FILE", requires = "prod")]
    pub(crate) baseline: Option<PathBuf>,
}

/// Arguments of `observe`.
#[derive(Args, Debug)]
pub(crate) struct ObserveArgs {
    /// Configuration file with models and `sources`
    #[arg(short, long, env = "DRIFTLINE_CONFIG", default_value = "driftline.yaml")]
    pub(crate) config: PathBuf,
}

/// What `export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportKind {
    /// Alert rules for Prometheus, from the policy the embedded rules use
    PrometheusRules,
    /// Routes and receivers for Alertmanager that fit those rules
    Alertmanager,
    /// Dashboard for Grafana, with the rules' thresholds
    GrafanaDashboard,
    /// JSON schema of driftline.yaml, for editors
    JsonSchema,
    /// A Compose stack of Driftline, Prometheus, Alertmanager, Loki, Fluent Bit and Grafana, as a folder
    Compose,
}

/// Arguments of `export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// What to write
    #[arg(value_enum)]
    pub(crate) kind: ExportKind,
    /// Configuration file to take the policy from [default: the default policy]
    #[arg(short, long, env = "DRIFTLINE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where to; for `compose` a folder, or the Compose file in it [default: stdout]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
}

/// How to reach a running instance.
#[derive(Args, Clone, Debug)]
pub(crate) struct AdminArgs {
    /// Admin address of the running instance
    #[arg(long, value_name = "URL", env = "DRIFTLINE_ADMIN", default_value = "http://127.0.0.1:9464")]
    pub(crate) admin: String,
    /// File that holds the bearer token (DRIFTLINE_TOKEN holds the token itself)
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Only this model
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: StatusFormat,
}

/// How `status` prints.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum StatusFormat {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Arguments of `healthcheck`.
#[derive(Args, Debug)]
pub(crate) struct HealthcheckArgs {
    /// What is asked
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464/readyz")]
    pub(crate) url: http::Uri,
    /// Seconds for the whole answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
}

/// Arguments of `hold`.
#[derive(Args, Debug)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// How long [default: until it is released]
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
}

/// Arguments of `retrain`.
#[derive(Args, Debug)]
pub(crate) struct RetrainArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// The trainer, as it is called under `retrain` [default: the first that trains the model]
    #[arg(long)]
    pub(crate) trainer: Option<String>,
}

/// Arguments of `rollback`.
#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Say what every actuator would do, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Roll back although the stable version is measurably bad itself
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of commands about one model.
#[derive(Args, Debug)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// The model [default: the only one]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Why, for the audit trail
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// Arguments of `promote`.
#[derive(Args, Debug)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// The version to switch to [default: the one that the configuration makes active]
    #[arg(long, value_name = "VERSION", alias = "version")]
    pub(crate) to: Option<String>,
}

/// Arguments of `auto-rollback`.
#[derive(Args, Debug)]
pub(crate) struct AutoRollbackArgs {
    /// On or off
    #[arg(value_enum)]
    pub(crate) state: Switch,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// The model [default: the only one]
    #[arg(long)]
    pub(crate) model: Option<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On
    On,
    /// Off
    Off,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in super::Cli::command().get_subcommands().filter(|command| command.get_name() != "help")
        {
            let help = command.clone().render_help().to_string();
            assert!(help.contains("Example"), "`{}` shows no example", command.get_name());
        }
    }
}

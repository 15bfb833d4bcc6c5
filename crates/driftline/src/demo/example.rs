//! `driftline example`: the demo's parts one by one, for a stack of containers or machines in which each runs by itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use http::Uri;
use tokio::signal::unix::{SignalKind, signal};

use super::model::Model;
use super::serve::ModelServer;
use super::traffic::Traffic;
use super::watch::{NEW, STABLE};
use super::{END_WITHIN, INPUTS, Models, THREADS, flights, parse_rps};
use crate::output::{Exit, Outcome, note};

/// How often the clients say how they are.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Arguments of `example`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExampleArgs {
    #[command(subcommand)]
    what: Example,
}

#[derive(Clone, Debug, Subcommand)]
enum Example {
    /// Serve one of the demo's models: KServe v2, POST /v2/models/flights/infer
    #[command(after_help = "Example:\n  driftline example model --version v2 --listen 127.0.0.1:8002")]
    Model {
        /// v1 goes by hour and distance, v2 by the weather too
        #[arg(long, value_enum)]
        version: Version,
        /// Address
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
        listen: SocketAddr,
        /// Answer slowly: 95 % of the answers within 530 ms
        #[arg(long)]
        slow: bool,
    },
    /// Be the demo's clients: winter's flights, then July's, then winter's again, for ever
    #[command(
        after_help = "Example:\n  driftline example traffic --to http://127.0.0.1:8080 --calm 600 --drift 600"
    )]
    Traffic {
        /// The gateway, or a model
        #[arg(long, value_name = "URL")]
        to: String,
        /// Requests per second
        #[arg(long, value_name = "N", default_value_t = 50.0, value_parser = parse_rps)]
        rps: f64,
        /// Seconds of winter's flights
        #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=604_800))]
        calm: u64,
        /// Seconds of July's flights; 0 for none
        #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=604_800))]
        drift: u64,
        /// End after so many seconds; 1 when a request got no answer or an error
        #[arg(long, value_name = "SECONDS")]
        end_after: Option<u64>,
    },
    /// Write the reference profile of v2's winter
    #[command(after_help = "Example:\n  driftline example baseline -o flights-baseline.json")]
    Baseline {
        /// Where to [default: stdout]
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    V1,
    V2,
}

/// `driftline example`.
pub(crate) fn run(args: &ExampleArgs) -> Outcome {
    match &args.what {
        Example::Model { version, listen, slow } => model(*version, *listen, *slow),
        Example::Traffic { to, rps, calm, drift, end_after } => {
            let to: Uri = format!("{}{}", to.trim_end_matches('/'), super::INFER_PATH)
                .parse()
                .with_context(|| format!("`{to}` is no URL"))?;
            let spans = (Duration::from_secs(*calm), Duration::from_secs(*drift));
            traffic(to, *rps, spans, end_after.map(Duration::from_secs))
        }
        Example::Baseline { output } => baseline(output.as_ref()),
    }
}

fn model(version: Version, listen: SocketAddr, slow: bool) -> Outcome {
    let flights = flights::load()?;
    let (name, model) = match version {
        Version::V1 => (STABLE, Model::fit(&flights.reference, &["hour", "distance"])),
        Version::V2 => (NEW, Model::fit(&flights.reference, &INPUTS)),
    };
    runtime()?.block_on(async {
        let (server, address) =
            ModelServer::start(name, model, listen).await.with_context(|| format!("listen on `{listen}`"))?;
        if slow {
            server.slow_down();
        }
        note(format!("model {name} on http://{address}"));
        ended().await
    })?;
    Ok(Exit::Fine)
}

fn traffic(to: Uri, rps: f64, (calm, drift): (Duration, Duration), end_after: Option<Duration>) -> Outcome {
    let flights = flights::load()?;
    let bodies = |flights: &[flights::Flight]| flights.iter().map(|flight| flight.body.clone()).collect();
    let (winter, july) = (bodies(&flights.before), bodies(&flights.after));
    note(format!("{rps} requests a second to {to}: {calm:?} of winter, {drift:?} of July, and again"));
    let traffic = Traffic::new(to, rps);
    let runtime = runtime()?;
    let sending = runtime.spawn(Arc::clone(&traffic).run(winter, july, 2013));
    runtime.block_on(async {
        let season = async {
            loop {
                tokio::time::sleep(calm).await;
                if !drift.is_zero() {
                    traffic.season(true);
                    note("July's flights from now on");
                    tokio::time::sleep(drift).await;
                    traffic.season(false);
                    note("winter's flights from now on");
                }
            }
        };
        let over = async {
            match end_after {
                Some(span) => tokio::time::sleep(span).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = season => Ok(()),
            () = say(&traffic) => Ok(()),
            () = over => Ok(()),
            ended = ended() => ended,
        }
    })?;
    traffic.end();
    if runtime.block_on(async { tokio::time::timeout(END_WITHIN, sending).await }).is_err() {
        tracing::debug!("requests under way were given up");
    }
    let seen = traffic.seen();
    note(format!(
        "{} sent, {} answered, {} errors, {} lost",
        seen.sent, seen.answered, seen.errors, seen.lost
    ));
    Ok(if end_after.is_some() && seen.errors + seen.lost > 0 { Exit::Found } else { Exit::Fine })
}

async fn say(traffic: &Traffic) {
    let start = Instant::now();
    loop {
        tokio::time::sleep(SAY_EVERY).await;
        let seen = traffic.seen();
        let problem =
            seen.first_problem.map(|problem| format!("; first problem: {problem}")).unwrap_or_default();
        note(format!(
            "after {} s: {} sent, {} answered, {} errors, {} lost{problem}",
            start.elapsed().as_secs(),
            seen.sent,
            seen.answered,
            seen.errors,
            seen.lost
        ));
    }
}

fn baseline(output: Option<&PathBuf>) -> Outcome {
    let flights = flights::load()?;
    let models = Models::fit(&flights);
    // Undated, so that it is the same every time.
    let text = flights.baseline(|inputs| models.new.predict(inputs), 0).to_json_pretty();
    match output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))?,
        None => crate::output::line(text.trim_end())?,
    }
    Ok(Exit::Fine)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()
}

/// Until somebody ends the program. As the first process of a container it would not be ended otherwise.
async fn ended() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
    }
}

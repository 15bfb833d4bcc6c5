//! `driftline demo`: the product's promise on one screen, in about a minute.
//!
//! Everything is real but two things, and those are said: the models are small and fitted on the spot, and the second
//! one's slowness is injected. The flights, their drift from winter to July, the gateway, the rules, the decision and the
//! route are what they are anywhere else; the demo watches them through the admin API as a user would.

pub(crate) mod example;
mod flights;
mod model;
mod report;
mod screen;
mod serve;
mod setup;
mod story;
mod timeline;
mod traffic;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use server::App;
use tokio::runtime::Runtime;

use crate::admin_client::AdminClient;
use crate::output::{Exit, Outcome};
use flights::{Flights, INPUTS};
use model::{Model, auc, share_expected, share_late};
use screen::Screen;
use serve::{INFER_PATH, ModelServer};
use setup::Setup;
use story::Story;
use traffic::{TENANTS, Traffic};
use watch::{Clock, NEW, STABLE, Watcher};

/// Threads for models, clients and watching.
const THREADS: usize = 2;

/// A free port of loopback.
const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// How long models and clients may take to end.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// How many times faster than by default the rules' waits pass; 1 is real time
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = parse_speed)]
    speed: f64,
    /// End after the rollback: 0 when every promise was kept, else 1
    #[arg(long)]
    exit_after_rollback: bool,
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 150.0, value_parser = parse_rps)]
    rps: f64,
    /// Order of the flights
    #[arg(long, value_name = "N", default_value_t = 2013)]
    seed: u64,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (1.0..=60.0).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 1 to 60".to_owned()),
    }
}

fn parse_rps(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rps) if (20.0..=1_000.0).contains(&rps) => Ok(rps),
        _ => Err("expected a number from 20 to 1000".to_owned()),
    }
}

/// Where the demo's requests go.
fn traffic_addr(app: &App) -> std::io::Result<SocketAddr> {
    app.traffic_addr().ok_or_else(|| std::io::Error::other("the demo takes no traffic"))
}

/// `driftline demo`. With `--exit-after-rollback` it exits 1 when a promise was not kept.
pub(crate) fn run(args: &DemoArgs) -> Outcome {
    let (start, now_ms) = (Instant::now(), jiff::Timestamp::now().as_millisecond());
    let flights = flights::load()?;
    let models = Models::fit(&flights);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let servers = runtime.block_on(Servers::start(&models)).context("the models' servers did not start")?;
    let folder = tempfile::Builder::new().prefix("driftline-demo-").tempdir()?;
    let baseline = flights.baseline(|inputs| models.new.predict(inputs), now_ms);
    let setup = Setup::write(folder.path(), &baseline, servers.stable, servers.new, args.speed)?;
    let app = App::start(setup.settings.clone())?;
    let screen = Screen::new();
    introduce(&screen, args, &app, &setup, &models, &servers)?;
    let traffic_addr = traffic_addr(&app)?;
    let traffic = Traffic::new(format!("http://{traffic_addr}{INFER_PATH}").parse()?, args.rps);
    let sending = send(&runtime, &traffic, &flights, args.seed);
    let watcher =
        Watcher::new(AdminClient::new(&app.admin_addr().to_string(), None)?, Clock::new(start, now_ms));
    let story = Story {
        screen,
        watcher,
        traffic: Arc::clone(&traffic),
        slow: servers.slow,
        saved: setup.saved(),
        july: july(&models, &flights),
        cooldown: setup.cooldown(),
        speed: args.speed,
        rps: args.rps,
        goes_on: !args.exit_after_rollback,
        admin: app.admin_addr(),
    };
    let told = runtime.block_on(async {
        tokio::select! {
            told = story.tell() => told,
            pressed = tokio::signal::ctrl_c() => pressed.map(|()| args.exit_after_rollback.then_some(false)).map_err(Into::into),
        }
    });
    traffic.end();
    let sent = runtime.block_on(async { tokio::time::timeout(END_WITHIN, sending).await });
    if sent.is_err() {
        tracing::debug!("requests under way were given up");
    }
    app.shutdown();
    runtime.shutdown_timeout(END_WITHIN);
    Ok(if told? == Some(false) { Exit::Found } else { Exit::Fine })
}

/// What July does to the models, beyond numbers about inputs.
fn july(models: &Models, flights: &Flights) -> String {
    let percent =
        |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let expected = |model: &Model| percent(share_expected(model, &flights.after));
    format!(
        "of July's flights {NEW} expects {} to be late, {STABLE}, which ignores the weather, {}; {} were",
        expected(&models.new),
        expected(&models.stable),
        percent(share_late(&flights.after))
    )
}

fn send(
    runtime: &Runtime,
    traffic: &Arc<Traffic>,
    flights: &Flights,
    seed: u64,
) -> tokio::task::JoinHandle<()> {
    let bodies = |flights: &[flights::Flight]| flights.iter().map(|flight| flight.body.clone()).collect();
    runtime.spawn(Arc::clone(traffic).run(bodies(&flights.before), bodies(&flights.after), seed))
}

/// The two models and how good they are on winter flights they have not seen.
struct Models {
    stable: Model,
    new: Model,
    stable_auc: f64,
    new_auc: f64,
}

impl Models {
    fn fit(flights: &Flights) -> Self {
        let stable = Model::fit(&flights.reference, &["hour", "distance"]);
        let new = Model::fit(&flights.reference, &INPUTS);
        let score = |model: &Model| auc(model, &flights.before).unwrap_or(f64::NAN);
        Self { stable_auc: score(&stable), new_auc: score(&new), stable, new }
    }
}

/// Where the models answer.
struct Servers {
    stable: SocketAddr,
    new: SocketAddr,
    /// The one that gets slow.
    slow: Arc<ModelServer>,
}

impl Servers {
    async fn start(models: &Models) -> std::io::Result<Self> {
        let (_, stable) = ModelServer::start(STABLE, models.stable.clone(), FREE).await?;
        let (slow, new) = ModelServer::start(NEW, models.new.clone(), FREE).await?;
        Ok(Self { stable, new, slow })
    }
}

fn introduce(
    screen: &Screen,
    args: &DemoArgs,
    app: &App,
    setup: &Setup,
    models: &Models,
    servers: &Servers,
) -> std::io::Result<()> {
    screen.heading("Driftline demo: will this flight be late?")?;
    let model = |model: &Model, auc: f64, address: SocketAddr| {
        format!("{}; AUC {auc:.2}; http://{address}", model.inputs().join(", "))
    };
    screen.field("data", "16000 departures from New York in 2013 with their weather (BTS, NOAA): real")?;
    screen.field(
        STABLE,
        format!("stable, gets 5 % copies: {}", model(&models.stable, models.stable_auc, servers.stable)),
    )?;
    screen.field(NEW, format!("answers clients: {}", model(&models.new, models.new_auc, servers.new)))?;
    screen.field(
        "baseline",
        "profile of 6000 departures of January and February, and of what v2 said of them",
    )?;
    let rps = args.rps;
    let traffic_addr = traffic_addr(app)?;
    screen.field("traffic", format!("{rps} requests/s to http://{traffic_addr}{INFER_PATH}"))?;
    screen.field("tenants", format!("{}: assigned to the flights in turn, made up", TENANTS.join(", ")))?;
    let times = if args.speed > 1.0 {
        format!("its times divided by {} (--speed)", args.speed)
    } else {
        "in real time".to_owned()
    };
    screen.field("rules", format!("the default policy, {times}"))?;
    screen.field("dashboard", format!("http://{}", app.admin_addr()))?;
    screen.field("files", format!("{} (removed at the end)", setup.file.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: DemoArgs,
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for bad in [
            ["--speed", "0"],
            ["--speed", "61"],
            ["--speed", "nan"],
            ["--rps", "19"],
            ["--rps", "inf"],
            ["--seed", "-1"],
        ] {
            assert!(Line::try_parse_from(["demo"].iter().chain(&bad)).is_err(), "{bad:?}");
        }
        let args = Line::try_parse_from(["demo", "--speed", "1", "--exit-after-rollback"]).unwrap().args;
        assert_eq!((args.speed, args.rps, args.exit_after_rollback), (1.0, 150.0, true));
    }
}

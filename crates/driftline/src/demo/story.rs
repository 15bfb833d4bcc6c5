//! The demo's acts: winter until the windows are full and quiet, then July, then what follows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use super::report::{self, Moments, QUIET_PSI};
use super::screen::{Screen, seconds};
use super::serve::ModelServer;
use super::timeline::Timeline;
use super::traffic::{TENANTS, Traffic};
use super::watch::{DecisionView, NEW, STABLE, View, Watcher};
use crate::output::is_terminal;
use crate::replay::tally::milliseconds;

/// How often the instance is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often once the story is over.
const LOOK_EVERY_LATER: Duration = Duration::from_secs(1);

/// Rows in the window over all tenants, and in each tenant's, before anything is changed: fewer would say as much about
/// chance as about flights.
const ROWS_ALL: u64 = 1_000;
const ROWS_TENANT: u64 = 200;

/// Time on top of what the rows take, for windows to be full and quiet.
const QUIET_WITHIN: Duration = Duration::from_secs(30);

/// Time on top of four scaled minutes, for the rollback to have happened.
const ROLLBACK_WITHIN: Duration = Duration::from_secs(60);
const ROLLBACK_WITHIN_SCALED: f64 = 240.0;

/// Characters of a decision's reason that are shown.
const REASON_SHOWN: usize = 100;

/// All that the story needs.
pub(super) struct Story {
    pub(super) screen: Screen,
    pub(super) watcher: Watcher,
    pub(super) traffic: Arc<Traffic>,
    pub(super) slow: Arc<ModelServer>,
    /// What the shorter waits save, by alert.
    pub(super) saved: BTreeMap<String, Duration>,
    /// What July does to the models.
    pub(super) july: String,
    pub(super) cooldown: Duration,
    pub(super) speed: f64,
    pub(super) rps: f64,
    /// Whether it goes on after the rollback.
    pub(super) goes_on: bool,
    pub(super) admin: SocketAddr,
}

impl Story {
    /// Tells it. The answer is whether every promise was kept, or never comes when the demo goes on.
    pub(super) async fn tell(&self) -> anyhow::Result<Option<bool>> {
        let mut moments = Moments { quiet: self.winter().await?, ..Moments::default() };
        let timeline = self.july(&mut moments).await?;
        let is_kept = self.conclude(&timeline, &moments).await?;
        if !self.goes_on {
            return Ok(Some(is_kept));
        }
        self.go_on(moments.after.last_decision).await
    }

    /// Waits until windows are full and quiet.
    async fn winter(&self) -> anyhow::Result<View> {
        self.screen.heading("1. Winter: traffic like the models' training data")?;
        let rows = ROWS_ALL.max(ROWS_TENANT * TENANTS.len() as u64);
        let deadline = Instant::now() + QUIET_WITHIN + Duration::from_secs_f64(rows as f64 / self.rps);
        let spinner = Spinner::new();
        loop {
            let view = self.watcher.look().await?;
            let fewest = self.fewest_rows().await?;
            let worst = view.worst().map_or(f64::INFINITY, |worst| worst.psi);
            spinner.show(format!("{} of {ROWS_ALL} requests in the window", view.requests));
            let is_full = view.requests >= ROWS_ALL && fewest >= ROWS_TENANT;
            if is_full && worst < QUIET_PSI && view.p95_ms(NEW, "prod").is_some() {
                spinner.end();
                self.tell_quiet(&view, fewest)?;
                return Ok(view);
            }
            if Instant::now() > deadline {
                bail!(
                    "windows are not full and quiet in time: {} requests, {fewest} of the quietest tenant, highest PSI {worst:.3}; \
                     is the machine overloaded? try a lower `--rps`",
                    view.requests
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn fewest_rows(&self) -> anyhow::Result<u64> {
        let mut fewest = u64::MAX;
        for tenant in TENANTS {
            fewest = fewest.min(self.watcher.rows_of(tenant).await?);
        }
        Ok(fewest)
    }

    fn tell_quiet(&self, view: &View, fewest: u64) -> std::io::Result<()> {
        let screen = &self.screen;
        screen.field("window", format!("{} requests, at least {fewest} of each tenant", view.requests))?;
        let psi: Vec<String> =
            view.features.iter().map(|one| format!("{} {:.3}", one.name, one.psi)).collect();
        for (at, some) in psi.chunks(6).enumerate() {
            let text = some.join(", ");
            screen.field(if at == 0 { "PSI" } else { "" }, text)?;
        }
        let shown = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), milliseconds);
        let (clients, copies) = (view.p95_ms(NEW, "prod"), view.p95_ms(STABLE, "shadow"));
        screen.field(
            "p95",
            format!("{} for clients ({NEW}), {} for copies ({STABLE})", shown(clients), shown(copies)),
        )?;
        screen.field("alerts", if view.alerts.iter().any(|alert| alert.is_firing) { "some" } else { "none" })
    }

    /// Changes the season and the speed of v2, and follows what happens.
    async fn july(&self, moments: &mut Moments) -> anyhow::Result<Timeline> {
        self.screen
            .heading("2. July: summer weather (real), and v2 needs 530 ms for the slowest 5 % (injected)")?;
        self.screen.say(format!("  {:>10}  {:>14}", "since then", "at default"))?;
        let mut timeline = Timeline::new(self.saved.clone());
        let scaled = Duration::from_secs_f64(ROLLBACK_WITHIN_SCALED / self.speed);
        let deadline = Instant::now() + ROLLBACK_WITHIN + scaled;
        self.slow.slow_down();
        self.traffic.july();
        let spinner = Spinner::new();
        while !timeline.is_complete() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
            let view = self.watcher.look().await?;
            let seen = self.traffic.seen();
            let steps = timeline.look(Instant::now(), &view, &seen);
            spinner.suspend(|| {
                steps.iter().try_for_each(|step| self.screen.step(step.here, step.nominal, &step.what))
            })?;
            spinner.show(self.present(&view));
            moments.after = view.clone();
            if view.active == NEW {
                moments.worst = view;
            }
        }
        spinner.end();
        Ok(timeline)
    }

    /// One line about now, for a terminal.
    fn present(&self, view: &View) -> String {
        let worst =
            view.worst().map_or_else(String::new, |worst| format!("{} PSI {:.2}", worst.name, worst.psi));
        let p95 = view.p95_ms(&view.active, "prod").map_or_else(|| "-".to_owned(), milliseconds);
        let pending = view.alerts.iter().filter(|alert| !alert.is_firing).count();
        format!("clients get {}; p95 {p95}; {worst}; {pending} alerts pending", view.active)
    }

    /// The tables; whether every promise was kept.
    async fn conclude(&self, timeline: &Timeline, moments: &Moments) -> anyhow::Result<bool> {
        let seen = self.traffic.settled().await;
        self.screen.heading("3. What moved, and what did not")?;
        report::features(&self.screen, moments)?;
        self.screen.say(format!("  why it matters: {}", self.july))?;
        self.screen.say("")?;
        report::latencies(&self.screen, &seen, moments)?;
        self.screen.heading("4. Promised and measured")?;
        let is_kept = report::promises(&self.screen, timeline, &seen)?;
        if !timeline.is_complete() {
            self.screen.say("  the rollback did not come, or answers did not become fast again, in time")?;
        }
        Ok(is_kept && timeline.is_complete())
    }

    fn suggest(&self) -> std::io::Result<()> {
        let (screen, admin) = (&self.screen, self.admin);
        let option =
            if admin == super::setup::ADMIN { String::new() } else { format!(" --admin http://{admin}") };
        screen.heading("Everything goes on until Ctrl-C")?;
        screen.say("It is still July: alerts about v1 follow, for it gets the same weather. Clients stay on it: there is")?;
        screen.say("nowhere safer to go. Try:")?;
        screen.say(format!("  open http://{admin}"))?;
        screen.say(format!("  curl -s 'http://{admin}/api/v1/models/flights/drift?tenant=acme'"))?;
        screen.say(format!("  curl -s http://{admin}/metrics | grep ^psi"))?;
        screen.say(format!("  driftline status{option}"))?;
        screen.say(format!("  driftline promote{option} --reason 'once more'"))?;
        let cooldown = seconds(self.cooldown);
        screen.say(format!(
            "    v2 is still slow, so it is rolled back again, after a cool-down of {cooldown}"
        ))?;
        screen.say("")
    }

    /// Keeps everything running and tells of every further change of traffic.
    async fn go_on(&self, mut last: Option<DecisionView>) -> anyhow::Result<Option<bool>> {
        self.suggest()?;
        loop {
            tokio::time::sleep(LOOK_EVERY_LATER).await;
            let view = self.watcher.look().await?;
            if let Some(decision) = &view.last_decision
                && last.as_ref().is_none_or(|last| last.id != decision.id)
                && view.active == decision.to
            {
                let DecisionView { id, to, trigger, reason, .. } = decision;
                let cut = if reason.chars().count() > REASON_SHOWN { " …" } else { "" };
                let reason: String = reason.chars().take(REASON_SHOWN).collect();
                self.screen
                    .say(format!("  clients get {to} now (decision {id}, {trigger}): {reason}{cut}"))?;
                last = view.last_decision;
            }
        }
    }
}

/// A line that is overwritten; on a terminal only.
struct Spinner(ProgressBar);

impl Spinner {
    fn new() -> Self {
        if !is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        let bar = match ProgressStyle::with_template("  {spinner} {msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        bar.enable_steady_tick(LOOK_EVERY);
        Self(bar)
    }

    fn show(&self, text: String) {
        self.0.set_message(text);
    }

    fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

//! One row of the table against the real program: an instance that is well, the failure, and what becomes of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clients::{CALM, Clients, Models};
use super::flights::Flights;
use super::table::{Fault, Fires, Harm};
use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_until, repository, run as command};

/// How much faster than shipped the rules are: a minute is a second.
const SPEED: u64 = 60;

/// Requests with the failure before it is over that nothing else happens: more than a window.
const SETTLED: usize = 1_200;

/// And the time for it: longer than every rule's.
const SETTLE: Duration = Duration::from_secs(7);

/// Shortest horizon of rates and latencies, milliseconds: readings are made once a second.
const HORIZON_MS: u64 = 5_000;

/// How long the active version may take for an answer, as configured here.
const TIME_LIMIT: &str = "1s";

/// Runs it; fails when anything is not as the table says.
pub(super) fn run(harm: &'static Harm) {
    let folder = Folder::new();
    let flights = Flights::load(matches!(harm.fault, Fault::LabelInProfile));
    write_profile(harm.fault, &folder, &flights.training);
    let models = Models::start();
    let instance = Instance::start(&folder, &yaml(&models, harm.fault));
    let mut trial = Trial { harm, instance: &instance, seen: BTreeMap::new() };
    let mut clients = Clients::new(instance.traffic, harm.fault, models, flights.traffic);
    clients.send_calm();
    trial.calm();
    clients.begin_fault();
    if let Some(fires) = &harm.fires {
        trial.fires(fires, &clients);
    }
    trial.settles(&clients);
    clients.stop();
}

/// The profile, made by the program as a user would.
fn write_profile(fault: Fault, folder: &Folder, training: &str) {
    if let Fault::OtherProfile = fault {
        let other = std::fs::read_to_string(repository().join("examples/fraud-baseline.json")).unwrap();
        folder.write("profile.json", &other);
        return;
    }
    folder.write("training.csv", training);
    command(folder.path(), &["baseline", "training.csv", "-o", "profile.json"]).expect(0);
}

/// The default rules with all their times divided by [`SPEED`].
fn yaml(models: &Models, fault: Fault) -> String {
    let scaled = |ms: u64| format!("{}ms", ms / SPEED);
    let rules: String = config::default_policy()
        .rules
        .iter()
        .map(|rule| {
            let over = rule
                .condition
                .over_ms
                .map_or_else(String::new, |ms| format!(", over: {}ms", (ms / SPEED).max(HORIZON_MS)));
            let (name, hold, keep) = (&rule.name, scaled(rule.for_ms), scaled(rule.keep_firing_ms));
            format!("    {name}: {{ for: {hold}, keep_firing_for: {keep}{over} }}\n")
        })
        .collect();
    let (v1, v2) = models.urls();
    let tenant = if fault.has_tenants() { "x-tenant-id" } else { "false" };
    format!(
        "models:
  delay:
    versions: {{ v2: {{ url: {v2}, timeout: {TIME_LIMIT} }}, v1: {v1} }}
    active: v2
    stable: v1
    tenant: {tenant}
    baseline: profile.json
alerts:
  evaluate_every: 100ms
  latency_horizon: {HORIZON_MS}ms
  rules:
{rules}shutdown_grace: 2s
"
    )
}

/// What an alert was seen as.
#[derive(Debug, Default)]
struct Seen {
    /// It fires, or did.
    fired: bool,
    /// Its titles.
    words: Vec<String>,
}

/// What is known so far.
struct Trial<'a> {
    harm: &'static Harm,
    instance: &'a Instance,
    seen: BTreeMap<String, Seen>,
}

impl Trial<'_> {
    /// Takes down which alerts there are.
    fn look(&mut self) {
        for alert in self.instance.get("/api/v1/alerts")["alerts"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            if alert["state"] == "inactive" {
                continue;
            }
            let seen = self.seen.entry(text(&alert["alert"])).or_default();
            seen.fired |= alert["state"] == "firing";
            let words = text(&alert["annotations"]["summary"]);
            if !seen.words.contains(&words) {
                seen.words.push(words);
            }
        }
    }

    /// Fails when an alert fires or did that is not in the table.
    #[track_caller]
    fn nothing_else(&self) {
        let expected = self.harm.fires.as_ref().map(|fires| fires.alert);
        let is_known = |name: &str| Some(name) == expected || self.harm.may.contains(&name);
        let beside = self.seen.iter().filter(|(name, seen)| seen.fired && !is_known(name));
        let beside: Vec<(&String, &Seen)> = beside.collect();
        assert!(beside.is_empty(), "{}: fires as well: {beside:#?}", self.harm.failure);
    }

    /// Traffic like the training data raises nothing.
    fn calm(&mut self) {
        await_until("the calm rows are measured", DEADLINE, || {
            self.look();
            self.instance.model()["rows"].as_u64().unwrap_or_default() >= CALM as u64
        });
        self.look();
        assert!(self.seen.values().all(|seen| !seen.fired), "before the failure: {:#?}", self.seen);
        assert_eq!(self.instance.active(), "v2");
    }

    /// The alert's condition holds by the time that was promised, and then it fires, in the words that were promised.
    fn fires(&mut self, fires: &Fires, clients: &Clients) {
        clients.allow(fires.within.unwrap_or(usize::MAX));
        await_until(&format!("{} holds after {:?} requests", fires.alert, fires.within), DEADLINE, || {
            self.look();
            self.seen.contains_key(fires.alert)
        });
        clients.allow(usize::MAX);
        await_until(&format!("{} fires", fires.alert), DEADLINE, || {
            self.look();
            self.seen[fires.alert].fired
        });
        let words = &self.seen[fires.alert].words;
        let pattern = fires.words.replace("{over}", "5 s");
        assert!(words.iter().any(|said| matches(&pattern, said)), "`{pattern}` is not among {words:#?}");
    }

    /// Traffic goes where it should, stays there, and nothing else fires while the failure goes on.
    fn settles(&mut self, clients: &Clients) {
        clients.allow(usize::MAX);
        let right = if self.harm.moves { "v1" } else { "v2" };
        if self.harm.moves {
            await_until("traffic moves", DEADLINE, || self.instance.active() == right);
        }
        let (sent, began) = (clients.answered(), Instant::now());
        let within = 3 * DEADLINE;
        await_until("the failure has gone on for a while", within, || {
            self.look();
            self.nothing_else();
            assert_eq!(self.instance.active(), right, "{}: {:#?}", self.harm.failure, self.seen);
            clients.answered() >= sent + SETTLED && began.elapsed() >= SETTLE
        });
        let moves = self.instance.metrics().sum("driftline_rollbacks_total", &[]);
        assert_eq!(moves, f64::from(self.harm.moves), "{}", self.harm.failure);
        (self.harm.seen)(self.instance);
        if self.harm.moves {
            assert_eq!(clients.last_status(), 200, "clients are served again");
        }
    }
}

/// Whether a text fits a pattern in which `…` stands for numbers, times and what belongs to them.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    for part in parts {
        let Some(at) = (if part.is_empty() { Some(rest.len()) } else { rest.find(part) }) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

//! The instance under the demo: a configuration like any other, in a temporary folder.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use config::Settings;
use control::Rule;
use monitor::profile::Profile;

use super::traffic::TENANT_HEADER;

/// Shortest horizon of latency quantiles: one snapshot a second must be enough of them.
const HORIZON_MIN: Duration = Duration::from_secs(5);

/// Default addresses; when they are taken, free ports.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
pub(super) const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

/// A configuration on disk, read back by the real reader.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) file: PathBuf,
    pub(super) settings: Settings,
    rules: Vec<Rule>,
    speed: f64,
}

impl Setup {
    /// Writes the profile and the configuration into `folder` and reads them.
    pub(super) fn write(
        folder: &Path,
        baseline: &Profile,
        v1: SocketAddr,
        v2: SocketAddr,
        speed: f64,
    ) -> anyhow::Result<Self> {
        let policy = config::default_policy();
        let text = yaml(&Yaml {
            policy: &policy,
            store: &folder.join("state"),
            v1,
            v2,
            listen: free_or_any(LISTEN),
            admin: free_or_any(ADMIN),
            speed,
        });
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).with_context(|| format!("write `{}`", file.display()))?;
            anyhow::Ok(file)
        };
        write("flights-baseline.json", &baseline.to_json_pretty())?;
        let file = write("driftline.yaml", &text)?;
        let loaded = config::load(&file, &|_| None).map_err(|problems| anyhow!("{problems}"))?;
        Ok(Self { file, settings: loaded.settings, rules: policy.rules, speed })
    }

    /// What the shorter waits save, by alert.
    pub(super) fn saved(&self) -> BTreeMap<String, Duration> {
        let nominal = |rule: &Rule| Duration::from_millis(rule.for_ms);
        let saved = |rule: &Rule| nominal(rule).saturating_sub(scaled(nominal(rule), self.speed));
        self.rules.iter().map(|rule| (rule.name.clone(), saved(rule))).collect()
    }

    /// The cool-down after a rollback.
    pub(super) fn cooldown(&self) -> Duration {
        let models = self.settings.policy.models.iter();
        models.map(|model| Duration::from_millis(model.cooldown_ms)).max().unwrap_or_default()
    }
}

fn scaled(nominal: Duration, speed: f64) -> Duration {
    Duration::from_millis((nominal.as_secs_f64() * 1000.0 / speed).round() as u64)
}

/// The address if it is free, else one with a port that the system picks.
fn free_or_any(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

/// What the configuration is written from.
struct Yaml<'a> {
    policy: &'a control::Policy,
    store: &'a Path,
    v1: SocketAddr,
    v2: SocketAddr,
    listen: SocketAddr,
    admin: SocketAddr,
    speed: f64,
}

fn yaml(values: &Yaml<'_>) -> String {
    let Yaml { policy, store, v1, v2, listen, admin, speed } = *values;
    // A JSON string is a YAML string, whatever the folder is called.
    let store = serde_json::Value::from(store.to_string_lossy());
    let span =
        |nominal: Duration, least: Duration| format!("{}ms", scaled(nominal, speed).max(least).as_millis());
    let short = |ms: u64| span(Duration::from_millis(ms), Duration::ZERO);
    let mut rules = String::new();
    for rule in &policy.rules {
        let what = rule.condition.describe();
        let (hold, keep) = (short(rule.for_ms), short(rule.keep_firing_ms));
        let (name, severity) = (&rule.name, rule.severity.as_str());
        rules.push_str(&format!(
            "    {name}: {{ for: {hold}, keep_firing_for: {keep} }}  # {severity}: {what}\n"
        ));
    }
    let horizon = span(Duration::from_millis(policy.latency_horizon_ms), HORIZON_MIN);
    let cooldown = span(Duration::from_secs(600), Duration::from_secs(1));
    format!(
        "# Written by `driftline demo`. The rules are the default ones; only their times are divided by {speed}.\n\
         listen: {listen}\n\
         admin: {admin}\n\
         store: {store}\n\
         models:\n\
         \x20 flights:\n\
         \x20   versions: {{ v2: \"http://{v2}\", v1: \"http://{v1}\" }}\n\
         \x20   active: v2            # answers clients\n\
         \x20   stable: v1            # where a rollback goes\n\
         \x20   shadow: {{ version: v1, percent: 5 }}\n\
         \x20   tenant: {TENANT_HEADER}\n\
         \x20   baseline: flights-baseline.json\n\
         alerts:\n\
         \x20 latency_horizon: {horizon}\n\
         \x20 rules:\n\
         {rules}\
         rollback:\n\
         \x20 cooldown: {cooldown}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(speed: f64) -> (tempfile::TempDir, Setup) {
        let folder = tempfile::tempdir().unwrap();
        let baseline = super::super::flights::loaded().baseline(|_| 0.2, 0);
        let [v1, v2] = [9001, 9002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let setup = Setup::write(folder.path(), &baseline, v1, v2, speed).unwrap();
        (folder, setup)
    }

    #[test]
    fn only_times_differ_from_the_default_policy() {
        let (_folder, setup) = setup(10.0);
        let (mut ours, default) = (setup.settings.policy.rules.clone(), config::default_policy().rules);
        assert_eq!(ours.len(), default.len());
        for (ours, default) in ours.iter_mut().zip(&default) {
            assert_eq!(ours.for_ms * 10, default.for_ms);
            assert_eq!(ours.keep_firing_ms * 10, default.keep_firing_ms);
            (ours.for_ms, ours.keep_firing_ms) = (default.for_ms, default.keep_firing_ms);
        }
        assert_eq!(ours, default);
        assert_eq!(setup.settings.policy.latency_horizon_ms, 6_000);
        assert_eq!(setup.cooldown(), Duration::from_secs(60));
        assert!(!setup.settings.drill.enabled);
    }

    #[test]
    fn at_speed_one_every_time_is_the_default() {
        let (_folder, setup) = setup(1.0);
        assert_eq!(setup.settings.policy.rules, config::default_policy().rules);
        assert!(setup.saved().values().all(Duration::is_zero));
    }

    #[test]
    fn waits_are_scaled_and_the_horizon_keeps_enough_seconds() {
        let (_folder, setup) = setup(60.0);
        assert_eq!(setup.saved()["FeaturePSICritical"], Duration::from_secs(118));
        assert_eq!(setup.settings.policy.latency_horizon_ms, 5_000);
    }
}

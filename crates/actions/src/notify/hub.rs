//! Alerts and decisions in, messages out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control::{Alert, AlertChange, Severity};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::NotifierSpec;
use super::groups::{Grouping, Groups};
use super::memory::Memory;
use super::notice::{FeatureShare, Notice, NoticeKind};
use super::outlet::{Counters, NotifierStatus, Outlet, remember};

/// How often due messages are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often notifiers that forget are told again what fires.
const REFRESH_EVERY: Duration = Duration::from_secs(60);

/// How long what waits may take to be told after the end was ordered.
const GRACE: Duration = Duration::from_secs(3);

/// All notifiers. Its methods wait for nothing; [`Hub::run`] does the work.
#[derive(Debug)]
pub struct Hub {
    clock: fn() -> i64,
    inner: Mutex<Inner>,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug)]
struct Inner {
    grouping: Grouping,
    groups: Groups,
    outlets: Vec<Arc<Outlet>>,
    /// Outlets without a task yet.
    fresh: Vec<Arc<Outlet>>,
    /// Counters of every notifier there has been under its name and kind.
    counters: BTreeMap<(String, &'static str), Arc<Counters>>,
}

impl Hub {
    /// Notifiers as configured; `firing`: what fires already. `folder` remembers what was told.
    pub fn new(
        notifiers: Vec<NotifierSpec>,
        grouping: Grouping,
        firing: &[Alert],
        folder: &Path,
        clock: fn() -> i64,
    ) -> Self {
        let mut groups = Groups::default();
        let now_ms = clock();
        for alert in firing.iter().filter(|alert| alert.state == control::AlertState::Firing) {
            groups.restore(alert, Vec::new(), now_ms);
        }
        let inner =
            Inner { grouping, groups, outlets: Vec::new(), fresh: Vec::new(), counters: BTreeMap::new() };
        let hub =
            Self { clock, inner: Mutex::new(inner), memory: Arc::new(Mutex::new(Memory::open(folder))) };
        hub.configure(notifiers, grouping);
        hub
    }

    /// Takes other notifiers. Those whose settings are the same go on; what waits for one that was changed goes to its
    /// successor. A notifier hears of what fires already and was not told to it, and of the end of what it believes to
    /// fire.
    pub fn configure(&self, notifiers: Vec<NotifierSpec>, grouping: Grouping) {
        let now_ms = (self.clock)();
        let mut inner = self.lock();
        inner.grouping = grouping;
        let mut before = std::mem::take(&mut inner.outlets);
        for spec in notifiers {
            let known =
                before.iter().position(|outlet| outlet.spec.name == spec.name).map(|at| before.remove(at));
            if let Some(same) = known.as_ref().filter(|outlet| outlet.spec == spec) {
                inner.outlets.push(Arc::clone(same));
                continue;
            }
            let counters = inner.counters.entry((spec.name.clone(), spec.kind.as_str())).or_default();
            let outlet = Arc::new(Outlet::new(spec, Arc::clone(counters)));
            if let Some(known) = known {
                known.close();
                known.take_waiting().iter().for_each(|notice| outlet.offer(notice));
            }
            self.catch_up(&inner.groups, &outlet, now_ms);
            inner.outlets.push(Arc::clone(&outlet));
            inner.fresh.push(outlet);
        }
        before.iter().for_each(|gone| gone.close());
        let names: Vec<&str> = inner.outlets.iter().map(|outlet| outlet.spec.name.as_str()).collect();
        remember(&self.memory).keep(&names);
    }

    fn catch_up(&self, groups: &Groups, outlet: &Outlet, now_ms: i64) {
        let memory = remember(&self.memory);
        let firing = groups.firing(now_ms);
        firing
            .iter()
            .filter(|notice| !memory.has(&outlet.spec.name, &notice.key))
            .for_each(|notice| outlet.offer(notice));
        for key in memory.of(&outlet.spec.name) {
            if !firing.iter().any(|notice| notice.key == key) {
                outlet.offer(&ended_unseen(&key, now_ms));
            }
        }
    }

    /// Takes changes of alerts; `features` gives the parts of the drift of a model's version.
    pub fn alerts(&self, changes: &[AlertChange], features: impl Fn(&str, &str) -> Vec<FeatureShare>) {
        if changes.is_empty() {
            return;
        }
        let now_ms = (self.clock)();
        let mut inner = self.lock();
        for change in changes {
            let label = |name: &str| change.alert.labels.get(name).map_or("", String::as_str);
            inner.groups.take(change, features(label("model"), label("version")), now_ms);
        }
    }

    /// Tells something else, at once.
    pub fn tell(&self, notice: &Notice) {
        self.lock().outlets.iter().for_each(|outlet| outlet.offer(notice));
    }

    /// What every notifier has done.
    pub fn status(&self) -> Vec<NotifierStatus> {
        self.lock().outlets.iter().map(|outlet| outlet.status()).collect()
    }

    /// Alerts that were not told because there are too many groups.
    pub fn refused(&self) -> u64 {
        self.lock().groups.refused()
    }

    /// Works until `stop` turns true; then what waits has a few seconds to be told.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refreshed = Instant::now();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                // A sender that is gone means the same.
                _ = stop.wait_for(|stop| *stop) => break,
            }
            let refresh = refreshed.elapsed() >= REFRESH_EVERY;
            if refresh {
                refreshed = Instant::now();
            }
            for outlet in self.look(refresh) {
                let memory = Arc::clone(&self.memory);
                tasks.spawn(async move { outlet.work(&memory).await });
            }
            while let Some(ended) = tasks.try_join_next() {
                if ended.is_err() {
                    tracing::error!(
                        "a notifier's task ended in a panic: it tells nothing until the next reload"
                    );
                }
            }
        }
        self.look(false);
        let idle = async {
            while !self.lock().outlets.iter().all(|outlet| outlet.is_idle()) {
                tick.tick().await;
            }
        };
        if timeout(GRACE, idle).await.is_err() {
            tracing::warn!(
                "the process ends before every notification was sent; alerts that still fire are notified at the next start"
            );
        }
        tasks.shutdown().await;
    }

    /// Hands out what is due; the answer: outlets that need a task.
    fn look(&self, refresh: bool) -> Vec<Arc<Outlet>> {
        let now_ms = (self.clock)();
        let mut inner = self.lock();
        let Inner { groups, grouping, outlets, fresh, .. } = &mut *inner;
        for notice in groups.due(grouping, now_ms) {
            outlets.iter().for_each(|outlet| outlet.offer(&notice));
        }
        if refresh {
            let firing = groups.firing(now_ms);
            let forgetful = outlets.iter().filter(|outlet| outlet.spec.kind.wants_refresh());
            forgetful.for_each(|outlet| firing.iter().for_each(|notice| outlet.offer(notice)));
        }
        std::mem::take(fresh)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a group that was told by a former process.
fn ended_unseen(key: &str, now_ms: i64) -> Notice {
    let mut parts = key.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (model, version, rule) = (part(), part(), part());
    Notice {
        kind: NoticeKind::Resolved,
        key: key.to_owned(),
        // As bad as can be: whoever was told of the beginning hears of the end.
        severity: Severity::Critical,
        model: model.into(),
        version: (!version.is_empty()).then(|| version.into()),
        title: format!("{rule}: {model} {version} is over"),
        text: "It ended while Driftline was not running, or the rule was changed.".to_owned(),
        since_ms: now_ms,
        at_ms: now_ms,
        facts: Vec::new(),
        features: Vec::new(),
        links: Vec::new(),
        alerts: Vec::new(),
        ended: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use control::AlertTransition;

    use super::*;
    use crate::notify::outlet::testing::alert;
    use crate::notify::{NotifierKind, SlackSpec};
    use crate::secret::Secret;
    use crate::testing::{Reply, Server, block_on};

    const GROUPING: Grouping =
        Grouping { wait: Duration::ZERO, every: Duration::ZERO, repeat: Duration::from_secs(3_600) };

    fn now_ms() -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    fn slack(name: &str, url: String) -> NotifierSpec {
        NotifierSpec {
            name: name.to_owned(),
            kind: NotifierKind::Slack(SlackSpec::Webhook { url: Secret::new(url) }),
            at_least: Severity::Warning,
            models: Vec::new(),
            per_minute: 600,
            timeout: Duration::from_secs(5),
            keep_trying: Duration::from_secs(20),
        }
    }

    fn fire(feature: &str, transition: AlertTransition) -> AlertChange {
        AlertChange { transition, alert: alert(feature) }
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in ten seconds: {what}");
    }

    struct Running {
        hub: Arc<Hub>,
        stop: watch::Sender<bool>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Running {
        fn start(hub: Hub) -> Self {
            let (stop, stopped) = watch::channel(false);
            let hub = Arc::new(hub);
            let running = Arc::clone(&hub);
            Self { hub, stop, task: tokio::spawn(async move { running.run(stopped).await }) }
        }

        async fn end(self) {
            self.stop.send_replace(true);
            self.task.await.unwrap();
        }
    }

    #[test]
    fn one_that_hangs_or_fails_holds_up_nobody() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let good = Server::start(vec![
                Reply::new(503, "busy").header("retry-after", "0"),
                Reply::new(200, "ok"),
            ])
            .await;
            let bad = Server::start(vec![Reply::new(404, "no_service")]).await;
            // Takes connections and never says a word.
            let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let specs = vec![
                slack("silent", format!("http://{}/", silent.local_addr().unwrap())),
                slack("good", good.url("/hook")),
                slack("bad", bad.url("/hook")),
            ];
            let running = Running::start(Hub::new(specs, GROUPING, &[], folder.path(), now_ms));
            let hub = Arc::clone(&running.hub);
            hub.alerts(&[fire("amount", AlertTransition::Firing)], |_, _| Vec::new());
            let status = |name: &str| hub.status().into_iter().find(|one| one.name == name).unwrap();
            until("good is told at the second try", || status("good").sent == 1).await;
            until("bad has given up", || status("bad").failed == 1).await;
            assert!(!status("bad").up && status("good").up);
            assert_eq!(status("silent").waiting, 1);
            good.next().await;
            assert!(good.next().await.json()["text"].as_str().unwrap().contains("FeaturePSICritical"));
            hub.alerts(&[fire("amount", AlertTransition::Resolved)], |_, _| Vec::new());
            assert!(good.next().await.json()["text"].as_str().unwrap().contains("is over"));
            until("the end is not told where the beginning was not", || {
                status("good").sent == 2 && status("bad").failed == 1 && status("bad").waiting == 0
            })
            .await;
            running.end().await;
        });
    }

    #[test]
    fn a_restart_neither_repeats_nor_forgets() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let server = Server::start(vec![Reply::new(200, "ok")]).await;
            let spec = || vec![slack("s", server.url("/hook"))];
            let running = Running::start(Hub::new(spec(), GROUPING, &[], folder.path(), now_ms));
            running.hub.alerts(&[fire("amount", AlertTransition::Firing)], |_, _| Vec::new());
            server.next().await;
            running.end().await;
            // It fires still: nothing to say. Another notifier has not heard of it.
            let both = || [spec(), vec![slack("new", server.url("/new"))]].concat();
            let running =
                Running::start(Hub::new(both(), GROUPING, &[alert("amount")], folder.path(), now_ms));
            assert_eq!(server.next().await.path, "/new");
            running.end().await;
            assert!(server.try_next().await.is_none());
            // It ended meanwhile: both hear of it.
            let running = Running::start(Hub::new(both(), GROUPING, &[], folder.path(), now_ms));
            let told = [server.next().await, server.next().await];
            assert!(told.iter().all(|one| one.json()["text"].as_str().unwrap().contains("is over")));
            running.end().await;
        });
    }

    #[test]
    fn a_bot_ends_its_own_message_after_a_restart() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let place = serde_json::json!({ "ok": true, "channel": "C1", "ts": "1.2" });
            let server = Server::start(vec![Reply::json(200, &place)]).await;
            let spec = || {
                let (token, channel) = (Secret::new("xoxb-1"), "#mlops".to_owned());
                let kind = SlackSpec::Bot { token, channel, api_url: server.url("") };
                vec![NotifierSpec { kind: NotifierKind::Slack(kind), ..slack("bot", String::new()) }]
            };
            let running = Running::start(Hub::new(spec(), GROUPING, &[], folder.path(), now_ms));
            running.hub.alerts(&[fire("amount", AlertTransition::Firing)], |_, _| Vec::new());
            assert_eq!(server.next().await.path, "/chat.postMessage");
            running.end().await;
            let running = Running::start(Hub::new(spec(), GROUPING, &[], folder.path(), now_ms));
            let (update, reply) = (server.next().await, server.next().await);
            assert_eq!(
                (update.path.as_str(), &update.json()["ts"]),
                ("/chat.update", &serde_json::json!("1.2"))
            );
            assert_eq!(reply.json()["thread_ts"], "1.2");
            assert!(update.json()["text"].as_str().unwrap().contains("is over"));
            running.end().await;
            assert!(server.try_next().await.is_none());
        });
    }

    #[test]
    fn severity_and_models_are_chosen() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let server = Server::start(vec![Reply::new(200, "ok")]).await;
            let mut other = slack("other", server.url("/other"));
            other.models = vec!["other".to_owned()];
            let mut critical = slack("critical", server.url("/critical"));
            critical.at_least = Severity::Critical;
            let specs = vec![other, critical, slack("all", server.url("/all"))];
            let running = Running::start(Hub::new(specs, GROUPING, &[], folder.path(), now_ms));
            let mut change = fire("amount", AlertTransition::Firing);
            change.alert.severity = Severity::Warning;
            running.hub.alerts(&[change], |_, _| Vec::new());
            assert_eq!(server.next().await.path, "/all");
            running.end().await;
            assert!(server.try_next().await.is_none());
        });
    }
}

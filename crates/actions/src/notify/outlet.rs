//! One notifier at work: its queue, its task, its counters.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::memory::Memory;
use super::notice::{Notice, NoticeKind};
use super::{NotifierKind, NotifierSpec};
use crate::call::{Failure, Http};
use crate::retry::Retry;

/// Messages that may wait for a notifier.
const QUEUE_MAX: usize = 200;

/// What a notifier has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifierStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// Messages delivered.
    pub sent: u64,
    /// Messages given up after trying: refused for good, or tried for too long.
    pub failed: u64,
    /// Messages not tried because too many waited.
    pub dropped: u64,
    /// Messages that wait, or are being tried.
    pub waiting: usize,
    /// Whether what it did last succeeded.
    pub up: bool,
}

/// Counters of one notifier; they outlive changes of its settings.
#[derive(Debug)]
pub(crate) struct Counters {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    up: AtomicBool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            up: AtomicBool::new(true),
        }
    }
}

/// A notifier with its queue.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) spec: NotifierSpec,
    pub(crate) counters: Arc<Counters>,
    queue: Mutex<VecDeque<Notice>>,
    busy: AtomicBool,
    news: Notify,
    closed: watch::Sender<bool>,
}

impl Outlet {
    pub(crate) fn new(spec: NotifierSpec, counters: Arc<Counters>) -> Self {
        Self {
            spec,
            counters,
            queue: Mutex::default(),
            busy: AtomicBool::new(false),
            news: Notify::new(),
            closed: watch::Sender::new(false),
        }
    }

    /// Queues a message unless it is none of this notifier's. It takes the place of one that waits about the same thing;
    /// when there is no room, the mildest goes.
    pub(crate) fn offer(&self, notice: &Notice) {
        if !self.spec.wants(notice) {
            return;
        }
        let mut queue = self.lock();
        queue.retain(|waiting| waiting.key != notice.key);
        if queue.len() >= QUEUE_MAX {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            let mildest = queue.iter().enumerate().min_by_key(|(_, waiting)| waiting.severity);
            match mildest.map(|(at, waiting)| (at, waiting.severity)) {
                Some((at, severity)) if severity <= notice.severity => drop(queue.remove(at)),
                _ => return,
            }
        }
        queue.push_back(notice.clone());
        drop(queue);
        self.news.notify_one();
    }

    /// Takes what still waits, to hand it on.
    pub(crate) fn take_waiting(&self) -> Vec<Notice> {
        self.lock().drain(..).collect()
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Relaxed) && self.lock().is_empty()
    }

    pub(crate) fn status(&self) -> NotifierStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NotifierStatus {
            name: self.spec.name.clone(),
            kind: self.spec.kind.as_str(),
            sent: count(&self.counters.sent),
            failed: count(&self.counters.failed),
            dropped: count(&self.counters.dropped),
            waiting: self.lock().len() + usize::from(self.busy.load(Ordering::Relaxed)),
            up: self.counters.up.load(Ordering::Relaxed),
        }
    }

    /// Delivers until it is closed.
    pub(crate) async fn work(&self, memory: &Mutex<Memory>) {
        let http = match Http::new(self.spec.timeout, None) {
            Ok(http) => http,
            Err(error) => {
                tracing::error!(notifier = self.spec.name, %error, "nothing can be told here");
                self.counters.up.store(false, Ordering::Relaxed);
                return;
            }
        };
        let mut closed = self.closed.subscribe();
        let work = async {
            let mut rate = Rate::new(self.spec.per_minute);
            loop {
                let Some(notice) = self.next() else {
                    self.news.notified().await;
                    continue;
                };
                if self.is_pointless(&notice, memory) {
                    self.busy.store(false, Ordering::Relaxed);
                    continue;
                }
                rate.wait().await;
                self.deliver(&http, &notice, memory).await;
                self.busy.store(false, Ordering::Relaxed);
            }
        };
        tokio::select! {
            () = work => {}
            // A sender that is gone means the same.
            _ = closed.wait_for(|closed| *closed) => {}
        }
        self.busy.store(false, Ordering::Relaxed);
    }

    fn next(&self) -> Option<Notice> {
        let mut queue = self.lock();
        let notice = queue.pop_front()?;
        self.busy.store(true, Ordering::Relaxed);
        Some(notice)
    }

    /// The end of something that was never told here.
    fn is_pointless(&self, notice: &Notice, memory: &Mutex<Memory>) -> bool {
        notice.kind == NoticeKind::Resolved && !remember(memory).has(&self.spec.name, &notice.key)
    }

    async fn deliver(&self, http: &Http, notice: &Notice, memory: &Mutex<Memory>) {
        let retry = Retry {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            within: self.spec.keep_trying,
        };
        let spec = &self.spec;
        let posted = remember(memory).posted(&spec.name, &notice.key);
        let (outcome, tries) = retry
            .run(|| async {
                let sent = spec.kind.send(http, spec.timeout, notice, posted.as_ref()).await;
                self.counters.up.store(sent.is_ok(), Ordering::Relaxed);
                if let Err(failure) = &sent {
                    tracing::debug!(notifier = spec.name, %failure, "a message was not taken");
                }
                sent
            })
            .await;
        match outcome {
            Ok(posted) => {
                self.counters.sent.fetch_add(1, Ordering::Relaxed);
                match notice.kind {
                    NoticeKind::Firing => remember(memory).tell(&spec.name, &notice.key, posted),
                    NoticeKind::Resolved => remember(memory).forget(&spec.name, &notice.key),
                    _ => {}
                }
                tracing::info!(
                    notifier = spec.name,
                    about = notice.key,
                    kind = notice.kind.as_str(),
                    tries,
                    "told"
                );
            }
            Err(failure) => self.gave_up(notice, &failure, tries),
        }
    }

    fn gave_up(&self, notice: &Notice, failure: &Failure, tries: u32) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            notifier = self.spec.name, about = notice.key, kind = notice.kind.as_str(), tries, %failure,
            "a message was given up"
        );
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Notice>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn remember(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many in a minute, a few of them at once.
#[derive(Debug)]
struct Rate {
    interval: Duration,
    burst: Duration,
    /// When the next would be due if they came evenly.
    due: Instant,
}

/// Messages that may go at once.
const BURST: u32 = 5;

impl Rate {
    fn new(per_minute: u32) -> Self {
        let interval = Duration::from_secs(60) / per_minute.max(1);
        Self { interval, burst: interval * (BURST - 1), due: Instant::now() }
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        self.due = self.due.max(now);
        if let Some(over) = (self.due - now).checked_sub(self.burst) {
            sleep_until(now + over).await;
        }
        self.due += self.interval;
    }
}

impl NotifierKind {
    /// Whether a group that goes on firing is told again so that it is not forgotten.
    pub(crate) const fn wants_refresh(&self) -> bool {
        self.forgets()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use control::{Alert, AlertState, Annotations, Severity};

    use super::super::{FeatureShare, Link, Notice, NoticeKind};
    use crate::call::Http;

    pub(crate) fn http() -> Http {
        Http::new(Duration::from_secs(5), None).unwrap()
    }

    const AT_MS: i64 = 1_769_860_800_000;

    pub(crate) fn alert(feature: &str) -> Alert {
        let labels = [
            ("alertname", "FeaturePSICritical"),
            ("severity", "critical"),
            ("model", "fraud"),
            ("version", "v2"),
            ("feature", feature),
        ];
        Alert {
            name: "FeaturePSICritical".to_owned(),
            severity: Severity::Critical,
            labels: BTreeMap::from(labels.map(|(name, value)| (name.to_owned(), value.to_owned()))),
            state: AlertState::Firing,
            since_ms: AT_MS,
            value: 0.412,
            measure: control::Signal::Psi,
            n: 1_000,
            tenants: vec!["acme".to_owned()],
            tenants_red: 1,
            stale: false,
            drill: false,
            ended: None,
            annotations: Annotations {
                summary: format!("PSI of `{feature}` is 0.412"),
                description: format!("`{feature}` differs from its baseline."),
                runbook_url: "https://r.example/feature-psi-critical.md".to_owned(),
                dashboard_url: Some("https://d.example/".to_owned()),
            },
            fingerprint: format!("fingerprint-{feature}"),
        }
    }

    pub(crate) fn alert_notice() -> Notice {
        Notice {
            kind: NoticeKind::Firing,
            key: "fraud/v2/FeaturePSICritical".to_owned(),
            severity: Severity::Critical,
            model: "fraud".into(),
            version: Some("v2".into()),
            title: "FeaturePSICritical: fraud v2".to_owned(),
            text: "2 features fire: amount, country <!channel>.".to_owned(),
            since_ms: AT_MS,
            at_ms: AT_MS + 60_000,
            facts: vec![("PSI".to_owned(), "0.412".to_owned())],
            features: vec![FeatureShare { feature: Arc::from("amount"), psi: 0.412, share: 0.8 }],
            links: vec![Link { text: "Dashboard".to_owned(), url: "https://d.example/".to_owned() }],
            alerts: vec![alert("amount")],
            ended: Vec::new(),
        }
    }
}

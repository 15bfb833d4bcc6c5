//! The embedding cache between the parts: shadows are answered from it, production's answers go into it.
//!
//! A client is never answered from it: what the cache knows reaches shadows and the admin API alone.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use config::EmbeddingCacheSettings;
use embeddings::{Cache, CacheSnapshot, Caller, Limits, Scope, Session};
use gateway::{AnswerSession, Ask, ShadowAnswers, Step, StepFuture, Tap};
use http::Method;
use record::{Body, Exchange, Lane};

use crate::intake::Intake;

/// Production's answers that may wait to be learned, and bytes they may hold.
const LEARN_QUEUE: usize = 256;
const LEARN_BYTES: usize = 32 << 20;

/// Bytes of a body after inflating.
const PLAIN_BYTES: usize = 64 << 20;

/// The cache, and what learns from production.
#[derive(Debug)]
pub(crate) struct Embeddings {
    cache: Arc<Cache>,
    share_all: bool,
    learner: Learner,
}

impl Embeddings {
    /// Starts the cache's threads.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn start(settings: &EmbeddingCacheSettings, folder: &Path) -> std::io::Result<Self> {
        let limits = Limits { entries: settings.entries, bytes: settings.bytes };
        let cache = Arc::new(match settings.persist {
            true => Cache::in_folder(limits, folder)?,
            false => Cache::in_memory(limits),
        });
        let learner = Learner::start(Arc::clone(&cache), settings.share_all)?;
        Ok(Self { cache, share_all: settings.share_all, learner })
    }

    /// A conversation about one request's body; `None` when it cannot be known.
    pub(crate) fn ask(
        &self,
        model: &str,
        version: &str,
        tenant: Option<&[u8]>,
        body: &[u8],
    ) -> Option<Session> {
        self.cache.ask(&Caller { scope: scope(self.share_all, tenant), model, version }, body)
    }

    /// Every counter and gauge.
    pub(crate) fn snapshot(&self) -> CacheSnapshot {
        self.cache.snapshot()
    }

    /// Production's answers that were not learned because too many waited.
    pub(crate) fn unlearned(&self) -> u64 {
        self.learner.unlearned.load(Relaxed)
    }

    /// Learns and writes what waits, and ends the threads.
    pub(crate) fn close(&self) {
        self.learner.close();
        self.cache.close();
    }
}

impl ShadowAnswers for Embeddings {
    fn begin(&self, ask: &Ask<'_>) -> Option<Box<dyn AnswerSession>> {
        if *ask.method != Method::POST || !asks_for_embeddings(ask.path) {
            return None;
        }
        let Ok(body) = ask.body.plain(PLAIN_BYTES) else {
            self.cache.bypassed(ask.model);
            return None;
        };
        let session = self.ask(ask.model, ask.version, ask.tenant, &body)?;
        Some(Box::new(ShadowSession(session)))
    }
}

/// A session in the data plane's terms.
struct ShadowSession(Session);

impl AnswerSession for ShadowSession {
    fn next(&mut self) -> StepFuture<'_> {
        Box::pin(async {
            match self.0.next().await {
                embeddings::Step::Send(body) => Step::Send(body),
                embeddings::Step::Known(body) => Step::Known(body),
            }
        })
    }

    fn answered(&mut self, status: u16, body: &Body) -> bool {
        let body = body.plain(PLAIN_BYTES).unwrap_or_default();
        self.0.answered(status, &body)
    }
}

fn scope(share_all: bool, tenant: Option<&[u8]>) -> Scope<'_> {
    if share_all { Scope::All } else { Scope::Tenant(tenant) }
}

fn asks_for_embeddings(path: &[u8]) -> bool {
    path.ends_with(b"/embeddings")
}

/// The monitor's tap, with an eye on embeddings that production has paid for.
#[derive(Debug)]
pub(crate) struct LearningTap {
    pub(crate) intake: Arc<Intake>,
    pub(crate) embeddings: Arc<Embeddings>,
}

impl Tap for LearningTap {
    fn offer(&self, exchange: Exchange) {
        if exchange.lane == Lane::Prod && exchange.status == 200 && asks_for_embeddings(&exchange.path) {
            self.embeddings.learner.offer(&exchange);
        }
        self.intake.offer(exchange);
    }

    fn skipped(&self, model: &str, reason: &'static str) {
        self.intake.skipped(model, reason);
    }
}

/// What an exchange teaches, on its way to the thread that reads it. Bodies are shared, not copied.
struct Lesson {
    model: Arc<str>,
    version: Arc<str>,
    tenant: Option<Bytes>,
    status: u16,
    request: Body,
    response: Body,
}

impl Lesson {
    fn bytes(&self) -> usize {
        self.request.captured_bytes() + self.response.captured_bytes()
    }
}

/// A thread that reads production's answers: neither the data plane nor the monitor has the time.
#[derive(Debug)]
struct Learner {
    queue: Mutex<Option<SyncSender<Lesson>>>,
    held: Arc<AtomicUsize>,
    unlearned: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Learner {
    fn start(cache: Arc<Cache>, share_all: bool) -> std::io::Result<Self> {
        let (queue, lessons) = sync_channel(LEARN_QUEUE);
        let held = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&held);
        let thread = std::thread::Builder::new()
            .name("embeddings-learn".to_owned())
            .spawn(move || learn(&cache, share_all, &lessons, &shared))?;
        let (queue, thread) = (Mutex::new(Some(queue)), Mutex::new(Some(thread)));
        Ok(Self { queue, held, unlearned: AtomicU64::new(0), thread })
    }

    /// Called by the data plane's threads: never waits.
    fn offer(&self, exchange: &Exchange) {
        let lesson = Lesson {
            model: Arc::clone(&exchange.model),
            version: Arc::clone(&exchange.version),
            tenant: exchange.tenant.clone(),
            status: exchange.status,
            request: exchange.request.clone(),
            response: exchange.response.clone(),
        };
        let bytes = lesson.bytes();
        let has_room = self.held.fetch_add(bytes, Relaxed) + bytes <= LEARN_BYTES;
        // The lock is held for the length of a hand-over.
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = has_room && queue.as_ref().is_some_and(|queue| queue.try_send(lesson).is_ok());
        if !is_taken {
            self.held.fetch_sub(bytes, Relaxed);
            self.unlearned.fetch_add(1, Relaxed);
        }
    }

    fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread that learns embeddings ended in a panic");
        }
    }
}

fn learn(cache: &Cache, share_all: bool, lessons: &Receiver<Lesson>, held: &AtomicUsize) {
    while let Ok(lesson) = lessons.recv() {
        let caller = Caller {
            scope: scope(share_all, lesson.tenant.as_deref()),
            model: &lesson.model,
            version: &lesson.version,
        };
        let bodies = lesson.request.plain(PLAIN_BYTES).and_then(|request| {
            let response = lesson.response.plain(PLAIN_BYTES)?;
            Ok((request, response))
        });
        match bodies {
            Ok((request, response)) => {
                // What is not worth keeping has been counted.
                cache.learn(&caller, &request, lesson.status, &response);
            }
            Err(_) => cache.bypassed(&lesson.model),
        }
        held.fetch_sub(lesson.bytes(), Relaxed);
    }
}

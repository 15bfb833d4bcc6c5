//! Where tasks of a worker run, and how their panics are counted.
//!
//! A panic ends the task it happened in: the runtime catches it and goes on. It must not go unseen, so every task
//! carries a guard that counts when it is dropped by unwinding.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts one if it is dropped while the thread unwinds.
#[derive(Debug)]
struct PanicGuard(Arc<AtomicU64>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Spawns on the current worker's thread; futures need not be `Send`.
#[derive(Clone, Debug)]
pub(crate) struct LocalExec {
    panics: Arc<AtomicU64>,
}

impl LocalExec {
    /// An executor that counts panics in `panics`.
    pub(crate) fn new(panics: Arc<AtomicU64>) -> Self {
        Self { panics }
    }

    /// Runs `future` beside the others on this thread.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(&self, future: F) {
        let guard = PanicGuard(Arc::clone(&self.panics));
        tokio::task::spawn_local(async move {
            let _guard = guard;
            future.await;
        });
    }
}

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

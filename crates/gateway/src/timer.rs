//! A deadline that costs next to nothing while it is met.
//!
//! Arming and disarming a timer for every request is dearer than the request's routing. This one is armed once, and
//! when the deadline has moved on in the meantime, that is noticed as the old one fires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that is made when first needed and moved lazily.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the sleep wakes. It need not be polled again by the same task before it fires.
    woken: Option<Waker>,
}

impl Timer {
    /// Ready once `due` has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        if !sleep.is_elapsed() && self.woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // A deadline that has moved on is noticed when the old one fires: no timer is touched for each request.
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= due {
                self.woken = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        self.woken = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Debug, Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    async fn is_pending(timer: &mut Timer, due: Instant) -> bool {
        poll_fn(|cx| Poll::Ready(timer.poll(cx, due).is_pending())).await
    }

    #[tokio::test(start_paused = true)]
    async fn is_ready_when_the_last_deadline_has_passed_and_not_before() {
        let (mut timer, start) = (Timer::default(), Instant::now());
        for (after, due) in [(0, 2), (1, 3), (1, 5)] {
            tokio::time::advance(SECOND * after).await;
            assert!(is_pending(&mut timer, start + SECOND * due).await, "due after {due} s");
        }
        poll_fn(|cx| timer.poll(cx, start + SECOND * 5)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
        // An earlier one than the last.
        assert!(is_pending(&mut timer, start + SECOND * 60).await);
        poll_fn(|cx| timer.poll(cx, start + SECOND * 7)).await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_the_task_that_asked_last() {
        let (mut timer, due) = (Timer::default(), Instant::now() + SECOND);
        let (first, second) = (Arc::<Woken>::default(), Arc::<Woken>::default());
        for task in [&first, &first, &second] {
            let waker = Waker::from(Arc::clone(task));
            assert!(timer.poll(&mut Context::from_waker(&waker), due).is_pending());
        }
        tokio::time::advance(SECOND * 2).await;
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (0, 1));
    }
}

//! The monitor as the sources see it: takes batches and says when they were counted.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use feeds::{Counted, Observation, Observer, ObserverGone};
use tokio::sync::oneshot;

use crate::monitor_loop::{Command, MonitorError, MonitorHandle};

/// How long a source rests when the monitor has too much to do.
const REST: Duration = Duration::from_millis(20);

/// The monitor's thread as an [`Observer`].
#[derive(Debug)]
pub(crate) struct MonitorObserver(pub(crate) Arc<MonitorHandle>);

impl Observer for MonitorObserver {
    fn count(
        &self,
        batch: Vec<Observation>,
    ) -> Pin<Box<dyn Future<Output = Result<Counted, ObserverGone>> + Send + '_>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let mut command = Command::Observations { batch, reply };
            loop {
                match self.0.try_send(command) {
                    Ok(()) => break,
                    Err((back, MonitorError::Busy)) => command = back,
                    Err((_, MonitorError::Gone)) => return Err(ObserverGone),
                }
                tokio::time::sleep(REST).await;
            }
            answer.await.map_err(|_| ObserverGone)
        })
    }
}

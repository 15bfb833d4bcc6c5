//! The senders: take bodies in order, wait until each is due, send, count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Uri};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::TENANT_HEADER;
use super::feed::Prepared;
use super::pace::Schedule;
use super::tally::Tally;
use crate::http_client::{Answer, HttpClient};

/// Time for a request with its whole answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often the progress bar is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Characters of an answer that are shown when it is not 2xx.
const ANSWER_SHOWN: usize = 200;

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Uri,
    pub(super) headers: Vec<(String, String)>,
    /// HTTP/2, and the outcome is gRPC's.
    pub(super) is_grpc: bool,
}

/// What all senders share.
#[derive(Debug)]
struct Shared {
    target: Target,
    client: HttpClient,
    schedule: Schedule,
    tally: Mutex<Tally>,
    /// Held while a request is taken and waited for, so that requests go out in order.
    queue: tokio::sync::Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    prepared: Option<mpsc::Receiver<Prepared>>,
    next: u64,
}

/// Sends requests until there are no more.
#[derive(Debug)]
pub(super) struct Senders {
    shared: Arc<Shared>,
    concurrency: usize,
}

impl Senders {
    pub(super) fn new(target: Target, start: Instant, rps: Option<f64>, concurrency: usize) -> Self {
        let client = if target.is_grpc { HttpClient::http2(TIMEOUT) } else { HttpClient::new(TIMEOUT) };
        let shared = Shared {
            target,
            client,
            schedule: Schedule::new(start, rps),
            tally: Mutex::default(),
            queue: tokio::sync::Mutex::new(Queue { prepared: None, next: 0 }),
        };
        Self { shared: Arc::new(shared), concurrency }
    }

    /// Ends when `prepared` does, or with Ctrl-C; requests under way are then given up.
    pub(super) async fn run(
        self,
        prepared: mpsc::Receiver<Prepared>,
        bar: &ProgressBar,
    ) -> anyhow::Result<Tally> {
        self.shared.queue.lock().await.prepared = Some(prepared);
        let mut senders = JoinSet::new();
        for _ in 0..self.concurrency {
            senders.spawn(send_in_turn(Arc::clone(&self.shared)));
        }
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        loop {
            tokio::select! {
                ended = senders.join_next() => match ended {
                    None => break,
                    Some(ended) => ended?,
                },
                pressed = &mut interrupt => {
                    pressed?;
                    break;
                }
                _ = tick.tick() => {
                    let tally = self.shared.tally();
                    bar.set_position(tally.ended());
                    bar.set_message(format!("{:.0}/s  {}", bar.per_sec(), tally.classes()));
                }
            }
        }
        senders.shutdown().await;
        // The reader of the file must not wait for room in a queue that nobody empties.
        self.shared.queue.lock().await.prepared = None;
        let tally = self.shared.tally().clone();
        Ok(tally)
    }
}

async fn send_in_turn(shared: Arc<Shared>) {
    while let Some((number, request)) = shared.next().await {
        shared.send(number, request).await;
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request, at the time it is due.
    async fn next(&self) -> Option<(u64, Prepared)> {
        let mut queue = self.queue.lock().await;
        let request = queue.prepared.as_mut()?.recv().await?;
        let number = queue.next;
        queue.next += 1;
        if let Some(due) = self.schedule.due(number) {
            tokio::time::sleep_until(due.into()).await;
        }
        Some((number, request))
    }

    async fn send(&self, number: u64, request: Prepared) {
        let sent_at = Instant::now();
        {
            let mut tally = self.tally();
            tally.sent += 1;
            tally.behind_max = tally.behind_max.max(self.schedule.behind(number, sent_at));
        }
        let mut headers: Vec<(&str, &str)> =
            self.target.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Some(tenant) = &request.tenant {
            headers.push((TENANT_HEADER, tenant));
        }
        let answer = self.client.send(Method::POST, &self.target.url, &headers, request.body).await;
        let mut tally = self.tally();
        match answer {
            Ok(answer) => {
                let status = if self.target.is_grpc { answer.grpc_status() } else { answer.status.as_u16() };
                tally.answered(status, sent_at.elapsed());
                if !(200..300).contains(&status) {
                    tally.problem(|| refusal(&self.target.url, &answer));
                }
            }
            Err(error) => {
                tally.failed();
                tally.problem(|| format!("{error:#}"));
            }
        }
    }
}

fn refusal(url: &Uri, answer: &Answer) -> String {
    let (status, text) = match answer.grpc_field("grpc-status") {
        Some(status) => {
            let message = answer.grpc_field("grpc-message").unwrap_or_default();
            let message = percent_encoding::percent_decode_str(message).decode_utf8_lossy().into_owned();
            (format!("the gRPC status {status}"), message)
        }
        None => (answer.status.to_string(), String::from_utf8_lossy(&answer.body).into_owned()),
    };
    let text: String =
        text.trim().chars().take(ANSWER_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("`{url}` answered {status}: {text}")
}

//! Plain, already valid settings of the data plane. Only `config` knows how they were written down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Uri};

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Address that takes traffic; port 0 picks a free one. `None` takes none: routes and counters are there, workers are
    /// not.
    pub listen: Option<SocketAddr>,
    /// Certificate and key of the listener; `None` is plain HTTP.
    pub tls: Option<ListenerTls>,
    /// Threads of the data plane, each with its own listener, event loop and upstream connections. At least 1.
    pub workers: usize,
    /// Bounds; see each field.
    pub limits: Limits,
    /// How long running requests may take to end after a shutdown was asked for.
    pub shutdown_grace: Duration,
}

/// PEM files of the listener's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
}

/// Upper bounds. Over a bound telemetry is dropped and counted; traffic is refused only where the text says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head; over it the client gets 431.
    pub head_bytes: usize,
    /// Header fields of a request; over it the client gets 431.
    pub head_fields: usize,
    /// Time for a whole request head.
    pub head_timeout: Duration,
    /// Time without a byte on a client's body or an upstream's answer before the exchange is given up.
    pub idle_timeout: Duration,
    /// Time without a byte in either direction before an upgraded connection (WebSocket) is closed.
    pub tunnel_timeout: Duration,
    /// Bytes of a request's body; over it the client gets 413. `None` is no bound.
    pub body_bytes: Option<u64>,
    /// Bytes of each body kept for the copy and the tap; over it the request is forwarded all the same, but neither
    /// copied nor decoded, and that is counted.
    pub capture_bytes: usize,
    /// Client connections over all workers; over it new ones are closed.
    pub connections: usize,
    /// Copies under way to shadows at the same time, all models together.
    pub shadow_in_flight: usize,
    /// Copies waiting for a place in flight.
    pub shadow_queue: usize,
    /// Bytes held by copies, waiting and in flight.
    pub shadow_bytes: usize,
    /// Bytes read of a shadow's answer; the rest is not read and the connection closed.
    pub shadow_answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            head_fields: 64,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(300),
            body_bytes: None,
            capture_bytes: 1024 * 1024,
            connections: 16_384,
            shadow_in_flight: 64,
            shadow_queue: 256,
            shadow_bytes: 32 * 1024 * 1024,
            shadow_answer_bytes: 1024 * 1024,
        }
    }
}

/// Every model that is served: the snapshot a request reads once. Swapped as a whole.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Models in the order in which their routes are tried. The first that matches takes the request.
    pub models: Vec<Arc<ModelRoute>>,
    /// Goes up by one with every change, for audit and tests.
    pub generation: u64,
}

/// One model's public path and its versions.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRoute {
    /// The model's name.
    pub name: Arc<str>,
    /// Which requests are its own.
    pub matches: RouteMatch,
    /// Versions, at least one.
    pub versions: Vec<Version>,
    /// Real traffic: index into `versions` and weight. Weights are positive and need not add up to 100. At least one.
    pub split: Vec<(usize, u32)>,
    /// Shadows that get copies; empty means none. Each decides for itself.
    pub shadows: Vec<Shadow>,
    /// Header that names the tenant; its value goes to the tap unchecked.
    pub tenant_header: Option<HeaderName>,
    /// Whether exchanges go to the tap at all.
    pub tap: bool,
    /// Request headers that go to the tap with it, with their names as the log writes them. Nothing is copied for none.
    pub log_headers: Vec<(HeaderName, Arc<str>)>,
    /// Header whose value keeps a client on one version of the split; without it each request is drawn anew.
    pub sticky_header: Option<HeaderName>,
    /// Which requests are sent again when a reused connection was closed before a byte of the answer.
    pub retry: Retry,
}

/// Which requests may be sent twice: the upstream may have acted on the first one, and closed before it could say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// None.
    Never,
    /// Idempotent methods, and requests with an `idempotency-key`.
    Idempotent,
    /// Those, and inferences, which have no effects: `POST`s of data to a path that manages nothing.
    #[default]
    Inference,
}

/// Which requests belong to a model; all that is given must hold. All `None` takes every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// Path prefix at a segment's boundary: `/fraud` takes `/fraud` and `/fraud/x`, not `/fraudulent`.
    pub path_prefix: Option<String>,
    /// Host without port, compared without case.
    pub host: Option<String>,
    /// A header and the value it must have.
    pub header: Option<(HeaderName, String)>,
    /// Take `path_prefix` off before forwarding.
    pub strip_prefix: bool,
}

/// One version of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its name.
    pub name: Arc<str>,
    /// Where it answers.
    pub upstream: Upstream,
}

/// A model server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Scheme, authority and an optional base path that is put before the request's path.
    pub url: Uri,
    /// Speak HTTP/2: over TLS by ALPN when the server offers it, over plain TCP with prior knowledge.
    pub http2: bool,
    /// Extra trust anchors, PEM; the system's roots count as well.
    pub ca_file: Option<PathBuf>,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time from a request's head read to the answer's head, connecting included; over it the client gets 504.
    pub answer_timeout: Duration,
    /// Send the client's `host` on instead of the upstream's own.
    pub preserve_host: bool,
    /// How long a connection without a request is kept. `None` learns it: from `keep-alive: timeout=` of the answers, and
    /// from when the upstream closed idle connections.
    pub idle: Option<Duration>,
}

/// A shadow and who is copied to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    /// Index into the route's `versions`. `None` only logs: nothing is sent, and the tap is offered the drawn exchanges,
    /// production's answers with them, once more on the shadow lane.
    pub version: Option<usize>,
    /// Its answers measure how much `version` disagrees with itself: only requests that `version` answered are copied, and
    /// the answers go to the tap as [`record::Pairing::Noise`].
    pub noise: bool,
    /// Share of the requests that is copied, 0..=100, fractions count.
    pub percent: f64,
    /// What the draw goes by.
    pub sample_by: SampleBy,
    /// Copy a request that was marked `x-shadow: true` before it came here, whatever the percentage.
    pub honour_mark: bool,
    /// Take `authorization`, `cookie`, `proxy-authorization` and `x-api-key` off the copy.
    pub strip_credentials: bool,
    /// More headers to take off the copy.
    pub strip_headers: Vec<HeaderName>,
    /// Time for a whole copy.
    pub timeout: Duration,
    /// Read the shadow's answer for the tap. When false the copy is sent and the answer discarded.
    pub tap: bool,
    /// Only these methods are copied; empty means all but `CONNECT` and `TRACE`.
    pub methods: Vec<http::Method>,
}

/// What a sampling decision is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleBy {
    /// Each request is drawn by itself.
    Random,
    /// By hash of the request id: the same id is always decided alike.
    RequestId,
    /// By hash of the tenant header.
    Tenant,
    /// By hash of a header (a user id, say). A request without it is drawn by itself.
    Header(HeaderName),
}

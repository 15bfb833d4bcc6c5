//! `limits`: every bound, each with the default that the crates below state.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::{Size, Span};

/// Upper bounds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Bytes of a request's head; over it the client gets 431.
    #[schemars(extend("x-min" = "1KiB", "x-max" = "1MiB"))]
    pub(crate) head_bytes: Size,
    /// Header fields of a request; over it the client gets 431.
    #[schemars(range(min = 8, max = 1000))]
    pub(crate) head_fields: usize,
    /// Time for a whole request head.
    #[schemars(extend("x-min" = "10ms", "x-max" = "1h"))]
    pub(crate) head_timeout: Span,
    /// Time without a byte on a client's body or an upstream's answer before the exchange is given up.
    #[schemars(extend("x-min" = "10ms", "x-max" = "1d"))]
    pub(crate) idle_timeout: Span,
    /// Time without a byte in either direction before a WebSocket is closed.
    #[schemars(extend("x-min" = "10ms", "x-max" = "7d"))]
    pub(crate) tunnel_timeout: Span,
    /// Bytes of a request's body; over it the client gets 413. There is no bound by default.
    #[schemars(extend("x-min" = "1B"))]
    pub(crate) body_bytes: Option<Size>,
    /// Bytes of each body that are kept for the copy and for measuring. A larger request is forwarded all the same, but
    /// neither copied nor measured, and that is counted.
    #[schemars(extend("x-min" = "1KiB", "x-max" = "1GiB"))]
    pub(crate) capture_bytes: Size,
    /// Client connections at a time; over it new ones are closed.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) connections: usize,
    /// Copies under way to shadows at a time, all models together.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) shadow_in_flight: usize,
    /// Copies that wait for a place in flight; over it copies are dropped and counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) shadow_queue: usize,
    /// Bytes held by copies, waiting and in flight.
    #[schemars(extend("x-min" = "1KiB"))]
    pub(crate) shadow_bytes: Size,
    /// Bytes read of a shadow's answer; the rest is not read.
    #[schemars(extend("x-min" = "1KiB", "x-max" = "1GiB"))]
    pub(crate) shadow_answer_bytes: Size,
    /// Requests that wait to be measured; over it they are dropped and counted.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) observe_queue: usize,
    /// Bytes held by requests that wait to be measured.
    #[schemars(extend("x-min" = "1KiB"))]
    pub(crate) observe_bytes: Size,
    /// Tenants per model with windows of their own; later ones share the windows of the tenant `other`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) tenants: usize,
    /// Features per model; later ones are dropped and counted.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) features: usize,
    /// Categories per feature when a reference is learned; rarer ones count as `other`.
    #[schemars(range(min = 1, max = 250))]
    pub(crate) categories: usize,
    /// Versions per model that records from outside may name.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) versions: usize,
}

/// Requests that wait to be measured.
const OBSERVE_QUEUE: usize = 8_192;

/// Bytes they may hold.
const OBSERVE_BYTES: u64 = 64 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        let gateway = gateway::Limits::default();
        let windows = monitor::WindowLimits::default();
        let size = |bytes: usize| Size(bytes as u64);
        Self {
            head_bytes: size(gateway.head_bytes),
            head_fields: gateway.head_fields,
            head_timeout: Span(gateway.head_timeout),
            idle_timeout: Span(gateway.idle_timeout),
            tunnel_timeout: Span(gateway.tunnel_timeout),
            body_bytes: gateway.body_bytes.map(Size),
            capture_bytes: size(gateway.capture_bytes),
            connections: gateway.connections,
            shadow_in_flight: gateway.shadow_in_flight,
            shadow_queue: gateway.shadow_queue,
            shadow_bytes: size(gateway.shadow_bytes),
            shadow_answer_bytes: size(gateway.shadow_answer_bytes),
            observe_queue: OBSERVE_QUEUE,
            observe_bytes: Size(OBSERVE_BYTES),
            tenants: monitor::TenantSpec::default().limit,
            features: windows.features,
            categories: windows.categories,
            versions: windows.versions,
        }
    }
}

impl Limits {
    /// The gateway's part.
    pub(crate) fn gateway(&self) -> gateway::Limits {
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        let time = |span: Span| -> Duration { span.0 };
        gateway::Limits {
            head_bytes: bytes(self.head_bytes),
            head_fields: self.head_fields,
            head_timeout: time(self.head_timeout),
            idle_timeout: time(self.idle_timeout),
            tunnel_timeout: time(self.tunnel_timeout),
            body_bytes: self.body_bytes.map(|size| size.0),
            capture_bytes: bytes(self.capture_bytes),
            connections: self.connections,
            shadow_in_flight: self.shadow_in_flight,
            shadow_queue: self.shadow_queue,
            shadow_bytes: bytes(self.shadow_bytes),
            shadow_answer_bytes: bytes(self.shadow_answer_bytes),
        }
    }

    /// The monitor's part.
    pub(crate) fn windows(&self) -> monitor::WindowLimits {
        monitor::WindowLimits {
            features: self.features,
            categories: self.categories,
            versions: self.versions,
        }
    }
}

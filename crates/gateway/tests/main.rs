//! The data plane against real sockets: a raw client on one side, recording origins on the other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod copies;
mod framing;
mod grpc;
mod headers;
mod hostile_shadow;
mod kept;
mod lifecycle;
mod protocols;
mod proxying;
mod routing;
mod support;
mod tunnels;

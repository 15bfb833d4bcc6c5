//! From an exchange's bodies to rows.

use crate::{Decoded, Exchange};

/// How bodies are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Recognised from the path and the body, request by request.
    #[default]
    Auto,
    /// KServe v1: `instances` and `predictions`.
    KserveV1,
    /// KServe v2 (Open Inference Protocol): `inputs` and `outputs`.
    KserveV2,
    /// Any JSON, by path or flattened.
    Json,
}

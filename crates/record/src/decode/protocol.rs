//! The protocols by name.

use serde::{Deserialize, Serialize};

/// How bodies are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Recognised from the path, the content type and the body, request by request.
    #[default]
    Auto,
    /// KServe v1: `instances` and `predictions`.
    KserveV1,
    /// KServe v2 (Open Inference Protocol): `inputs` and `outputs`.
    KserveV2,
    /// KServe v2 over gRPC: `ModelInfer` of `inference.GRPCInferenceService`.
    KserveV2Grpc,
    /// SageMaker containers: CSV, JSON or JSON lines, by content type.
    Sagemaker,
    /// Vertex AI: `instances` and `predictions`; any form under `:rawPredict`.
    Vertex,
    /// OpenAI-style chat, completions and embeddings: counts and settings, never text.
    Openai,
    /// Any JSON, by path or flattened.
    Json,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::KserveV1,
        Self::KserveV2,
        Self::KserveV2Grpc,
        Self::Sagemaker,
        Self::Vertex,
        Self::Openai,
        Self::Json,
    ];

    /// The name in configuration and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::KserveV1 => "kserve-v1",
            Self::KserveV2 => "kserve-v2",
            Self::KserveV2Grpc => "kserve-v2-grpc",
            Self::Sagemaker => "sagemaker",
            Self::Vertex => "vertex",
            Self::Openai => "openai",
            Self::Json => "json",
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown protocol `{0}`: expected `auto`, `kserve-v1`, `kserve-v2`, `kserve-v2-grpc`, `sagemaker`, `vertex`, \
     `openai` or `json`"
)]
pub struct UnknownProtocol(pub String);

impl std::str::FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.as_str() == text)
            .ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

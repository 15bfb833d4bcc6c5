//! Which leg of the traffic an inference belongs to.

use serde::{Deserialize, Serialize};

/// The leg an inference was served on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Real traffic: the client received this answer.
    #[default]
    Prod,
    /// A copy: nobody but Driftline read the answer.
    Shadow,
}

impl Lane {
    /// The label value used in metrics, logs and records: `prod` or `shadow`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Shadow => "shadow",
        }
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

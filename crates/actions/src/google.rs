//! Google Cloud: tokens of the usual chain (`GOOGLE_APPLICATION_CREDENTIALS`, the user's application default credentials,
//! the machine's metadata, `gcloud`), or one that is given.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::call::{Call, Failure};
use crate::secret::Secret;

/// What is asked for: everything that the account may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Tokens for calls.
pub(crate) struct Google {
    given: Option<Secret>,
    provider: OnceCell<Arc<dyn gcp_auth::TokenProvider>>,
}

impl std::fmt::Debug for Google {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Google").finish_non_exhaustive()
    }
}

impl Google {
    pub(crate) fn new(given: Option<Secret>) -> Self {
        Self { given, provider: OnceCell::new() }
    }

    /// The call with a token.
    pub(crate) async fn authorized(&self, call: Call) -> Result<Call, Failure> {
        if let Some(token) = &self.given {
            return call.bearer(token.expose());
        }
        let provider = self.provider.get_or_try_init(gcp_auth::provider).await;
        let provider = provider.map_err(|error| Failure::later(format!("no Google credentials: {error}")))?;
        let token = provider.token(&[SCOPE]).await;
        let token = token.map_err(|error| Failure::later(format!("no Google token: {error}")))?;
        call.bearer(token.as_str())
    }
}

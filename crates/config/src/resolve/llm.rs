//! Budgets of shadows, and the embedding cache.

use crate::raw::{self, CacheScope, File, ShadowMode, ShadowRole};
use crate::resolve::Context;
use crate::settings::{BudgetSettings, EmbeddingCacheSettings};
use crate::yaml::Cursor;

/// The budget of a shadow.
pub(crate) fn budget(shadow: &raw::Shadow) -> Option<BudgetSettings> {
    let raw = shadow.budget.as_ref()?;
    Some(BudgetSettings {
        tokens_per_day: raw.tokens_per_day,
        usd_per_day: raw.usd_per_day,
        usd_per_million_prompt_tokens: raw.usd_per_million_prompt_tokens.unwrap_or(0.0),
        usd_per_million_completion_tokens: raw.usd_per_million_completion_tokens.unwrap_or(0.0),
    })
}

/// Reports a budget that cannot be kept, or that there is nothing to spend of.
pub(crate) fn check_budget(shadow: &raw::Shadow, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let Some(raw) = &shadow.budget else { return };
    let at = at.key("budget");
    if shadow.mode == ShadowMode::LogOnly {
        let message = "a shadow that only logs generates nothing and costs nothing";
        context.sink.error_at_key(&at, message).hint("take `budget` away, or `mode: log-only`");
    }
    if shadow.role == ShadowRole::Noise {
        let message = "the noise has no budget: its copies go to the version that answers clients";
        context.sink.error_at_key(&at, message).hint("take `budget` away, and bound `percent` instead");
    }
    let priced =
        raw.usd_per_million_prompt_tokens.is_some() || raw.usd_per_million_completion_tokens.is_some();
    if raw.usd_per_day.is_some() && !priced {
        let message = "`usd_per_day` needs the price of tokens";
        let hint = "add `usd_per_million_prompt_tokens` and `usd_per_million_completion_tokens`";
        context.sink.error_at_key(&at.key("usd_per_day"), message).hint(hint);
    }
}

/// The embedding cache, when there is to be one.
pub(crate) fn embedding_cache(file: &File) -> Option<EmbeddingCacheSettings> {
    let raw = file.embedding_cache.as_ref()?;
    Some(EmbeddingCacheSettings {
        entries: raw.entries,
        bytes: usize::try_from(raw.bytes.0).unwrap_or(usize::MAX),
        persist: raw.persist,
        share_all: raw.scope == CacheScope::All,
    })
}

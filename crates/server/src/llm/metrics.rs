//! The metrics and the status of what LLM routes need.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ledger::{Account, KINDS};
use crate::exposition::{Exposition, Kind};

/// Accounts by model and version.
pub(crate) type Accounts = Vec<((Arc<str>, Arc<str>), Account)>;

/// What shadows have spent.
pub(crate) fn spending(page: &mut Exposition, accounts: &Accounts) {
    if accounts.is_empty() {
        return;
    }
    page.family(
        "driftline_shadow_tokens_total",
        Kind::Counter,
        "Tokens that shadows with a budget were asked and answered, by kind; estimated where an answer does not say.",
    );
    for ((model, version), account) in accounts {
        for (kind, count) in KINDS.iter().zip(account.total) {
            page.sample(&[("model", model), ("version", version), ("kind", kind)], count as f64);
        }
    }
    page.family(
        "driftline_shadow_spend_usd_total",
        Kind::Counter,
        "What these tokens cost by the configured prices, dollars.",
    );
    for ((model, version), account) in accounts {
        page.sample(&[("model", model), ("version", version)], account.total_usd);
    }
    page.family(
        "driftline_shadow_budget_exhausted",
        Kind::Gauge,
        "1 when the budget of today (UTC) of one of the model's shadows is used up: its copies stop.",
    );
    // Accounts are in the order of their models.
    for of_model in accounts.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
        let exhausted = of_model.iter().any(|(_, account)| account.is_exhausted());
        if let Some(((model, _), _)) = of_model.first() {
            page.sample(&[("model", model)], f64::from(u8::from(exhausted)));
        }
    }
}

/// One shadow's account, for the status.
pub(crate) fn account(account: &Account) -> Value {
    let (budget, today) = (&account.budget, &account.today);
    json!({
        "tokens_per_day": budget.tokens_per_day,
        "usd_per_day": budget.usd_per_day,
        "prompt_tokens_today": today.prompt_tokens,
        "completion_tokens_today": today.completion_tokens,
        "usd_today": today.usd,
        "exhausted": account.is_exhausted(),
    })
}

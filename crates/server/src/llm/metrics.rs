//! The metrics and the status of what LLM routes need.

use std::sync::Arc;

use embeddings::{CacheCounters, CacheSnapshot};
use serde_json::{Value, json};

use super::ledger::{Account, KINDS};
use crate::exposition::{Exposition, Kind, single};

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

type CounterOf = fn(&CacheCounters) -> u64;

/// The result and its counter.
type Counter = (&'static str, CounterOf);

const REQUESTS: [Counter; 4] =
    [("hit", |c| c.hits), ("miss", |c| c.misses), ("partial", |c| c.partial), ("bypass", |c| c.bypassed)];
const INPUTS: [Counter; 2] = [("hit", |c| c.input_hits), ("miss", |c| c.input_misses)];

/// Counters with no label but the model.
const BY_MODEL: [(&str, &str, CounterOf); 2] = [
    ("driftline_embedding_tokens_saved_total", "Tokens that were not bought again.", |c| c.tokens_saved),
    (
        "driftline_embedding_cache_rejected_total",
        "Answers that were not kept: errors, and what is not one embedding for each input.",
        |c| c.rejected,
    ),
];

/// The embedding cache.
pub(crate) fn embedding_cache(page: &mut Exposition, cache: &CacheSnapshot, unlearned: u64) {
    let by_result = [
        (
            "driftline_embedding_cache_requests_total",
            "Embeddings requests of shadows and probes by how much of them was known; bypass: of no form that is kept.",
            &REQUESTS[..],
        ),
        (
            "driftline_embedding_cache_inputs_total",
            "Inputs of these requests: known, or being bought by another one (hit), or bought (miss).",
            &INPUTS[..],
        ),
    ];
    for (name, help, results) in by_result {
        page.family(name, Kind::Counter, help);
        for (model, counters) in &cache.models {
            for (result, value) in results {
                page.sample(&[("model", model), ("result", result)], value(counters) as f64);
            }
        }
    }
    for (name, help, value) in BY_MODEL {
        page.family(name, Kind::Counter, help);
        for (model, counters) in &cache.models {
            page.sample(&[("model", model)], value(counters) as f64);
        }
    }
    for (name, kind, help, value) in [
        ("driftline_embedding_cache_entries", Kind::Gauge, "Embeddings held.", cache.entries as f64),
        ("driftline_embedding_cache_bytes", Kind::Gauge, "Bytes that they hold.", cache.bytes as f64),
        (
            "driftline_embedding_cache_unwritten_total",
            Kind::Counter,
            "Changes that did not get to disk: a restart forgets them.",
            cache.unwritten as f64,
        ),
        (
            "driftline_embedding_cache_unlearned_total",
            Kind::Counter,
            "Answers of production that were not taken up because too many waited.",
            unlearned as f64,
        ),
    ] {
        single(page, name, kind, help, value);
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

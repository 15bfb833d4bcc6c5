//! What shadows have spent today, and whether they may spend more.
//!
//! A day is one of UTC. What was spent is counted when an answer has come, so copies that are under way when a budget
//! is used up go over it: by at most as many as may be in flight.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::{BudgetSettings, ModelSettings};
use gateway::ShadowBudget;
use record::Exchange;
use serde::{Deserialize, Serialize};

use super::usage::{Tokens, UsageReader};
use crate::clock::now_ms;
use crate::snapshot::write_atomically;

const FILE_NAME: &str = "shadow-budget.json";
const DAY_MS: i64 = 86_400_000;

/// Model and version.
type Key = (Arc<str>, Arc<str>);

/// The accounts of all shadows that have a budget.
#[derive(Debug)]
pub(crate) struct Ledger {
    usage: UsageReader,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Days since 1970.
    day: i64,
    accounts: BTreeMap<Key, Account>,
    /// What is stored of shadows that are not configured at present: they may come back today.
    dormant: Vec<Stored>,
    is_dirty: bool,
}

/// One shadow's account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) budget: BudgetSettings,
    pub(crate) today: Spent,
    /// Since the start, by what is known: prompt and completion, said and estimated.
    pub(crate) total: [u64; 4],
    pub(crate) total_usd: f64,
    was_exhausted: bool,
}

/// The names of [`Account::total`].
pub(crate) const KINDS: [&str; 4] = ["prompt", "completion", "prompt_estimated", "completion_estimated"];

/// Spent on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) usd: f64,
}

impl Spent {
    /// Tokens of both kinds.
    pub(crate) fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl Account {
    fn new(budget: BudgetSettings, today: Spent) -> Self {
        Self { budget, today, total: [0; 4], total_usd: 0.0, was_exhausted: false }
    }

    /// Whether the day's budget is used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget.tokens_per_day.is_some_and(|most| self.today.tokens() >= most)
            || self.budget.usd_per_day.is_some_and(|most| self.today.usd >= most)
    }

    fn spend(&mut self, tokens: Tokens) {
        let of = |count: u64, price: f64| count as f64 * price / 1e6;
        let usd = of(tokens.prompt, self.budget.usd_per_million_prompt_tokens)
            + of(tokens.completion, self.budget.usd_per_million_completion_tokens);
        self.today.prompt_tokens = self.today.prompt_tokens.saturating_add(tokens.prompt);
        self.today.completion_tokens = self.today.completion_tokens.saturating_add(tokens.completion);
        self.today.usd += usd;
        self.total_usd += usd;
        let [prompt, completion, prompt_estimated, completion_estimated] = &mut self.total;
        let (prompt, completion) =
            if tokens.estimated { (prompt_estimated, completion_estimated) } else { (prompt, completion) };
        *prompt = prompt.saturating_add(tokens.prompt);
        *completion = completion.saturating_add(tokens.completion);
    }
}

/// The file: the day and what was spent on it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Page {
    /// Days since 1970 (UTC).
    day: i64,
    spent: Vec<Stored>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    model: Arc<str>,
    version: Arc<str>,
    #[serde(flatten)]
    spent: Spent,
}

impl Ledger {
    /// The accounts of these models, with what was spent today before this start.
    pub(crate) fn open(folder: &Path, models: &[ModelSettings]) -> Self {
        let path = folder.join(FILE_NAME);
        let page = read(&path);
        let state = State { day: page.day, dormant: page.spent, ..State::default() };
        let ledger = Self { usage: UsageReader::default(), path, state: Mutex::new(state) };
        ledger.configure(models);
        ledger
    }

    /// Takes over other budgets; what was spent stays.
    pub(crate) fn configure(&self, models: &[ModelSettings]) {
        let mut state = self.lock();
        let mut before = std::mem::take(&mut state.accounts);
        let mut dormant = std::mem::take(&mut state.dormant);
        for model in models {
            for shadow in &model.shadows {
                let (Some(version), Some(budget)) = (&shadow.version, shadow.budget) else { continue };
                let key = (Arc::clone(&model.name), Arc::clone(version));
                let account = match before.remove(&key) {
                    Some(account) => Account { budget, ..account },
                    None => {
                        let stored = dormant.iter().position(|stored| is_of(stored, &key));
                        let spent = stored.map(|at| dormant.swap_remove(at).spent);
                        Account::new(budget, spent.unwrap_or_default())
                    }
                };
                state.accounts.insert(key, account);
            }
        }
        dormant.extend(before.into_iter().map(|(key, account)| stored(key, account.today)));
        state.dormant = dormant;
    }

    /// Every account, on the day of `now_ms`.
    pub(crate) fn accounts(&self, now_ms: i64) -> Vec<(Key, Account)> {
        let mut state = self.lock();
        state.turn_to(now_ms);
        state.accounts.iter().map(|(key, account)| (key.clone(), *account)).collect()
    }

    /// Writes what was spent, when that has changed.
    pub(crate) fn save(&self) {
        let page = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.is_dirty) {
                return;
            }
            let accounts = state.accounts.iter().map(|(key, account)| stored(key.clone(), account.today));
            Page { day: state.day, spent: accounts.chain(state.dormant.iter().cloned()).collect() }
        };
        let written = serde_json::to_vec(&page).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|bytes| write_atomically(&self.path, &bytes)) {
            self.lock().is_dirty = true;
            tracing::warn!(
                path = %self.path.display(), %error,
                "what shadows have spent is not written: a restart would forget it; make room or mend the folder"
            );
        }
    }

    fn admits_at(&self, model: &str, version: &str, now_ms: i64) -> bool {
        let mut state = self.lock();
        state.turn_to(now_ms);
        state.find(model, version).is_none_or(|account| !account.is_exhausted())
    }

    fn count(&self, exchange: &Exchange, now_ms: i64) {
        if self.lock().find(&exchange.model, &exchange.version).is_none() {
            return;
        }
        let tokens = self.usage.tokens(exchange);
        let mut state = self.lock();
        state.turn_to(now_ms);
        state.is_dirty = true;
        let Some(account) = state.find(&exchange.model, &exchange.version) else { return };
        account.spend(tokens);
        if account.is_exhausted() && !std::mem::replace(&mut account.was_exhausted, true) {
            tracing::warn!(
                model = %exchange.model, version = %exchange.version, tokens = account.today.tokens(), usd = account.today.usd,
                "the shadow's budget of today is used up: copies stop until midnight UTC"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A new day begins at nothing. A clock that went back changes nothing.
    fn turn_to(&mut self, now_ms: i64) {
        let day = now_ms.div_euclid(DAY_MS);
        if day <= self.day {
            return;
        }
        self.day = day;
        self.dormant.clear();
        for account in self.accounts.values_mut() {
            (account.today, account.was_exhausted) = (Spent::default(), false);
        }
        self.is_dirty = true;
    }

    fn find(&mut self, model: &str, version: &str) -> Option<&mut Account> {
        self.accounts
            .iter_mut()
            .find(|((m, v), _)| **m == *model && **v == *version)
            .map(|(_, account)| account)
    }
}

impl ShadowBudget for Ledger {
    fn admits(&self, model: &str, version: &str) -> bool {
        self.admits_at(model, version, now_ms())
    }

    fn ended(&self, exchange: &Exchange) {
        self.count(exchange, now_ms());
    }
}

fn is_of(stored: &Stored, (model, version): &Key) -> bool {
    stored.model == *model && stored.version == *version
}

fn stored((model, version): Key, spent: Spent) -> Stored {
    Stored { model, version, spent }
}

/// What is stored; a file that cannot be read counts as nothing spent, and the log says so.
fn read(path: &Path) -> Page {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Page::default(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what shadows have spent today cannot be read; it counts as nothing");
            return Page::default();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "what shadows have spent today is broken; it counts as nothing");
        Page::default()
    })
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

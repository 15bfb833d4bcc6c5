//! What people are to be told beside alerts and decisions.

use std::sync::Arc;

use serde_json::Value;

use super::Controller;
use super::proposal::Proposal;
use super::retrain::Retraining;
use crate::actuator::Change;
use crate::decide::BlockReason;

/// News that wait to be fetched; the oldest go first.
const NEWS_MAX: usize = 1_000;

/// Something that people are to be told, or that the caller is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An alert does not roll back, said once per stretch of firing.
    Blocked {
        /// Why not.
        reason: BlockReason,
        /// The change that was not made; its decision number is 0.
        change: Change,
        /// The same in words.
        text: String,
        /// The alerts behind it.
        evidence: Value,
    },
    /// A rollback waits for approval.
    Proposed(Proposal),
    /// A proposal was turned down, ran out or is pointless now.
    ProposalEnded(Proposal),
    /// A training is to be started.
    Retrain(Retraining),
}

impl Controller {
    /// What has happened since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news).into()
    }

    pub(super) fn tell(&mut self, news: News) {
        if self.news.len() >= NEWS_MAX {
            self.news.pop_front();
            tracing::warn!("nobody fetches the news: the oldest is forgotten");
        }
        self.news.push_back(news);
    }

    /// The change that an alert calls for, as far as it can be told before it is decided.
    pub(super) fn would_be(&self, model_idx: usize) -> Change {
        let entry = &self.models[model_idx];
        Change {
            decision_id: 0,
            kind: crate::decision::DecisionKind::Rollback,
            model: Arc::clone(&entry.policy.name),
            from: Arc::clone(&entry.active),
            to: Arc::clone(&entry.policy.stable),
            restores_configuration: entry.policy.stable == entry.policy.active,
        }
    }
}

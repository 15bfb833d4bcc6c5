//! How far a reference has grown, in words.

use serde::Serialize;

use super::{DAY_MS, Trend};
use crate::model::Model;

/// Features that are named, at most.
const NAMED: usize = 20;

/// How far a learned reference has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthStage {
    /// It covers less than a day, or has features that are not stationary.
    Provisional,
    /// It covers a day and grows on.
    Growing,
    /// It covers all that it is to cover, and stays.
    Settled,
}

/// What a learned reference covers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GrowthReading {
    /// How far it has grown.
    pub stage: GrowthStage,
    /// The time of its first row and of its newest one, unix milliseconds.
    pub since_ms: i64,
    /// See `since_ms`.
    pub until_ms: i64,
    /// The time that its rows cover in all, milliseconds.
    pub covers_ms: i64,
    /// Features whose newest rows are not like their first ones, at most 20.
    pub not_stationary: Vec<Trend>,
    /// All of it as a sentence.
    pub text: String,
}

impl Model {
    /// How far the references have grown, by the feature whose reference covers most; `None` where none may grow.
    pub(crate) fn growth(&self) -> Option<GrowthReading> {
        let grow_ms = self.rules.grow_ms?;
        let state = &self.state;
        let period = |(at, feature): (usize, &crate::features::Feature)| {
            let (frozen, growing) = (feature.frozen()?, state.growth.get(at));
            let since_ms = frozen.since_ms?;
            // What was learned since the last look has not grown.
            let learned = || (frozen.at_ms.saturating_sub(since_ms).max(0), since_ms, frozen.at_ms);
            Some(growing.map_or_else(learned, |one| (one.covers_ms, one.since_ms, one.until_ms)))
        };
        let periods = state.features.iter().enumerate().filter_map(period);
        let (covers_ms, since_ms, until_ms) = periods.max_by_key(|(covers, ..)| *covers)?;
        let not_stationary: Vec<Trend> = state.growth.trends(state).take(NAMED).collect();
        let stage = match covers_ms {
            _ if !not_stationary.is_empty() => GrowthStage::Provisional,
            covers if covers >= grow_ms => GrowthStage::Settled,
            covers if covers >= DAY_MS => GrowthStage::Growing,
            _ => GrowthStage::Provisional,
        };
        let text = sentence(stage, covers_ms, grow_ms, &not_stationary);
        Some(GrowthReading { stage, since_ms, until_ms, covers_ms, not_stationary, text })
    }
}

fn sentence(stage: GrowthStage, covers_ms: i64, grow_ms: i64, trends: &[Trend]) -> String {
    let covers = duration(covers_ms);
    if !trends.is_empty() {
        let names: Vec<String> = trends.iter().map(|trend| format!("`{}`", trend.feature)).collect();
        return format!(
            "provisional, covers {covers}: not stationary ({}); newer rows differ from the first ones and are left out",
            names.join(", ")
        );
    }
    match stage {
        GrowthStage::Provisional => {
            format!("provisional, covers {covers}: grows until it covers {}", duration(grow_ms))
        }
        GrowthStage::Growing => format!("covers {covers}: grows until it covers {}", duration(grow_ms)),
        GrowthStage::Settled => format!("covers {covers} and stays"),
    }
}

/// `17 min`, `3 h 20 min`, `2 d 5 h`.
fn duration(ms: i64) -> String {
    let (days, hours, minutes) = (ms / DAY_MS, ms / 3_600_000 % 24, ms / 60_000 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", ms.max(0) / 1_000),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_covers_is_said_in_words() {
        let week = 7 * DAY_MS;
        assert_eq!(
            sentence(GrowthStage::Provisional, 17 * 60_000, week, &[]),
            "provisional, covers 17 min: grows until it covers 7 d"
        );
        assert_eq!(sentence(GrowthStage::Settled, week + 3_600_000, week, &[]), "covers 7 d 1 h and stays");
        let trend = Trend { feature: "temp".into(), since_ms: 5 };
        assert_eq!(
            sentence(GrowthStage::Provisional, 12 * 3_600_000, week, &[trend]),
            "provisional, covers 12 h: not stationary (`temp`); newer rows differ from the first ones and are left out"
        );
        assert_eq!(duration(12_200_000), "3 h 23 min");
    }
}

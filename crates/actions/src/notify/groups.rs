//! Many alerts, few messages: all alerts of one rule about one model's version are one group, which waits a moment for
//! more before it is told, and is told again only when it has changed, at most once in a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::{Alert, AlertChange, AlertEnd, AlertTransition, Severity};

use super::notice::{ALERTS_MAX, FeatureShare, Link, Notice, NoticeKind};

/// Groups that are kept; alerts of further ones are counted and not told.
const GROUPS_MAX: usize = 1_000;

/// Names in a sentence.
const NAMED: usize = 8;

/// How alerts become messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// How long a group waits for more alerts before its first message.
    pub wait: Duration,
    /// Least time between two messages about one group while it fires.
    pub every: Duration,
    /// A group that goes on firing is told again after this long.
    pub repeat: Duration,
}

/// Every group with an alert that fires, or whose end is not told yet.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<String, Group>,
    refused: u64,
}

#[derive(Debug)]
struct Group {
    rule: String,
    model: Arc<str>,
    version: Option<Arc<str>>,
    severity: Severity,
    firing: BTreeMap<String, Alert>,
    ended: BTreeMap<String, Alert>,
    features: Vec<FeatureShare>,
    since_ms: i64,
    /// Since when there is something that was not told.
    news_ms: Option<i64>,
    told_ms: Option<i64>,
}

/// The key of an alert's group.
pub(crate) fn key(alert: &Alert) -> String {
    let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
    format!("{}/{}/{}", label("model"), label("version"), alert.name)
}

impl Groups {
    /// Takes a change of an alert. `features`: the parts of the drift of its model's version.
    pub(crate) fn take(&mut self, change: &AlertChange, features: Vec<FeatureShare>, now_ms: i64) {
        let alert = &change.alert;
        match change.transition {
            AlertTransition::Firing => {
                if let Some(group) = self.group(alert) {
                    group.ended.remove(&alert.fingerprint);
                    group.firing.insert(alert.fingerprint.clone(), alert.clone());
                    group.features = features;
                    group.news_ms.get_or_insert(now_ms);
                }
            }
            AlertTransition::Resolved => {
                let Some(group) = self.groups.get_mut(&key(alert)) else { return };
                group.firing.remove(&alert.fingerprint);
                if group.ended.len() < ALERTS_MAX {
                    group.ended.insert(alert.fingerprint.clone(), alert.clone());
                }
                group.news_ms.get_or_insert(now_ms);
            }
            AlertTransition::Pending | AlertTransition::Cancelled => {}
        }
    }

    /// Takes an alert that fired before the process began: it is no news.
    pub(crate) fn restore(&mut self, alert: &Alert, features: Vec<FeatureShare>, now_ms: i64) {
        if let Some(group) = self.group(alert) {
            group.firing.insert(alert.fingerprint.clone(), alert.clone());
            group.features = features;
            group.told_ms = Some(now_ms);
        }
    }

    fn group(&mut self, alert: &Alert) -> Option<&mut Group> {
        let key = key(alert);
        if !self.groups.contains_key(&key) && self.groups.len() >= GROUPS_MAX {
            self.refused += 1;
            return None;
        }
        let label = |name: &str| alert.labels.get(name).map(|value| Arc::from(value.as_str()));
        Some(self.groups.entry(key).or_insert_with(|| Group {
            rule: alert.name.clone(),
            model: label("model").unwrap_or_else(|| "".into()),
            version: label("version"),
            severity: alert.severity,
            firing: BTreeMap::new(),
            ended: BTreeMap::new(),
            features: Vec::new(),
            since_ms: alert.since_ms,
            news_ms: None,
            told_ms: None,
        }))
    }

    /// Alerts that were not told because there are too many groups.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// The messages that are due.
    pub(crate) fn due(&mut self, grouping: &Grouping, now_ms: i64) -> Vec<Notice> {
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        // A clock that was set back must not keep anything from being told.
        let passed = |since_ms: i64, span: Duration| now_ms < since_ms || now_ms - since_ms >= ms(span);
        let mut due = Vec::new();
        for (key, group) in &mut self.groups {
            let news = group.news_ms.is_some_and(|since| passed(since, grouping.wait));
            let may =
                group.firing.is_empty() || group.told_ms.is_none_or(|told| passed(told, grouping.every));
            let again =
                !group.firing.is_empty() && group.told_ms.is_some_and(|told| passed(told, grouping.repeat));
            if (news && may) || again {
                // What fired and ended before anybody heard of it is not told.
                if group.told_ms.is_some() || !group.firing.is_empty() {
                    due.push(group.notice(key, now_ms));
                }
                (group.told_ms, group.news_ms) = (Some(now_ms), None);
                group.ended.clear();
            }
        }
        self.groups.retain(|_, group| !group.firing.is_empty() || group.news_ms.is_some());
        due
    }

    /// A message about every group that fires, as it is now.
    pub(crate) fn firing(&self, now_ms: i64) -> Vec<Notice> {
        self.groups
            .iter()
            .filter(|(_, group)| !group.firing.is_empty())
            .map(|(key, group)| group.notice(key, now_ms))
            .collect()
    }
}

impl Group {
    fn notice(&self, key: &str, now_ms: i64) -> Notice {
        let fires = !self.firing.is_empty();
        let subject = match &self.version {
            Some(version) => format!("{} {version}", self.model),
            None => self.model.to_string(),
        };
        let shown = if fires { &self.firing } else { &self.ended };
        let drill = if shown.values().any(|alert| alert.drill) { "Drill: " } else { "" };
        let title = format!("{drill}{}: {subject}{}", self.rule, if fires { "" } else { " is over" });
        let mut alerts: Vec<&Alert> = shown.values().collect();
        alerts.sort_by(|a, b| b.value.total_cmp(&a.value));
        let since_ms = alerts.iter().map(|alert| alert.since_ms).min().unwrap_or(self.since_ms);
        let take = |alerts: &BTreeMap<String, Alert>| alerts.values().take(ALERTS_MAX).cloned().collect();
        Notice {
            kind: if fires { NoticeKind::Firing } else { NoticeKind::Resolved },
            key: key.to_owned(),
            severity: self.severity,
            model: Arc::clone(&self.model),
            version: self.version.clone(),
            title,
            text: text(&alerts, fires),
            since_ms: if fires { since_ms } else { self.since_ms },
            at_ms: now_ms,
            facts: facts(&alerts),
            features: if fires { self.features.clone() } else { Vec::new() },
            links: links(&alerts),
            alerts: take(&self.firing),
            ended: take(&self.ended),
        }
    }
}

fn text(alerts: &[&Alert], fires: bool) -> String {
    let Some(worst) = alerts.first() else { return "Nothing fires any more.".to_owned() };
    let features: Vec<&str> =
        alerts.iter().filter_map(|alert| alert.labels.get("feature")).map(String::as_str).collect();
    if features.len() < 2 {
        return if fires {
            worst.annotations.description.clone()
        } else {
            let why = worst.ended.filter(|why| *why != AlertEnd::Clear);
            let why = why.map(|why| format!(" ({})", why.why())).unwrap_or_default();
            format!("Over: {}{why}", worst.annotations.summary)
        };
    }
    let named = features.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = match features.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let verb = match worst.ended {
        None => "fire".to_owned(),
        Some(AlertEnd::Clear) => "are back to normal".to_owned(),
        Some(why) => format!("are over ({})", why.why()),
    };
    let worst = if fires { format!(" {}", worst.annotations.description) } else { String::new() };
    format!("{} features {verb}: {named}{more}.{worst}", features.len())
}

fn facts(alerts: &[&Alert]) -> Vec<(String, String)> {
    let Some(worst) = alerts.first() else { return Vec::new() };
    let mut facts = vec![
        ("severity".to_owned(), worst.severity.as_str().to_owned()),
        match worst.labels.get("feature") {
            Some(feature) => {
                let (label, value) = (worst.measure.spec().label, worst.measure.show(worst.value));
                ("worst".to_owned(), format!("{feature}: {label} {value}"))
            }
            None => (worst.measure.spec().label.to_owned(), worst.measure.show(worst.value)),
        },
        ("requests".to_owned(), worst.n.to_string()),
    ];
    if worst.tenants_red > 0 {
        let named = worst.tenants.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        facts.push(("tenants".to_owned(), format!("{} ({named})", worst.tenants_red)));
    }
    facts
}

fn links(alerts: &[&Alert]) -> Vec<Link> {
    let Some(alert) = alerts.first() else { return Vec::new() };
    let link = |text: &str, url: &String| Link { text: text.to_owned(), url: url.clone() };
    let dashboard = alert.annotations.dashboard_url.as_ref().map(|url| link("Dashboard", url));
    dashboard.into_iter().chain([link("Runbook", &alert.annotations.runbook_url)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::outlet::testing::alert;

    const GROUPING: Grouping = Grouping {
        wait: Duration::from_secs(5),
        every: Duration::from_secs(60),
        repeat: Duration::from_secs(3_600),
    };

    fn change(transition: AlertTransition, feature: &str) -> AlertChange {
        AlertChange { transition, alert: alert(feature) }
    }

    /// Kind and features of what is due.
    fn due(groups: &mut Groups, now_ms: i64) -> Vec<String> {
        let told = |notice: Notice| {
            let features: Vec<_> = notice.alerts.iter().map(|one| one.labels["feature"].clone()).collect();
            format!("{} {}", notice.kind.as_str(), features.join(","))
        };
        groups.due(&GROUPING, now_ms).into_iter().map(told).collect()
    }

    #[test]
    fn many_alerts_are_one_message() {
        let mut groups = Groups::default();
        let fire = |groups: &mut Groups, feature: &str, now_ms| {
            groups.take(&change(AlertTransition::Firing, feature), Vec::new(), now_ms);
        };
        let end = |groups: &mut Groups, feature: &str, now_ms| {
            groups.take(&change(AlertTransition::Resolved, feature), Vec::new(), now_ms);
        };
        fire(&mut groups, "amount", 0);
        fire(&mut groups, "country", 4_000);
        assert!(due(&mut groups, 4_900).is_empty(), "it waits for more");
        assert_eq!(due(&mut groups, 5_000), ["firing amount,country"]);
        assert!(due(&mut groups, 60_000).is_empty(), "nothing new");
        fire(&mut groups, "age", 20_000);
        assert!(due(&mut groups, 40_000).is_empty(), "not so soon again");
        assert_eq!(due(&mut groups, 65_000), ["firing age,amount,country"]);
        assert_eq!(due(&mut groups, 65_000 + 3_600_000), ["firing age,amount,country"], "it goes on");
        let later = 4_000_000;
        ["age", "amount", "country"].iter().for_each(|feature| end(&mut groups, feature, later));
        assert_eq!(due(&mut groups, later + 5_000), ["resolved "], "an end does not wait for long");
        assert!(groups.groups.is_empty());
        fire(&mut groups, "age", later);
        end(&mut groups, "age", later + 1_000);
        assert!(due(&mut groups, later + 9_000).is_empty(), "nobody has heard of it");
        assert!(groups.groups.is_empty());
    }

    #[test]
    fn an_alert_of_the_last_run_is_no_news() {
        let mut groups = Groups::default();
        groups.restore(&alert("amount"), Vec::new(), 0);
        assert!(due(&mut groups, 100_000).is_empty());
        assert_eq!(groups.firing(0).len(), 1);
        groups.take(&change(AlertTransition::Resolved, "amount"), Vec::new(), 200_000);
        assert_eq!(due(&mut groups, 210_000), ["resolved "]);
    }

    #[test]
    fn too_many_groups_are_counted() {
        let mut groups = Groups::default();
        for n in 0..GROUPS_MAX + 3 {
            let mut change = change(AlertTransition::Firing, "amount");
            change.alert.labels.insert("model".to_owned(), format!("m{n}"));
            groups.take(&change, Vec::new(), 0);
        }
        assert_eq!((groups.groups.len(), groups.refused()), (GROUPS_MAX, 3));
    }
}

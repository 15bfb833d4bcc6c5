//! The table: failures and what is right.

use serde_json::{Value, json};

use crate::support::instance::Instance;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Harm {
    /// Name of the failure.
    pub(crate) failure: &'static str,
    /// One sentence about what goes wrong.
    pub(crate) happens: &'static str,
    pub(crate) fault: Fault,
    /// The one alert that fires; `None` where none may.
    pub(crate) fires: Option<Fires>,
    /// Alerts that fire or not, depending on the traffic.
    pub(crate) may: &'static [&'static str],
    /// Whether clients get the stable version.
    pub(crate) moves: bool,
    /// Why traffic moves or stays.
    pub(crate) because: &'static str,
    /// What else the instance says then; fails when it does not.
    pub(crate) seen: fn(&Instance),
}

/// An alert and when it fires.
#[derive(Debug)]
pub(crate) struct Fires {
    pub(crate) alert: &'static str,
    /// Its title; `…` is a measured number, `{over}` the rule's horizon.
    pub(crate) words: &'static str,
    /// Its condition holds after this many failing requests at the latest; `None` where clients wait so long that the requests under
    /// way are no number to go by.
    pub(crate) within: Option<usize>,
    /// The same in words.
    pub(crate) after: &'static str,
}

/// What is done to an instance that is well.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing listens any more where the active version was.
    Dead,
    /// Every `every`-th answer has this status.
    Status { code: u16, every: usize },
    /// Every answer takes this long, milliseconds.
    Slow(u64),
    /// No answer comes.
    Hang,
    /// Every request is changed like this.
    Requests(fn(&mut Value)),
    /// Every score is the same.
    Constant,
    /// The requests of one tenant of six are changed like this.
    OneTenant(fn(&mut Value)),
    /// Every request is sent this many times.
    Repeat(usize),
    /// The profile has the label as well, from the beginning.
    LabelInProfile,
    /// The profile is that of another model, from the beginning.
    OtherProfile,
}

impl Fault {
    /// Whether tenants are told apart.
    pub(crate) fn has_tenants(self) -> bool {
        matches!(self, Self::OneTenant(_))
    }

    /// Clients at the same time: those who wait for slow answers are many.
    pub(crate) fn clients(self) -> usize {
        match self {
            Self::Slow(_) | Self::Hang => 24,
            _ => 1,
        }
    }
}

fn null(row: &mut Value) {
    row["distance"] = Value::Null;
}

fn to_text(row: &mut Value) {
    let miles = row["distance"].as_i64().unwrap_or_default();
    row["distance"] = json!(format!("{miles} mi"));
}

fn rename(row: &mut Value) {
    let value = row["distance"].take();
    row.as_object_mut().unwrap().remove("distance");
    row["distance_miles"] = value;
}

fn vanish(row: &mut Value) {
    row.as_object_mut().unwrap().remove("distance");
}

fn garbage(row: &mut Value) {
    row["distance"] = json!(-987_654_321);
    row["temp"] = json!(1e9);
    row["carrier"] = json!("#REF!");
}

fn nothing_more(_: &Instance) {}

fn label_is_not_seen(instance: &Instance) {
    let of = |reason| [("feature", "late"), ("reason", reason)];
    assert_eq!(instance.metrics().value("driftline_feature_judged", &of("not_seen")), Some(0.0));
    assert_eq!(instance.metrics().value("driftline_armed", &[]), Some(1.0));
}

fn not_armed(instance: &Instance) {
    assert_eq!(instance.metrics().value("driftline_armed", &[]), Some(0.0));
    let fit = &instance.model()["fit"];
    let names = |side: &str| {
        fit[side].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>()
    };
    assert!(names("not_seen").contains(&"amount") && names("unknown").contains(&"distance"), "{fit:#}");
}

/// Predictions follow what is broken in requests, and one that is frozen is another distribution: these rules may say so as well.
pub(crate) const OF_THE_PREDICTION: &[&str] =
    &["PSIAmber", "FeaturePSIHigh", "FeaturePSICritical", "DriftDetected", "DriftCritical"];

/// Values within tens of requests.
const TENS: usize = 60;

/// What is right for each failure, in the order of the page.
pub(crate) static TABLE: [Harm; 15] = [
    Harm {
        failure: "dead model",
        happens: "Nothing listens at the address of the active version.",
        fault: Fault::Dead,
        fires: Some(Fires {
            alert: "ErrorRateCritical",
            words: "`delay` v2: …% of … requests failed in the last {over} (502: no connection, or no valid answer)",
            within: Some(20),
            after: "20 failed requests in a row",
        }),
        may: &[],
        moves: true,
        because: "The stable version answers.",
        seen: nothing_more,
    },
    Harm {
        failure: "5 % of answers are 500",
        happens: "The active version fails one request of twenty.",
        fault: Fault::Status { code: 500, every: 20 },
        fires: Some(Fires {
            alert: "ErrorRateHigh",
            words: "`delay` v2: …% of … requests failed in the last {over} (500)",
            within: Some(1_000),
            after: "more than 100 requests in the last 5 min, when the lower end of Wilson's interval is above 1 %",
        }),
        may: &[],
        moves: false,
        because: "A warning. Above 5 %, beyond chance, it is the next row.",
        seen: nothing_more,
    },
    Harm {
        failure: "100 % of answers are 500",
        happens: "The active version fails every request.",
        fault: Fault::Status { code: 500, every: 1 },
        fires: Some(Fires {
            alert: "ErrorRateCritical",
            words: "`delay` v2: …% of … requests failed in the last {over} (500)",
            within: Some(20),
            after: "20 failed requests in a row",
        }),
        may: &[],
        moves: true,
        because: "The stable version answers.",
        seen: nothing_more,
    },
    Harm {
        failure: "slow model",
        happens: "Every answer of the active version takes longer than 500 ms.",
        fault: Fault::Slow(700),
        fires: Some(Fires {
            alert: "LatencySpike",
            words: "`delay` v2: p95 is … ms",
            within: None,
            after: "5 % of the requests of the last minute, from more than 100; or 20 requests, when every one is slow",
        }),
        may: &[],
        moves: true,
        because: "The stable version is not slow.",
        seen: nothing_more,
    },
    Harm {
        failure: "hanging model",
        happens: "The active version takes requests and never answers.",
        fault: Fault::Hang,
        fires: Some(Fires {
            alert: "ErrorRateCritical",
            words: "`delay` v2: …% of … requests failed in the last {over} (504: no answer in time)",
            within: None,
            after: "20 requests in a row that ran into the time limit (`timeout`, 1 min by default)",
        }),
        may: &["LatencySpike"],
        moves: true,
        because: "The stable version answers.",
        seen: nothing_more,
    },
    Harm {
        failure: "422 to every request",
        happens: "The active version refuses what clients send: a change of the schema.",
        fault: Fault::Status { code: 422, every: 1 },
        fires: Some(Fires {
            alert: "RejectedHigh",
            words: "`delay` v2: …% of … requests were refused in the last {over} (422)",
            within: Some(20),
            after: "20 refused requests in a row",
        }),
        may: &[],
        moves: false,
        because: "Another version does not mend what clients send. `rollback.on` decides.",
        seen: nothing_more,
    },
    Harm {
        failure: "null feature",
        happens: "`distance` is null in every request.",
        fault: Fault::Requests(null),
        fires: Some(Fires {
            alert: "DataQuality",
            words: "`delay` v2: `distance`: …% missing since … UTC (training …%)",
            within: Some(TENS),
            after: "tens of requests",
        }),
        may: OF_THE_PREDICTION,
        moves: false,
        because: "The fault is in the requests, which `v1` would get as well.",
        seen: nothing_more,
    },
    Harm {
        failure: "type change",
        happens: "`distance` is a text (`\"719 mi\"`) where training had numbers.",
        fault: Fault::Requests(to_text),
        fires: Some(Fires {
            alert: "DataQuality",
            words: "`delay` v2: `distance`: …% of another type since … UTC (training …%)",
            within: Some(TENS),
            after: "tens of requests",
        }),
        may: OF_THE_PREDICTION,
        moves: false,
        because: "The fault is in the requests, which `v1` would get as well.",
        seen: nothing_more,
    },
    Harm {
        failure: "renamed feature",
        happens: "`distance` comes as `distance_miles`.",
        fault: Fault::Requests(rename),
        fires: Some(Fires {
            alert: "DataQuality",
            words: "`delay` v2: `distance`: …% of requests without it since … UTC (training …%); new in requests: `distance_miles`",
            within: Some(TENS),
            after: "tens of requests",
        }),
        may: OF_THE_PREDICTION,
        moves: false,
        because: "The fault is in the requests, which `v1` would get as well.",
        seen: nothing_more,
    },
    Harm {
        failure: "vanished feature",
        happens: "`distance` is in no request any more.",
        fault: Fault::Requests(vanish),
        fires: Some(Fires {
            alert: "DataQuality",
            words: "`delay` v2: `distance`: …% of requests without it since … UTC (training …%)",
            within: Some(TENS),
            after: "tens of requests",
        }),
        may: OF_THE_PREDICTION,
        moves: false,
        because: "The fault is in the requests, which `v1` would get as well.",
        seen: nothing_more,
    },
    Harm {
        failure: "constant predictions",
        happens: "Every prediction of the active version is the same.",
        fault: Fault::Constant,
        fires: Some(Fires {
            alert: "PredictionFrozen",
            words: "`delay` v2: `prediction`: …% one and the same value since … UTC (training …%)",
            within: Some(2 * TENS),
            after: "tens of requests",
        }),
        may: OF_THE_PREDICTION,
        moves: true,
        because: "The stable version still predicts.",
        seen: nothing_more,
    },
    Harm {
        failure: "garbage from one tenant",
        happens: "One tenant of six sends values that no flight has.",
        fault: Fault::OneTenant(garbage),
        fires: Some(Fires {
            alert: "DataQuality",
            words: "`delay` v2: `distance`: …% outside the range of training since … UTC (training …%)",
            within: Some(6 * TENS),
            after: "tens of requests of that tenant, which is named",
        }),
        may: &["TenantDrift"],
        moves: false,
        because: "One tenant alone moves nobody. Answers to it change as well, which may be told as its drift.",
        seen: nothing_more,
    },
    Harm {
        failure: "duplicated retries",
        happens: "Every request is sent five times.",
        fault: Fault::Repeat(5),
        fires: None,
        may: &["DriftDetected"],
        moves: false,
        because: "The same rows again are the same distribution; the detector, which takes copies for rows of their own, may warn.",
        seen: nothing_more,
    },
    Harm {
        failure: "label in the profile",
        happens: "The training file had the label, and no request has it.",
        fault: Fault::LabelInProfile,
        fires: None,
        may: &[],
        moves: false,
        because: "A feature that was never in a request is not judged: `not_seen`.",
        seen: label_is_not_seen,
    },
    Harm {
        failure: "profile of another model",
        happens: "The profile's features are in no request.",
        fault: Fault::OtherProfile,
        fires: None,
        may: &[],
        moves: false,
        because: "The reference does not fit the traffic: not armed, and said so.",
        seen: not_armed,
    },
];

/// The row about a failure.
pub(crate) fn row(failure: &str) -> &'static Harm {
    TABLE.iter().find(|harm| harm.failure == failure).unwrap()
}

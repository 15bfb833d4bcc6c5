//! What tenants say together.
//!
//! A tenant has a vote when it is judged by a reference of its own and its window holds enough requests. The tenants say that
//! something has drifted when as many are red as the policy wants, or at least two that carry half of the traffic; they say that
//! nothing has when at least two that carry half of the traffic were judged. Otherwise, as before tenants have references of
//! their own, the total is judged, and tenants have to agree by their windows against the reference of all: as many as above, or
//! all of them where there are fewer.

use super::TENANT_NAMES_MAX;

/// Votes, and those that are red.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    judged: usize,
    judged_rows: u64,
    /// How many are red.
    pub(super) red: usize,
    red_rows: u64,
    /// Red tenants, as many as are kept.
    pub(super) names: Vec<String>,
    /// The largest value of a red one, and the rows behind it.
    pub(super) worst: f64,
    pub(super) n: u64,
    /// How it differs, in words.
    pub(super) change: Option<String>,
}

/// A tenant's vote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote<'a> {
    pub(super) tenant: &'a str,
    /// Rows that the tenant has sent, which is what its traffic is measured by.
    pub(super) rows: u64,
    pub(super) value: f64,
    /// Rows behind the value.
    pub(super) n: u64,
    /// How it differs, in words.
    pub(super) change: Option<&'a str>,
}

impl Votes {
    pub(super) fn add(&mut self, vote: Vote<'_>, is_red: bool) {
        self.judged += 1;
        self.judged_rows = self.judged_rows.saturating_add(vote.rows);
        if !is_red {
            return;
        }
        if self.red == 0 || vote.value > self.worst {
            (self.worst, self.n) = (vote.value, vote.n);
            self.change = vote.change.map(str::to_owned);
        }
        self.red += 1;
        self.red_rows = self.red_rows.saturating_add(vote.rows);
        if self.names.len() < TENANT_NAMES_MAX {
            self.names.push(vote.tenant.to_owned());
        }
    }
}

/// What the votes come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Drift.
    Holds,
    /// None.
    Clear,
    /// They carry too little to say.
    Open,
}

/// Those who could vote.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Electorate {
    /// Red tenants that are enough whatever they carry, at least 1.
    pub(super) wanted: usize,
    /// Tenants with a window.
    pub(super) tenants: usize,
    /// Rows of all, and those that name a tenant.
    pub(super) rows: u64,
    pub(super) named_rows: u64,
}

impl Electorate {
    fn is_half(self, rows: u64) -> bool {
        rows.saturating_mul(2) >= self.rows
    }

    /// What tenants with references of their own say.
    pub(super) fn outcome(self, votes: &Votes) -> Outcome {
        if votes.red >= self.wanted || votes.red >= 2 && self.is_half(votes.red_rows) {
            Outcome::Holds
        } else if votes.judged >= 2 && self.is_half(votes.judged_rows) {
            Outcome::Clear
        } else {
            Outcome::Open
        }
    }

    /// Whether tenants, compared with the reference of all, agree that the total has drifted, or nobody asks them: most rows
    /// name no tenant.
    pub(super) fn agrees(self, votes: &Votes) -> bool {
        let wanted = self.wanted.min(self.tenants);
        self.tenants == 0
            || !self.is_half(self.named_rows)
            || votes.red >= wanted
            || votes.red >= 2 && self.is_half(votes.red_rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(of: &[(u64, bool)]) -> Votes {
        let mut votes = Votes::default();
        for (rows, is_red) in of {
            votes.add(Vote { tenant: "t", rows: *rows, value: 0.4, n: 500, change: None }, *is_red);
        }
        votes
    }

    #[test]
    fn enough_tenants_or_half_of_the_traffic_hold() {
        let all = Electorate { wanted: 3, tenants: 9, rows: 1_000, named_rows: 1_000 };
        let says = |of: &[(u64, bool)]| all.outcome(&votes(of));
        assert_eq!(says(&[(10, true), (10, true), (10, true)]), Outcome::Holds, "three, however small");
        assert_eq!(says(&[(300, true), (250, true), (400, false)]), Outcome::Holds, "two with 55 %");
        assert_eq!(says(&[(300, true), (150, true), (400, false)]), Outcome::Clear);
        assert_eq!(says(&[(900, true), (50, false)]), Outcome::Clear, "one alone moves nothing");
        assert_eq!(says(&[(900, true)]), Outcome::Open, "one that is all there is is the total");
        assert_eq!(says(&[(200, false), (200, false)]), Outcome::Open, "most of the traffic is not known");
        assert_eq!(says(&[]), Outcome::Open);
    }

    #[test]
    fn while_tenants_are_not_known_they_agree_with_the_total_or_cannot_say() {
        let all = Electorate { wanted: 3, tenants: 4, rows: 1_000, named_rows: 1_000 };
        let agree = |of: &[(u64, bool)]| all.agrees(&votes(of));
        assert!(!agree(&[(250, true), (250, false), (250, false), (250, false)]));
        assert!(agree(&[(250, true), (250, true), (250, false), (250, false)]), "half of the traffic");
        assert!(agree(&[(100, true), (100, true), (100, true), (700, false)]));
        assert!(!agree(&[]), "none has rows enough yet");
        assert!(Electorate { named_rows: 400, ..all }.agrees(&votes(&[])), "most rows are nobody's");
        assert!(Electorate::default().agrees(&votes(&[])), "nobody names a tenant");
        assert!(Electorate { tenants: 1, ..all }.agrees(&votes(&[(1_000, true)])));
    }
}

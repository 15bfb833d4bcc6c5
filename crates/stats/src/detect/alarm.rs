//! What the detector says.

use std::fmt;

use super::dictionary::Alternative;
use crate::jeffreys;
use crate::sampling::{Severity, severity};
use crate::special::{chi_square_critical, chi_square_sf};

/// How a feature changed, as far as the evidence tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Direction(pub Alternative);

impl Direction {
    /// For programs, the same in every release: `shifted up`, `spread down`, `low tail up`, `DE up`. `labels` are those of
    /// the feature's slots.
    #[must_use]
    pub fn describe(self, labels: &[String]) -> String {
        let way = |up: bool| if up { "up" } else { "down" };
        match self.0 {
            Alternative::Tilt { order: 1, up } => format!("shifted {}", way(up)),
            Alternative::Tilt { order: 2, up } => format!("spread {}", way(up)),
            Alternative::Tilt { order: 3, up } => format!("skewed {}", way(up)),
            Alternative::Tilt { up, .. } => format!("tails and middle {}", way(up)),
            Alternative::Tail { low: true, high: false } => "low tail up".to_owned(),
            Alternative::Tail { low: false, .. } => "high tail up".to_owned(),
            Alternative::Tail { .. } => "both tails up".to_owned(),
            Alternative::Bump { slot, up } => match labels.get(usize::from(slot)) {
                Some(label) => format!("{label} {}", way(up)),
                None => format!("bin {slot} {}", way(up)),
            },
        }
    }
}

impl Direction {
    /// For people, with the feature's name: `amount shifted up`, `amount: very high values more often`, `country: DE more
    /// often`.
    #[must_use]
    pub fn phrase(self, feature: &str, labels: &[String]) -> String {
        let often = |up: bool| if up { "more often" } else { "less often" };
        match self.0 {
            Alternative::Tilt { order: 1, up } => {
                format!("{feature} shifted {}", if up { "up" } else { "down" })
            }
            Alternative::Tilt { order: 2, up } => {
                format!("{feature} spread {}", if up { "wider" } else { "narrower" })
            }
            Alternative::Tilt { order: 3, up } => {
                format!("{feature} skewed {}", if up { "right" } else { "left" })
            }
            Alternative::Tilt { up, .. } => {
                format!("{feature} with {} tails", if up { "heavier" } else { "lighter" })
            }
            Alternative::Tail { low: true, high: false } => format!("{feature}: very low values more often"),
            Alternative::Tail { low: false, .. } => format!("{feature}: very high values more often"),
            Alternative::Tail { .. } => format!("{feature}: very low and very high values more often"),
            Alternative::Bump { slot, up } => match labels.get(usize::from(slot)) {
                Some(label) => format!("{feature}: {label} {}", often(up)),
                None => format!("{feature}: bin {slot} {}", often(up)),
            },
        }
    }
}

/// How large a difference is, and whether it is more than chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// PSI of smoothed shares.
    pub psi: f64,
    /// What chance adds on average.
    pub noise: f64,
    /// The PSI without that; 0 where it is less.
    pub debiased: f64,
    /// What chance exceeds once in a hundred.
    pub critical: f64,
    /// The probability that chance gives as much.
    pub p_value: f64,
    /// Rows compared with the reference.
    pub rows: u64,
}

impl Size {
    /// A word for [`Self::debiased`].
    #[must_use]
    pub fn severity(&self) -> Severity {
        severity(self.debiased)
    }
}

/// The size of the difference between counts in the same slots; slots that both leave empty do not take part. `tau`
/// successive rows count as one.
///
/// `None`: too little data (a side has no rows), or slices of different lengths.
#[must_use]
pub fn measure(reference: &[u64], current: &[u64], tau: f64) -> Option<Size> {
    if reference.len() != current.len() {
        return None;
    }
    let used = || reference.iter().zip(current).filter(|(r, c)| **r > 0 || **c > 0);
    let (r, c): (Vec<u64>, Vec<u64>) = used().map(|(r, c)| (*r, *c)).unzip();
    let psi = jeffreys::psi(&r, &c)?;
    let total = |counts: &[u64]| counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let rows = total(&c);
    let unit = tau.max(1.0) * (1.0 / rows as f64 + 1.0 / total(&r) as f64);
    let dof = r.len().saturating_sub(1) as f64;
    let critical = chi_square_critical(0.01, dof).map_or(0.0, |quantile| quantile * unit);
    let p_value = chi_square_sf(psi / unit, dof).unwrap_or(1.0);
    let noise = dof * unit;
    Some(Size { psi, noise, debiased: (psi - noise).max(0.0), critical, p_value, rows })
}

/// A feature under suspicion.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Number of the feature.
    pub feature: usize,
    /// How it changed.
    pub direction: Direction,
    /// Evidence over the rows it gathered in: an e-value.
    pub e_value: f64,
    /// Debiased PSI: of the rows since [`Alarm::start`] where those are enough, else of the change that explains them best.
    pub psi: f64,
    /// The size by the rows since [`Alarm::start`] that are still remembered; `None` for fewer than 100.
    pub size: Option<Size>,
}

/// The distribution is not the reference's any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// The row that raised it, from 0.
    pub row: u64,
    /// The row at which the change is estimated to have begun.
    pub start: u64,
    /// Evidence over the threshold, at least 1.
    pub evidence_ratio: f64,
    /// The change is certain but too small to matter: below 0.005 debiased PSI in every feature.
    pub notice: bool,
    /// The features, those with most evidence first; at least one.
    pub suspects: Vec<Suspect>,
}

/// What happened as rows were counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Drift was found, or another feature joined a drift.
    Alarm(Alarm),
    /// A drift that was reported on fewer than [`super::MEASURED_ROWS`] rows has so many now: its size is known.
    Measured {
        /// The feature that differs most.
        feature: usize,
        /// Its size since the change began.
        size: Size,
    },
    /// A drift that was reported has at least doubled.
    Escalated {
        /// The feature.
        feature: usize,
        /// Its size since the change began.
        size: Size,
    },
    /// The features that had drifted are as the reference again; the detector is armed anew.
    Resolved,
}

/// Where a detector stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The reference is too small, or still being learned.
    WarmUp,
    /// Watching.
    Armed,
    /// Drift was found and goes on.
    Drifted,
    /// A drift has ended and no new one was found: armed again.
    Resolved,
}

impl Phase {
    /// The word for it: `warm_up`, `armed`, `drifted` or `resolved`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WarmUp => "warm_up",
            Self::Armed => "armed",
            Self::Drifted => "drifted",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_changed_and_programs_a_fixed_word() {
        let labels = ["< 3".to_owned(), "DE".to_owned()];
        let said = |alternative| {
            let direction = Direction(alternative);
            (direction.phrase("amount", &labels), direction.describe(&labels))
        };
        let table = [
            (Alternative::Tilt { order: 1, up: true }, "amount shifted up", "shifted up"),
            (Alternative::Tilt { order: 1, up: false }, "amount shifted down", "shifted down"),
            (Alternative::Tilt { order: 2, up: false }, "amount spread narrower", "spread down"),
            (Alternative::Tilt { order: 3, up: true }, "amount skewed right", "skewed up"),
            (Alternative::Tilt { order: 4, up: true }, "amount with heavier tails", "tails and middle up"),
            (
                Alternative::Tail { low: true, high: false },
                "amount: very low values more often",
                "low tail up",
            ),
            (
                Alternative::Tail { low: false, high: true },
                "amount: very high values more often",
                "high tail up",
            ),
            (
                Alternative::Tail { low: true, high: true },
                "amount: very low and very high values more often",
                "both tails up",
            ),
            (Alternative::Bump { slot: 0, up: false }, "amount: < 3 less often", "< 3 down"),
            (Alternative::Bump { slot: 1, up: true }, "amount: DE more often", "DE up"),
            (Alternative::Bump { slot: 9, up: true }, "amount: bin 9 more often", "bin 9 up"),
        ];
        for (alternative, phrase, word) in table {
            assert_eq!(said(alternative), (phrase.to_owned(), word.to_owned()));
        }
    }
}

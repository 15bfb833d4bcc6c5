//! What might happen to a feature: alternatives to its reference, as likelihood ratios per bin.

/// Strengths of tilts: how far a standardised score's mean would move.
const TILTS: [f64; 3] = [0.2, 0.5, 1.1];

/// Shares of rows that a tail or a bump would take.
const TAILS: [f64; 2] = [0.02, 0.08];
const BUMPS: [f64; 2] = [0.05, 0.2];
const SMALL_BUMPS: [f64; 2] = [0.003, 0.01];

/// Bins that hold less of the reference get the small bumps as well.
const RARE: f64 = 0.01;

/// A basis function whose rest is smaller is no direction of its own.
const NEGLIGIBLE: f64 = 1e-9;

/// Most polynomial directions: shift, spread, skew, tails.
const ORDERS: usize = 4;

/// The bins of a feature: the first `ordered` of its `slots` are in order, the others (unseen, missing) are not. A
/// categorical feature has none in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Ordered bins, 0 for a categorical feature.
    pub ordered: usize,
    /// All slots.
    pub slots: usize,
}

/// One alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alternative {
    /// The whole distribution leans along a polynomial of the rank: 1 location, 2 spread, 3 skew, 4 middle against tails.
    Tilt {
        /// Degree of the polynomial, from 1.
        order: u8,
        /// Towards larger values, wider, right-skewed, heavier.
        up: bool,
    },
    /// More rows in the outermost bins.
    Tail {
        /// In the lowest.
        low: bool,
        /// In the highest.
        high: bool,
    },
    /// More or fewer rows in one bin.
    Bump {
        /// The bin.
        slot: u8,
        /// More.
        up: bool,
    },
}

/// The alternatives of one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionary {
    /// What each is.
    pub alternatives: Vec<Alternative>,
    /// Their weights, sum one.
    pub weights: Vec<f64>,
    /// Likelihood ratios against the reference, one row of slots an alternative; `sum_b p_b L(b) = 1`.
    pub ratios: Vec<Vec<f64>>,
}

// === impl Dictionary ===

impl Dictionary {
    /// The dictionary for reference shares `p` (positive, sum one, `layout.slots` many).
    #[must_use]
    pub fn new(p: &[f64], layout: Layout) -> Self {
        let mut dictionary = Self { alternatives: Vec::new(), weights: Vec::new(), ratios: Vec::new() };
        let ordered = layout.ordered.min(p.len());
        if ordered > 0 {
            dictionary.tilts(p, ordered);
            dictionary.tails(p, ordered);
            let weight = 0.25 * 24.0 / (2.0 * p.len() as f64 * BUMPS.len() as f64);
            dictionary.bumps(p, weight);
            (ordered..p.len()).for_each(|slot| dictionary.small_bumps(p, slot, weight));
        } else {
            dictionary.bumps(p, 1.0);
            (0..p.len()).for_each(|slot| dictionary.small_bumps(p, slot, 1.0));
        }
        let total: f64 = dictionary.weights.iter().sum();
        dictionary.weights.iter_mut().for_each(|weight| *weight /= total);
        dictionary
    }

    fn add(&mut self, alternative: Alternative, weight: f64, ratios: Vec<f64>) {
        self.alternatives.push(alternative);
        self.weights.push(weight);
        self.ratios.push(ratios);
    }

    /// `L(b) = exp(+-theta phi(b)) / sum`, one on the slots without order.
    fn tilts(&mut self, p: &[f64], ordered: usize) {
        let pi = conditional(p, ordered);
        for (at, phi) in basis(&pi).iter().enumerate() {
            let weight = if at < 2 { 1.0 } else { 0.5 };
            for theta in TILTS {
                for up in [false, true] {
                    let sign = if up { theta } else { -theta };
                    let raw: Vec<f64> = phi.iter().map(|f| (sign * f).clamp(-30.0, 30.0).exp()).collect();
                    let norm: f64 = pi.iter().zip(&raw).map(|(pi, raw)| pi * raw).sum();
                    let mut ratios = vec![1.0; p.len()];
                    ratios.iter_mut().zip(&raw).for_each(|(ratio, raw)| *ratio = raw / norm);
                    self.add(Alternative::Tilt { order: at as u8 + 1, up }, weight, ratios);
                }
            }
        }
    }

    /// A share `epsilon` of the rows goes to the outermost bins.
    fn tails(&mut self, p: &[f64], ordered: usize) {
        if ordered < 2 {
            return;
        }
        let pi = conditional(p, ordered);
        for epsilon in TAILS {
            for (low, high) in [(true, false), (false, true), (true, true)] {
                let part = if low && high { 0.5 } else { 1.0 };
                let mut ratios = vec![1.0; p.len()];
                ratios[..ordered].fill(1.0 - epsilon);
                if low {
                    ratios[0] += epsilon * part / pi[0];
                }
                if high {
                    ratios[ordered - 1] += epsilon * part / pi[ordered - 1];
                }
                self.add(Alternative::Tail { low, high }, 0.5, ratios);
            }
        }
    }

    fn bumps(&mut self, p: &[f64], weight: f64) {
        for slot in 0..p.len() {
            for epsilon in BUMPS {
                self.up(p, slot, epsilon, weight);
                let left = (1.0 - 3.0 * epsilon).max(0.05);
                let norm = 1.0 - p[slot] * (1.0 - left);
                let mut ratios = vec![1.0 / norm; p.len()];
                ratios[slot] = left / norm;
                self.add(Alternative::Bump { slot: slot as u8, up: false }, weight, ratios);
            }
        }
    }

    fn small_bumps(&mut self, p: &[f64], slot: usize, weight: f64) {
        if p[slot] < RARE {
            SMALL_BUMPS.iter().for_each(|epsilon| self.up(p, slot, *epsilon, weight));
        }
    }

    fn up(&mut self, p: &[f64], slot: usize, epsilon: f64, weight: f64) {
        let mut ratios = vec![1.0 - epsilon; p.len()];
        ratios[slot] += epsilon / p[slot];
        self.add(Alternative::Bump { slot: slot as u8, up: true }, weight, ratios);
    }
}

/// Shares among the ordered bins alone.
fn conditional(p: &[f64], ordered: usize) -> Vec<f64> {
    let total: f64 = p[..ordered].iter().sum();
    p[..ordered].iter().map(|p| p / total).collect()
}

/// Polynomials of the mid-ranks, orthonormal in the inner product `sum pi f g` (Gram and Schmidt), without the constant.
pub(crate) fn basis(pi: &[f64]) -> Vec<Vec<f64>> {
    let mut below = 0.0;
    let ranks: Vec<f64> = pi
        .iter()
        .map(|share| {
            let middle = below + share / 2.0;
            below += share;
            2.0 * middle - 1.0
        })
        .collect();
    let mut found: Vec<Vec<f64>> = vec![vec![1.0; pi.len()]];
    for order in 1..=ORDERS {
        let mut f: Vec<f64> = ranks.iter().map(|rank| rank.powi(order as i32)).collect();
        // Twice: the second pass takes out what rounding left of the first.
        for _ in 0..2 {
            for g in &found {
                let along = inner(pi, &f, g);
                f.iter_mut().zip(g).for_each(|(f, g)| *f -= along * g);
            }
        }
        let norm = inner(pi, &f, &f).sqrt();
        if norm.is_nan() || norm < NEGLIGIBLE {
            break;
        }
        f.iter_mut().for_each(|f| *f /= norm);
        found.push(f);
    }
    found.remove(0);
    found
}

fn inner(pi: &[f64], f: &[f64], g: &[f64]) -> f64 {
    pi.iter().zip(f).zip(g).map(|((pi, f), g)| pi * f * g).sum()
}

//! The mathematics of drift: pure functions over numbers and counts.
//!
//! Everything a verdict rests on lives here, so that it can be checked against published values and by properties
//! alone: no clock, no I/O, no async, no serialisation. The crates above bring data in and act on what comes out.
//!
//! How the pieces fit:
//!
//! 1. [`Bins`] are fitted once, on the reference, and frozen ([`NumericBins`], [`CategoricalBins`]).
//! 2. Values become slots; counts are `&[u64]` of [`Bins::slots`] entries: the ordered bins (or categories), then
//!    `other` for categories, then `missing`, always last.
//! 3. A [`Window`] keeps the last values of live traffic as one byte each; [`merge`] adds counts of replicas.
//! 4. [`distances`] and [`psi_and_js`] compare two counts as everyone shows them (shares floored at [`FLOOR`]);
//!    [`jeffreys`] holds the smoothed forms that decisions rest on; [`sampling`] says what chance alone produces.
//! 5. [`two_sample`] compares raw samples: Kolmogorov-Smirnov, Wasserstein, chi-square; [`grid`] does it for samples too
//!    large to sort, with the same results.
//! 6. [`detect`] finds drift sooner than any window does, with a stated rate of false alarms.
//! 7. [`agreement`] and [`correlation`] compare two answers to the same questions.
//!
//! Too little data is never "fine": such functions return `None`, which callers show as insufficient data.
//! No function panics, whatever the numbers; none returns NaN for finite input.
//!
//! # Example
//!
//! ```
//! use stats::{Bins, BinningRule, NumericBins, RangeRule, Window};
//!
//! // The reference: 1,000 amounts, sorted.
//! let amounts: Vec<f64> = (0..1000).map(|i| f64::from(i) / 10.0).collect();
//! let rule = BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax };
//! let numeric = NumericBins::fit(&amounts, rule)?;
//! let bins = Bins::Numeric(numeric.clone());
//!
//! let mut reference = vec![0u64; bins.slots()];
//! for x in &amounts {
//!     reference[numeric.index(*x).unwrap_or(bins.missing())] += 1;
//! }
//!
//! // Live traffic: the same amounts, all 30 higher. A window holds the last 500.
//! let mut window = Window::new(500, bins.slots())?;
//! for x in &amounts {
//!     let slot = numeric.index(x + 30.0).unwrap_or(bins.missing());
//!     window.push(slot as u8);
//! }
//!
//! let shown = stats::distances(&bins, &reference, window.counts()).expect("both sides have rows");
//! assert!(shown.psi > 0.25);
//!
//! // Is that more than chance? Compare with the critical value at a false-alarm rate of 1 %.
//! let critical = stats::psi_critical(shown.bins, 1000, 500, 0.01).expect("both sides have rows");
//! assert!(shown.psi > critical);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod agreement;
pub mod bins;
pub mod correlation;
pub mod detect;
pub mod distance;
pub mod grid;
pub mod homogeneity;
pub mod jeffreys;
pub mod order;
pub mod ordered;
pub mod quantile;
pub mod sampling;
pub mod shares;
pub mod special;
pub mod spread;
pub mod two_sample;
pub mod window;
pub mod words;

pub use agreement::{Share, difference, kappa, means, wilson};
pub use bins::{
    BinningRule, Bins, BinsError, CategoricalBins, MAX_BINS, MAX_OFFLINE_BINS, NumericBins, RangeRule,
};
pub use correlation::{pearson, ranks, spearman};
pub use distance::{Distances, FLOOR, contributions, distances, psi_and_js};
pub use homogeneity::{ChiSquare, beyond_chance, chi_square, chi_square_merged, g_test, g_test_merged};
pub use order::kendall_tau_of_order;
pub use ordered::{Few, Ordered};
pub use quantile::{quantile, quantile_of, quantile_ranks};
pub use sampling::{
    Severity, benjamini_hochberg, debiased_psi, psi_critical, psi_noise, psi_p_value, severity,
};
pub use shares::merge;
pub use special::{chi_square_critical, chi_square_quantile, chi_square_sf, kolmogorov_sf};
pub use spread::{Mean, population_sd};
pub use two_sample::{ks, ks_p_value, ks_p_value_corrected, wasserstein, wasserstein_normed};
pub use window::{MAX_WINDOW_SLOTS, Window, WindowError};

//! A sequential detector of drift with a stated rate of false alarms.
//!
//! A window and a threshold answer "is it different now?" again and again, and are wrong the more often the more often
//! they are asked. This detector is asked after every request: it says how much evidence has gathered that the
//! distribution is not the reference's any more, and on average `arl0` requests pass between two alarms that are wrong.
//!
//! How it works, for each feature:
//!
//! 1. [`DetectorBins`] are cut from the reference, finer in the tails, and frozen.
//! 2. A [`Dictionary`] lists what might happen to the feature (shifted up by so much, spread, a spike on one bin), each
//!    as a likelihood ratio per bin.
//! 3. Every request multiplies the evidence of each alternative by its ratio ([`Evidence`]: Shiryaev-Roberts
//!    statistics). The ratios are shrunk by a dead zone, because the reference is finite itself, and tempered where
//!    requests resemble their predecessors ([`autocorrelation_time`]).
//! 4. The [`Detector`] averages over alternatives and features, raises an [`Alarm`] when the average is
//!    enough ([`kappa`]), names the features (e-BH, [`e_benjamini_hochberg`]), the direction and when it began.
//!
//! Changes in how features move together show in no feature alone: [`Joint`] makes one more feature of them.
//!
//! Sources: Shin, Ramdas and Rinaldo, *E-detectors: a nonparametric framework for sequential change detection*, New
//! England Journal of Statistics in Data Science, 2023; Wang and Ramdas, *False discovery rate control with e-values*,
//! JRSS B, 2022. Nothing here allocates while requests are counted; nothing knows the time.

mod alarm;
mod bins;
mod detector;
mod dictionary;
mod evidence;
mod joint;
mod memory;
mod order;
mod plan;
mod recent;
mod threshold;

pub use alarm::{Alarm, Direction, Event, Phase, Size, Suspect, measure};
pub use bins::{DetectorBins, FEW_VALUES, MAX_KEPT_CATEGORIES, tail_edges};
pub use detector::{ABSENT, Detector, MEASURED_ROWS, NOTICE, Settings};
pub use dictionary::{Alternative, Dictionary, Layout, Recipe};
pub use evidence::Evidence;
pub use joint::{Joint, JointColumn, JointError};
pub use memory::{DetectorMemory, DriftMemory, MemoryError};
pub use order::autocorrelation_time;
pub use plan::{FeaturePlan, MIN_REFERENCE_ROWS, Plan, PlanError, Slice, SliceError};
pub use threshold::{e_benjamini_hochberg, kappa};

#[cfg(test)]
mod tests;

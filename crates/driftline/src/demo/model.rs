//! The demo's models: logistic regressions that say how likely a flight is to be late, fitted at the start.
//!
//! Plain gradient descent on standardised inputs; a missing input counts as the mean. Small, and real: what drifts under
//! them is what drifted in New York in 2013.

use super::flights::{Flight, INPUTS, Inputs};

/// Steps of gradient descent; the loss does not move any more after some two hundred.
const STEPS: usize = 300;

/// Length of a step on standardised inputs.
const STEP_LENGTH: f64 = 1.0;

/// How likely a flight is to be late, from some of its inputs.
#[derive(Clone, Debug)]
pub(super) struct Model {
    bias: f64,
    /// One per input; zero for those it does not use.
    weights: Inputs,
    means: Inputs,
    /// Standard deviations, never zero.
    spreads: Inputs,
    /// Which of [`INPUTS`] it uses.
    uses: [bool; INPUTS.len()],
}

impl Model {
    /// Fits a model of the named inputs to flights whose outcome is known.
    pub(super) fn fit(flights: &[Flight], inputs: &[&str]) -> Self {
        let (means, spreads) = moments(flights);
        let uses = INPUTS.map(|name| inputs.contains(&name));
        let mut model = Self { bias: 0.0, weights: [0.0; INPUTS.len()], means, spreads, uses };
        let known = flights.iter().filter_map(|flight| {
            let late = if flight.late? { 1.0 } else { 0.0 };
            Some((model.standardised(&flight.inputs), late))
        });
        let known: Vec<(Inputs, f64)> = known.collect();
        for _ in 0..STEPS {
            model.step(&known);
        }
        model
    }

    /// Names of the inputs it uses.
    pub(super) fn inputs(&self) -> Vec<&'static str> {
        INPUTS.into_iter().zip(self.uses).filter_map(|(name, used)| used.then_some(name)).collect()
    }

    /// Probability of being late, 0..=1.
    pub(super) fn predict(&self, inputs: &Inputs) -> f64 {
        self.probability(&self.standardised(inputs))
    }

    fn step(&mut self, known: &[(Inputs, f64)]) {
        let (mut bias, mut weights) = (0.0, [0.0; INPUTS.len()]);
        for (inputs, late) in known {
            let error = self.probability(inputs) - late;
            bias += error;
            for (weight, input) in weights.iter_mut().zip(inputs) {
                *weight += error * input;
            }
        }
        let rate = STEP_LENGTH / known.len().max(1) as f64;
        self.bias -= rate * bias;
        for (weight, gradient) in self.weights.iter_mut().zip(weights) {
            *weight -= rate * gradient;
        }
    }

    fn probability(&self, standardised: &Inputs) -> f64 {
        let products = self.weights.iter().zip(standardised).map(|(weight, input)| weight * input);
        let score = self.bias + products.sum::<f64>();
        1.0 / (1.0 + (-score).exp())
    }

    /// Zero for what is missing or not used.
    fn standardised(&self, inputs: &Inputs) -> Inputs {
        let mut out = [0.0; INPUTS.len()];
        for (idx, out) in out.iter_mut().enumerate() {
            if self.uses[idx] && inputs[idx].is_finite() {
                *out = (inputs[idx] - self.means[idx]) / self.spreads[idx];
            }
        }
        out
    }
}

/// Mean and standard deviation per input, missing values left out.
fn moments(flights: &[Flight]) -> (Inputs, Inputs) {
    let (mut means, mut spreads) = ([0.0; INPUTS.len()], [1.0; INPUTS.len()]);
    for (idx, (mean, spread)) in means.iter_mut().zip(&mut spreads).enumerate() {
        let values = || flights.iter().map(|flight| flight.inputs[idx]).filter(|value| value.is_finite());
        let n = values().count().max(1) as f64;
        *mean = values().sum::<f64>() / n;
        let variance = values().map(|value| (value - *mean).powi(2)).sum::<f64>() / n;
        if variance > 0.0 {
            *spread = variance.sqrt();
        }
    }
    (means, spreads)
}

/// Area under the ROC curve of a model on flights whose outcome is known: the probability that a late flight gets a
/// higher score than one in time, ties counted half (Mann-Whitney). `None` when all had the same outcome.
pub(super) fn auc(model: &Model, flights: &[Flight]) -> Option<f64> {
    let mut scored: Vec<(f64, bool)> =
        flights.iter().filter_map(|flight| Some((model.predict(&flight.inputs), flight.late?))).collect();
    scored.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut in_time_below, mut pairs_won) = (0.0, 0.0);
    for tied in scored.chunk_by(|a, b| a.0 == b.0) {
        let late = tied.iter().filter(|(_, late)| *late).count() as f64;
        let in_time = tied.len() as f64 - late;
        pairs_won += late * (in_time_below + in_time / 2.0);
        in_time_below += in_time;
    }
    let pairs = in_time_below * (scored.len() as f64 - in_time_below);
    (pairs > 0.0).then(|| pairs_won / pairs)
}

/// Share of flights that were late, of those whose outcome is known.
pub(super) fn share_late(flights: &[Flight]) -> Option<f64> {
    mean(flights.iter().filter_map(|flight| flight.late).map(|late| if late { 1.0 } else { 0.0 }))
}

/// Share of flights that a model expects to be late.
pub(super) fn share_expected(model: &Model, flights: &[Flight]) -> Option<f64> {
    mean(flights.iter().map(|flight| model.predict(&flight.inputs)))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (n, sum) = values.fold((0_u32, 0.0), |(n, sum), value| (n + 1, sum + value));
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
mod tests {
    use super::super::flights::loaded;
    use super::*;

    fn flight(score: f64, late: bool) -> Flight {
        let mut inputs = [0.0; INPUTS.len()];
        inputs[0] = score;
        Flight { body: bytes::Bytes::new(), inputs, late: Some(late) }
    }

    /// Mean negative log-likelihood of what happened.
    fn log_loss(flights: &[Flight], probability: impl Fn(&Flight) -> f64) -> f64 {
        let losses = flights.iter().filter_map(|flight| {
            let p = probability(flight);
            Some(-(if flight.late? { p } else { 1.0 - p }).ln())
        });
        let losses: Vec<f64> = losses.collect();
        losses.iter().sum::<f64>() / losses.len() as f64
    }

    #[test]
    fn auc_counts_pairs() {
        let model = Model::fit(&[flight(0.0, false), flight(1.0, true), flight(2.0, true)], &["hour"]);
        let flights =
            [flight(1.0, false), flight(2.0, true), flight(3.0, false), flight(3.0, true), flight(4.0, true)];
        // 2 beats 1; 3 beats 1 and ties with 3; 4 beats both.
        assert_eq!(auc(&model, &flights), Some((1.0 + 1.5 + 2.0) / 6.0));
        assert_eq!(auc(&model, &flights[..1]), None);
    }

    #[test]
    fn the_models_know_something_about_flights_they_have_not_seen() {
        let flights = loaded();
        let small = Model::fit(&flights.reference, &["hour", "distance"]);
        let full = Model::fit(&flights.reference, &INPUTS);
        let (small_auc, full_auc) =
            (auc(&small, &flights.before).unwrap(), auc(&full, &flights.before).unwrap());
        assert!(small_auc > 0.6, "{small_auc}");
        assert!(full_auc > small_auc, "{full_auc} against {small_auc}");
        let base_rate = share_late(&flights.reference).unwrap();
        let constant = log_loss(&flights.before, |_| base_rate);
        for model in [&small, &full] {
            let loss = log_loss(&flights.before, |flight| model.predict(&flight.inputs));
            assert!(loss < constant, "{loss} against {constant} of a model that knows the base rate only");
        }
    }

    #[test]
    fn in_july_the_model_that_goes_by_the_weather_is_the_one_that_errs() {
        let flights = loaded();
        let small = Model::fit(&flights.reference, &["hour", "distance"]);
        let full = Model::fit(&flights.reference, &INPUTS);
        let off = |model: &Model, flights: &[Flight]| {
            (share_expected(model, flights).unwrap() - share_late(flights).unwrap()).abs()
        };
        assert!(off(&small, &flights.before) < 0.02 && off(&full, &flights.before) < 0.02);
        assert!(off(&full, &flights.after) > off(&small, &flights.after) + 0.05);
        assert_eq!((share_late(&[]), share_expected(&full, &[])), (None, None));
    }

    #[test]
    fn a_missing_input_counts_as_the_mean() {
        let flights = loaded();
        let model = Model::fit(&flights.reference, &INPUTS);
        let mut inputs = model.means;
        let at_mean = model.predict(&inputs);
        inputs[2] = f64::NAN;
        assert_eq!(model.predict(&inputs), at_mean);
        assert_eq!(model.inputs(), INPUTS);
    }
}

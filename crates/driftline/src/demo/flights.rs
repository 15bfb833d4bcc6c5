//! The data: real departures from New York in 2013 with the hour's weather (`testdata/README.md`).

use anyhow::Context;
use bytes::Bytes;
use monitor::profile::{BuildRules, Profile, ProfileBuilder};
use stats::{BinningRule, RangeRule};
use tabular::{Cell, Row, Schema, Table};

use crate::replay::body::{BodyWriter, Protocol};

/// `testdata/flights.csv`, in the program.
const FLIGHTS_CSV: &[u8] = include_bytes!("../../../../testdata/flights.csv");

/// What is known only after the flight, or is no input of a model.
const NOT_SENT: [&str; 4] = ["ts", "phase", "dep_delay", "late"];

/// The numeric inputs, in the order of [`Flight::inputs`].
pub(super) const INPUTS: [&str; 8] =
    ["hour", "distance", "temp", "dewp", "humid", "wind_speed", "precip", "visib"];

/// Values of [`INPUTS`]; NaN is missing.
pub(super) type Inputs = [f64; INPUTS.len()];

/// One departure.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// The request that asks for it, KServe v2.
    pub(super) body: Bytes,
    pub(super) inputs: Inputs,
    /// Whether it arrived 15 minutes late or more, if it arrived.
    pub(super) late: Option<bool>,
}

/// The three phases.
#[derive(Debug)]
pub(super) struct Flights {
    /// January and February: what the models are fitted on.
    pub(super) reference: Vec<Flight>,
    /// Others of the same months.
    pub(super) before: Vec<Flight>,
    /// July.
    pub(super) after: Vec<Flight>,
    /// Columns of `reference` on their way to a profile.
    profile: ProfileBuilder,
}

/// Reads the bundled file.
pub(super) fn load() -> anyhow::Result<Flights> {
    let mut table = Table::from_reader("flights.csv", &mut &FLIGHTS_CSV[..])?;
    let schema = table.schema()?.clone();
    let columns = Columns::of(&schema)?;
    let mut writer = BodyWriter::new(Protocol::KserveV2, &schema, |name| !NOT_SENT.contains(&name));
    let rules = BuildRules {
        binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax },
        categories: 50,
    };
    let mut profile = ProfileBuilder::new(rules);
    let (mut reference, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = table.rows()?;
    while let Some(row) = rows.next_row()? {
        writer.push(&row);
        let flight = Flight { body: writer.take(), inputs: columns.inputs(&row), late: columns.late(&row) };
        match row.get(columns.phase) {
            Some(Cell::Text("reference")) => {
                add_to_profile(&mut profile, &row);
                reference.push(flight);
            }
            Some(Cell::Text("before")) => before.push(flight),
            Some(Cell::Text("after")) => after.push(flight),
            _ => {}
        }
    }
    Ok(Flights { reference, before, after, profile })
}

impl Flights {
    /// The profile of what a model saw and said in winter. `now_ms` dates it, unix milliseconds.
    pub(super) fn baseline(&self, predict: impl Fn(&Inputs) -> f64, now_ms: i64) -> Profile {
        let mut profile = self.profile.clone();
        let predictions = profile.column("prediction");
        self.reference.iter().for_each(|flight| predictions.push_number(predict(&flight.inputs)));
        profile.finish("flights", now_ms)
    }
}

/// Where the columns are.
struct Columns {
    phase: usize,
    late: usize,
    inputs: [usize; INPUTS.len()],
}

impl Columns {
    fn of(schema: &Schema) -> anyhow::Result<Self> {
        let position =
            |name: &str| schema.position(name).with_context(|| format!("bundled data: no column `{name}`"));
        let mut inputs = [0; INPUTS.len()];
        for (place, name) in inputs.iter_mut().zip(INPUTS) {
            *place = position(name)?;
        }
        Ok(Self { phase: position("phase")?, late: position("late")?, inputs })
    }

    fn inputs(&self, row: &Row<'_>) -> Inputs {
        self.inputs.map(|index| match row.get(index) {
            Some(Cell::Integer(value)) => value as f64,
            Some(Cell::Number(value)) => value,
            _ => f64::NAN,
        })
    }

    fn late(&self, row: &Row<'_>) -> Option<bool> {
        match row.get(self.late) {
            Some(Cell::Integer(late)) => Some(late != 0),
            Some(Cell::Number(late)) => Some(late != 0.0),
            _ => None,
        }
    }
}

fn add_to_profile(profile: &mut ProfileBuilder, row: &Row<'_>) {
    for (name, cell) in row.iter().filter(|(name, _)| !NOT_SENT.contains(name)) {
        let column = profile.column(name);
        match cell {
            Cell::Integer(value) => column.push_number(value as f64),
            Cell::Number(value) => column.push_number(value),
            Cell::Boolean(value) => column.push_text(if value { "true" } else { "false" }),
            Cell::Text(text) => column.push_text(text),
            Cell::Missing => column.push_missing(1),
        }
    }
}

/// The flights, read once for all tests.
#[cfg(test)]
pub(super) fn loaded() -> &'static Flights {
    static FLIGHTS: std::sync::LazyLock<Flights> = std::sync::LazyLock::new(|| load().unwrap());
    &FLIGHTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_data_is_what_its_description_says() {
        let flights = loaded();
        let sizes = (flights.reference.len(), flights.before.len(), flights.after.len());
        assert_eq!(sizes, (6_000, 4_000, 6_000));
        let baseline = flights.baseline(|inputs| inputs[0], 0);
        let features: Vec<&str> = baseline.features.iter().map(|feature| feature.name.as_str()).collect();
        assert_eq!(
            features,
            [
                "carrier",
                "origin",
                "hour",
                "distance",
                "temp",
                "dewp",
                "humid",
                "wind_speed",
                "precip",
                "visib",
                "prediction"
            ]
        );
        assert_eq!(baseline.rows, 6_000);
    }

    #[test]
    fn a_request_holds_the_inputs_and_nothing_known_only_later() {
        let flights = loaded();
        insta::assert_snapshot!(String::from_utf8_lossy(&flights.reference[0].body), @r#"{"inputs":[{"name":"carrier","shape":[1],"datatype":"BYTES","data":["EV"]},{"name":"origin","shape":[1],"datatype":"BYTES","data":["EWR"]},{"name":"hour","shape":[1],"datatype":"INT64","data":[16]},{"name":"distance","shape":[1],"datatype":"INT64","data":[277]},{"name":"temp","shape":[1],"datatype":"FP64","data":[48.2]},{"name":"dewp","shape":[1],"datatype":"FP64","data":[41.0]},{"name":"humid","shape":[1],"datatype":"FP64","data":[76.01]},{"name":"wind_speed","shape":[1],"datatype":"FP64","data":[16.11092]},{"name":"precip","shape":[1],"datatype":"FP64","data":[0.0]},{"name":"visib","shape":[1],"datatype":"FP64","data":[10.0]}]}"#);
        assert_eq!(flights.reference[0].inputs[..3], [16.0, 277.0, 48.2]);
        assert_eq!(flights.reference[0].late, Some(true));
    }
}

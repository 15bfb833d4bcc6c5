//! Real rows: departures of January and February, some to train on and others like them as traffic.

use std::fmt::Write;

use serde_json::Value;

use crate::support::repository;

/// What is known only after the flight, or is no input of a model.
const NOT_SENT: [&str; 4] = ["ts", "phase", "dep_delay", "late"];

/// The rows of `testdata/flights.csv`.
#[derive(Debug)]
pub(super) struct Flights {
    /// The training file, with the label `late` where it was asked for.
    pub(super) training: String,
    /// The rows of requests.
    pub(super) traffic: Vec<Value>,
}

impl Flights {
    pub(super) fn load(with_label: bool) -> Self {
        let mut reader = csv::Reader::from_path(repository().join("testdata/flights.csv")).unwrap();
        let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let is_sent = |name: &str| !NOT_SENT.contains(&name);
        let is_trained = |name: &str| is_sent(name) || with_label && name == "late";
        let line = |cells: Vec<&str>| cells.join(",") + "\n";
        let mut this = Self {
            training: line(names.iter().map(String::as_str).filter(|name| is_trained(name)).collect()),
            traffic: Vec::new(),
        };
        for record in reader.records().map(Result::unwrap) {
            let cells = || names.iter().map(String::as_str).zip(&record);
            match cells().find(|(name, _)| *name == "phase").unwrap().1 {
                "reference" => {
                    let trained = cells().filter(|(name, _)| is_trained(name)).map(|(_, cell)| cell);
                    this.training.write_str(&line(trained.collect())).unwrap();
                }
                "before" => {
                    let row = cells().filter(|(name, _)| is_sent(name));
                    this.traffic.push(row.map(|(name, cell)| (name.to_owned(), value(cell))).collect());
                }
                _ => {}
            }
        }
        this
    }
}

/// A cell as a client writes it in JSON.
fn value(cell: &str) -> Value {
    match cell {
        "" => Value::Null,
        cell => serde_json::from_str(cell).unwrap_or_else(|_| cell.into()),
    }
}

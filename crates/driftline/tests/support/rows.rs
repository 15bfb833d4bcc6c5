//! Inference requests: rows with a number and a word, spread evenly so that their distribution is known.

use serde_json::{Value, json};

use super::http::{Client, Message};

/// Where KServe v2 takes them.
pub(crate) const INFER: &str = "/v2/models/fraud/infer";

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) amount: f64,
    pub(crate) country: &'static str,
}

const COUNTRIES: [&str; 4] = ["DE", "FR", "US", "BR"];

/// The n-th row of ordinary traffic: amounts 0 to 99 in turn, four countries alike.
pub(crate) fn ordinary(n: usize) -> Row {
    Row { amount: (n * 37 % 100) as f64, country: COUNTRIES[n % COUNTRIES.len()] }
}

/// The n-th row of traffic whose amounts have moved to 80 and above.
pub(crate) fn shifted(n: usize) -> Row {
    Row { amount: 80.0 + (n * 37 % 20) as f64, country: COUNTRIES[n % COUNTRIES.len()] }
}

/// A request of several rows.
pub(crate) fn body(rows: &[Row]) -> Value {
    let amounts: Vec<f64> = rows.iter().map(|row| row.amount).collect();
    let countries: Vec<&str> = rows.iter().map(|row| row.country).collect();
    json!({
        "inputs": [
            { "name": "amount", "datatype": "FP64", "shape": [rows.len()], "data": amounts },
            { "name": "country", "datatype": "BYTES", "shape": [rows.len()], "data": countries },
        ],
    })
}

/// Sends `n` rows of a tenant, at most 50 a request, and fails unless each is answered with 200.
#[track_caller]
pub(crate) fn send(client: &mut Client, tenant: Option<&str>, n: usize, row: fn(usize) -> Row) {
    let rows: Vec<Row> = (0..n).map(row).collect();
    for rows in rows.chunks(50) {
        let answer = infer(client, tenant, rows);
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
}

/// Sends one request.
#[track_caller]
pub(crate) fn infer(client: &mut Client, tenant: Option<&str>, rows: &[Row]) -> Message {
    let mut fields = vec![("content-type", "application/json")];
    fields.extend(tenant.map(|tenant| ("x-tenant-id", tenant)));
    client.send("POST", INFER, &fields, body(rows).to_string().as_bytes())
}

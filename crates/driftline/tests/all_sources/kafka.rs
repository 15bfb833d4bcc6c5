//! The ways through a real broker.

use serde_json::{Value, json};

use super::{Brought, PATHS, answer, document, observe, request, tenant};
use crate::support::instance::Folder;
use crate::support::kafka::{Broker, Sent};

/// Inference records.
pub(super) fn records(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let message = |flight: &Value| Sent { value: Some(flight.to_string()), ..Sent::default() };
    brought(folder, "", "", &flights.iter().map(message).collect::<Vec<_>>())
}

/// Documents, whose tenant is the key.
pub(super) fn json(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let message = |flight| Sent {
        key: Some(tenant(flight).to_owned()),
        value: Some(document(flight).to_string()),
        ..Sent::default()
    };
    brought(folder, PATHS, "format: json, key: tenant", &flights.iter().map(message).collect::<Vec<_>>())
}

/// Requests and answers as CloudEvents in binary mode.
pub(super) fn events(folder: &Folder, flights: &[Value]) -> Option<Brought> {
    let halves = |(n, flight): (usize, &Value)| {
        [("request", request(flight)), ("response", answer(flight))].map(|(kind, body)| Sent {
            key: None,
            value: Some(body.to_string()),
            headers: vec![
                ("ce_specversion", "1.0".to_owned()),
                ("ce_id", n.to_string()),
                ("ce_source", "flights-0".to_owned()),
                ("ce_type", format!("org.kubeflow.serving.inference.{kind}")),
                ("ce_inferenceservicename", "flights".to_owned()),
                ("ce_metadata", json!({ "X-Tenant-Id": [tenant(flight)] }).to_string()),
                ("content-type", "application/json".to_owned()),
            ],
        })
    };
    let messages: Vec<Sent> = flights.iter().enumerate().flat_map(halves).collect();
    brought(folder, "", "format: cloudevents, headers: { tenant: x-tenant-id }", &messages)
}

/// One partition keeps the order.
fn brought(folder: &Folder, model: &str, more: &str, messages: &[Sent]) -> Option<Brought> {
    let broker = Broker::start()?;
    broker.topic("flights", 1);
    broker.send("flights", "zstd", messages);
    let comma = if more.is_empty() { "" } else { ", " };
    let source = format!(
        "kafka: {{ brokers: ['{}'], topics: [flights], group: g, start: earliest{comma}{more} }}",
        broker.address()
    );
    let instance = observe(folder, &format!("{model}sources:\n  broker:\n    version: v2\n    {source}\n"));
    Some(Brought { instance, _stays: Box::new(broker) })
}

//! The data plane: accepts requests, chooses a model's version, forwards, copies a share to the shadow, and taps.
//!
//! What the client sees, bytes and time, does not depend on the shadow, the tap, a disk or another network peer: the
//! side branch is taken in one place, when an exchange has ended, with bounded queues that are never awaited.
//!
//! The crate knows nothing of drift, alerts or YAML. It takes a plain [`Config`], reads an atomically swapped
//! [`RouteTable`] once a request, hands every exchange to a [`Tap`] and counts in [`GatewayMetrics`].

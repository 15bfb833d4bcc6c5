//! The program from the outside: real processes, real sockets, real files.
//!
//! Each module says what belongs into it. `support` has what they share.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

mod actions;
mod alertmanager_server;
mod all_sources;
mod backtest;
mod canary;
mod contract_metrics;
mod control;
mod dashboard;
mod data_capture;
mod demo;
mod detect;
mod detector;
mod drift_and_alerts;
mod drill;
mod embeddings;
mod failing;
mod fit;
mod fluent_bit;
mod follow;
mod grpc;
mod harm;
mod hostile;
mod judgement;
mod kafka;
#[cfg(feature = "kafka-tls")]
mod kafka_tls;
mod llm;
mod logs;
mod loki;
mod model_servers;
mod observe;
mod offline;
mod offline_replay;
mod pairs;
mod privacy;
mod prometheus_server;
mod protocols;
mod quality;
mod receivers;
mod reload;
mod restart;
mod shadow_isolation;
mod stack;
mod stack_copies;
mod stack_files;
mod stack_logs;
mod support;
mod tail;
mod wrk;

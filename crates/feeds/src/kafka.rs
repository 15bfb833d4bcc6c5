//! What source and sink need to know of Kafka: brokers, credentials, librdkafka's settings.
//!
//! librdkafka is built without TLS unless the feature `kafka-tls` is on, which brings OpenSSL: the rest of the program
//! knows rustls only. Without it, brokers are reached in plain text, with SASL PLAIN at the most.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaConfRes;

/// Whether this build speaks TLS and SCRAM to brokers.
pub const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// How often one kind of trouble is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Settings that have a key of their own, or that would break a promise.
const OWN_SETTINGS: [&str; 22] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "security.protocol",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "offset.store.method",
    "enable.partition.eof",
    "statistics.interval.ms",
    "enable.idempotence",
    "transactional.id",
    "compression.codec",
    "compression.type",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "acks",
    "request.required.acks",
    "plugin.library.paths",
    "log.queue",
    "enabled_events",
    "opaque",
];

/// Where the brokers are and how we are known to them.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// `host:port` of some of them; the others are learned.
    pub brokers: Vec<String>,
    /// User and password.
    pub sasl: Option<Sasl>,
    /// TLS; needs [`HAS_TLS`].
    pub tls: Option<Tls>,
    /// Further settings of librdkafka.
    pub settings: Vec<(String, String)>,
}

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// User.
    pub username: String,
    /// Its password.
    pub password: String,
}

/// How a password is shown to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// As it is.
    Plain,
    /// Salted challenge; needs [`HAS_TLS`].
    ScramSha256,
    /// Salted challenge; needs [`HAS_TLS`].
    ScramSha512,
}

/// Where OpenSSL is told of other authorities than the system's.
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// TLS to the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of authorities, PEM. Without it those that `SSL_CERT_FILE` or `SSL_CERT_DIR` name, else the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
}

/// A setting that librdkafka does not take. Repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// It has a key of its own in the configuration, or is not to be changed.
    #[error("`{0}` is set by Driftline")]
    Own(String),
    /// There is none of that name.
    #[error("librdkafka has no setting `{0}`, or this build leaves it out")]
    Unknown(String),
    /// The value does not fit.
    #[error("librdkafka does not take this value for `{0}`")]
    Value(String),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sasl").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl Connection {
    /// Brokers and credentials, then what a client needs (`own`), then what the user says.
    pub(crate) fn client(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers.join(",")).set("client.id", "driftline");
        let protocol = match (self.tls.is_some(), self.sasl.is_some()) {
            (false, false) => "plaintext",
            (false, true) => "sasl_plaintext",
            (true, false) => "ssl",
            (true, true) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(sasl) = &self.sasl {
            let mechanism = match sasl.mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            config.set("sasl.mechanism", mechanism);
            config.set("sasl.username", &sasl.username).set("sasl.password", &sasl.password);
        }
        if self.tls.is_some() && AUTHORITIES.iter().all(|name| std::env::var_os(name).is_none()) {
            // An OpenSSL that is linked in looks where its own build would have put them.
            config.set("ssl.ca.location", "probe");
        }
        let tls = self.tls.clone().unwrap_or_default();
        for (key, file) in [
            ("ssl.ca.location", tls.ca_file),
            ("ssl.certificate.location", tls.cert_file),
            ("ssl.key.location", tls.key_file),
        ] {
            if let Some(file) = file {
                config.set(key, file.to_string_lossy());
            }
        }
        own.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        self.settings.iter().for_each(|(key, value)| {
            config.set(key, value);
        });
        // What it has to say beyond errors is for those who look into librdkafka itself.
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// What the user has set, if anything.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// Whether librdkafka takes a setting.
///
/// # Errors
/// Why not.
pub fn check_setting(key: &str, value: &str) -> Result<(), SettingError> {
    if OWN_SETTINGS.contains(&key)
        || ["sasl.", "ssl.", "test."].iter().any(|own| key.starts_with(own))
        || key.ends_with("_cb")
    {
        return Err(SettingError::Own(key.to_owned()));
    }
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_INVALID, ..)) => {
            Err(SettingError::Value(key.to_owned()))
        }
        Err(_) => Err(SettingError::Unknown(key.to_owned())),
    }
}

/// What an error says, without values of settings.
pub(crate) fn described(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => format!("librdkafka does not take the setting `{key}`"),
        KafkaError::ClientCreation(why) => format!("librdkafka cannot be set up: {why}"),
        error => error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
    }
}

/// Whether the brokers did not let us in.
pub(crate) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}

/// Lets one thing of each kind through in a minute. Kinds are few: they come from our own code or librdkafka's codes.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Vec<(String, Instant, u64)>>);

impl Told {
    /// How often it was kept back since it was said last; `None` when it is not to be said now.
    pub(crate) fn may_say(&self, kind: &str) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match told.iter_mut().find(|(known, ..)| known == kind) {
            None => told.push((kind.to_owned(), now, 0)),
            Some((_, last, kept_back)) if now.duration_since(*last) < TELL_EVERY => {
                *kept_back += 1;
                return None;
            }
            Some((_, last, kept_back)) => {
                *last = now;
                return Some(std::mem::take(kept_back));
            }
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection {
            brokers: vec!["a:9092".to_owned(), "b:9092".to_owned()],
            sasl: Some(Sasl {
                mechanism: Mechanism::Plain,
                username: "user".to_owned(),
                password: "hunter2".to_owned(),
            }),
            tls: None,
            settings: vec![("session.timeout.ms".to_owned(), "6000".to_owned())],
        }
    }

    #[test]
    fn the_users_settings_come_last_and_credentials_are_not_shown() {
        let config = connection().client(&[("session.timeout.ms", "45000"), ("group.id", "g")]);
        assert_eq!(config.get("bootstrap.servers"), Some("a:9092,b:9092"));
        assert_eq!(config.get("security.protocol"), Some("sasl_plaintext"));
        assert_eq!(config.get("session.timeout.ms"), Some("6000"));
        assert!(config.create_native_config().is_ok());
        assert!(!format!("{:?}", connection()).contains("hunter2"));
        assert!(!format!("{:?}", connection().sasl).contains("hunter2"));
    }

    #[test]
    fn settings_are_checked_and_no_value_is_repeated() {
        assert_eq!(check_setting("session.timeout.ms", "6000"), Ok(()));
        assert_eq!(check_setting("client.rack", "eu-1"), Ok(()));
        let own = |key: &str| Err(SettingError::Own(key.to_owned()));
        for key in ["group.id", "sasl.password", "ssl.key.password", "enable.auto.commit", "opaque", "dr_cb"]
        {
            assert_eq!(check_setting(key, "s3cret"), own(key));
        }
        let unknown = check_setting("no.such.setting", "s3cret").unwrap_err();
        assert_eq!(unknown, SettingError::Unknown("no.such.setting".to_owned()));
        let value = check_setting("session.timeout.ms", "s3cret").unwrap_err();
        assert_eq!(value, SettingError::Value("session.timeout.ms".to_owned()));
        assert!(!format!("{unknown} {value}").contains("s3cret"));
    }

    #[test]
    fn one_of_a_kind_in_a_minute() {
        let told = Told::default();
        assert_eq!((told.may_say("a"), told.may_say("a"), told.may_say("b")), (Some(0), None, Some(0)));
    }
}

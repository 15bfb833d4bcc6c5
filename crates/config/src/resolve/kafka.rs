//! Kafka: brokers, credentials and settings, for the source and for the inference log.

use feeds::join::JoinLimits;
use feeds::kafka::{Connection, HAS_TLS, Mechanism, Sasl, SettingError, Tls, check_setting};
use feeds::sinks::{Compression, KafkaKey, KafkaSinkSpec};
use feeds::sources::{Field, Format, KafkaFormat, KafkaSourceSpec, Start};

use crate::raw::{
    self, AnyText, KafkaCompression, KafkaField, KafkaLog, KafkaLogKey, KafkaMechanism, KafkaSasl,
    KafkaSource, KafkaStart, KafkaTls, Named,
};
use crate::resolve::{Context, files, secrets};
use crate::yaml::Cursor;

/// What to do about a build without TLS.
const BUILD_HINT: &str = "take the image, or build it with `cargo build --release --features kafka-tls`: docs/guide/sources/kafka.md";

/// A source.
pub(crate) fn source(raw: &KafkaSource, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> KafkaSourceSpec {
    for (index, topic) in raw.topics.iter().enumerate() {
        check_topic(topic, &at.key("topics").item(index), context);
    }
    let bytes = |size: crate::text::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    let headers = [
        (Field::Model, "model", &raw.headers.model),
        (Field::Version, "version", &raw.headers.version),
        (Field::Tenant, "tenant", &raw.headers.tenant),
        (Field::Lane, "lane", &raw.headers.lane),
        (Field::RequestId, "request_id", &raw.headers.request_id),
    ];
    if headers.iter().any(|(.., name)| name.as_ref().is_some_and(String::is_empty)) {
        context.sink.error(&at.key("headers"), "the name of a header is empty");
    }
    let named = headers.into_iter().filter_map(|(field, _, name)| Some((field, name.clone()?)));
    KafkaSourceSpec {
        connection: connection(
            &raw.brokers,
            raw.sasl.as_ref(),
            raw.tls.as_ref(),
            raw.settings.as_ref(),
            at,
            context,
        ),
        group: raw.group.clone(),
        topics: raw.topics.clone(),
        start: match raw.start {
            KafkaStart::Earliest => Start::Earliest,
            KafkaStart::Latest => Start::Latest,
        },
        format: match raw.format {
            raw::KafkaFormat::Record => KafkaFormat::Plain(Format::Record),
            raw::KafkaFormat::Json => KafkaFormat::Plain(Format::Json),
            raw::KafkaFormat::Cloudevents => KafkaFormat::CloudEvents,
        },
        key: raw.key.map(|key| match key {
            KafkaField::Model => Field::Model,
            KafkaField::Version => Field::Version,
            KafkaField::Tenant => Field::Tenant,
            KafkaField::RequestId => Field::RequestId,
        }),
        headers: named.collect(),
        max_message_bytes: bytes(raw.max_message),
        join: JoinLimits { max_age: raw.join.0, bytes: bytes(raw.join_bytes), ..JoinLimits::default() },
    }
}

/// A place of the inference log.
pub(crate) fn log(raw: &KafkaLog, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> KafkaSinkSpec {
    if raw.topic.starts_with('^') {
        context.sink.error(&at.key("topic"), "the log goes to one topic: expected its name");
    } else {
        check_topic(&raw.topic, &at.key("topic"), context);
    }
    KafkaSinkSpec {
        connection: connection(
            &raw.brokers,
            raw.sasl.as_ref(),
            raw.tls.as_ref(),
            raw.settings.as_ref(),
            at,
            context,
        ),
        topic: raw.topic.clone(),
        key: match raw.key {
            KafkaLogKey::RequestId => KafkaKey::RequestId,
            KafkaLogKey::Tenant => KafkaKey::Tenant,
            KafkaLogKey::None => KafkaKey::None,
        },
        compression: match raw.compression {
            KafkaCompression::None => Compression::None,
            KafkaCompression::Gzip => Compression::Gzip,
            KafkaCompression::Snappy => Compression::Snappy,
            KafkaCompression::Lz4 => Compression::Lz4,
            KafkaCompression::Zstd => Compression::Zstd,
        },
        batch_every: raw.batch_every.0,
        keep_trying: raw.keep_trying.0,
    }
}

fn connection(
    brokers: &[String],
    sasl: Option<&KafkaSasl>,
    tls: Option<&KafkaTls>,
    settings: Option<&Named<AnyText, String>>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Connection {
    for (index, broker) in brokers.iter().enumerate() {
        if !is_broker(broker) {
            let message = "expected a broker as `host:port`, without scheme or path";
            context.sink.error(&at.key("brokers").item(index), message);
        }
    }
    if tls.is_some() && !HAS_TLS {
        context.sink.error_at_key(&at.key("tls"), "this build has no TLS for Kafka").hint(BUILD_HINT);
    }
    let settings_at = at.key("settings");
    for (name, value) in settings.into_iter().flat_map(Named::iter) {
        let Err(error) = check_setting(name, value) else { continue };
        match error {
            SettingError::Value(_) => context.sink.error(&settings_at.key(name), error.to_string()),
            _ => context.sink.error_at_key(&settings_at.key(name), error.to_string()),
        };
    }
    Connection {
        brokers: brokers.to_vec(),
        sasl: sasl.and_then(|raw| credentials(raw, &at.key("sasl"), context)),
        tls: tls.map(|raw| certificates(raw, &at.key("tls"), context)),
        settings: settings
            .into_iter()
            .flat_map(Named::iter)
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect(),
    }
}

fn credentials(raw: &KafkaSasl, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<Sasl> {
    let mechanism = match raw.mechanism {
        KafkaMechanism::Plain => Mechanism::Plain,
        KafkaMechanism::ScramSha256 => Mechanism::ScramSha256,
        KafkaMechanism::ScramSha512 => Mechanism::ScramSha512,
    };
    if mechanism != Mechanism::Plain && !HAS_TLS {
        context.sink.error(&at.key("mechanism"), "this build has no SCRAM for Kafka").hint(BUILD_HINT);
    }
    let has_one = raw.password.is_some() || raw.password_file.is_some();
    let password =
        secrets::given((&raw.password, "password"), (&raw.password_file, "password_file"), at, context);
    if !has_one {
        context.sink.error(&at.key("username"), "`username` needs a `password` or `password_file`");
    }
    Some(Sasl { mechanism, username: raw.username.clone(), password: password? })
}

fn certificates(raw: &KafkaTls, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Tls {
    if raw.cert_file.is_some() != raw.key_file.is_some() {
        let hint = "give both, or neither";
        context.sink.error(at, "of `cert_file` and `key_file` one is missing").hint(hint);
    }
    let mut pem = |name: &Option<crate::text::FileName>, key: &str, label: &str| {
        name.as_ref().map(|name| files::pem(name, label, &at.key(key), context))
    };
    Tls {
        ca_file: pem(&raw.ca_file, "ca_file", "CERTIFICATE"),
        cert_file: pem(&raw.cert_file, "cert_file", "CERTIFICATE"),
        key_file: pem(&raw.key_file, "key_file", "PRIVATE KEY"),
    }
}

/// A topic's name as brokers take it; what begins with `^` is a regular expression.
fn check_topic(topic: &str, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let is_name = (1..=249).contains(&topic.len())
        && topic.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    let is_pattern = topic.starts_with('^') && topic.len() <= 1024 && !topic.contains('\0');
    if !is_name && !is_pattern {
        let message =
            "expected a topic: 1 to 249 letters, digits, `.`, `_` and `-`, or a pattern that begins with `^`";
        context.sink.error(at, message);
    }
}

/// `host:port`; an IPv6 address stands in brackets.
fn is_broker(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_host_and_port() {
        for good in ["a:9092", "kafka-0.kafka.svc:9093", "10.0.0.1:1", "[::1]:9092"] {
            assert!(is_broker(good), "{good}");
        }
        for bad in ["a", ":9092", "a:", "a:0", "a:70000", "http://a:9092", "::1:9092", "a:9092/x", "a b:1"] {
            assert!(!is_broker(bad), "{bad}");
        }
    }
}

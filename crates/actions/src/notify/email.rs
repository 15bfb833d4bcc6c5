//! Mail over SMTP.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::notice::Notice;
use super::texts::{clip, plain};
use crate::call::Failure;
use crate::secret::Secret;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// TLS from the first byte.
    Tls,
    /// TLS begun in the session; a server without it is refused.
    StartTls,
    /// Not at all: for a server on this machine.
    None,
}

/// Mail as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailSpec {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Who writes.
    pub from: Mailbox,
    /// Who reads.
    pub to: Vec<Mailbox>,
}

impl EmailSpec {
    pub(super) async fn send(&self, timeout: Duration, notice: &Notice) -> Result<(), Failure> {
        // Already set by another part of the process is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let message = self.message(notice)?;
        let sent = tokio::time::timeout(timeout, self.transport(timeout)?.send(message)).await;
        match sent {
            Err(_) => Err(Failure::later("no answer in time")),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(told(&error)),
        }
    }

    fn transport(&self, timeout: Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
        type Smtp = AsyncSmtpTransport<Tokio1Executor>;
        let builder = match self.tls {
            SmtpTls::Tls => Smtp::relay(&self.host),
            SmtpTls::StartTls => Smtp::starttls_relay(&self.host),
            SmtpTls::None => Ok(Smtp::builder_dangerous(&self.host)),
        };
        let mut builder = builder.map_err(|error| told(&error))?.port(self.port).timeout(Some(timeout));
        if let Some((user, password)) = &self.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(builder.build())
    }

    fn message(&self, notice: &Notice) -> Result<Message, Failure> {
        let subject = clip(&format!("[{}] {}", notice.severity.as_str(), notice.title), 200);
        let id = format!("<{}.{}@driftline>", notice.at_ms, fastrand::u64(..));
        let mut message =
            Message::builder().from(self.from.clone()).subject(subject).message_id(Some(id)).date_now();
        for to in &self.to {
            message = message.to(to.clone());
        }
        message
            .body(plain(notice))
            .map_err(|error| Failure::never(format!("the mail cannot be written: {error}")))
    }
}

/// What the server says of a mail is told; of a login nothing.
fn told(error: &lettre::transport::smtp::Error) -> Failure {
    if let Some(code) = error.status() {
        let reason = format!("the mail server answered with code {code}");
        return if error.is_permanent() { Failure::never(reason) } else { Failure::later(reason) };
    }
    if error.is_client() {
        return Failure::never(
            "the mail server does not offer what is needed: see `tls`, `username` and `password`",
        );
    }
    Failure::later(if error.is_timeout() {
        "no answer in time"
    } else if error.is_tls() {
        "no TLS with the mail server"
    } else {
        "cannot connect"
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::notify::outlet::testing::alert_notice;
    use crate::testing::block_on;

    /// Takes one mail as a mail server does, answering `code` to its recipients; the answer is all that it was told.
    async fn server(listener: TcpListener, code: &'static str) -> String {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let (mut lines, mut said, mut in_data) = (BufReader::new(read).lines(), String::new(), false);
        write.write_all(b"220 test\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            said.push_str(&line);
            said.push('\n');
            let answer = match line.get(..4).unwrap_or_default() {
                "EHLO" => "250-test\r\n250 AUTH PLAIN\r\n".to_owned(),
                "AUTH" => "235 welcome\r\n".to_owned(),
                "RCPT" => format!("{code} said\r\n"),
                "DATA" => "354 go on\r\n".to_owned(),
                "QUIT" => break,
                _ if line == "." => "250 taken\r\n".to_owned(),
                _ if in_data => continue,
                _ => "250 fine\r\n".to_owned(),
            };
            in_data = line == "DATA" || (in_data && line != ".");
            write.write_all(answer.as_bytes()).await.unwrap();
        }
        said
    }

    async fn mail(code: &'static str) -> (Result<(), Failure>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let spec = EmailSpec {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            tls: SmtpTls::None,
            login: Some(("driftline".to_owned(), Secret::new("password"))),
            from: "Driftline <driftline@example.com>".parse().unwrap(),
            to: vec!["mlops@example.com".parse().unwrap(), "b@example.com".parse().unwrap()],
        };
        let mut notice = alert_notice();
        notice.title = "one\r\nBcc: everybody@example.com".to_owned();
        let server = tokio::spawn(server(listener, code));
        let sent = spec.send(Duration::from_secs(5), &notice).await;
        (sent, tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap())
    }

    #[test]
    fn a_mail_arrives_and_no_header_is_smuggled_in() {
        block_on(async {
            let (sent, said) = mail("250").await;
            sent.unwrap();
            assert!(said.contains("MAIL FROM:<driftline@example.com>"), "{said}");
            assert!(said.contains("RCPT TO:<mlops@example.com>") && said.contains("RCPT TO:<b@example.com>"));
            assert!(!said.lines().any(|line| line.starts_with("Bcc")), "{said}");
            assert!(said.contains("Subject: "), "{said}");
        });
    }

    #[test]
    fn what_the_server_says_decides_about_another_try() {
        block_on(async {
            let (sent, _) = mail("550").await;
            assert_eq!(sent.unwrap_err(), Failure::never("the mail server answered with code 550"));
            let (sent, _) = mail("451").await;
            assert_eq!(sent.unwrap_err(), Failure::later("the mail server answered with code 451"));
        });
    }
}

//! Mail through a mail server. No answer waits for it: a mail that cannot be handed over now is tried again, and in the end
//! lies in the outbox, where the operator finds it.

mod letter;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use reqwest::Url;
use serde_json::Value as Json;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::config::{Config, secret};
use crate::metrics::Metrics;

pub(crate) use letter::Letter;

/// Mails that are handed over at one time.
const AT_ONCE: usize = 4;
/// How long the mail server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pauses between tries, in seconds. Together they are shorter than a link lives.
const PAUSES_S: [u64; 7] = [2, 10, 30, 120, 300, 600, 1200];

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Keeps what could not be sent.
pub(crate) type Keep = Box<dyn Fn(&Json) -> std::io::Result<()> + Send + Sync>;

/// Hands mail to a mail server.
pub(crate) struct Mailer {
    transport: Transport,
    from: Mailbox,
    places: Semaphore,
    /// What the outbox keeps of mails that have not been handed over.
    waiting: Mutex<HashMap<Uuid, Json>>,
    keep: Keep,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mailer {
    /// By configuration; `None` without a mail server. `keep` gets what could not be sent.
    pub fn of(config: &Config, metrics: Arc<Metrics>, keep: Keep) -> Result<Option<Arc<Mailer>>, String> {
        let Some(url) = &config.smtp_url else { return Ok(None) };
        let password = secret(config.smtp_password.as_deref(), config.smtp_password_file.as_deref())
            .map_err(|error| format!("smtp_password_file: {error}"))?;
        let transport = transport(url, password)?;
        let from = config.mail_from.as_deref().ok_or("mail_from is needed beside smtp_url")?;
        let from = from.parse().map_err(|error| format!("mail_from: {from:?} is no address: {error}"))?;
        let places = Semaphore::new(AT_ONCE);
        Ok(Some(Arc::new(Mailer { transport, from, places, waiting: Mutex::default(), keep, metrics })))
    }

    /// Sends a letter by and by; `line` is what the outbox keeps of it where that fails.
    pub fn send(self: &Arc<Self>, letter: Letter, line: Json) {
        let id = Uuid::new_v4();
        self.waiting().insert(id, line);
        let mailer = self.clone();
        tokio::spawn(async move {
            let sent = mailer.deliver(&letter).await;
            mailer.metrics.mail(sent.is_ok());
            let line = mailer.waiting().remove(&id);
            if let Err(error) = sent {
                tracing::error!(kind = letter.kind, error, "a mail could not be sent; it lies in the outbox");
                line.into_iter().for_each(|line| mailer.keep(&line));
            }
        });
    }

    /// Puts what has not been sent into the outbox, since the server stops.
    pub fn stop(&self) {
        let waiting: Vec<Json> = self.waiting().drain().map(|(_, line)| line).collect();
        if !waiting.is_empty() {
            tracing::warn!(count = waiting.len(), "stopping before mails were sent; they lie in the outbox");
        }
        waiting.iter().for_each(|line| self.keep(line));
    }

    fn keep(&self, line: &Json) {
        if let Err(error) = (self.keep)(line) {
            tracing::error!(%error, "the outbox takes no mail");
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Json>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries until the mail server takes it, refuses it for good, or the link is as good as over.
    async fn deliver(&self, letter: &Letter) -> Result<(), String> {
        let message = self.message(letter)?;
        let mut pauses = PAUSES_S.into_iter();
        loop {
            let place = self.places.acquire().await;
            let failed = match self.transport.send(message.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            drop(place);
            match pauses.next().filter(|_| !failed.is_permanent()) {
                None => return Err(failed.to_string()),
                Some(pause) => {
                    tracing::warn!(error = %failed, again_in_s = pause, "the mail server does not take a mail");
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
            }
        }
    }

    fn message(&self, letter: &Letter) -> Result<Message, String> {
        let to = letter.to.parse().map_err(|error| format!("no address for mail: {error}"))?;
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject())
            .multipart(MultiPart::alternative_plain_html(letter.text(), letter.html()))
            .map_err(|error| error.to_string())
    }
}

/// `smtps://` is encrypted from the start, `smtp://` before anything is said (STARTTLS) unless the server is on this
/// machine or `?tls=none` says otherwise.
fn transport(url: &str, password: Option<String>) -> Result<Transport, String> {
    let bad = |reason: &str| format!("smtp_url: {reason}; it is like smtp://user@mail.example.com:587");
    let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
    let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let tls = parsed.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.to_string());
    let builder = match (parsed.scheme(), tls.as_deref()) {
        ("smtps", None) => Transport::relay(host),
        ("smtp", Some("required")) => Transport::starttls_relay(host),
        ("smtp", None) if !is_here => Transport::starttls_relay(host),
        ("smtp", None | Some("none")) => Ok(Transport::builder_dangerous(host)),
        ("smtp" | "smtps", _) => return Err(bad("tls is one of required, none")),
        _ => return Err(bad("it begins with smtp:// or smtps://")),
    };
    let mut builder = builder.map_err(|error| format!("smtp_url: {error}"))?.timeout(Some(PATIENCE));
    if let Some(port) = parsed.port() {
        builder = builder.port(port);
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().to_string();
    let password = password.or(parsed.password().map(decoded));
    match (parsed.username(), password) {
        ("", _) => {}
        (_, None) => {
            return Err("smtp_url names a user: smtp_password or smtp_password_file is needed".into());
        }
        (user, Some(password)) => builder = builder.credentials(Credentials::new(decoded(user), password)),
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_address_of_a_mail_server_is_said() {
        for good in [
            "smtps://mail.example.com",
            "smtp://mail.example.com:587",
            "smtp://127.0.0.1:2525",
            "smtp://a.example?tls=none",
        ] {
            assert!(transport(good, None).is_ok(), "{good}");
        }
        assert!(transport("smtp://ada%40x@mail.example.com", Some("secret".into())).is_ok());
        for (wrong, words) in [
            ("mail.example.com", "smtp_url"),
            ("http://mail.example.com", "begins with smtp://"),
            ("smtp://mail.example.com?tls=maybe", "required, none"),
            ("smtp://ada@mail.example.com", "smtp_password"),
        ] {
            let refused = transport(wrong, None).expect_err(wrong);
            assert!(refused.contains(words), "{wrong}: {refused}");
        }
    }
}

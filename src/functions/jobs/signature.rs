//! Signatures of workers and providers: HMAC-SHA256 in the form of Standard Webhooks, or in the older one with a time.
//!
//! Both cover a time, which may be five minutes off, and both are taken once: who records a request cannot send it again.

use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::taken::{NotTaken, RequestId, TOLERANCE_S, Taken};

/// Longest `webhook-id`, in bytes.
const ID_BYTES_MAX: usize = 256;
/// What a secret in the form of Standard Webhooks begins with; base64 follows.
const SECRET_PREFIX: &str = "whsec_";

/// Why there is no signature that counts.
#[derive(Debug)]
struct Unsigned(String);

/// A signature that counts.
struct Signature {
    id: RequestId,
    at: i64,
}

/// A signed request that was not taken before.
pub(crate) struct Signed<'t> {
    taken: &'t Taken,
    id: RequestId,
}

impl Signed<'_> {
    /// The answer; a request that failed may be sent again under its id.
    pub fn answer(self, outcome: Outcome) -> Outcome {
        if outcome.is_err() {
            self.taken.forget(&self.id);
        }
        outcome
    }
}

/// Checks the signature of a worker's request; `None` for one that was taken before.
pub(crate) fn of_worker(call: &Call) -> Result<Option<Signed<'_>>, FunctionError> {
    check(call, call.app.config.callback_secret.as_deref(), "callback_secret", "x-callback-signature")
}

/// Checks the signature of a webhook of Replicate; `None` for one that was taken before.
pub(crate) fn of_replicate(call: &Call) -> Result<Option<Signed<'_>>, FunctionError> {
    let config = &call.app.config;
    let own = config.replicate_webhook_secret.as_deref().filter(|secret| !secret.is_empty());
    let (secret, name) = match own {
        Some(secret) => (Some(secret), "replicate_webhook_secret"),
        None => (config.callback_secret.as_deref(), "callback_secret"),
    };
    check(call, secret, name, "x-replicate-signature")
}

/// What is answered to a report that was taken before: it is as good as heard.
pub(crate) fn heard_before() -> Outcome {
    ok(
        json!({"success": true, "skipped": true, "message": "This report was taken before; nothing was changed"}),
    )
}

fn check<'c>(
    call: &'c Call,
    secret: Option<&str>,
    setting: &str,
    older: &str,
) -> Result<Option<Signed<'c>>, FunctionError> {
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        let variable = setting.to_ascii_uppercase();
        let message = format!(
            "this server takes no reports of workers and providers: set {setting} (PLAYHOUSE_{variable}) to a secret that \
             they sign with"
        );
        return Err(FunctionError::unavailable("CALLBACK_SECRET_NOT_SET", message));
    };
    let key = key_of(secret).ok_or_else(|| {
        let message = format!("{setting}: what follows {SECRET_PREFIX} is not base64");
        FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    })?;
    let now = chrono::Utc::now().timestamp();
    let refused = |message: &str| FunctionError::new(StatusCode::UNAUTHORIZED, message);
    let signature =
        verify(&call.headers, &call.body, &key, older, now).map_err(|Unsigned(message)| refused(&message))?;
    let (taken, id) = (call.app.keys.taken(), signature.id);
    match taken.take(id, signature.at, now) {
        Ok(is_new) => Ok(is_new.then_some(Signed { taken, id })),
        Err(NotTaken::SignedBefore) => {
            Err(refused("it was signed before this server started: sign the request again"))
        }
        Err(NotTaken::Full) => {
            let message = "too many signed requests at one time; try again later";
            let mut busy = FunctionError::new(StatusCode::TOO_MANY_REQUESTS, message);
            busy.retry_after_s = Some(10);
            Err(busy)
        }
    }
}

/// The key that a secret stands for.
fn key_of(secret: &str) -> Option<Vec<u8>> {
    match secret.strip_prefix(SECRET_PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    }
}

/// Headers that sign a body under a name for the request, now, in the form of Standard Webhooks; `None` where the secret
/// cannot be read.
pub(crate) fn signed_headers(secret: &str, id: &str, body: &str) -> Option<[(&'static str, String); 3]> {
    let time = chrono::Utc::now().timestamp().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(secret)?).ok()?;
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Some([("webhook-id", id.to_string()), ("webhook-timestamp", time), ("webhook-signature", signature)])
}

/// The signature of a request, if it covers the body, and its time is about now.
fn verify(
    headers: &HeaderMap,
    body: &[u8],
    key: &[u8],
    older: &str,
    now: i64,
) -> Result<Signature, Unsigned> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let refused = |message: &str| Err(Unsigned(message.to_string()));
    let (id, time, covered, given) = match header("webhook-signature") {
        Some(signatures) => {
            let Some(id) = header("webhook-id").filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX)
            else {
                return refused("webhook-id is missing");
            };
            let Some(time) = header("webhook-timestamp") else {
                return refused("webhook-timestamp is missing");
            };
            // A sender that changes its key signs with both for a while.
            let given = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
            let given: Vec<Vec<u8>> = given.filter_map(|text| STANDARD.decode(text).ok()).collect();
            if given.is_empty() {
                return refused("webhook-signature is not v1,<base64>");
            }
            (format!("webhook {id}"), time, format!("{id}.{time}."), given)
        }
        None => {
            let Some(text) = header(older) else {
                return Err(Unsigned(format!("webhook-signature is missing, and so is {older}")));
            };
            let member = |name: &str| text.split(',').find_map(|part| part.trim().strip_prefix(name));
            let Some(time) = member("t=") else {
                return Err(Unsigned(format!(
                    "{older} has no time: it is t=<seconds>,sha256=<hex HMAC of \"<seconds>.<body>\">; better is \
                     webhook-signature (see docs/operators.md)"
                )));
            };
            let Some(given) = member("sha256=").and_then(bytes) else {
                return Err(Unsigned(format!("{older} has no sha256=<hex>")));
            };
            (format!("{older} {}", blake3::hash(&given)), time, format!("{time}."), vec![given])
        }
    };
    let Ok(at) = time.parse::<i64>() else {
        return refused("the time of the signature is no number of seconds");
    };
    if now.abs_diff(at) > TOLERANCE_S.unsigned_abs() {
        let message = format!("the signature is {} s off, more than {TOLERANCE_S}", now.abs_diff(at));
        return Err(Unsigned(message));
    }
    let fits = given.iter().any(|given| {
        Hmac::<Sha256>::new_from_slice(key).is_ok_and(|mut mac| {
            mac.update(covered.as_bytes());
            mac.update(body);
            // In constant time.
            mac.verify_slice(given).is_ok()
        })
    });
    match fits {
        true => Ok(Signature { id: blake3::hash(id.as_bytes()), at }),
        false => refused("the signature does not fit time and body"),
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    (0..32).map(|place| u8::from_str_radix(hex.get(2 * place..2 * place + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDER: &str = "x-callback-signature";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).try_into().expect("a name"), value.parse().expect("text")))
            .collect()
    }

    #[test]
    fn the_example_of_standard_webhooks_counts() {
        // From the specification's reference libraries.
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let body = br#"{"test": 2432232314}"#;
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let pairs = |time: &'static str, signature: &'static str| {
            headers(&[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", time),
                ("webhook-signature", signature),
            ])
        };
        let at = 1_614_265_330;
        let verified =
            |headers: &HeaderMap, body: &[u8], now: i64| verify(headers, body, &key, OLDER, now).is_ok();
        let good = pairs("1614265330", signature);
        for now in [at, at + TOLERANCE_S, at - TOLERANCE_S] {
            assert!(verified(&good, body, now));
        }
        for now in [at + TOLERANCE_S + 1, at - TOLERANCE_S - 1, 0] {
            assert!(!verified(&good, body, now), "{now}");
        }
        assert!(!verified(&good, b"{}", at));
        assert!(!verified(&pairs("1614265331", signature), body, at), "another time");
        let two = "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v2,x";
        assert!(verified(&pairs("1614265330", two), body, at), "one of several");
        for bad in ["v1,AAAA", "v1a,x", "", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="] {
            assert!(!verified(&pairs("1614265330", bad), body, at), "{bad}");
        }
    }

    #[test]
    fn the_older_form_covers_its_time() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"key").expect("any key");
        mac.update(b"1000.body");
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let verified = |text: &str, now: i64| verify(&headers(&[(OLDER, text)]), b"body", b"key", OLDER, now);
        assert!(verified(&format!("t=1000,sha256={hex}"), 1001).is_ok());
        assert!(verified(&format!("t=1000, sha256={hex}"), 1300).is_ok());
        for text in
            [format!("t=1001,sha256={hex}"), format!("sha256={hex}"), "t=1000".into(), "t=x,sha256=y".into()]
        {
            assert!(verified(&text, 1001).is_err(), "{text}");
        }
        assert!(verified(&format!("t=1000,sha256={hex}"), 1301).is_err());
        let Err(Unsigned(message)) = verified(&format!("sha256={hex}"), 1000) else {
            panic!("it has no time")
        };
        assert!(message.contains("has no time"), "{message}");
    }
}

//! Signing as workers and providers do, in the form of Standard Webhooks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value as Json;

use super::Server;

/// Headers that sign a body under a name for the request.
pub fn headers(secret: &[u8], id: &str, at: i64, body: &[u8]) -> [(&'static str, String); 3] {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("any key");
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    [("webhook-id", id.to_string()), ("webhook-timestamp", at.to_string()), ("webhook-signature", signature)]
}

/// Calls a function with such headers.
pub fn send(server: &Server, function: &str, headers: &[(&str, String)], body: &Json) -> (u16, Json) {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    server.call_with("POST", &format!("/functions/v1/{function}"), &server.anon, Some(body), &headers)
}

/// The same, signed now and named anew.
pub fn signed(server: &Server, secret: &str, function: &str, body: &Json) -> (u16, Json) {
    let (id, at) = (format!("msg_{}", uuid::Uuid::new_v4().simple()), chrono::Utc::now().timestamp());
    let text = serde_json::to_vec(body).expect("JSON");
    send(server, function, &headers(secret.as_bytes(), &id, at, &text), body)
}

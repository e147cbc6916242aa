//! Talking to the storage dialect.

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::Server;

/// An answer with what tests look at.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| json!(self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request with a body of bytes; the path begins after `/storage/v1`.
pub fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_ask(server, method, path, headers, body).expect("the server answers")
}

/// The same of a server that may be gone.
pub fn try_ask(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> reqwest::Result<Answer> {
    send(&format!("{}/storage/v1{path}", server.url), method, headers, body)
}

/// A request with a body of bytes to any URL.
pub fn send(url: &str, method: &str, headers: &[(&str, &str)], body: &[u8]) -> reqwest::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let method: Method = method.parse().expect("a method");
        let mut request = language::http_client().build()?.request(method, url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, bytes: response.bytes().await?.to_vec() })
    })
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

pub fn put(server: &Server, token: &str, path: &str, mime_type: &str, body: &[u8]) -> Answer {
    let headers = [("authorization", bearer(token)), ("content-type", mime_type.to_string())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ask(server, "POST", &format!("/object/{path}"), &headers, body)
}

pub fn get(server: &Server, token: &str, path: &str) -> Answer {
    ask(server, "GET", path, &[("authorization", &bearer(token))], b"")
}

/// The true status and code of a refusal.
pub fn refusal(answer: &Answer) -> (String, String) {
    let body = answer.json();
    assert_eq!(answer.status, 400, "{body}");
    assert!(body["message"].is_string() && body["error"].is_string(), "{body}");
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
    (text("statusCode"), text("code"))
}

pub fn refused(status: &str, code: &str) -> (String, String) {
    (status.into(), code.into())
}

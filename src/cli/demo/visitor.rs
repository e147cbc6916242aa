//! A client of the public dialects, as a program of another person would be one.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// Longest line of an event, in bytes; a preview is within.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Why the server did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    /// The name of the failure for programs; empty where it has none.
    pub code: String,
    /// What to show.
    pub message: String,
}

impl Failure {
    /// A failure without a name.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { code: String::new(), message: message.into() }
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> String {
        failure.message
    }
}

/// A person with an account of their own.
pub(super) struct Visitor {
    url: String,
    key: String,
    token: String,
    /// The account's address.
    pub email: String,
    client: reqwest::Client,
}

impl Visitor {
    /// Asks the server for its public key, and makes an account.
    pub async fn sign_up(url: &str) -> Result<Visitor, Failure> {
        let client = language::http_client().build().map_err(|error| Failure::new(error.to_string()))?;
        let name = &Uuid::new_v4().simple().to_string()[..8];
        let mut visitor = Visitor {
            url: url.to_string(),
            key: String::new(),
            token: String::new(),
            email: format!("demo-{name}@example.com"),
            client,
        };
        let known = visitor.get("studio/config.json").await?;
        if known["sign_up"] != true {
            return Err(Failure::new(format!("{url} takes no new accounts (signup_enabled)")));
        }
        visitor.key = known["anon_key"].as_str().unwrap_or_default().to_string();
        visitor.token = visitor.key.clone();
        let account = json!({"email": visitor.email, "password": Uuid::new_v4().to_string()});
        let session = visitor.post("auth/v1/signup", &account).await?;
        let token = session["access_token"].as_str().map(str::to_string);
        visitor.token = token.ok_or_else(|| {
            Failure::new(format!("{url} wants new addresses confirmed (autoconfirm), which a demo cannot do"))
        })?;
        Ok(visitor)
    }

    /// A GET of JSON.
    pub async fn get(&self, path: &str) -> Result<Json, Failure> {
        json_of(self.sent(self.request(Method::GET, path)).await?).await
    }

    /// A POST of JSON, answered with JSON.
    pub async fn post(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        let request = self.request(Method::POST, path).header("prefer", "return=representation");
        json_of(self.sent(request.json(body)).await?).await
    }

    /// A POST of JSON, answered with a file.
    pub async fn bytes(&self, path: &str, body: &Json) -> Result<Vec<u8>, Failure> {
        let response = self.sent(self.request(Method::POST, path).json(body)).await?;
        Ok(response.bytes().await.map_err(|error| broken(&error))?.to_vec())
    }

    /// A POST of a file.
    pub async fn upload(&self, path: &str, bytes: Vec<u8>) -> Result<Json, Failure> {
        let request = self.request(Method::POST, path).header("content-type", "application/octet-stream");
        json_of(self.sent(request.body(bytes)).await?).await
    }

    /// A stored file.
    pub async fn file(&self, bucket: &str, path: &str) -> Result<Vec<u8>, Failure> {
        let path = path.strip_prefix(&format!("{bucket}/")).unwrap_or(path);
        let request = self.request(Method::GET, &format!("storage/v1/object/{bucket}/{path}"));
        let response = self.sent(request).await?;
        Ok(response.bytes().await.map_err(|error| broken(&error))?.to_vec())
    }

    /// Reads server-sent events up to one of a name; its data.
    pub async fn last_event(
        &self,
        path: &str,
        last: &str,
        mut see: impl FnMut(&str, &Json),
    ) -> Result<Json, Failure> {
        let mut response = self.sent(self.request(Method::GET, path)).await?;
        let (mut waiting, mut name) = (Vec::new(), String::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            waiting.extend_from_slice(&chunk);
            while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                match line.trim_end().split_once(':') {
                    Some(("event", value)) => name = value.trim().to_string(),
                    Some(("data", value)) => {
                        let data = serde_json::from_str(value.trim()).unwrap_or_default();
                        see(&name, &data);
                        if name == last {
                            return Ok(data);
                        }
                    }
                    _ => {}
                }
            }
            if waiting.len() > LINE_BYTES_MAX {
                return Err(Failure::new("an event of the server is too long"));
            }
        }
        Err(Failure::new(format!("the events of {path} ended without {last}")))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}/{path}", self.url));
        if self.key.is_empty() {
            request
        } else {
            request.header("apikey", &self.key).bearer_auth(&self.token)
        }
    }

    async fn sent(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| match error.is_connect() {
            true => Failure::new(format!("no server answers at {}", self.url)),
            false => broken(&error),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let answer = response.text().await.unwrap_or_default();
        let said: Json = serde_json::from_str(&answer).unwrap_or_default();
        let member = |names: &[&str]| names.iter().find_map(|name| said[*name].as_str()).map(str::to_string);
        let message = member(&["message", "msg", "error"]);
        let message = message.unwrap_or_else(|| answer.chars().take(200).collect());
        Err(Failure {
            code: member(&["code", "error_code"]).unwrap_or_default(),
            message: format!("the server answers {status}: {message}"),
        })
    }
}

async fn json_of(response: Response) -> Result<Json, Failure> {
    let text = response.text().await.map_err(|error| broken(&error))?;
    serde_json::from_str(&text).map_err(|_| Failure::new(format!("the server's answer is no JSON: {text}")))
}

fn broken(error: &reqwest::Error) -> Failure {
    Failure::new(format!("the connection broke: {error}"))
}

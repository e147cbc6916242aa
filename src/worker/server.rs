//! The server that a worker works for, as it sees it: claims, reports, files.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::options::WorkerOptions;
use crate::functions;

/// How long a claim or a report may take, and a file.
const REPORT_MAX: Duration = Duration::from_secs(30);
const FILE_MAX: Duration = Duration::from_secs(300);
/// Largest picture that a job begins with, in bytes.
const SOURCE_BYTES_MAX: usize = 50 << 20;
/// How often what matters is sent again when no answer comes, and the first pause; each further one is twice as long.
const TRIES: u32 = 7;
const PAUSE: Duration = Duration::from_secs(1);
/// What addresses of files have in common; before it stands an address of the server that may be another one from here.
const STORAGE: &str = "/storage/v1/";

/// Why the server did not do what it was asked for.
#[derive(Debug)]
pub(super) enum ServerError {
    /// It refuses: asking again changes nothing.
    Refused(String),
    /// It does not answer, or cannot now.
    Unavailable(String),
}

impl fmt::Display for ServerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Refused(message) | ServerError::Unavailable(message) => formatter.write_str(message),
        }
    }
}

/// The server.
pub(super) struct WorkedServer {
    client: Client,
    url: String,
    secret: String,
    name: String,
    lease_s: i64,
}

impl WorkedServer {
    pub fn new(options: &WorkerOptions) -> Result<WorkedServer, String> {
        let url = options.server.trim_end_matches('/').to_string();
        let parsed = reqwest::Url::parse(&url).map_err(|error| format!("--server {url}: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("--server {url}: an address begins with http:// or https://"));
        }
        let client = language::http_client().redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| error.to_string())?;
        let WorkerOptions { secret, name, lease_s, .. } = options.clone();
        Ok(WorkedServer { client, url, secret, name, lease_s })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How long it waits for a report before it gives a job to another worker.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.lease_s).unwrap_or(0))
    }

    /// The next job of a queue, as claim-job answers it.
    pub async fn claim(&self, queue: &str) -> Result<Option<Json>, ServerError> {
        let asked =
            json!({"queue": queue, "worker": self.name, "lease_seconds": self.lease_s, "uploads": true});
        let answer = self.signed("claim-job", &new_id(), &asked).await?;
        Ok(answer.get("job").filter(|job| job.is_object()).cloned())
    }

    /// Reports once; false where the server knows the job no more as this worker's.
    pub async fn report(&self, report: &Json) -> Result<bool, ServerError> {
        let mut report = report.clone();
        report["lease_seconds"] = json!(self.lease_s);
        let answer = self.signed("job-callback", &new_id(), &report).await?;
        Ok(answer["skipped"] != true)
    }

    /// Reports what must not be lost: again, under the same name, until it is answered or for a minute or two.
    pub async fn report_surely(&self, report: &Json) -> Result<(), ServerError> {
        let id = new_id();
        again(|| async { self.signed("job-callback", &id, report).await.map(|_| ()) }).await
    }

    /// A file of the server's storage.
    pub async fn file(&self, address: &str) -> Result<Bytes, ServerError> {
        again(|| async {
            let request = self.client.get(self.as_reached(address)).timeout(FILE_MAX);
            let mut response = checked(request).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(unavailable)? {
                if bytes.len() + piece.len() > SOURCE_BYTES_MAX {
                    let message = format!("a picture of more than {SOURCE_BYTES_MAX} bytes");
                    return Err(ServerError::Refused(message));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(Bytes::from(bytes))
        })
        .await
    }

    /// Uploads a file to a signed address.
    pub async fn upload(&self, address: &str, mime_type: &str, bytes: Bytes) -> Result<(), ServerError> {
        again(|| async {
            let request = self.client.put(self.as_reached(address)).timeout(FILE_MAX);
            checked(request.header("content-type", mime_type).body(bytes.clone())).await.map(|_| ())
        })
        .await
    }

    /// An address of its storage by the address that this machine knows.
    fn as_reached(&self, address: &str) -> String {
        match address.find(STORAGE) {
            Some(place) => format!("{}{}", self.url, &address[place..]),
            None => address.to_string(),
        }
    }

    async fn signed(&self, function: &str, id: &str, body: &Json) -> Result<Json, ServerError> {
        let body = body.to_string();
        let headers = functions::signed_headers(&self.secret, id, &body);
        let headers = headers.ok_or_else(|| {
            ServerError::Refused("the token is not what it should be: whsec_ and base64".into())
        })?;
        let mut request = self.client.post(format!("{}/functions/v1/{function}", self.url));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("content-type", "application/json").body(body).timeout(REPORT_MAX);
        checked(request).await?.json().await.map_err(unavailable)
    }
}

fn new_id() -> String {
    format!("msg_{}", Uuid::new_v4().simple())
}

fn unavailable(error: reqwest::Error) -> ServerError {
    // Addresses of files are signed: who reads the log need not have them.
    ServerError::Unavailable(format!("it does not answer: {}", error.without_url()))
}

/// The answer, if it is a good one.
async fn checked(request: RequestBuilder) -> Result<Response, ServerError> {
    let response = request.send().await.map_err(unavailable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Json = response.json().await.unwrap_or_default();
    let reason = body["message"].as_str().or(body["error"].as_str()).unwrap_or("no reason is given");
    let message = format!("it answers {}: {reason}", status.as_u16());
    let passes = status.is_server_error() && body["code"] != "CALLBACK_SECRET_NOT_SET";
    match passes || status == StatusCode::TOO_MANY_REQUESTS {
        true => Err(ServerError::Unavailable(message)),
        false => Err(ServerError::Refused(message)),
    }
}

/// Tries until it is done or refused.
async fn again<T, F: Future<Output = Result<T, ServerError>>>(
    mut work: impl FnMut() -> F,
) -> Result<T, ServerError> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match work().await {
            Err(ServerError::Unavailable(message)) => {
                tracing::warn!(message, pause_s = pause.as_secs(), "trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            ended => return ended,
        }
    }
    work().await
}

//! The storage dialect of Supabase, as a client: files of an export into it, files of an import out of it.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

/// Where bytes lie in a folder that are no stored file's, by their hash: cards and chat files as they came in.
pub const BESIDE: &str = ".blobs";
/// The environment variable with the service key.
const KEY: &str = "PLAYHOUSE_STORAGE_KEY";
/// How long one file may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a file is tried when the other side does not answer or is busy.
const TRIES: u32 = 4;
/// What stays as it is in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A storage, with the key to it.
pub(super) struct Storage {
    address: String,
    key: String,
    client: Client,
    runtime: Runtime,
}

impl Storage {
    /// Whether a text is an address and no folder.
    pub fn is_address(text: &str) -> bool {
        text.starts_with("http://") || text.starts_with("https://")
    }

    /// The storage of a project, by its address with or without `/storage/v1`.
    pub fn open(address: &str) -> Result<Storage, String> {
        let key = std::env::var(KEY).map_err(|_| format!("--files {address}: {KEY} has no service key"))?;
        let address = address.trim_end_matches('/').trim_end_matches("/storage/v1");
        let client = language::http_client().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        Ok(Storage { address: format!("{address}/storage/v1"), key, client, runtime })
    }

    /// The bytes of a file.
    pub fn download(&self, bucket: &str, name: &str) -> Result<Vec<u8>, String> {
        let path = format!("object/{}", encoded(bucket, name));
        self.runtime.block_on(async {
            let response = self.send(Method::GET, &path, &Content::Nothing).await?;
            let response = checked(response).await.map_err(|reason| format!("{bucket}/{name}: {reason}"))?;
            let bytes = response.bytes().await.map_err(|error| format!("{bucket}/{name}: {error}"))?;
            Ok(bytes.to_vec())
        })
    }

    /// Makes a bucket where there is none of its name.
    pub fn make_bucket(&self, bucket: &Json) -> Result<(), String> {
        self.runtime.block_on(async {
            let response = self.send(Method::POST, "bucket", &Content::Document(bucket)).await?;
            let status = response.status();
            match checked(response).await {
                Ok(_) => Ok(()),
                // A bucket of this name.
                Err(reason) if status == StatusCode::CONFLICT || reason.contains("already exists") => Ok(()),
                Err(reason) => Err(format!("bucket {}: {reason}", bucket["id"])),
            }
        })
    }

    /// Stores a file; one that is there is replaced.
    pub fn upload(&self, bucket: &str, name: &str, kind: &str, bytes: Vec<u8>) -> Result<(), String> {
        let path = format!("object/{}", encoded(bucket, name));
        self.runtime.block_on(async {
            let response = self.send(Method::POST, &path, &Content::File(kind, bytes)).await?;
            checked(response).await.map(|_| ()).map_err(|reason| format!("{bucket}/{name}: {reason}"))
        })
    }

    async fn send(&self, method: Method, path: &str, content: &Content<'_>) -> Result<Response, String> {
        let address = format!("{}/{path}", self.address);
        let mut tried = 0;
        loop {
            tried += 1;
            let request = self.client.request(method.clone(), &address).bearer_auth(&self.key);
            let request = request.header("apikey", &self.key);
            let request = match content {
                Content::Nothing => request,
                Content::Document(document) => request.json(document),
                Content::File(kind, bytes) => {
                    request.header("x-upsert", "true").header("content-type", *kind).body(bytes.clone())
                }
            };
            let answer = request.send().await;
            let is_passing = match &answer {
                Ok(response) => {
                    response.status() == StatusCode::TOO_MANY_REQUESTS || response.status().is_server_error()
                }
                Err(_) => true,
            };
            if !is_passing || tried == TRIES {
                return answer.map_err(|error| format!("{address}: {error}"));
            }
            tokio::time::sleep(Duration::from_secs(1 << tried)).await;
        }
    }
}

/// What a request brings.
enum Content<'c> {
    Nothing,
    Document(&'c Json),
    /// A file with its type.
    File(&'c str, Vec<u8>),
}

fn encoded(bucket: &str, name: &str) -> String {
    format!("{}/{}", utf8_percent_encode(bucket, PATH), utf8_percent_encode(name, PATH))
}

/// An answer that says yes; else what it says.
async fn checked(response: Response) -> Result<Response, String> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let said: Json = serde_json::from_str(&text).unwrap_or(json!({}));
    let said = said["message"].as_str().map_or(text.clone(), str::to_string);
    Err(format!("the storage answers {status}: {said}"))
}

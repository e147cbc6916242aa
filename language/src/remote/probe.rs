//! Whether a server elsewhere is well.

use std::time::{Duration, Instant};

/// What a server said of its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Why it is not well; `None` for a server that is.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

impl Probe {
    /// Whether the server is well.
    pub fn is_healthy(&self) -> bool {
        self.error.is_none()
    }
}

/// Asks `GET {base}/health`, which a server that is well answers with 2xx. Follows no redirect.
pub async fn probe(base: &str, timeout: Duration) -> Probe {
    let started = Instant::now();
    let client = crate::http_client().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build();
    let error = match client {
        Err(error) => Some(error.to_string()),
        Ok(client) => match client.get(format!("{}/health", base.trim_end_matches('/'))).send().await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("/health answered {}", answer.status().as_u16())),
            Err(error) if error.is_timeout() => Some("/health timed out".to_string()),
            Err(_) => Some("/health could not be reached".to_string()),
        },
    };
    Probe { error, ms: started.elapsed().as_millis() as u64 }
}

/// What a worker offers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkerAbout {
    /// Those of its paths that it answers on, as far as they are known.
    pub endpoints: Vec<&'static str>,
    /// What it says of itself, if it does.
    pub info: serde_json::Value,
}

/// Paths that workers of some kind have.
const ENDPOINTS: [&str; 5] = ["/health", "/generate", "/chat", "/v1/chat/completions", "/v1/models"];
/// Where workers speak of themselves.
const INFO: [&str; 2] = ["/worker/info", "/v1/models"];
/// Longest description, in bytes.
const INFO_BYTES_MAX: u64 = 64 << 10;

/// Asks a worker which of the known paths it has, and what it says of itself. Follows no redirect.
pub async fn describe_worker(base: &str, timeout: Duration) -> WorkerAbout {
    let base = base.trim_end_matches('/').trim_end_matches("/v1");
    let client = crate::http_client().timeout(timeout).redirect(reqwest::redirect::Policy::none()).build();
    let Ok(client) = client else { return WorkerAbout::default() };
    let mut about = WorkerAbout::default();
    for path in ENDPOINTS {
        let asked = client.request(reqwest::Method::OPTIONS, format!("{base}{path}")).send().await;
        // A server that has a path but not the verb says so; one without the path has nothing there.
        if asked.is_ok_and(|answer| !matches!(answer.status().as_u16(), 404 | 410 | 500..)) {
            about.endpoints.push(path);
        }
    }
    for path in INFO {
        let Ok(answer) = client.get(format!("{base}{path}")).send().await else { continue };
        if !answer.status().is_success() || answer.content_length().is_none_or(|bytes| bytes > INFO_BYTES_MAX)
        {
            continue;
        }
        if let Ok(text) = answer.text().await
            && let Ok(info) = serde_json::from_str(&text)
        {
            about.info = info;
            break;
        }
    }
    about
}

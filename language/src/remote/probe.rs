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

//! Requests of the test, over connections that stay open.

use std::future::Future;
use std::time::Duration;

use serde_json::Value as Json;

use crate::common::Server;
use crate::policy::{Row, Who};

/// Tables that are asked about at a time.
const AT_A_TIME: usize = 6;
/// Rows of a page, as the server allows.
const PAGE: usize = 1000;

/// Sends requests.
pub struct Speaker {
    client: reqwest::Client,
    url: String,
    anon: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Json,
    /// The total of `Content-Range`.
    pub total: Option<u64>,
}

impl Answer {
    /// The error code.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Speaker {
    pub fn new(server: &Server) -> Speaker {
        Speaker {
            client: language::http_client().build().expect("a client"),
            url: server.url.clone(),
            anon: server.anon.clone(),
        }
    }

    /// One request below `/rest/v1/`.
    pub async fn send(
        &self,
        who: &Who,
        method: &str,
        path: &str,
        body: Option<&Json>,
        prefer: &str,
    ) -> Answer {
        let url = format!("{}/rest/v1/{path}", self.url);
        let request = self.client.request(method.parse().expect("a method"), url);
        let request = request.bearer_auth(&who.token).header("apikey", &self.anon).header("prefer", prefer);
        let request = request.timeout(Duration::from_secs(30));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.expect("the server answers");
        let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
        let total = range.and_then(|range| range.split('/').nth(1)?.parse().ok());
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        Answer { status, total, body: serde_json::from_str(&text).unwrap_or(Json::Null) }
    }

    /// Every row that a caller may see, over all pages.
    pub async fn all(&self, who: &Who, table: &str, query: &str) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let path = format!("{table}?{query}&limit={PAGE}&offset={}", rows.len());
            let answer = self.send(who, "GET", &path, None, "").await;
            assert_eq!(answer.status, 200, "{} {path}: {answer:?}", who.name);
            let page = answer.body.as_array().expect("rows").clone();
            let full = page.len() == PAGE;
            rows.extend(page.into_iter().filter_map(|row| row.as_object().cloned()));
            if !full {
                return rows;
            }
        }
    }
}

/// Runs a check for each position, several at a time; collects what is wrong and counts the requests.
pub async fn each<F>(count: usize, wrong: &mut Vec<String>, check: impl Fn(usize) -> F) -> usize
where
    F: Future<Output = (usize, Vec<String>)> + 'static,
{
    let local = tokio::task::LocalSet::new();
    let mut checked = 0;
    local
        .run_until(async {
            let mut running = tokio::task::JoinSet::new();
            let mut next = 0;
            while next < count || !running.is_empty() {
                while next < count && running.len() < AT_A_TIME {
                    running.spawn_local(check(next));
                    next += 1;
                }
                if let Some(done) = running.join_next().await {
                    let (requests, found) = done.expect("a check does not panic");
                    checked += requests;
                    wrong.extend(found);
                }
            }
        })
        .await;
    checked
}

//! What a running server is asked on the operator's behalf.

use std::net::SocketAddr;

use playhouse::config::Config;
use playhouse::keys::Keys;
use reqwest::Method;
use serde_json::Value as Json;

use super::configuration::{refuse_unfinished_import, require_store};

/// The keys of a data folder.
pub(super) fn keys(config: &Config) -> Result<Keys, String> {
    require_store(&config.data)?;
    store::folder::create_private(&config.data).map_err(|error| error.to_string())?;
    store::folder::make_private(&config.data).map_err(|error| error.to_string())?;
    Keys::load_or_create(&config.data, config)
}

/// The answer of a running server to a POST; `None` when none runs.
pub(super) async fn ask(config: &Config, path: &str, body: &Json) -> Result<Option<Json>, String> {
    send(config, Method::POST, path, Some(body)).await
}

/// The answer of a running server to a GET; `None` when none runs.
pub(super) async fn get(config: &Config, path: &str) -> Result<Option<Json>, String> {
    send(config, Method::GET, path, None).await
}

async fn send(
    config: &Config,
    method: Method,
    path: &str,
    body: Option<&Json>,
) -> Result<Option<Json>, String> {
    let Some(url) = playhouse::running_at(&config.data) else { return Ok(None) };
    let key = keys(config)?;
    // The certificate is for the name that others know; here the process itself is asked, by its number.
    let client = language::http_client().tls_danger_accept_invalid_certs(url.starts_with("https:"));
    let client = client.build().map_err(|error| error.to_string())?;
    let request = client.request(method, format!("{url}{path}"));
    let mut request = request.bearer_auth(key.service_role_key()).header("apikey", key.service_role_key());
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = match request.send().await {
        Ok(response) => response,
        // What a killed server left behind.
        Err(error) if error.is_connect() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    let answer: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
    if status.is_success() {
        return Ok(Some(answer));
    }
    let (code, message) = (answer["error_code"].as_str(), answer["msg"].as_str());
    let (code, message) = (code.or(answer["code"].as_str()), message.or(answer["message"].as_str()));
    Err(match (code.filter(|code| *code != status.as_str()), message) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        (None, Some(message)) => message.to_string(),
        _ => format!("the server answers {status}: {text}"),
    })
}

/// Asks a running server for what it says line by line, as JSON; `hear` may end it with a reason.
pub(super) async fn ask_lines(
    config: &Config,
    path: &str,
    body: &Json,
    hear: &mut dyn FnMut(Json) -> Result<(), String>,
) -> Result<(), String> {
    let url = playhouse::running_at(&config.data).ok_or("the server stopped meanwhile")?;
    let key = keys(config)?;
    let client = language::http_client().tls_danger_accept_invalid_certs(url.starts_with("https:"));
    let client = client.build().map_err(|error| error.to_string())?;
    let request = client.post(format!("{url}{path}")).bearer_auth(key.service_role_key());
    let request = request.header("apikey", key.service_role_key()).json(body);
    let mut response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    if !status.is_success() {
        let text = response.text().await.map_err(|error| error.to_string())?;
        let answer: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
        return Err(answer["message"]
            .as_str()
            .map_or(format!("the server answers {status}"), str::to_string));
    }
    let mut rest = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| error.to_string())? {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            hear(serde_json::from_slice(&line).map_err(|error| error.to_string())?)?;
        }
    }
    Ok(())
}

/// Does `work` while a server runs on the data folder: the one that does already, else one of our own for the while, so
/// that everything is done in only one way.
pub(super) async fn with_server<T>(
    config: &Config,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    require_store(&config.data)?;
    refuse_unfinished_import(&config.data)?;
    if get(config, "/auth/v1/health").await?.is_some() {
        return work.await;
    }
    let mut own = config.clone();
    own.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    own.fetch_chat_model = false;
    own.local_worker = false;
    own.worker_probe_s = 0;
    serve_while(own, work).await
}

/// Does `work` while a server of our own runs.
pub(super) async fn serve_while<T>(
    own: Config,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let config = own.clone();
    let _ = std::fs::remove_file(config.data.join(playhouse::ADDRESS_FILE));
    let (done, stopped) = tokio::sync::oneshot::channel::<()>();
    let wait = async {
        let _ = stopped.await;
    };
    let server = actix::spawn(playhouse::serve(own, Box::pin(wait)));
    let mut is_up = false;
    for _ in 0..1200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        is_up = !server.is_finished() && is_up_at(&config).await;
        if is_up || server.is_finished() {
            break;
        }
    }
    let result = if is_up { Some(work.await) } else { None };
    drop(done);
    let served = server.await.map_err(|error| error.to_string())?;
    match result {
        Some(result) => result,
        None => Err(served.err().unwrap_or_else(|| "the server did not start".into())),
    }
}

/// Whether a server answers for a data folder, which may not have keys yet.
async fn is_up_at(config: &Config) -> bool {
    let Some(url) = playhouse::running_at(&config.data) else { return false };
    let Ok(client) = language::http_client().build() else { return false };
    client.get(format!("{url}/health")).send().await.is_ok()
}

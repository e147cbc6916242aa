//! Lip sync: by a worker that the catalogue lists, or skipped with the reason.
//!
//! Such a worker is an active model with `capabilities.lip_sync` true. It gets `POST` at its provider's `base_url` and its
//! own `endpoint_path`: `{model, video_url, audio_url}`, two addresses that are open for an hour, and answers with the video
//! or with `{video_url}`.

use std::time::Duration;

use actors::file::own_path;
use actors::job_scheduler::{LIBRARY_BUCKET, NodeWrite};
use actors::render::{clip_facts, with_sound};
use futures_util::StreamExt;
use models::Value;
use serde_json::{Value as Json, json};
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;

use super::counted_call::MediaCall;
use super::run::{Run, Stop, internal, url};
use crate::error::{Kind, ServiceError};
use crate::files::open_address::open_address;
use crate::ids::uuid;
use crate::replicate::provider_api::{Api, connection};
use crate::rows::position;

/// How long a worker may take.
const TIME_MAX: Duration = Duration::from_secs(1800);
/// How long a file that it names may take.
const FETCH_MAX: Duration = Duration::from_secs(300);
/// Largest video, in bytes.
const BYTES_MAX: usize = 1 << 30;
/// For how many seconds a worker may read what it is given.
const LINK_S: u64 = 3600;

/// Does it, or says why not; then the video is completed.
pub(super) async fn make(run: &Run, id: Uuid) -> Result<(), Stop> {
    let video = run.video(id).await?;
    let before = video["merge_data"]["url"].as_str().unwrap_or_default().to_string();
    let (data, object) = match worker(run).await? {
        None => {
            let reason = "no active model of the catalogue has capabilities.lip_sync";
            (json!({"status": "skipped", "reason": reason}), None)
        }
        Some((model, provider)) => {
            // Whose file the row names is judged before a worker is given a link to it.
            let sounding = run.read(&before).await?;
            let judged = BlobHash::of(&sounding).hex();
            let call = MediaCall {
                model: &model,
                provider: &provider,
                request_type: "video",
                purpose: "lip_sync",
                units: 0,
            };
            let moved =
                match call.counted(&run.context, ask(run, &model, &provider, (&before, &judged))).await? {
                    Answer::Video(bytes) => bytes,
                    Answer::Address(address) => fetch(run, &address).await?,
                };
            let (bytes, unmixed) = combine(moved, sounding).await?;
            let tries = video["retry_count"].as_i64().unwrap_or(0);
            let object = run.keep(run.place(id, &format!("lipsync-{tries}.mp4")), bytes, "video/mp4").await?;
            let mut data = json!({"status": "completed", "url": url(&object), "model": model["model_key"]});
            if let Some(reason) = unmixed {
                data["sound"] = json!("worker");
                data["reason"] = json!(reason);
            }
            (data, Some((object, vec![judged])))
        }
    };
    let video = run.video(id).await?;
    let address = object.as_ref().map_or(before, |(object, _)| url(object));
    let values = vec![
        ("generation_status", Value::text("completed")),
        ("lipsync_data", Value::json(&data)),
        ("video_url", Value::text(address)),
        ("error_message", Value::Null),
    ];
    let file = object.map(|(file, made_of)| NodeWrite::File { file: Box::new(file), made_of });
    let mut writes: Vec<NodeWrite> = file.into_iter().collect();
    writes.extend(run.of_video(&video, values, ("lip_sync", 1, 1)));
    run.record(&format!("lip_sync/{}", video["retry_count"]), writes).await
}

/// The worker, with its provider.
async fn worker(run: &Run) -> Result<Option<(Json, Json)>, Stop> {
    let query = Query::all(position("api_models"))
        .equal("is_active", Value::Bool(true))
        .order("is_default", true)
        .order("priority", false);
    for model in run.context.rows(query).await? {
        if model["capabilities"]["lip_sync"] != true {
            continue;
        }
        let Some(provider) = uuid(&model["provider_id"]) else { continue };
        let provider = run.context.row("api_providers", provider).await?;
        if let Some(provider) = provider.filter(|provider| provider["is_active"] == true) {
            return Ok(Some((model, provider)));
        }
    }
    Ok(None)
}

/// What a worker answers.
enum Answer {
    /// The video.
    Video(Vec<u8>),
    /// Where it lies.
    Address(String),
}

fn upstream(message: String) -> ServiceError {
    ServiceError::new(Kind::Upstream, message)
}

/// Asks a worker; the link opens the bytes of this hash and no others.
async fn ask(
    run: &Run,
    model: &Json,
    provider: &Json,
    (film, hash): (&str, &str),
) -> Result<Answer, ServiceError> {
    let (base, secret) = connection(Api::OpenAi, provider).map_err(upstream)?;
    let foreign = || ServiceError::not_found("the film lies outside its account's folder");
    let path = own_path(run.user, LIBRARY_BUCKET, film).ok_or_else(foreign)?;
    let link =
        run.context.services.links.signed_bytes(LIBRARY_BUCKET, path, hash, LINK_S).map_err(upstream)?;
    // The film has both, and a worker takes the sound out of it.
    let body = json!({"model": model["model_key"], "video_url": link, "audio_url": link});
    let endpoint = model["endpoint_path"].as_str().unwrap_or_default().trim_start_matches('/').to_string();
    let client = language::http_client().build().map_err(|error| upstream(error.to_string()))?;
    let request = client.post(format!("{base}/{endpoint}")).json(&body).timeout(TIME_MAX);
    let request = match secret {
        Some(secret) => request.bearer_auth(secret),
        None => request,
    };
    let broken = |error: reqwest::Error| match error.is_timeout() {
        true => ServiceError::new(Kind::Timeout, "the lip sync worker timed out"),
        false => upstream("the connection to the lip sync worker failed".into()),
    };
    let response = request.send().await.map_err(broken)?;
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_video = kind.starts_with("video/");
    let bytes = body_of(response).await.map_err(upstream)?;
    if !(200..300).contains(&status) {
        // Rows show it; a link that the worker repeats opens the file for everyone who reads it.
        let said = String::from_utf8_lossy(&bytes).replace(link.as_str(), "(the link)");
        let said: String = said.chars().take(300).collect();
        return Err(upstream(format!("the lip sync worker answered {status}: {said}")));
    }
    if is_video {
        return Ok(Answer::Video(bytes));
    }
    let answer: Json = serde_json::from_slice(&bytes).unwrap_or_default();
    let address = answer["video_url"].as_str();
    let address = address
        .ok_or_else(|| upstream("the lip sync worker's answer has neither a video nor video_url".into()))?;
    Ok(Answer::Address(address.to_string()))
}

/// The video that a worker's answer names.
async fn fetch(run: &Run, address: &str) -> Result<Vec<u8>, Stop> {
    // What is made and cannot be fetched can be fetched later.
    let unfetched =
        |reason: String| Stop::Unfetched(upstream(format!("the lip sync worker's video: {reason}")));
    let fetch = async {
        let private = run.context.services.settings.fetch_private_addresses;
        body_of(open_address(address, private).await?).await
    };
    match tokio::time::timeout(FETCH_MAX, fetch).await {
        Ok(fetched) => fetched.map_err(unfetched),
        Err(_) => Err(unfetched("the download timed out".into())),
    }
}

async fn body_of(response: reqwest::Response) -> Result<Vec<u8>, String> {
    let (mut bytes, mut stream) = (Vec::new(), response.bytes_stream());
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| "the connection broke off".to_string())?);
        if bytes.len() > BYTES_MAX {
            return Err(format!("more than {BYTES_MAX} bytes"));
        }
    }
    Ok(bytes)
}

/// The worker's pictures with our sound, where they can be put together; else its file as it is, and why.
async fn combine(moved: Vec<u8>, sounding: Vec<u8>) -> Result<(Vec<u8>, Option<String>), Stop> {
    let task = tokio::task::spawn_blocking(move || {
        if let Err(reason) = clip_facts(&moved) {
            return match moved.get(4..8) {
                Some(b"ftyp") => Ok((moved, Some(reason))),
                _ => Err("the lip sync worker's file is no MP4 file".to_string()),
            };
        }
        let track = sound::decode(&sounding)?;
        Ok((with_sound(&moved, &sound::encode(&track)?)?, None))
    });
    let combined = task.await.map_err(|_| internal("combining sound and pictures failed unexpectedly"))?;
    Ok(combined.map_err(ServiceError::bad)?)
}

//! Speech by a server that speaks OpenAI's dialect: `POST /audio/speech` answers with the file.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::spoken::Spoken;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::media::counted_call::MediaCall;
use crate::replicate::provider_api::{Api, connection};

/// How long it may take.
const TIME_MAX: Duration = Duration::from_secs(120);
/// Largest file, in bytes.
const BYTES_MAX: usize = 64 << 20;
/// The voice where neither the caller nor the model names one.
const VOICE: &str = "alloy";

/// Speaks a text, and counts the call; its characters are counted as tokens of a prompt, as such servers price them.
pub(super) async fn speak(
    context: &Context,
    model: &Json,
    provider: &Json,
    text: &str,
    voice: Option<&str>,
) -> Result<Spoken, ServiceError> {
    let key = model["model_key"].as_str().unwrap_or_default().to_string();
    let characters = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let call = MediaCall { model, provider, request_type: "chat", purpose: "speech", units: characters };
    let bytes = call.counted(context, ask(model, provider, &key, text, voice)).await?;
    let (mime_type, extension) = kind(&bytes).ok_or_else(|| {
        ServiceError::new(
            Kind::Upstream,
            "the speech server's answer is no sound: neither WAV, MP3, FLAC, Ogg nor AAC",
        )
    })?;
    Ok(Spoken { bytes, mime_type, extension, model: key })
}

async fn ask(
    model: &Json,
    provider: &Json,
    key: &str,
    text: &str,
    voice: Option<&str>,
) -> Result<Vec<u8>, ServiceError> {
    let upstream = |message: String| ServiceError::new(Kind::Upstream, message);
    let (base, secret) = connection(Api::OpenAi, provider).map_err(upstream)?;
    let mut body = json!({"response_format": "wav", "voice": VOICE});
    if let (Some(body), Json::Object(defaults)) = (body.as_object_mut(), &model["input_defaults"]) {
        body.extend(defaults.clone());
    }
    body["model"] = json!(key);
    body["input"] = json!(text);
    if let Some(voice) = voice {
        body["voice"] = json!(voice);
    }
    let client = language::http_client().build().map_err(|error| upstream(error.to_string()))?;
    let request = client.post(format!("{base}/audio/speech")).json(&body).timeout(TIME_MAX);
    let request = match secret {
        Some(secret) => request.bearer_auth(secret),
        None => request,
    };
    let broken = |error: reqwest::Error| match error.is_timeout() {
        true => ServiceError::new(
            Kind::Timeout,
            format!("the speech server timed out after {} s", TIME_MAX.as_secs()),
        ),
        false => upstream("the connection to the speech server failed".into()),
    };
    let mut response = request.send().await.map_err(broken)?;
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > BYTES_MAX {
            return Err(upstream(format!("the speech server's file is larger than {BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    if (200..300).contains(&status) {
        return Ok(bytes);
    }
    let answer: Json = serde_json::from_slice(&bytes).unwrap_or_default();
    let said = answer["error"]["message"].as_str().or(answer["error"].as_str()).unwrap_or("no reason given");
    let said: String = said.chars().take(500).collect();
    Err(upstream(format!("the speech server answered {status}: {said}")))
}

/// What a file of sound is, by how it begins.
pub(crate) fn kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(("audio/wav", "wav")),
        [b'f', b'L', b'a', b'C', ..] => Some(("audio/flac", "flac")),
        [b'O', b'g', b'g', b'S', ..] => Some(("audio/ogg", "ogg")),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(("audio/mp4", "m4a")),
        [b'I', b'D', b'3', ..] => Some(("audio/mpeg", "mp3")),
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(("audio/aac", "aac")),
        [0xff, second, ..] if second & 0xe0 == 0xe0 => Some(("audio/mpeg", "mp3")),
        _ => None,
    }
}

//! A server elsewhere that speaks OpenAI's dialect of pictures: the answer to the request is the picture.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::files::fetch_picture::download;
use crate::files::picture_kind::still_picture_type;
use crate::replicate::provider_api::{Api, connection};

/// How long a picture may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A picture to begin with.
pub(super) struct Reference {
    pub bytes: Vec<u8>,
    pub name: String,
}

impl Reference {
    /// Reads a stored file.
    pub(super) async fn read(context: &Context, object: &str) -> Result<Reference, String> {
        let (bucket, path) = object.split_once('/').ok_or("the picture to begin with is gone")?;
        let (store, bucket, path) =
            (context.services.actors.store().clone(), bucket.to_string(), path.to_string());
        let name = path.rsplit('/').next().unwrap_or("image.png").to_string();
        let read = tokio::task::spawn_blocking(move || actors::file::read_object(&store, &bucket, &path));
        let bytes = read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or("the picture to begin with is gone")?;
        Ok(Reference { bytes, name })
    }
}

/// What is sent: the input of a prediction in this dialect's words.
fn body_of(model: &Json, input: &Json) -> Json {
    let mut body = input.clone();
    let mut sides = [Json::Null, Json::Null];
    if let Json::Object(members) = &mut body {
        for (side, name) in sides.iter_mut().zip(["width", "height"]) {
            *side = members.remove(name).unwrap_or_default();
        }
        // A count of another dialect, and pictures that go beside the fields.
        for name in ["num_outputs", "image", "strength"] {
            members.remove(name);
        }
        members.insert("model".into(), model["model_key"].clone());
        members.entry("n").or_insert(json!(1));
        members.entry("response_format").or_insert(json!("b64_json"));
        if let (Some(width), Some(height)) = (sides[0].as_u64(), sides[1].as_u64()) {
            members.entry("size").or_insert(json!(format!("{width}x{height}")));
        }
        // A row may say that the server does not know the field, as OpenAI's newest models do not.
        members.retain(|_, value| !value.is_null());
    }
    body
}

/// Asks for a picture; its bytes and their type, or what went wrong.
pub(super) async fn draw(
    context: &Context,
    model: &Json,
    provider: &Json,
    input: &Json,
    reference: Option<Reference>,
) -> Result<(Vec<u8>, String), String> {
    let (base, secret) = connection(Api::OpenAi, provider)?;
    let client = language::http_client().build().map_err(|error| error.to_string())?;
    let body = body_of(model, input);
    let request = match reference {
        None => client.post(format!("{base}/images/generations")).json(&body),
        Some(reference) => {
            let boundary = uuid::Uuid::new_v4().simple().to_string();
            let form = form(&boundary, &body, &reference);
            let kind = format!("multipart/form-data; boundary={boundary}");
            client.post(format!("{base}/images/edits")).header("content-type", kind).body(form)
        }
    };
    let request = match secret {
        Some(secret) => request.bearer_auth(secret),
        None => request,
    };
    let mut response = request.timeout(PATIENCE).send().await.map_err(|error| {
        if error.is_timeout() { "the provider takes too long" } else { "the provider cannot be reached" }
    })?;
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "the provider broke its answer off")? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the provider's answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    let answer: Json = serde_json::from_slice(&bytes).map_err(|_| "the provider's answer is not JSON")?;
    if !(200..300).contains(&status) {
        let said =
            answer["error"]["message"].as_str().or(answer["error"].as_str()).unwrap_or("no reason given");
        let said: String = said.chars().take(500).collect();
        return Err(format!("the provider answered {status}: {said}"));
    }
    let picture = &answer["data"][0];
    if let Some(encoded) = picture["b64_json"].as_str() {
        let bytes = STANDARD.decode(encoded).map_err(|_| "the provider's picture is not base64")?;
        let kind =
            still_picture_type(&bytes).ok_or("the provider's picture is neither PNG, JPEG nor WebP")?;
        return Ok((bytes, kind.to_string()));
    }
    let url = picture["url"].as_str().ok_or("the provider's answer has no picture")?;
    download(url, context.services.settings.fetch_private_addresses).await
}

/// The fields and the picture as a form.
fn form(boundary: &str, body: &Json, reference: &Reference) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in body.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        // Names come from the catalogue; what would end a header has no place in one.
        let name: String =
            name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        form.extend_from_slice(
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
                .as_bytes(),
        );
    }
    let kind = still_picture_type(&reference.bytes).unwrap_or("application/octet-stream");
    let name: String = reference
        .name
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "._-".contains(*letter))
        .collect();
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"image\"; filename=\"{name}\"\r\ncontent-type: {kind}\r\n\r\n"
    );
    form.extend_from_slice(head.as_bytes());
    form.extend_from_slice(&reference.bytes);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_put_into_this_dialects_words() {
        let model = json!({"model_key": "flux"});
        let input = json!({"prompt": "a fox", "num_outputs": 1, "width": 64, "height": 32, "seed": 3, "response_format": null});
        assert_eq!(
            body_of(&model, &input),
            json!({"prompt": "a fox", "seed": 3, "model": "flux", "n": 1, "size": "64x32"})
        );
        let reference = Reference { bytes: vec![0x89, b'P', b'N', b'G', 1], name: "a\"\r\n.png".into() };
        let form = form("X", &json!({"prompt": "a", "n": 1}), &reference);
        let text = String::from_utf8_lossy(&form);
        assert!(
            text.starts_with("--X\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\na\r\n--X"),
            "{text}"
        );
        assert!(text.contains("filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n"), "{text}");
        assert!(text.ends_with("\r\n--X--\r\n"));
    }
}

//! fal's queue: a request is handed in, its status is asked for, and its result is read, which is told in the words of
//! Replicate's predictions.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::replicate::provider_api::{Api, connection};

/// Longest id of a request, in bytes.
const ID_BYTES_MAX: usize = 100;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The input of a prediction in fal's words.
fn in_own_words(input: &Json) -> Json {
    let mut input = input.clone();
    if let Json::Object(members) = &mut input {
        if let Some(count) = members.remove("num_outputs") {
            members.entry("num_images").or_insert(count);
        }
        if let (Some(width), Some(height)) = (members.remove("width"), members.remove("height")) {
            members.entry("image_size").or_insert(json!({"width": width, "height": height}));
        }
        if let Some(picture) = members.remove("image") {
            members.entry("image_url").or_insert(picture);
        }
    }
    input
}

/// Whether a text can be the id of a request.
fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= ID_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A model's name as a path, if it can be one.
fn path_of(model: &Json) -> Option<&str> {
    let key = model["model_key"].as_str()?.trim_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    (!key.is_empty() && !key.contains("..") && key.bytes().all(plain)).then_some(key)
}

/// Where the requests of a model are kept: what stands behind owner and name of a model says which of its endpoints is
/// meant, and is no part of it.
fn app_of(path: &str) -> String {
    path.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// Hands a request in; answers with its id, or the status to pass on and what went wrong.
pub(super) async fn submit(model: &Json, provider: &Json, input: &Json) -> Result<String, (u16, String)> {
    let path = path_of(model).ok_or((500, "model_key is not the path of a model of fal".to_string()))?;
    let (base, secret) = connection(Api::Fal, provider).map_err(|message| (503, message))?;
    let client = language::http_client().build().map_err(|error| (500, error.to_string()))?;
    let request = client.post(format!("{base}/{path}")).timeout(TIMEOUT).json(&in_own_words(input));
    let request = request.header("authorization", format!("Key {}", secret.unwrap_or_default()));
    let response = request.send().await.map_err(|_| (502, "the provider cannot be reached".to_string()))?;
    let status = response.status().as_u16();
    let answer: Json = language::json_answer(response)
        .await
        .ok_or_else(|| (502, "the provider's answer is not JSON".to_string()))?;
    if !(200..300).contains(&status) {
        return Err((status, detail(&answer)));
    }
    let id = answer["request_id"].as_str().filter(|id| is_id(id));
    id.map(str::to_string).ok_or_else(|| (502, "the provider's answer has no request_id".to_string()))
}

/// How a request fares, as a prediction of Replicate's would say it.
pub(super) async fn fare(model: &Json, provider: &Json, id: &str) -> Result<Json, String> {
    let path = path_of(model).ok_or("model_key is not the path of a model of fal")?;
    let (base, secret) = connection(Api::Fal, provider)?;
    let client = language::http_client().build().map_err(|error| error.to_string())?;
    let key = format!("Key {}", secret.unwrap_or_default());
    let of_request = format!("{base}/{}/requests/{id}", app_of(path));
    let read = async |url: String| {
        let request = client.get(url).header("authorization", key.as_str()).timeout(TIMEOUT);
        let response = request.send().await.map_err(|_| "the provider cannot be reached".to_string())?;
        let status = response.status().as_u16();
        let answer: Json = language::json_answer(response)
            .await
            .ok_or_else(|| "the provider's answer is not JSON".to_string())?;
        Ok::<_, String>((status, answer))
    };
    let (status, answer) = read(format!("{of_request}/status")).await?;
    if !(200..300).contains(&status) {
        return Err(format!("the provider answered {status}: {}", detail(&answer)));
    }
    if answer["status"] != "COMPLETED" {
        return Ok(json!({"id": id, "status": "processing"}));
    }
    let (status, result) = read(of_request).await?;
    Ok(match status {
        200..300 => json!({
            "id": id, "status": "succeeded", "output": pictures(&result), "input": {"seed": result["seed"]},
        }),
        _ => json!({"id": id, "status": "failed", "error": detail(&result)}),
    })
}

/// The URLs of a result: `images: [{url}]`, or `image: {url}`.
fn pictures(result: &Json) -> Vec<Json> {
    let many = result["images"].as_array().into_iter().flatten();
    many.chain(std::iter::once(&result["image"]))
        .map(|picture| picture["url"].clone())
        .filter(Json::is_string)
        .collect()
}

/// Why a request was refused, in the provider's words.
fn detail(answer: &Json) -> String {
    let text = match &answer["detail"] {
        Json::String(text) => text.clone(),
        Json::Null => answer["error"].as_str().unwrap_or("the provider refused").to_string(),
        other => other[0]["msg"].as_str().map_or_else(|| other.to_string(), str::to_string),
    };
    text.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_their_forms() {
        let input = json!({"prompt": "a", "num_outputs": 1, "width": 64, "height": 32, "image": "u"});
        assert_eq!(
            in_own_words(&input),
            json!({"prompt": "a", "num_images": 1, "image_size": {"width": 64, "height": 32}, "image_url": "u"})
        );
        assert_eq!(app_of("fal-ai/flux/dev"), "fal-ai/flux");
        assert_eq!(app_of("fal-ai/sdxl"), "fal-ai/sdxl");
        for (key, good) in
            [("fal-ai/flux/dev", true), ("a/../b", false), ("", false), ("a b", false), ("a?b", false)]
        {
            assert_eq!(path_of(&json!({"model_key": key})).is_some(), good, "{key}");
        }
        assert_eq!(
            pictures(&json!({"images": [{"url": "a"}, {"x": 1}], "image": {"url": "b"}})),
            [json!("a"), json!("b")]
        );
        assert_eq!(detail(&json!({"detail": [{"msg": "too large"}]})), "too large");
        assert_eq!(detail(&json!({"detail": "no"})), "no");
        assert!(is_id("a-1") && !is_id("a/b") && !is_id(""));
    }
}

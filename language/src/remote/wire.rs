//! How does the OpenAI dialect spell requests and replies?

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use syntax::half_characters;

use crate::engine::{Beginning, ChatMessage, ChatRequest, FinishReason, Usage};
use crate::sampling::Sampling;

/// One piece of a streamed reply.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ReplyChunk {
    pub(super) text: String,
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) usage: Option<Usage>,
    pub(super) tool_calls: Vec<CallPiece>,
}

/// The body of `POST /chat/completions`. What is as by default stays out, since strict servers refuse fields that they
/// do not know.
pub(super) fn request_body(request: &ChatRequest, model: &str, seed: u64) -> Map<String, Value> {
    let messages: Vec<Value> = request.messages.iter().map(message_body).collect();
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_string(), value);
    set("model", json!(model));
    set("messages", Value::Array(messages));
    set("stream", json!(true));
    set("stream_options", json!({"include_usage": true}));
    set("max_tokens", json!(request.max_tokens));
    // JSON numbers above 2^53 lose digits in many servers.
    set("seed", json!(seed & ((1 << 53) - 1)));
    let (sampling, plain) = (&request.sampling, Sampling::default());
    set("temperature", json!(rounded(sampling.temperature)));
    for (key, value, default) in [
        ("top_p", sampling.top_p, plain.top_p),
        ("min_p", sampling.min_p, plain.min_p),
        ("repetition_penalty", sampling.repetition_penalty, plain.repetition_penalty),
        ("presence_penalty", sampling.presence_penalty, plain.presence_penalty),
        ("frequency_penalty", sampling.frequency_penalty, plain.frequency_penalty),
    ] {
        if value != default {
            set(key, json!(rounded(value)));
        }
    }
    if sampling.top_k != plain.top_k {
        set("top_k", json!(sampling.top_k));
    }
    // Servers that know these fields keep them; to others the last message says it.
    match request.beginning {
        Beginning::NewMessage => {}
        Beginning::LastMessage => {
            set("continue_final_message", json!(true));
            set("add_generation_prompt", json!(false));
        }
        Beginning::Unmarked => {
            set("add_generation_prompt", json!(false));
        }
    }
    if !request.stop.is_empty() {
        set("stop", json!(request.stop));
    }
    if let Some(tools) = &request.tools {
        set("tools", json!(tools.list));
        if let Some(choice) = &tools.choice {
            set("tool_choice", choice.clone());
        }
    }
    if let Some(schema) = &request.json_schema {
        let format = json!({"name": "reply", "strict": true, "schema": schema});
        set("response_format", json!({"type": "json_schema", "json_schema": format}));
    }
    body
}

/// One message; what a tool said names the call that it answers.
fn message_body(message: &ChatMessage) -> Value {
    if let Some(call) = &message.tool_call_id {
        return json!({"role": "tool", "tool_call_id": call, "content": message.content});
    }
    let mut body = json!({"role": message.role.as_str(), "content": content(message)});
    if !message.tool_calls.is_empty() {
        body["tool_calls"] = json!(message.tool_calls);
    }
    body
}

/// Plain text, or a list of parts when there are pictures.
fn content(message: &ChatMessage) -> Value {
    if message.images.is_empty() {
        return json!(message.content);
    }
    let mut parts = vec![json!({"type": "text", "text": message.content})];
    let part = |url: &Arc<str>| json!({"type": "image_url", "image_url": {"url": **url}});
    parts.extend(message.images.iter().map(part));
    Value::Array(parts)
}

/// 0.7 as 0.7, not as the 0.699999988079071 that its 32 bits mean.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

/// A piece of a tool's call: its name comes once, its arguments in pieces.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct CallPiece {
    pub(super) index: usize,
    pub(super) id: Option<String>,
    pub(super) function: CalledFunction,
}

/// What is called.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct CalledFunction {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

/// Reads one event's data, or a whole reply. What a server leaves out, or says as null, is as if it said nothing.
pub(super) fn parse_chunk(data: &str) -> Result<ReplyChunk, String> {
    let chunk: Value = serde_json::from_slice(&half_characters::mend(data.as_bytes()))
        .map_err(|error| format!("unreadable event: {error}"))?;
    if !chunk.is_object() {
        return Err("unreadable event: an object is needed".into());
    }
    let error = &chunk["error"];
    if !error.is_null() {
        let message = error["message"].as_str().map_or_else(|| error.to_string(), str::to_string);
        return Err(message.chars().take(500).collect());
    }
    let choice = &chunk["choices"][0];
    // A server that does not stream sends the message whole.
    let said = [&choice["delta"], &choice["message"]].into_iter().find(|said| said.is_object());
    let said = said.unwrap_or(&Value::Null);
    let finish_reason =
        choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()).map(|reason| match reason {
            "length" | "max_tokens" => FinishReason::Length,
            _ => FinishReason::Stop,
        });
    let text = match (text_of(&said["content"]), choice["text"].as_str()) {
        (text, Some(other)) if text.is_empty() => other.to_string(),
        (text, _) => text,
    };
    let calls = said["tool_calls"].as_array().into_iter().flatten();
    let tool_calls = calls
        .enumerate()
        .map(|(place, call)| {
            let mut piece: CallPiece = serde_json::from_value(without_nulls(call))
                .map_err(|error| format!("unreadable call of a tool: {error}"))?;
            if call["index"].is_null() {
                piece.index = place;
            }
            Ok(piece)
        })
        .collect::<Result<_, String>>()?;
    Ok(ReplyChunk { text, finish_reason, usage: usage_of(&chunk["usage"]), tool_calls })
}

/// A text, or the texts of a list of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Counts, where a server tells any; one that is missing or no number is 0.
fn usage_of(usage: &Value) -> Option<Usage> {
    usage.is_object().then(|| {
        let count = |value: &Value| {
            value.as_u64().or_else(|| value.as_f64().map(|count| count.max(0.0) as u64)).unwrap_or(0) as usize
        };
        Usage {
            prompt_tokens: count(&usage["prompt_tokens"]),
            completion_tokens: count(&usage["completion_tokens"]),
            cached_prompt_tokens: count(&usage["prompt_tokens_details"]["cached_tokens"]),
        }
    })
}

/// An object and those in it without members that are null.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Role;

    #[test]
    fn pictures_are_parts_of_a_message() {
        let message = ChatMessage::new(Role::User, "What is it?").with_image("data:image/png;base64,AA==");
        let body = request_body(&ChatRequest::new(vec![message]), "m", 5);
        let content = &body["messages"][0]["content"];
        assert_eq!(content[0], json!({"type": "text", "text": "What is it?"}));
        assert_eq!(content[1]["image_url"]["url"], "data:image/png;base64,AA==");
    }

    #[test]
    fn only_what_was_asked_for_is_sent() {
        let mut request = ChatRequest::new(vec![ChatMessage::new(Role::User, "hi")]);
        request.sampling.temperature = 0.7;
        let body = request_body(&request, "m", 5);
        assert_eq!(
            Value::Object(body),
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true,
                "stream_options": {"include_usage": true}, "max_tokens": 512, "seed": 5, "temperature": 0.7})
        );
        request.sampling.top_k = 40;
        request.stop = vec!["\n".into()];
        request.json_schema = Some(json!({"type": "object"}));
        let body = request_body(&request, "m", 0);
        assert_eq!((&body["top_k"], &body["stop"]), (&json!(40), &json!(["\n"])));
        assert_eq!(body["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    }

    #[test]
    fn chunks_of_several_servers_are_read() {
        let chunk = parse_chunk(r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#).unwrap();
        assert_eq!(chunk.text, "a");
        let chunk = parse_chunk(r#"{"choices":[{"delta":{},"finish_reason":"length"}],"x":1}"#).unwrap();
        assert_eq!(chunk.finish_reason, Some(FinishReason::Length));
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}"#;
        let usage = parse_chunk(usage).unwrap().usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_prompt_tokens), (3, 2, 1));
        assert_eq!(parse_chunk(r#"{"error":{"message":"out of luck"}}"#).unwrap_err(), "out of luck");
        assert!(parse_chunk("{").is_err() && parse_chunk("7").is_err());
        for (data, text) in [
            (r#"{"choices":null}"#, ""),
            (r#"{"choices":[],"error":null,"usage":null}"#, ""),
            (r#"{"choices":[null]}"#, ""),
            (r#"{"choices":[{"delta":null,"finish_reason":null}]}"#, ""),
            (r#"{"choices":[{"index":0}]}"#, ""),
            (r#"{"id":"x","usage":{"prompt_tokens":null,"completion_tokens":2.0}}"#, ""),
            (r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":null}}]}"#, ""),
            (
                r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}"#,
                "ab",
            ),
            (r#"{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}"#, "whole"),
            (r#"{"choices":[{"text":"plain"}]}"#, "plain"),
            (r#"{"choices":[{"delta":{"content":"a\ud83d"}}]}"#, "a\u{fffd}"),
        ] {
            assert_eq!(parse_chunk(data).unwrap().text, text, "{data}");
        }
        let called = r#"{"choices":[{"delta":{"tool_calls":[{"index":null,"id":null,"function":{"name":"f","arguments":null}}]}}]}"#;
        assert_eq!(parse_chunk(called).unwrap().tool_calls[0].function.name.as_deref(), Some("f"));
    }
}

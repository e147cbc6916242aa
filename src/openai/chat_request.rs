//! What is asked of a chat: `chat/completions` in this dialect's words, checked.

use actors::character::card_rating::check_long;
use actors::content_rules::ContentRating;
use language::{Beginning, ChatMessage, Role, Sampling};
use models::value_words::{is_none_of, shown, shown_text};
use serde::Deserialize;
use serde_json::Value as Json;

use super::error::OpenAiError;
use super::token_limits::{self, TOKENS_MAX};
use super::tool_calls::Offer;
use crate::request_body::{Notes, typed};

/// Messages of one request.
const MESSAGES_MAX: usize = 2000;
/// All that is said in one request, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Pictures of one request.
const PICTURES_MAX: usize = 16;
/// Replies to one request.
const CHOICES_MAX: u64 = 8;
/// Texts that end a reply.
const STOPS_MAX: usize = 8;
const STOP_BYTES_MAX: usize = 200;
/// Longest reply unless the caller says, in tokens.
const TOKENS: usize = 1024;
/// Temperatures of the dialect.
const TEMPERATURES: std::ops::RangeInclusive<f32> = 0.0..=2.0;
/// What a reply can be made to be.
const FORMATS: [&str; 3] = ["text", "json_object", "json_schema"];

/// The body. Fields of ours stand beside those of the dialect.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    pub model: Option<String>,
    pub messages: Option<Vec<Message>>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub n: Option<u64>,
    #[serde(deserialize_with = "token_limits::limit")]
    pub max_tokens: Option<usize>,
    #[serde(deserialize_with = "token_limits::limit")]
    pub max_completion_tokens: Option<usize>,
    pub stop: Option<Json>,
    #[serde(deserialize_with = "services::seed::or_random")]
    pub seed: Option<u64>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub response_format: Option<Json>,
    pub tools: Option<Vec<Json>>,
    pub tool_choice: Option<Json>,
    pub logprobs: Option<bool>,
    pub logit_bias: Option<serde_json::Map<String, Json>>,
    // Ours.
    pub min_p: Option<f32>,
    #[serde(deserialize_with = "token_limits::count")]
    pub top_k: Option<usize>,
    /// Whether the reply goes on with the last message.
    pub continue_final_message: Option<bool>,
    /// Whether the reply is a message of its own.
    pub add_generation_prompt: Option<bool>,
    #[serde(alias = "repeat_penalty")]
    pub repetition_penalty: Option<f32>,
    pub content_rating: Option<String>,
}

/// One message.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Message {
    pub role: String,
    #[serde(default)]
    pub content: Json,
    /// Tools that the model called in it.
    #[serde(default)]
    pub tool_calls: Option<Vec<Json>>,
    /// The call whose result it is.
    #[serde(default)]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message of words.
    pub fn new(role: &str, content: Json) -> Message {
        Message { role: role.into(), content, tool_calls: None, tool_call_id: None }
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub include_usage: Option<bool>,
}

/// A body that was understood.
#[derive(Clone, Debug)]
pub(super) struct ChatOptions {
    pub messages: Vec<ChatMessage>,
    /// Where the reply begins; as the engine has it where nothing is said.
    pub beginning: Option<Beginning>,
    pub sampling: Sampling,
    pub stop: Vec<String>,
    pub max_tokens: usize,
    pub json_schema: Option<Json>,
    pub tools: Option<Offer>,
    pub seed: Option<u64>,
    pub stream: bool,
    pub include_usage: bool,
    pub choices: usize,
}

impl Body {
    /// Reads JSON.
    pub fn read(body: &[u8], notes: &mut Notes) -> Result<Body, OpenAiError> {
        Ok(typed(body, notes)?)
    }

    /// The rating that the caller asks for.
    pub fn tier(&self) -> Result<Option<ContentRating>, OpenAiError> {
        let Some(rating) = self.content_rating.as_deref() else { return Ok(None) };
        let unknown = || OpenAiError::param("content_rating", is_none_of(rating, &ContentRating::NAMES));
        ContentRating::parse(rating).map(Some).ok_or_else(unknown)
    }

    /// What is asked for; refuses what cannot be honoured instead of leaving it out.
    pub fn options(&self) -> Result<ChatOptions, OpenAiError> {
        let choices = self.n.unwrap_or(1);
        if choices == 0 || choices > CHOICES_MAX {
            return Err(OpenAiError::param("n", format!("{choices} is not within 1 to {CHOICES_MAX}")));
        }
        let tools = Offer::read(self.tools.as_deref(), self.tool_choice.as_ref())?;
        let json_schema = self.schema()?;
        if tools.is_some() && json_schema.is_some() {
            return Err(OpenAiError::param("response_format", "together with tools only text is given"));
        }
        if self.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()) {
            return Err(OpenAiError::param("logit_bias", "tokens are not weighed one by one"));
        }
        if self.logprobs == Some(true) {
            return Err(OpenAiError::param("logprobs", "are not given"));
        }
        let limit = self.max_completion_tokens.or(self.max_tokens);
        if limit == Some(0) {
            return Err(OpenAiError::param("max_tokens", "is 0; at least 1"));
        }
        if let Some(heat) = self.temperature.filter(|heat| !TEMPERATURES.contains(heat)) {
            let [least, most] = [TEMPERATURES.start(), TEMPERATURES.end()];
            return Err(OpenAiError::param("temperature", format!("{heat} is not within {least} to {most}")));
        }
        Ok(ChatOptions {
            beginning: self.beginning()?,
            messages: self.said()?,
            sampling: self.sampling(Sampling::default()),
            stop: self.stops()?,
            max_tokens: self.max_tokens(None),
            json_schema,
            tools,
            seed: self.seed,
            stream: self.stream == Some(true),
            include_usage: self.stream_options.unwrap_or_default().include_usage == Some(true),
            choices: choices as usize,
        })
    }

    /// Where the reply begins, if it is said, as vLLM reads the two fields.
    fn beginning(&self) -> Result<Option<Beginning>, OpenAiError> {
        match (self.continue_final_message, self.add_generation_prompt) {
            (Some(true), Some(true)) => {
                let reason = "a reply cannot both go on with the last message and be one of its own (add_generation_prompt)";
                Err(OpenAiError::param("continue_final_message", reason))
            }
            (Some(true), _) => Ok(Some(Beginning::LastMessage)),
            (_, Some(true)) | (Some(false), None) => Ok(Some(Beginning::NewMessage)),
            (Some(false), Some(false)) => Ok(Some(Beginning::Unmarked)),
            (None, Some(false)) => {
                let last = self.messages.iter().flatten().last();
                let goes_on = last.is_some_and(|last| last.role == "assistant");
                Ok(Some(if goes_on { Beginning::LastMessage } else { Beginning::Unmarked }))
            }
            (None, None) => Ok(None),
        }
    }

    /// How freely to choose: what the request says over what the model has on its own.
    pub fn sampling(&self, mut sampling: Sampling) -> Sampling {
        for (to, from) in [
            (&mut sampling.temperature, self.temperature),
            (&mut sampling.top_p, self.top_p),
            (&mut sampling.min_p, self.min_p),
            (&mut sampling.repetition_penalty, self.repetition_penalty),
            (&mut sampling.presence_penalty, self.presence_penalty),
            (&mut sampling.frequency_penalty, self.frequency_penalty),
        ] {
            *to = from.unwrap_or(*to);
        }
        sampling.top_k = self.top_k.unwrap_or(sampling.top_k);
        sampling
    }

    /// The longest reply, where neither the request nor the model says.
    pub fn max_tokens(&self, of_model: Option<usize>) -> usize {
        let limit = self.max_completion_tokens.or(self.max_tokens);
        limit.or(of_model).unwrap_or(TOKENS).min(TOKENS_MAX)
    }

    fn said(&self) -> Result<Vec<ChatMessage>, OpenAiError> {
        let missing = || OpenAiError::param("messages", "missing");
        let messages = self.messages.as_deref().ok_or_else(missing)?;
        if messages.is_empty() || messages.len() > MESSAGES_MAX {
            let message = format!("{} are given; 1 to {MESSAGES_MAX} are taken", messages.len());
            return Err(OpenAiError::param("messages", message));
        }
        let (mut bytes, mut pictures) = (0, 0);
        let mut said = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let place = |field: &str| format!("messages[{index}].{field}");
            let role = match message.role.as_str() {
                "system" | "developer" => Role::System,
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "tool" if message.tool_call_id.is_some() => Role::User,
                "tool" => return Err(OpenAiError::param(&place("tool_call_id"), "missing")),
                other => {
                    let message = is_none_of(other, &["system", "developer", "user", "assistant", "tool"]);
                    return Err(OpenAiError::param(&place("role"), message));
                }
            };
            let tool_calls = message.tool_calls.clone().unwrap_or_default();
            if message.content.is_null() && tool_calls.is_empty() {
                return Err(OpenAiError::param(&place("content"), "missing"));
            }
            let (text, images) = if message.content.is_null() {
                (String::new(), Vec::new())
            } else {
                parts_of(&message.content).map_err(|error| OpenAiError::param(&place("content"), error))?
            };
            for call in &tool_calls {
                let function = &call["function"];
                if !call["id"].is_string()
                    || !function["name"].is_string()
                    || !function["arguments"].is_string()
                {
                    let reason = "each has id, function.name and function.arguments, which are texts";
                    return Err(OpenAiError::param(&place("tool_calls"), reason));
                }
                bytes += call.to_string().len();
            }
            bytes += text.len();
            pictures += images.len();
            if pictures > PICTURES_MAX {
                let message = format!("more than {PICTURES_MAX} pictures in one request");
                return Err(OpenAiError::param(&place("content"), message));
            }
            if bytes > TEXT_BYTES_MAX {
                let message = format!("more than {TEXT_BYTES_MAX} bytes");
                return Err(OpenAiError::new(413, "context_length_exceeded", message));
            }
            let tool_call_id = message.tool_call_id.clone().filter(|_| message.role == "tool");
            let images = images.into_iter().map(Into::into).collect();
            said.push(ChatMessage { images, tool_calls, tool_call_id, ..ChatMessage::new(role, text) });
        }
        Ok(said)
    }

    fn stops(&self) -> Result<Vec<String>, OpenAiError> {
        let wrong = || {
            OpenAiError::param(
                "stop",
                format!("a text or at most {STOPS_MAX} texts of {STOP_BYTES_MAX} bytes"),
            )
        };
        let stops: Vec<String> = match &self.stop {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::String(stop)) => vec![stop.clone()],
            Some(Json::Array(stops)) => {
                let text = |stop: &Json| stop.as_str().map(str::to_string).ok_or_else(wrong);
                stops.iter().map(text).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(wrong()),
        };
        match stops.len() <= STOPS_MAX && stops.iter().all(|stop| stop.len() <= STOP_BYTES_MAX) {
            true => Ok(stops.into_iter().filter(|stop| !stop.is_empty()).collect()),
            false => Err(wrong()),
        }
    }

    fn schema(&self) -> Result<Option<Json>, OpenAiError> {
        let Some(format) = &self.response_format else { return Ok(None) };
        match format["type"].as_str() {
            None if format.is_null() => Ok(None),
            Some("text") => Ok(None),
            // llama.cpp's server and others take a schema beside the type, in either form.
            Some(kind @ ("json_object" | "json_schema")) => {
                let nested = &format["json_schema"];
                let given = [&nested["schema"], &format["schema"]].into_iter().find(|given| !given.is_null());
                match given {
                    Some(schema @ Json::Object(_)) => Ok(Some(schema.clone())),
                    None if kind == "json_object" => Ok(Some(serde_json::json!({"type": "object"}))),
                    _ if nested.is_null() && kind == "json_object" => {
                        Err(OpenAiError::param("response_format", "schema: an object is needed"))
                    }
                    _ => {
                        Err(OpenAiError::param("response_format", "json_schema.schema: an object is needed"))
                    }
                }
            }
            given => {
                let given = given.map_or_else(|| shown(&format["type"]), shown_text);
                let message = format!("type: {given} is not one of {}", FORMATS.join(", "));
                Err(OpenAiError::param("response_format", message))
            }
        }
    }
}

impl ChatOptions {
    /// Refuses what may not be said at a rating.
    pub fn check(&self, tier: ContentRating) -> Result<(), OpenAiError> {
        for (index, message) in self.messages.iter().enumerate() {
            let what = format!("message {}", index + 1);
            check_long(tier, &what, &message.content)?;
            if !message.tool_calls.is_empty() {
                check_long(tier, &what, &Json::from(message.tool_calls.clone()).to_string())?;
            }
        }
        Ok(())
    }
}

/// A text, or the texts of its parts, and the pictures among them.
fn parts_of(content: &Json) -> Result<(String, Vec<String>), String> {
    let parts = match content {
        Json::String(text) => return Ok((text.clone(), Vec::new())),
        Json::Array(parts) => parts,
        _ => return Err("a text or a list of parts is needed".into()),
    };
    let (mut texts, mut pictures) = (Vec::with_capacity(parts.len()), Vec::new());
    for part in parts {
        match (part["type"].as_str(), part["text"].as_str()) {
            (Some("text"), Some(text)) => texts.push(text),
            (Some("image_url"), _) => {
                // The server that looks at it fetches it: nothing but what it can reach by itself is handed on.
                let url = part["image_url"]["url"].as_str().or(part["image_url"].as_str());
                let can_be_seen = |url: &&str| {
                    ["data:image/", "https://", "http://"].iter().any(|start| url.starts_with(start))
                };
                let url = url.filter(can_be_seen).ok_or("image_url.url: a data:image/ or http(s) address")?;
                pictures.push(url.to_string());
            }
            (Some(kind), _) => {
                return Err(format!("a part of type {kind:?} cannot be read; text and image_url can"));
            }
            _ => return Err("a part has no type".into()),
        }
    }
    Ok((texts.join("\n"), pictures))
}

#[cfg(test)]
#[path = "chat_request_tests.rs"]
mod tests;

//! Tools that a reply may call: passed on to servers elsewhere; of a model of this machine a grammar holds the reply to
//! words or to a call.

use language::{ChatMessage, Role, Tools};
use models::value_words::{is_none_of, shown};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::error::OpenAiError;

/// Tools of one request.
const TOOLS_MAX: usize = 64;
/// Longest name of a tool, in characters.
const NAME_CHARS_MAX: usize = 64;
/// All tools of one request, in bytes.
const BYTES_MAX: usize = 256 << 10;
/// What may be said of whether one is called.
const CHOICES: [&str; 3] = ["none", "auto", "required"];

/// Tools that may be called.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    list: Vec<Json>,
    choice: Option<Json>,
}

impl Offer {
    /// Reads what a request says of tools; none where it says so.
    pub fn read(tools: Option<&[Json]>, choice: Option<&Json>) -> Result<Option<Offer>, OpenAiError> {
        let tools = tools.unwrap_or_default();
        let refused = |place: usize, field: &str, reason: String| {
            Err(OpenAiError::param(&format!("tools[{place}]{field}"), reason))
        };
        if tools.len() > TOOLS_MAX {
            return Err(OpenAiError::param(
                "tools",
                format!("{} are given; at most {TOOLS_MAX}", tools.len()),
            ));
        }
        if json!(tools).to_string().len() > BYTES_MAX {
            return Err(OpenAiError::param("tools", format!("larger than {BYTES_MAX} bytes")));
        }
        for (place, tool) in tools.iter().enumerate() {
            if tool["type"] != "function" {
                return refused(place, ".type", format!("{} is not function", shown(&tool["type"])));
            }
            let name = tool["function"]["name"].as_str().unwrap_or_default();
            let is_plain = name.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '-'));
            if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !is_plain {
                let reason = format!("1 to {NAME_CHARS_MAX} letters, digits, _ and -");
                return refused(place, ".function.name", reason);
            }
            if !matches!(&tool["function"]["parameters"], Json::Null | Json::Object(_)) {
                return refused(place, ".function.parameters", "is not a JSON schema".into());
            }
            if tools[..place].iter().any(|other| other["function"]["name"] == name) {
                return refused(place, ".function.name", "another tool has this name".into());
            }
        }
        let choice = match choice {
            None | Some(Json::Null) => None,
            Some(Json::String(word)) if CHOICES.contains(&word.as_str()) => Some(json!(word)),
            Some(Json::String(word)) => {
                return Err(OpenAiError::param("tool_choice", is_none_of(word, &CHOICES)));
            }
            Some(named) => {
                let name = &named["function"]["name"];
                if !name.is_string() || !tools.iter().any(|tool| tool["function"]["name"] == *name) {
                    return Err(OpenAiError::param("tool_choice", "names no tool of this request"));
                }
                Some(named.clone())
            }
        };
        match (tools.is_empty(), choice) {
            (true, Some(choice)) if choice != "none" && choice != "auto" => {
                Err(OpenAiError::param("tool_choice", "there are no tools"))
            }
            (true, _) => Ok(None),
            (false, Some(choice)) if choice == "none" => Ok(None),
            (false, choice) => Ok(Some(Offer { list: tools.to_vec(), choice })),
        }
    }

    /// As servers elsewhere take them.
    pub fn for_elsewhere(&self) -> Tools {
        Tools { list: self.list.clone(), choice: self.choice.clone() }
    }

    /// The tools of which one may be called now.
    fn callable(&self) -> impl Iterator<Item = &Json> {
        let named =
            self.choice.as_ref().map(|choice| &choice["function"]["name"]).filter(|it| it.is_string());
        self.list
            .iter()
            .map(|tool| &tool["function"])
            .filter(move |it| named.is_none_or(|name| it["name"] == *name))
    }

    /// What a model of this machine is told of them.
    pub fn instructions(&self) -> String {
        let mut said = String::from(
            "You may use tools. Answer with one JSON object: {\"content\": \"…\"} to say something, or \
             {\"name\": \"…\", \"arguments\": {…}} to call a tool and learn its result. The tools are:\n",
        );
        for tool in self.callable() {
            let about = json!({"name": tool["name"], "description": tool["description"], "parameters": tool["parameters"]});
            said.push_str(&about.to_string());
            said.push('\n');
        }
        said
    }

    /// What holds a reply of a model of this machine: words where a call is not required, or a call of one tool.
    pub fn schema(&self) -> Result<Json, OpenAiError> {
        let mut forms = Vec::new();
        if self.choice.as_ref().is_none_or(|choice| choice == "auto") {
            forms.push(json!({
                "type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"],
                "additionalProperties": false,
            }));
        }
        for tool in self.callable() {
            let parameters = match &tool["parameters"] {
                Json::Null => json!({"type": "object", "properties": {}, "additionalProperties": false}),
                given if given.to_string().contains("\"$ref\"") => {
                    let reason = "a schema with $ref can be followed by remote servers only";
                    return Err(OpenAiError::param("tools", reason));
                }
                given => given.clone(),
            };
            forms.push(json!({
                "type": "object",
                "properties": {"name": {"const": tool["name"]}, "arguments": parameters},
                "required": ["name", "arguments"], "additionalProperties": false,
            }));
        }
        Ok(json!({"anyOf": forms}))
    }
}

/// What a model of this machine said that was held to words or a call: the words, or the call.
pub(super) fn said_or_called(text: &str) -> (Option<String>, Vec<Json>) {
    let Ok(Json::Object(said)) = serde_json::from_str::<Json>(text.trim()) else {
        // It was cut short: what there is is shown as it is.
        return (Some(text.to_string()), Vec::new());
    };
    match (said.get("name").and_then(Json::as_str), said.get("content").and_then(Json::as_str)) {
        (Some(name), _) => {
            let arguments = said.get("arguments").cloned().unwrap_or_else(|| json!({})).to_string();
            let id = format!("call_{}", Uuid::new_v4().simple());
            let function = json!({"name": name, "arguments": arguments});
            (None, vec![json!({"id": id, "type": "function", "function": function})])
        }
        (None, Some(content)) => (Some(content.to_string()), Vec::new()),
        (None, None) => (Some(text.to_string()), Vec::new()),
    }
}

/// Messages as a model of this machine reads them, which knows no tools in its template: calls and results in words.
pub(super) fn in_words(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let called: Map<String, Json> = messages
        .iter()
        .flat_map(|message| &message.tool_calls)
        .filter_map(|call| Some((call["id"].as_str()?.to_string(), call["function"]["name"].clone())))
        .collect();
    let plain = |message: ChatMessage| match (&message.tool_call_id, message.tool_calls.first()) {
        (Some(id), _) => {
            let name = called.get(id).and_then(Json::as_str).unwrap_or("a tool");
            ChatMessage::new(Role::User, format!("Result of {name}: {}", message.content))
        }
        (None, Some(call)) => {
            let function = &call["function"];
            let arguments = function["arguments"].as_str().unwrap_or("{}");
            let arguments: Json = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
            let said = json!({"name": function["name"], "arguments": arguments});
            ChatMessage::new(Role::Assistant, said.to_string())
        }
        (None, None) => message,
    };
    messages.into_iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Json {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object",
            "properties": {"x": {"type": "integer"}}, "required": ["x"]}}})
    }

    #[test]
    fn what_is_offered_depends_on_the_choice() {
        let tools = [tool("one"), tool("two")];
        let forms = |choice: Json| {
            let offer = Offer::read(Some(&tools), Some(&choice)).expect("it reads");
            offer.map(|offer| offer.schema().expect("a schema")["anyOf"].as_array().expect("forms").len())
        };
        assert_eq!(forms(Json::Null), Some(3));
        assert_eq!(forms(json!("auto")), Some(3));
        assert_eq!(forms(json!("required")), Some(2));
        assert_eq!(forms(json!({"type": "function", "function": {"name": "two"}})), Some(1));
        assert_eq!(forms(json!("none")), None);
        for (tools, choice, field) in [
            (vec![json!({"type": "browser"})], Json::Null, "tools[0].type"),
            (vec![tool("a b")], Json::Null, "tools[0].function.name"),
            (vec![tool("a"), tool("a")], Json::Null, "tools[1].function.name"),
            (
                vec![json!({"type": "function", "function": {"name": "a", "parameters": 7}})],
                Json::Null,
                "tools[0].function.parameters",
            ),
            (vec![tool("a")], json!("perhaps"), "tool_choice"),
            (vec![tool("a")], json!({"function": {"name": "b"}}), "tool_choice"),
            (vec![], json!("required"), "tool_choice"),
        ] {
            let error = Offer::read(Some(&tools), Some(&choice)).expect_err("refused");
            assert_eq!(error.body()["error"]["param"], json!(field), "{tools:?}");
        }
    }

    #[test]
    fn words_and_calls_are_told_apart() {
        assert_eq!(said_or_called(r#"{"content": "Hello"}"#), (Some("Hello".into()), vec![]));
        let (words, calls) = said_or_called(r#"{"name": "one", "arguments": {"x": 1}}"#);
        assert_eq!((words, &calls[0]["function"]), (None, &json!({"name": "one", "arguments": "{\"x\":1}"})));
        assert_eq!(said_or_called(r#"{"content": "Hel"#), (Some(r#"{"content": "Hel"#.into()), vec![]));
        let call = calls[0].clone();
        let mut asked = ChatMessage::new(Role::Assistant, "");
        asked.tool_calls = vec![call.clone()];
        let mut result = ChatMessage::new(Role::User, "7");
        result.tool_call_id = call["id"].as_str().map(str::to_string);
        let plain = in_words(vec![asked, result]);
        assert_eq!(plain[0].content, r#"{"name":"one","arguments":{"x":1}}"#);
        assert_eq!(plain[1].content, "Result of one: 7");
    }
}

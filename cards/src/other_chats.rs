//! Chats of other programs than SillyTavern: one JSON value instead of a line for each message. They become such lines.
//!
//! The forms, as their programs write them: text-generation-webui's logs (`visible` and `internal`, or `data_visible` and
//! `data`: pairs of what the person and the character said), RisuAI's (`type: "risuChat"`), Agnai's (`messages` with `msg`),
//! CAI Tools' (`histories`), messages of OpenAI's dialect (`role` and `content`), and SillyTavern's lines in a list.

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use syntax::half_characters;

use crate::lenient_json;

/// Largest such file: it is taken apart whole.
const BYTES_MAX: usize = 8 << 20;

/// A chat of another program as lines, and what was done to it, in words.
pub(crate) struct OtherChat {
    pub lines: String,
    pub note: String,
}

/// Reads a file that is one JSON value and no line of SillyTavern's; none if it has no form that is known.
pub(crate) fn read(file: &[u8]) -> Option<OtherChat> {
    let first = file.trim_ascii_start().first()?;
    if file.len() > BYTES_MAX || !matches!(first, b'{' | b'[') {
        return None;
    }
    let mut lines = file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let first_line = lines.next()?;
    if lines.next().is_some()
        && serde_json::from_slice::<IgnoredAny>(&half_characters::mend(first_line)).is_ok()
    {
        return None;
    }
    let (value, _) = lenient_json::read::<Value>(&half_characters::mend(file)).ok()?;
    let (program, messages, more) = of_program(&value)?;
    let texts: Vec<String> = messages.into_iter().map(|message| message.to_string()).collect();
    if texts.is_empty() {
        return None;
    }
    let note = format!("a chat of {program}; once it goes on, an export has SillyTavern's form{more}");
    Some(OtherChat { lines: texts.join("\n"), note })
}

fn of_program(value: &Value) -> Option<(&'static str, Vec<Value>, String)> {
    let said = |program, messages| Some((program, messages, String::new()));
    if let Value::Array(items) = value {
        if items.iter().any(|item| item.get("mes").is_some()) {
            return said("a list of SillyTavern's lines", items.clone());
        }
        return said("OpenAI's dialect", items.iter().filter_map(of_role).collect());
    }
    let file = value.as_object()?;
    // A first line of SillyTavern's.
    if file.contains_key("chat_metadata") || file.contains_key("user_name") || file.contains_key("mes") {
        return None;
    }
    if let Some(Value::Array(pairs)) = ["visible", "data_visible", "internal", "data"]
        .iter()
        .find_map(|member| file.get(*member).filter(|member| member.is_array()))
    {
        return said("text-generation-webui", pairs.iter().flat_map(of_pair).collect());
    }
    if file.get("type").and_then(Value::as_str) == Some("risuChat") {
        let messages = value["data"]["message"].as_array()?;
        return said("RisuAI", messages.iter().filter_map(of_risu).collect());
    }
    if let Some(histories) = value["histories"]["histories"].as_array().or(value["histories"].as_array()) {
        let others = histories.len().saturating_sub(1);
        let more = match others {
            0 => String::new(),
            others => format!("; its first conversation was read, {others} others were not"),
        };
        let messages = histories.first()?["msgs"].as_array()?;
        return Some(("CAI Tools", messages.iter().filter_map(of_cai).collect(), more));
    }
    let messages = file.get("messages")?.as_array()?;
    if messages.iter().any(|message| message.get("msg").is_some()) {
        let name = value["name"].as_str().unwrap_or_default();
        return said("Agnai", messages.iter().filter_map(|message| of_agnai(message, name)).collect());
    }
    said("OpenAI's dialect", messages.iter().filter_map(of_role).collect())
}

fn line(name: &str, is_user: bool, text: &str) -> Value {
    let mut line = Map::new();
    if !name.is_empty() {
        line.insert("name".into(), json!(name));
    }
    line.insert("is_user".into(), json!(is_user));
    line.insert("mes".into(), json!(text));
    Value::Object(line)
}

/// The person's words and the character's; the first pair has none of the person's where the character greets.
fn of_pair(pair: &Value) -> Vec<Value> {
    let text = |place: usize| pair[place].as_str().unwrap_or_default();
    let said = [(true, text(0)), (false, text(1))];
    let is_said = |text: &str| !text.is_empty() && !text.starts_with("<|BEGIN-VISIBLE-CHAT|>");
    said.into_iter()
        .filter(|(_, text)| is_said(text))
        .map(|(is_user, text)| line("", is_user, text))
        .collect()
}

fn of_risu(message: &Value) -> Option<Value> {
    let text = message["data"].as_str()?;
    let mut line = line("", message["role"] == "user", text);
    if let Some(time) = message["time"].as_f64() {
        line["send_date"] = json!(time);
    }
    Some(line)
}

fn of_cai(message: &Value) -> Option<Value> {
    let source = &message["src"];
    let name = source["name"].as_str().unwrap_or_default();
    Some(line(name, source["is_human"].as_bool().unwrap_or(false), message["text"].as_str()?))
}

fn of_agnai(message: &Value, name: &str) -> Option<Value> {
    let is_user = message.get("userId").is_some_and(|id| !id.is_null());
    let handle = message["handle"].as_str().filter(|handle| !handle.is_empty());
    Some(line(handle.unwrap_or(if is_user { "" } else { name }), is_user, message["msg"].as_str()?))
}

/// A message of OpenAI's dialect; instructions become notes.
fn of_role(message: &Value) -> Option<Value> {
    let text = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => return None,
    };
    let role = message["role"].as_str()?;
    let mut line = line(message["name"].as_str().unwrap_or_default(), role == "user", &text);
    if !matches!(role, "user" | "assistant") {
        line["name"] = json!(role);
        line["is_system"] = json!(true);
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ChatFile;

    #[test]
    fn chats_of_other_programs_are_read_and_named() {
        let talk = [(true, "Hi"), (false, "Hello")];
        for (program, file) in [
            (
                "text-generation-webui",
                json!({"internal": [["Hi", "x"]], "visible": [["", "Hello"], ["Hi", "Hello"]]}),
            ),
            (
                "text-generation-webui",
                json!({"data": [], "data_visible": [["<|BEGIN-VISIBLE-CHAT|>", "Hello"], ["Hi", "Hello"]]}),
            ),
            (
                "RisuAI",
                json!({"type": "risuChat", "ver": 1, "data": {"message": [{"role": "char", "data": "Hello"},
                {"role": "user", "data": "Hi", "time": 1.7e12}, {"role": "char", "data": "Hello"}]}}),
            ),
            (
                "Agnai",
                json!({"name": "Orla", "messages": [{"msg": "Hello", "characterId": "c"}, {"msg": "Hi", "userId": "u"},
                {"msg": "Hello", "handle": "Orla"}]}),
            ),
            (
                "CAI Tools",
                json!({"histories": {"histories": [{"msgs": [
                {"src": {"is_human": false, "name": "Orla"}, "text": "Hello"}, {"src": {"is_human": true}, "text": "Hi"},
                {"src": {"is_human": false, "name": "Orla"}, "text": "Hello"}]}, {"msgs": []}]}}),
            ),
            (
                "OpenAI",
                json!({"messages": [{"role": "system", "content": "Be kind."}, {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "assistant", "content": "Hello"}]}),
            ),
            (
                "SillyTavern",
                json!([{"user_name": "Ann", "character_name": "Orla"}, {"is_user": false, "mes": "Hello"},
                {"is_user": true, "mes": "Hi"}, {"is_user": false, "mes": "Hello"}]),
            ),
        ] {
            for text in [file.to_string(), format!("{file:#}")] {
                let chat = ChatFile::from_jsonl(text.as_bytes()).expect("a chat");
                let said: Vec<(bool, &str)> = chat
                    .messages()
                    .filter(|line| !line.is_note())
                    .map(|line| (line.is_user(), line.text()))
                    .collect();
                assert_eq!(said, [&talk[1..], &talk[..]].concat(), "{program}");
                assert!(chat.warnings[0].contains(program), "{:?}", chat.warnings);
                assert_eq!(chat.bad_lines().count(), 0, "{program}");
                // An export is read as the same talk again.
                let again = ChatFile::from_jsonl(chat.to_jsonl().as_bytes()).expect("a chat");
                assert_eq!(again.messages().count(), chat.messages().count());
            }
        }
        for other in [json!({"a": 1}), json!([1, 2]), json!({"messages": []}), json!({"histories": []})] {
            let chat = ChatFile::from_jsonl(other.to_string().as_bytes()).expect("a chat");
            assert_eq!(chat.messages().count(), 0, "{other}");
        }
    }
}

//! What was said in a SillyTavern chat file? One JSON object a line, each kept as it came.

use serde_json::{Map, Value, json};

use crate::card::kind_of;
use crate::error::CardError;

/// Largest chat file that is read.
pub const CHAT_BYTES_MAX: usize = 256 << 20;
const LINE_BYTES_MAX: usize = 16 << 20;
const LINES_MAX: usize = 1_000_000;

/// One message, and everything else its line holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatLine {
    raw: Map<String, Value>,
}

/// A line that could not be read; the rest of the chat is there all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number in the file, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub error: CardError,
    /// The line as it is.
    pub text: String,
}

/// What a line turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A message.
    Message(ChatLine),
    /// Damage, kept so that nothing is lost on export.
    Bad(BadLine),
}

/// A chat file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatFile {
    /// The first line: names, dates and `chat_metadata`.
    pub header: Option<Map<String, Value>>,
    /// All other lines, in order.
    pub lines: Vec<Line>,
}

impl ChatFile {
    /// Reads a file. Damaged lines are reported, not fatal; blank ones are skipped.
    pub fn from_jsonl(bytes: &[u8]) -> Result<ChatFile, CardError> {
        CardError::check_size("chat", bytes.len(), CHAT_BYTES_MAX)?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut chat = ChatFile::default();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index >= LINES_MAX {
                return Err(CardError::TooLarge {
                    what: "chat".into(),
                    bytes: bytes.len() as u64,
                    limit: LINES_MAX as u64,
                });
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match read_line(line, index + 1) {
                Ok(raw) if chat.header.is_none() && chat.lines.is_empty() && !raw.contains_key("mes") => {
                    chat.header = Some(raw);
                }
                Ok(raw) => chat.lines.push(match check(&raw, index + 1) {
                    Ok(()) => Line::Message(ChatLine { raw }),
                    Err(error) => Line::Bad(bad(line, index + 1, error)),
                }),
                Err(error) => chat.lines.push(Line::Bad(bad(line, index + 1, error))),
            }
        }
        Ok(chat)
    }

    /// Writes the file back: every line as it came, except for the changes made since.
    pub fn to_jsonl(&self) -> String {
        let mut out = String::new();
        if let Some(header) = &self.header {
            out.push_str(&json!(header).to_string());
            out.push('\n');
        }
        for line in &self.lines {
            match line {
                Line::Message(message) => out.push_str(&json!(message.raw).to_string()),
                Line::Bad(bad) => out.push_str(&bad.text),
            }
            out.push('\n');
        }
        out
    }

    /// The messages that could be read.
    pub fn messages(&self) -> impl Iterator<Item = &ChatLine> {
        self.lines.iter().filter_map(|line| match line {
            Line::Message(message) => Some(message),
            Line::Bad(_) => None,
        })
    }

    /// The lines that could not.
    pub fn bad_lines(&self) -> impl Iterator<Item = &BadLine> {
        self.lines.iter().filter_map(|line| match line {
            Line::Bad(bad) => Some(bad),
            Line::Message(_) => None,
        })
    }

    /// A header field such as `character_name`.
    pub fn header_text(&self, field: &str) -> &str {
        self.header.as_ref().and_then(|header| header.get(field)).and_then(Value::as_str).unwrap_or("")
    }
}

impl ChatLine {
    /// A new message.
    pub fn new(name: &str, is_user: bool, text: &str, send_date: &str) -> ChatLine {
        let mut raw = Map::new();
        raw.insert("name".into(), json!(name));
        raw.insert("is_user".into(), json!(is_user));
        raw.insert("send_date".into(), json!(send_date));
        raw.insert("mes".into(), json!(text));
        raw.insert("extra".into(), json!({}));
        ChatLine { raw }
    }

    /// The line's JSON.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// Who spoke.
    pub fn name(&self) -> &str {
        self.text_field("name")
    }

    /// What was said.
    pub fn text(&self) -> &str {
        self.text_field("mes")
    }

    /// Whether the person spoke.
    pub fn is_user(&self) -> bool {
        self.raw.get("is_user").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether this is a note of the program, not part of the talk.
    pub fn is_system(&self) -> bool {
        self.raw.get("is_system").and_then(Value::as_bool).unwrap_or(false)
    }

    /// When, as the file writes it: a text in several forms, or a number.
    pub fn send_date(&self) -> Option<&Value> {
        self.raw.get("send_date")
    }

    /// All alternatives of the message; itself alone if it has none.
    pub fn swipes(&self) -> Vec<&str> {
        let swipes = self.raw.get("swipes").and_then(Value::as_array);
        let texts: Vec<&str> = swipes.into_iter().flatten().filter_map(Value::as_str).collect();
        if texts.is_empty() { vec![self.text()] } else { texts }
    }

    /// Which alternative is shown.
    pub fn swipe_id(&self) -> usize {
        let id = self.raw.get("swipe_id").and_then(Value::as_u64).unwrap_or(0);
        usize::try_from(id).unwrap_or(usize::MAX).min(self.swipes().len() - 1)
    }

    /// All alternatives and which of them is shown; `None` where there is no choice, or the fields do not tell.
    pub fn choice(&self) -> Option<(Vec<&str>, usize)> {
        let swipes = self.raw.get("swipes")?.as_array()?;
        let texts: Vec<&str> = swipes.iter().map(Value::as_str).collect::<Option<_>>()?;
        let shown = match self.raw.get("swipe_id") {
            None | Some(Value::Null) => 0,
            Some(id) => usize::try_from(id.as_u64()?).ok()?,
        };
        (texts.len() > 1 && shown < texts.len()).then_some((texts, shown))
    }

    /// Changes one field and nothing else.
    pub fn set(&mut self, field: &str, value: Value) -> Result<(), CardError> {
        let mut raw = self.raw.clone();
        raw.insert(field.into(), value);
        check(&raw, 0)?;
        self.raw = raw;
        Ok(())
    }

    fn text_field(&self, field: &str) -> &str {
        self.raw.get(field).and_then(Value::as_str).unwrap_or("")
    }
}

fn bad(line: &[u8], number: usize, error: CardError) -> BadLine {
    BadLine { number, error, text: String::from_utf8_lossy(line).trim_end_matches('\r').to_string() }
}

fn read_line(line: &[u8], number: usize) -> Result<Map<String, Value>, CardError> {
    CardError::check_size(&format!("line {number}"), line.len(), LINE_BYTES_MAX)?;
    let value = serde_json::from_slice(line).map_err(|error| CardError::Json {
        what: "chat".into(),
        line: number,
        column: error.column(),
        detail: error.to_string(),
    })?;
    match value {
        Value::Object(raw) => Ok(raw),
        other => Err(CardError::field(
            format!("line {number}"),
            format!("an object is needed, found {}", kind_of(&other)),
        )),
    }
}

fn check(raw: &Map<String, Value>, number: usize) -> Result<(), CardError> {
    let wrong = |field: &str, wanted: &str, found: Option<&Value>| {
        let found = found.map_or("nothing", kind_of);
        Err(CardError::field(format!("line {number}: {field}"), format!("{wanted} is needed, found {found}")))
    };
    let mes = raw.get("mes");
    if !mes.is_some_and(Value::is_string) {
        return wrong("mes", "a text", mes);
    }
    for (field, wanted, fits) in [
        ("name", "a text", Value::is_string as fn(&Value) -> bool),
        ("is_user", "a boolean", Value::is_boolean),
        ("is_system", "a boolean", Value::is_boolean),
        ("swipes", "a list", Value::is_array),
        ("swipe_id", "a number", Value::is_number),
    ] {
        if let Some(value) = raw.get(field).filter(|value| !value.is_null() && !fits(value)) {
            return wrong(field, wanted, Some(value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = concat!(
        r#"{"user_name":"Ann","character_name":"Mira","create_date":"2024-1-1","chat_metadata":{"integrity":"x","n":1.50}}"#,
        "\n",
        r#"{"name":"Mira","is_user":false,"send_date":1700000000000,"mes":"Hi","extra":{"gen":7},"swipes":["Ho","Hi"],"swipe_id":1,"odd":null}"#,
        "\n",
        r#"{"name":"Ann","is_user":true,"send_date":"January 2, 2024 3:04pm","mes":"Hello\nyou","extra":{}}"#,
        "\n"
    );

    #[test]
    fn a_chat_goes_out_as_it_came_in() {
        let chat = ChatFile::from_jsonl(CHAT.as_bytes()).unwrap();
        assert_eq!(chat.to_jsonl(), CHAT.replace("1.50", "1.5"));
        assert_eq!(chat.header_text("character_name"), "Mira");
        let messages: Vec<&ChatLine> = chat.messages().collect();
        assert_eq!((messages[0].swipes(), messages[0].swipe_id()), (vec!["Ho", "Hi"], 1));
        assert_eq!(
            (messages[1].name(), messages[1].text(), messages[1].is_user()),
            ("Ann", "Hello\nyou", true)
        );
        assert_eq!(messages[1].swipes(), ["Hello\nyou"]);
    }

    #[test]
    fn bad_lines_are_numbered_and_kept_and_the_others_are_there() {
        let lines: Vec<&str> = CHAT.lines().collect();
        let broken = [
            lines[0],
            lines[1],
            "{\"name\": \"x\", ",
            "",
            "[1]",
            r#"{"mes": 7}"#,
            r#"{"mes":"a","swipes":3}"#,
            lines[2],
        ]
        .join("\r\n");
        let chat = ChatFile::from_jsonl(broken.as_bytes()).unwrap();
        assert_eq!(chat.messages().count(), 2);
        let numbers: Vec<usize> = chat.bad_lines().map(|bad| bad.number).collect();
        assert_eq!(numbers, [3, 5, 6, 7]);
        let errors: Vec<String> = chat.bad_lines().map(|bad| bad.error.to_string()).collect();
        assert!(errors[0].contains("line 3") && errors[2].contains("line 6: mes"), "{errors:?}");
        let out = chat.to_jsonl();
        assert!(out.contains("{\"name\": \"x\", \n[1]\n{\"mes\": 7}\n"));
        assert_eq!(ChatFile::from_jsonl(out.as_bytes()).unwrap().bad_lines().count(), 4);
    }

    #[test]
    fn edits_keep_what_is_unknown() {
        let mut chat = ChatFile::from_jsonl(CHAT.as_bytes()).unwrap();
        let Line::Message(message) = &mut chat.lines[0] else { panic!("a message") };
        message.set("mes", json!("Ho")).unwrap();
        assert!(message.set("swipes", json!("x")).is_err());
        chat.lines.push(Line::Message(ChatLine::new("Ann", true, "bye", "2024")));
        let again = ChatFile::from_jsonl(chat.to_jsonl().as_bytes()).unwrap();
        assert_eq!(again, chat);
        assert!(again.to_jsonl().contains(r#""odd":null"#));
    }

    #[test]
    fn hostile_files_are_bounded() {
        assert!(ChatFile::from_jsonl(&b"\n".repeat(LINES_MAX + 2)).is_err());
        let deep = ChatFile::from_jsonl(&b"[".repeat(1 << 20)).unwrap();
        assert_eq!(deep.bad_lines().count(), 1);
        let long = format!("{{\"mes\": \"{}\"}}", "x".repeat(100 << 20));
        let chat = ChatFile::from_jsonl(long.as_bytes()).unwrap();
        assert!(matches!(chat.bad_lines().next().unwrap().error, CardError::TooLarge { .. }));
        assert_eq!(ChatFile::from_jsonl(b"\xff\xfe{}").unwrap().bad_lines().count(), 1);
    }
}

//! What was said in a SillyTavern chat file? One JSON object a line, each kept as it came.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::chat_fields::{Fields, LineValue, Plain};
use crate::error::CardError;

/// Largest chat file that is read.
pub const CHAT_BYTES_MAX: usize = 256 << 20;
const LINE_BYTES_MAX: usize = 16 << 20;
/// The first line is taken apart whole.
const HEADER_BYTES_MAX: usize = 2 << 20;
const LINES_MAX: usize = 1_000_000;

/// One message, and everything else its line holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatLine {
    text: LineText,
    fields: Box<Fields>,
}

/// A line as it came: a part of its file, which lines share. It is UTF-8.
#[derive(Debug, Clone, PartialEq)]
struct LineText(Bytes);

impl LineText {
    fn of(line: Bytes) -> LineText {
        match std::str::from_utf8(&line) {
            Ok(_) => LineText(line),
            Err(_) => LineText(String::from_utf8_lossy(&line).into_owned().into()),
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
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
        ChatFile::from_bytes(&Bytes::copy_from_slice(bytes))
    }

    /// The same of bytes that the lines then share.
    pub fn from_bytes(file: &Bytes) -> Result<ChatFile, CardError> {
        CardError::check_size("chat", file.len(), CHAT_BYTES_MAX)?;
        let bytes = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
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
            let is_first = chat.header.is_none() && chat.lines.is_empty();
            match read_line(&file.slice_ref(line), index + 1, is_first) {
                Ok(Read::Header(header)) => chat.header = Some(header),
                Ok(Read::Message(message)) => chat.lines.push(Line::Message(message)),
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
                Line::Message(message) => out.push_str(message.text.as_str()),
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
        let fields = Fields {
            name: Plain::Text(name.into()),
            mes: Plain::Text(text.into()),
            is_user: Plain::Bool(is_user),
            send_date: Some(json!(send_date)),
            ..Fields::default()
        };
        ChatLine { text: LineText(Value::Object(raw).to_string().into()), fields: Box::new(fields) }
    }

    /// The line's JSON, taken apart anew.
    pub fn raw(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.text.0).unwrap_or_default()
    }

    /// Who spoke.
    pub fn name(&self) -> &str {
        self.fields.name.text()
    }

    /// What was said.
    pub fn text(&self) -> &str {
        self.fields.mes.text()
    }

    /// Whether the person spoke.
    pub fn is_user(&self) -> bool {
        self.fields.is_user == Plain::Bool(true)
    }

    /// Whether this is a note of the program, not part of the talk.
    pub fn is_system(&self) -> bool {
        self.fields.is_system == Plain::Bool(true)
    }

    /// When, as the file writes it: a text in several forms, or a number.
    pub fn send_date(&self) -> Option<&Value> {
        self.fields.send_date.as_ref()
    }

    /// All alternatives of the message; itself alone if it has none.
    pub fn swipes(&self) -> Vec<&str> {
        match &self.fields.swipes {
            Plain::List(texts, _) if !texts.is_empty() => texts.iter().map(|text| &**text).collect(),
            _ => vec![self.text()],
        }
    }

    /// Which alternative is shown.
    pub fn swipe_id(&self) -> usize {
        let id = match &self.fields.swipe_id {
            Plain::Number(number) => number.as_u64().unwrap_or(0),
            _ => 0,
        };
        usize::try_from(id).unwrap_or(usize::MAX).min(self.swipes().len() - 1)
    }

    /// All alternatives and which of them is shown; `None` where there is no choice, or the fields do not tell.
    pub fn choice(&self) -> Option<(Vec<&str>, usize)> {
        let Plain::List(texts, true) = &self.fields.swipes else { return None };
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let shown = match &self.fields.swipe_id {
            Plain::Number(id) => usize::try_from(id.as_u64()?).ok()?,
            other if other.is_absent_or_null() => 0,
            _ => return None,
        };
        (texts.len() > 1 && shown < texts.len()).then_some((texts, shown))
    }

    /// Changes one field and nothing else.
    pub fn set(&mut self, field: &str, value: Value) -> Result<(), CardError> {
        let mut raw = self.raw();
        raw.insert(field.into(), value);
        let text = Bytes::from(Value::Object(raw).to_string());
        if let Read::Message(line) = read_line(&text, 0, false)? {
            *self = line;
        }
        Ok(())
    }
}

/// What a readable line is.
enum Read {
    Header(Map<String, Value>),
    Message(ChatLine),
}

fn bad(line: &[u8], number: usize, error: CardError) -> BadLine {
    BadLine { number, error, text: String::from_utf8_lossy(line).trim_end_matches('\r').to_string() }
}

fn read_line(line: &Bytes, number: usize, is_first: bool) -> Result<Read, CardError> {
    CardError::check_size(&format!("line {number}"), line.len(), LINE_BYTES_MAX)?;
    let broken = |error: serde_json::Error| CardError::Json {
        what: "chat".into(),
        line: number,
        column: error.column(),
        detail: error.to_string(),
    };
    let fields = match serde_json::from_slice(line).map_err(broken)? {
        LineValue::Object(fields) => fields,
        LineValue::Other(kind) => {
            let reason = format!("an object is needed, found {kind}");
            return Err(CardError::field(format!("line {number}"), reason));
        }
    };
    if is_first && fields.mes == Plain::Absent {
        CardError::check_size(&format!("line {number}"), line.len(), HEADER_BYTES_MAX)?;
        return serde_json::from_slice(line).map(Read::Header).map_err(broken);
    }
    check(&fields, number)?;
    let text = LineText::of(line.slice_ref(line.trim_ascii()));
    Ok(Read::Message(ChatLine { text, fields }))
}

fn check(fields: &Fields, number: usize) -> Result<(), CardError> {
    let wrong = |field: &str, wanted: &str, found: &Plain| {
        let reason = format!("{wanted} is needed, found {}", found.kind());
        Err(CardError::field(format!("line {number}: {field}"), reason))
    };
    if !matches!(fields.mes, Plain::Text(_)) {
        return wrong("mes", "a text", &fields.mes);
    }
    for (field, value, wanted, fits) in [
        ("name", &fields.name, "a text", matches!(fields.name, Plain::Text(_))),
        ("is_user", &fields.is_user, "a boolean", matches!(fields.is_user, Plain::Bool(_))),
        ("is_system", &fields.is_system, "a boolean", matches!(fields.is_system, Plain::Bool(_))),
        ("swipes", &fields.swipes, "a list", matches!(fields.swipes, Plain::List(..))),
        ("swipe_id", &fields.swipe_id, "a number", matches!(fields.swipe_id, Plain::Number(_))),
    ] {
        if !fits && !value.is_absent_or_null() {
            return wrong(field, wanted, value);
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

    #[test]
    fn what_nobody_reads_is_not_taken_apart() {
        let numbers = format!("[{}]", "0,".repeat(1 << 20).trim_end_matches(','));
        let line = format!(r#"{{"mes":"a","swipes":["b","c"],"x":{numbers},"extra":{{"y":{numbers}}}}}"#);
        let chat = ChatFile::from_jsonl(line.as_bytes()).unwrap();
        let message = chat.messages().next().unwrap();
        assert_eq!((message.text(), message.swipes()), ("a", vec!["b", "c"]));
        assert_eq!(chat.to_jsonl().trim_end(), line);
        let mixed = ChatFile::from_jsonl(br#"{"mes":"a","swipes":["b",7,"c"]}"#).unwrap();
        let mixed = mixed.messages().next().unwrap();
        assert_eq!((mixed.swipes(), mixed.choice()), (vec!["b", "c"], None));
        let header = format!(r#"{{"user_name":"{}"}}"#, "x".repeat(HEADER_BYTES_MAX));
        assert_eq!(ChatFile::from_jsonl(header.as_bytes()).unwrap().bad_lines().count(), 1);
    }
}

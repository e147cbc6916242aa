//! What was said in a SillyTavern chat file? One JSON object a line, each kept as it came.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use syntax::half_characters;

use crate::chat_fields::{Fields, LineValue, Plain};
use crate::error::CardError;
use crate::json_text;
use crate::lenient_json;
use crate::other_chats;

/// Largest chat file that is read.
pub const CHAT_BYTES_MAX: usize = 256 << 20;
const LINE_BYTES_MAX: usize = 16 << 20;
/// The first line is taken apart whole.
const HEADER_BYTES_MAX: usize = 2 << 20;
const LINES_MAX: usize = 1_000_000;
/// Oddities of a file that are named.
const WARNINGS_MAX: usize = 100;

/// One message, and everything else its line holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatLine {
    text: LineText,
    fields: Box<Fields>,
    /// Whether a person has hidden it.
    pub(crate) is_hidden: bool,
    /// Whether its text is not JSON as the format has it.
    is_mended: bool,
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
    /// What was coerced or left out, by line.
    pub warnings: Vec<String>,
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
        let mut chat = ChatFile::default();
        let (text, note) = json_text::decode(file);
        chat.warnings.extend(note.map(|note| format!("chat: {note}")));
        let file = match text {
            Cow::Borrowed(same) => file.slice_ref(same),
            Cow::Owned(text) => Bytes::from(text),
        };
        // One value over several lines, or one line that is no message.
        let file = match other_chats::read(&file) {
            Some(other) => {
                chat.warnings.push(format!("chat: {}", other.note));
                Bytes::from(other.lines)
            }
            None => file,
        };
        let bytes = &file[..];
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
                Ok(Read::Message(message)) => {
                    message.note_oddities(index + 1, &mut chat.warnings);
                    chat.lines.push(Line::Message(message));
                }
                Err(error) => chat.lines.push(Line::Bad(bad(line, index + 1, error))),
            }
        }
        chat.mark_hidden();
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
        let text = LineText(Value::Object(raw).to_string().into());
        ChatLine { text, fields: Box::new(fields), is_hidden: false, is_mended: false }
    }

    /// The line's JSON, taken apart anew.
    pub fn raw(&self) -> Map<String, Value> {
        lenient_json::read(&half_characters::mend(&self.text.0)).unwrap_or_default().0
    }

    /// Who spoke.
    pub fn name(&self) -> &str {
        self.fields.name.text()
    }

    /// What was said; where the line itself has no text, that of the alternative that it shows.
    pub fn text(&self) -> &str {
        match &self.fields.mes {
            Plain::Text(text) => text,
            _ => self.shown_alternative().unwrap_or_default(),
        }
    }

    /// Whether the person spoke.
    pub fn is_user(&self) -> bool {
        self.fields.is_user.flag().unwrap_or(false)
    }

    /// Whether the line says that it is not part of the talk: a note of the program, or hidden by the person.
    pub fn is_system(&self) -> bool {
        self.fields.is_system.flag().unwrap_or(false)
    }

    /// Whether a person has hidden the line: it was said, and models are not to know of it.
    pub fn is_hidden(&self) -> bool {
        self.is_hidden
    }

    /// Whether the line is a note of the program, which no speaker said.
    pub fn is_note(&self) -> bool {
        self.is_system() && !self.is_hidden
    }

    /// When, as the file writes it: a text in several forms, or a number.
    pub fn send_date(&self) -> Option<&Value> {
        self.fields.send_date.as_ref()
    }

    /// The texts of all alternatives of the message; its own alone if it has none.
    pub fn swipes(&self) -> Vec<&str> {
        let texts: Vec<&str> = self.alternatives().iter().filter_map(|text| text.as_deref()).collect();
        if texts.is_empty() { vec![self.text()] } else { texts }
    }

    /// All alternatives, those that are no texts as holes, and which of them is shown: the one that `swipe_id` says, else
    /// the one with the line's text. `None` where there is no choice, or the fields do not tell.
    pub fn choice(&self) -> Option<(Vec<Option<&str>>, usize)> {
        let texts: Vec<Option<&str>> = self.alternatives().iter().map(|text| text.as_deref()).collect();
        let is_there = |place: &usize| texts.get(*place).is_some_and(Option::is_some);
        let said = match &self.fields.swipe_id {
            id if id.is_absent_or_null() => Some(0),
            id => id.index(),
        };
        let by_text = || texts.iter().position(|text| *text == Some(self.text()));
        let shown = said.filter(is_there).or_else(by_text)?;
        (texts.iter().flatten().count() > 1).then_some((texts, shown))
    }

    fn alternatives(&self) -> &[Option<Box<str>>] {
        match &self.fields.swipes {
            Plain::List(texts) => texts,
            _ => &[],
        }
    }

    fn shown_alternative(&self) -> Option<&str> {
        let place = self.fields.swipe_id.index().unwrap_or(0);
        let texts = self.alternatives();
        texts
            .get(place)
            .and_then(Option::as_deref)
            .or_else(|| texts.iter().flatten().next().map(|text| &**text))
    }

    /// Says what of the line was coerced or is left out.
    fn note_oddities(&self, number: usize, warnings: &mut Vec<String>) {
        let mut note = |field: &str, note: String| {
            if warnings.len() < WARNINGS_MAX {
                warnings.push(format!("line {number}: {field}: {note}"));
            }
        };
        let fields = &self.fields;
        if matches!(half_characters::mend(&self.text.0), Cow::Owned(_)) {
            note("text", "half of a character (a lone surrogate) was read as U+FFFD".into());
        }
        if self.is_mended {
            note("text", lenient_json::NOTE.into());
        }
        if !matches!(fields.mes, Plain::Text(_)) {
            note("mes", format!("{} was found; the text of an alternative was read", fields.mes.kind()));
        }
        if !fields.name.is_absent_or_null() && !matches!(fields.name, Plain::Text(_)) {
            note("name", format!("a text is needed, found {}; it is left out", fields.name.kind()));
        }
        for (field, value) in [("is_user", &fields.is_user), ("is_system", &fields.is_system)] {
            match value.flag() {
                None => note(field, format!("a boolean is needed, found {}; read as false", value.kind())),
                Some(flag) if !value.is_absent_or_null() && !matches!(value, Plain::Bool(_)) => {
                    note(field, format!("{} was read as {flag}", value.kind()));
                }
                Some(_) => {}
            }
        }
        match &fields.swipes {
            Plain::List(texts) => {
                for (place, _) in texts.iter().enumerate().filter(|(_, text)| text.is_none()) {
                    note(
                        &format!("swipes[{place}]"),
                        "a text is needed; this alternative is left out".into(),
                    );
                }
                if texts.iter().flatten().count() > 1 && self.choice().is_none() {
                    note(
                        "swipe_id",
                        "it names none of the alternatives, and none has the text that is shown".into(),
                    );
                }
            }
            other if other.is_absent_or_null() => {}
            other => note("swipes", format!("a list is needed, found {}; it is left out", other.kind())),
        }
        match &fields.swipe_id {
            id if id.is_absent_or_null() => {}
            Plain::Text(_) => note("swipe_id", "a text was read as a number".into()),
            id if id.index().is_none() => {
                note("swipe_id", format!("a number is needed, found {}", id.kind()))
            }
            _ => {}
        }
    }

    /// Changes one field and nothing else.
    pub fn set(&mut self, field: &str, value: Value) -> Result<(), CardError> {
        let mut raw = self.raw();
        raw.insert(field.into(), value);
        let text = Bytes::from(Value::Object(raw).to_string());
        if let Read::Message(line) = read_line(&text, 0, false)? {
            let (mut before, mut after) = (Vec::new(), Vec::new());
            self.note_oddities(0, &mut before);
            line.note_oddities(0, &mut after);
            if let Some(odd) = after.iter().find(|odd| !before.contains(odd)) {
                return Err(CardError::field(field, odd.clone()));
            }
            *self = ChatLine { is_hidden: self.is_hidden, ..line };
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
    let whole = half_characters::mend(line);
    let (value, is_mended) = lenient_json::read(&whole).map_err(broken)?;
    let fields = match value {
        LineValue::Object(fields) => fields,
        LineValue::Other(kind) => {
            let reason = format!("an object is needed, found {kind}");
            return Err(CardError::field(format!("line {number}"), reason));
        }
    };
    if is_first && fields.mes == Plain::Absent {
        CardError::check_size(&format!("line {number}"), line.len(), HEADER_BYTES_MAX)?;
        return lenient_json::read(&whole).map(|(header, _)| Read::Header(header)).map_err(broken);
    }
    check(&fields, number)?;
    let text = LineText::of(line.slice_ref(line.trim_ascii()));
    Ok(Read::Message(ChatLine { text, fields, is_hidden: false, is_mended }))
}

/// Refuses a line without any text; what else is odd is read as far as it goes.
fn check(fields: &Fields, number: usize) -> Result<(), CardError> {
    let has_alternative = matches!(&fields.swipes, Plain::List(texts) if texts.iter().any(Option::is_some));
    if matches!(fields.mes, Plain::Text(_)) || (fields.mes.is_absent_or_null() && has_alternative) {
        return Ok(());
    }
    let reason = format!("a text is needed, found {}", fields.mes.kind());
    Err(CardError::field(format!("line {number}: mes"), reason))
}

#[cfg(test)]
#[path = "chat_jsonl_tests.rs"]
mod tests;

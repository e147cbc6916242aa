//! Which line of a chat file is which message.

use std::collections::HashMap;

use cards::{CardError, ChatFile, ChatLine, Line};
use chrono::{DateTime, NaiveDateTime};
use models::{Row, Value, schema};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::chat_swipes::{places, show};
use super::speaker_names::{by_speaker, without_bold};

/// The `message_type` of what a person has hidden: it is shown as such, and no model is told of it.
pub const HIDDEN: &str = "hidden";
/// How times are written in new lines.
const DATE_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// The message of a line has a name made of the line's place, so that an export finds its line again.
pub fn message_id(conversation: Uuid, place: usize) -> Uuid {
    Uuid::new_v5(&conversation, place.to_string().as_bytes())
}

/// The messages of a chat file, each later than the one before it and none in the future. Lines that are notes of the
/// program, or damaged, are no messages; they stay in the file.
pub fn messages_of(chat: &ChatFile, conversation: Uuid, now_micros: i64) -> Vec<Row> {
    let table = schema().known("messages");
    let lines: Vec<(usize, &ChatLine)> = chat
        .lines
        .iter()
        .enumerate()
        .filter_map(|(place, line)| match line {
            Line::Message(line) if !line.is_note() => Some((place, line)),
            _ => None,
        })
        .collect();
    let mut last = i64::MIN;
    let mut rows = Vec::with_capacity(lines.len());
    for (index, (place, line)) in lines.iter().enumerate() {
        let latest = now_micros - (lines.len() - index) as i64;
        let said = line.send_date().and_then(micros_of).filter(|micros| *micros > 0).unwrap_or(last);
        last = said.max(last.saturating_add(1)).min(latest);
        // Without any date, the file was written just now.
        if last < 0 {
            last = latest;
        }
        let mut row = table.default_row();
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        set("id", Value::Uuid(message_id(conversation, *place)));
        set("conversation_id", Value::Uuid(conversation));
        set("sender", Value::text(if line.is_user() { "user" } else { "assistant" }));
        set("content", Value::Text(content_of(chat, line, line.text())));
        if line.is_hidden() {
            set("message_type", Value::text(HIDDEN));
        }
        set("created_at", Value::Timestamp(last));
        rows.push(row);
    }
    rows
}

/// Whether a line is a message, not a note of the program nor damage.
pub(super) fn is_message(line: &Line) -> bool {
    matches!(line, Line::Message(line) if !line.is_note())
}

/// What stands before the words of a line that another than the character speaks, where several do: as our own replies
/// name their speakers.
pub(super) fn label_of(chat: &ChatFile, line: &ChatLine) -> Option<String> {
    let is_named = !line.is_user() && !line.name().is_empty() && line.name() != chat.character_name();
    (is_named && chat.speakers().len() > 1).then(|| format!("**{}:** ", line.name()))
}

/// A text of a line as a message has it.
pub(super) fn content_of(chat: &ChatFile, line: &ChatLine, text: &str) -> String {
    format!("{}{}", label_of(chat, line).unwrap_or_default(), plain(text))
}

/// A time as new lines write it.
pub(super) fn date_of(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).unwrap_or_default().format(DATE_FORMAT).to_string()
}

/// The text as a column takes it.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "")
}

/// What a line says of its time: milliseconds, or a text in one of the forms that programs write.
fn micros_of(date: &Json) -> Option<i64> {
    match date {
        Json::Number(number) => {
            let millis = number.as_f64().filter(|millis| (0.0..1e14).contains(millis))?;
            Some((millis * 1000.0) as i64)
        }
        Json::String(text) => micros_of_text(text.trim()),
        _ => None,
    }
}

fn micros_of_text(text: &str) -> Option<i64> {
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.timestamp_micros());
    }
    let digits: String = text.chars().filter(|character| !"@hms".contains(*character)).collect();
    let folded = text.to_ascii_lowercase();
    [
        (text, "%Y-%m-%dT%H:%M:%S%.f"),
        (text, "%Y-%m-%d %H:%M:%S%.f"),
        (folded.as_str(), "%B %d, %Y %I:%M%p"),
        (digits.as_str(), "%Y-%m-%d %H %M %S %3f"),
        (digits.as_str(), "%Y-%m-%d %H %M %S"),
        (digits.as_str(), "%Y-%m-%d%H%M%S"),
    ]
    .iter()
    .find_map(|(text, format)| NaiveDateTime::parse_from_str(text, format).ok())
    .map(|date| date.and_utc().timestamp_micros())
}

/// Who speaks in lines that no file had.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The person.
    pub user: String,
    /// The character.
    pub character: String,
    /// Others who spoke beside it.
    pub others: Vec<String>,
}

/// The lines of a message that no file had, each with its speaker: one for each speaker, unless the message has other
/// versions, which stand beside it in one line.
fn new_lines(row: &Row, has_versions: bool, names: &Names) -> Vec<(String, ChatLine)> {
    let table = schema().known("messages");
    let date = date_of(row[table.at("created_at")].as_micros().unwrap_or(0));
    let content = row[table.at("content")].as_str().unwrap_or_default();
    if row[table.at("sender")].as_str() == Some("user") {
        return vec![(names.user.clone(), ChatLine::new(&names.user, true, content, &date))];
    }
    let mut blocks = by_speaker(content, &names.character, &names.others);
    if has_versions && blocks.len() > 1 {
        let speaker = blocks[0].0;
        blocks = vec![(speaker, without_bold(content, speaker.unwrap_or(&names.character)))];
    }
    let line = |(speaker, words): (Option<&str>, String)| {
        let speaker = speaker.unwrap_or(&names.character);
        (speaker.to_string(), ChatLine::new(speaker, false, &words, &date))
    };
    blocks.into_iter().map(line).collect()
}

/// A chat file with the messages as they are now, in this order: known lines as they came unless their text was
/// changed, what is no message where it stood, new lines at their place. Other versions of what the character says, from
/// inactive, are alternatives of its line. Answers whether anything differs.
pub fn file_of(
    original: Option<ChatFile>,
    conversation: Uuid,
    messages: &[Row],
    shelved: &[Row],
    names: &Names,
) -> Result<(ChatFile, bool), CardError> {
    let table = schema().known("messages");
    let inactive = schema().known("chat.shelved_messages");
    let is_new = original.is_none();
    let original = original.unwrap_or_default();
    let places = places(&original, conversation);
    let mut versions: HashMap<Option<Uuid>, Vec<&Row>> = HashMap::new();
    for row in shelved.iter().filter(|row| row[inactive.at("sender")].as_str() != Some("user")) {
        versions.entry(row[inactive.at("parent_id")].as_uuid()).or_default().push(row);
    }
    let mut chat = ChatFile { header: original.header.clone(), ..ChatFile::default() };
    let mut changed = is_new;
    // What is no message stands where it stood: before the first later line that is still there.
    let mut next = 0;
    let mut parent = None;
    for row in messages {
        let id = row[table.at("id")].as_uuid().unwrap_or_default();
        let is_user = row[table.at("sender")].as_str() == Some("user");
        let others = versions.remove(&parent).filter(|_| !is_user).unwrap_or_default();
        parent = Some(id);
        // The line of the message itself, or of a version that it took the place of.
        let of_others = others.iter().filter_map(|row| places.get(&row[inactive.at("id")].as_uuid()?)).min();
        let place = places.get(&id).or(of_others).copied().filter(|place| *place >= next);
        let mut speaker = names.character.clone();
        let mut line = match place {
            Some(place) => {
                while next < place {
                    let line = &original.lines[next];
                    match is_message(line) {
                        true => changed = true,
                        false => chat.lines.push(line.clone()),
                    }
                    next += 1;
                }
                next = place + 1;
                original.lines[place].clone()
            }
            None => {
                changed = true;
                // Notes that stood before it was said stay before it.
                while let Some(note) = original.lines.get(next).filter(|line| !is_message(line)) {
                    chat.lines.push(note.clone());
                    next += 1;
                }
                let mut lines = new_lines(row, !others.is_empty(), names);
                if lines.len() > 1 {
                    chat.lines.extend(lines.into_iter().map(|(_, line)| Line::Message(line)));
                    continue;
                }
                let Some((name, line)) = lines.pop() else { continue };
                speaker = name;
                Line::Message(line)
            }
        };
        if let Line::Message(line) = &mut line {
            let label = label_of(&original, line);
            changed |= show(line, (conversation, place), row, &others, (&speaker, label.as_deref()))?;
        }
        chat.lines.push(line);
    }
    for line in original.lines.iter().skip(next) {
        match is_message(line) {
            true => changed = true,
            false => chat.lines.push(line.clone()),
        }
    }
    if chat.header.is_none() && is_new {
        let first = messages.first().and_then(|row| row[table.at("created_at")].as_micros()).unwrap_or(0);
        let mut header = Map::new();
        header.insert("user_name".into(), json!(names.user));
        header.insert("character_name".into(), json!(names.character));
        header.insert("create_date".into(), json!(date_of(first)));
        header.insert("chat_metadata".into(), json!({}));
        chat.header = Some(header);
    }
    Ok((chat, changed))
}

#[cfg(test)]
mod tests {
    use super::super::chat_swipes::shelved_of;
    use super::*;

    const CHAT: &str = concat!(
        r#"{"user_name":"Ann","character_name":"Mira","chat_metadata":{"x":1}}"#,
        "\n",
        r#"{"name":"Mira","is_user":false,"send_date":"June 19, 2023 4:13pm","mes":"Hi","swipes":["Ho","Hi"],"swipe_id":1}"#,
        "\nbroken\n",
        r#"{"name":"System","is_user":false,"is_system":true,"mes":"note"}"#,
        "\n",
        r#"{"name":"Ann","is_user":true,"send_date":"2023-6-19 @16h 14m 22s 123ms","mes":"Hello","odd":[1]}"#,
        "\n",
        r#"{"name":"Mira","is_user":false,"send_date":1500000000000,"mes":"earlier, says the file"}"#,
        "\n",
    );

    fn read() -> (ChatFile, Vec<Row>, Uuid) {
        let chat = ChatFile::from_jsonl(CHAT.as_bytes()).expect("a chat");
        let conversation = Uuid::from_u128(7);
        let rows = messages_of(&chat, conversation, 1_700_000_000_000_000);
        (chat, rows, conversation)
    }

    #[test]
    fn lines_become_messages_in_their_order() {
        let (_, rows, _) = read();
        let table = schema().known("messages");
        let times: Vec<i64> = rows.iter().filter_map(|row| row[table.at("created_at")].as_micros()).collect();
        assert_eq!(times, [1_687_191_180_000_000, 1_687_191_262_123_000, 1_687_191_262_123_001]);
        let senders: Vec<_> = rows.iter().filter_map(|row| row[table.at("sender")].as_str()).collect();
        assert_eq!(senders, ["assistant", "user", "assistant"]);
    }

    #[test]
    fn future_and_missing_dates_end_before_now() {
        let chat = "{\"mes\":\"a\",\"send_date\":\"9999-01-01T00:00:00Z\"}\n{\"mes\":\"b\"}\n{\"mes\":\"c\"}";
        let chat = ChatFile::from_jsonl(chat.as_bytes()).expect("a chat");
        let table = schema().known("messages");
        let rows = messages_of(&chat, Uuid::nil(), 1000);
        let times: Vec<_> = rows.iter().filter_map(|row| row[table.at("created_at")].as_micros()).collect();
        assert_eq!(times, [997, 998, 999]);
        let undated = ChatFile::from_jsonl(b"{\"mes\":\"a\"}\n{\"mes\":\"b\"}").expect("a chat");
        let rows = messages_of(&undated, Uuid::nil(), 1000);
        let times: Vec<_> = rows.iter().filter_map(|row| row[table.at("created_at")].as_micros()).collect();
        assert_eq!(times, [998, 999]);
    }

    #[test]
    fn an_unchanged_chat_goes_out_as_it_came() {
        let (chat, rows, conversation) = read();
        let shelved = shelved_of(&chat, conversation, &rows);
        let (out, changed) =
            file_of(Some(chat.clone()), conversation, &rows, &shelved, &Names::default()).expect("a file");
        assert!(!changed);
        assert_eq!(out, chat);
    }

    #[test]
    fn edits_removals_and_additions_keep_everything_else() {
        let (chat, mut rows, conversation) = read();
        let table = schema().known("messages");
        rows[0][table.at("content")] = Value::text("Hey");
        let mut new = rows[1].clone();
        new[table.at("id")] = Value::Uuid(Uuid::from_u128(9));
        new[table.at("content")] = Value::text("new");
        rows[2] = new;
        let names = Names { user: "Ann".into(), character: "Mira".into(), ..Names::default() };
        let (out, changed) = file_of(Some(chat), conversation, &rows, &[], &names).expect("a file");
        assert!(changed);
        let text = out.to_jsonl();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains(r#""mes":"Hey","swipes":["Ho","Hey"],"swipe_id":1"#), "{text}");
        assert_eq!(lines[2], "broken");
        assert!(lines[3].contains("note") && lines[4].contains(r#""odd":[1]"#), "{text}");
        assert!(lines[5].contains(r#""name":"Ann","is_user":true"#) && lines.len() == 6, "{text}");
    }

    #[test]
    fn what_is_said_after_a_note_stands_after_it() {
        let note = "{\"name\":\"System\",\"is_user\":false,\"is_system\":true,\"mes\":\"the end?\"}\n";
        let chat = ChatFile::from_jsonl(format!("{CHAT}{note}").as_bytes()).expect("a chat");
        let conversation = Uuid::from_u128(7);
        let mut rows = messages_of(&chat, conversation, 1_700_000_000_000_000);
        let table = schema().known("messages");
        let mut new = rows[1].clone();
        new[table.at("id")] = Value::Uuid(Uuid::from_u128(9));
        new[table.at("content")] = Value::text("no");
        rows.push(new);
        let (out, _) = file_of(Some(chat), conversation, &rows, &[], &Names::default()).expect("a file");
        let text = out.to_jsonl();
        let mut from_the_end = text.lines().rev();
        assert!(from_the_end.next().is_some_and(|line| line.contains(r#""mes":"no""#)), "{text}");
        assert!(from_the_end.next().is_some_and(|line| line.contains("the end?")), "{text}");
    }

    #[test]
    fn a_conversation_without_a_file_gets_one() {
        let (_, rows, _) = read();
        let names = Names { user: "Ann".into(), character: "Mira".into(), ..Names::default() };
        let (out, _) = file_of(None, Uuid::nil(), &rows, &[], &names).expect("a file");
        assert_eq!(out.header_text("character_name"), "Mira");
        assert_eq!(out.messages().map(ChatLine::name).collect::<Vec<_>>(), ["Mira", "Ann", "Mira"]);
    }

    #[test]
    fn alternatives_become_versions_and_versions_alternatives() {
        let (chat, rows, conversation) = read();
        let (table, inactive) = (schema().known("messages"), schema().known("chat.shelved_messages"));
        let mut shelved = shelved_of(&chat, conversation, &rows);
        assert_eq!(shelved.len(), 1);
        assert_eq!(shelved[0][inactive.at("content")].as_str(), Some("Ho"));
        assert!(shelved[0][inactive.at("parent_id")].is_null());
        // As after another version was chosen, and another reply was made for the last message.
        let swap = |message: &Row, other: &Row| {
            let (mut active, mut inactive_one) = (message.clone(), other.clone());
            for column in ["id", "content"] {
                active[table.at(column)] = other[inactive.at(column)].clone();
                inactive_one[inactive.at(column)] = message[table.at(column)].clone();
            }
            (active, inactive_one)
        };
        let mut now = rows.clone();
        (now[0], shelved[0]) = swap(&rows[0], &shelved[0]);
        let mut again = inactive.default_row();
        for column in ["id", "sender", "content", "created_at"] {
            again[inactive.at(column)] = rows[2][table.at(column)].clone();
        }
        again[inactive.at("parent_id")] = rows[1][table.at("id")].clone();
        shelved.push(again);
        now[2][table.at("id")] = Value::Uuid(Uuid::from_u128(9));
        now[2][table.at("content")] = Value::text("later");
        now[2][table.at("created_at")] = Value::Timestamp(1_690_000_000_000_000);
        let (out, changed) =
            file_of(Some(chat), conversation, &now, &shelved, &Names::default()).expect("a file");
        assert!(changed);
        let text = out.to_jsonl();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert!(lines[1].contains(r#""mes":"Ho","swipes":["Ho","Hi"],"swipe_id":0"#), "{text}");
        assert!(
            lines[5].contains(r#""mes":"later","swipes":["earlier, says the file","later"],"swipe_id":1"#),
            "{text}"
        );
        // What went out comes in again with the same alternatives.
        let chat = ChatFile::from_jsonl(text.as_bytes()).expect("a chat");
        let rows = messages_of(&chat, conversation, 1_700_000_000_000_000);
        let texts: Vec<String> = shelved_of(&chat, conversation, &rows)
            .iter()
            .map(|row| row[inactive.at("content")].as_str().unwrap_or_default().to_string())
            .collect();
        assert_eq!(texts, ["Hi", "earlier, says the file"]);
    }
}

//! Which alternative ("swipe") of a chat file's line is which version of a message.

use std::collections::HashMap;

use cards::{CardError, ChatFile, ChatLine, Line};
use models::{Row, Value, schema};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::chat_lines::{content_of, date_of, is_message, message_id, plain};
use super::speaker_names::without_bold;

/// Alternatives of one line that become versions; the others stay in the file.
const SWIPES_MAX: usize = 100;
/// And of a whole file: all of them land in one commit.
const ALL_MAX: usize = 20_000;
/// What a line says of the alternative that it shows, and of each in `swipe_info`.
const INFO: [&str; 4] = ["send_date", "gen_started", "gen_finished", "extra"];

/// An alternative that is not shown has a name made of its line's place and its own.
fn swipe_message_id(conversation: Uuid, place: usize, swipe: usize) -> Uuid {
    Uuid::new_v5(&conversation, format!("{place}/{swipe}").as_bytes())
}

/// The id of each alternative of a line.
fn ids(conversation: Uuid, place: usize, count: usize, shown: usize) -> Vec<Uuid> {
    let id = |swipe: usize| match swipe == shown {
        true => message_id(conversation, place),
        false => swipe_message_id(conversation, place, swipe),
    };
    (0..count).map(id).collect()
}

/// The alternatives that a chat file's lines do not show, as inactive rows; `active` are its messages in order.
pub fn shelved_of(chat: &ChatFile, conversation: Uuid, active: &[Row]) -> Vec<Row> {
    let (messages, inactive) = (schema().known("messages"), schema().known("chat.shelved_messages"));
    let lines = chat.lines.iter().enumerate().filter(|(_, line)| is_message(line));
    let mut rows = Vec::new();
    let mut parent = Value::Null;
    for ((place, line), message) in lines.zip(active) {
        if let Line::Message(line) = line
            && let Some((texts, shown)) = line.choice().filter(|_| !line.is_user())
        {
            let ids = ids(conversation, place, texts.len(), shown);
            for (swipe, text) in texts.iter().enumerate().take(SWIPES_MAX) {
                let Some(text) = text.filter(|_| swipe != shown && rows.len() < ALL_MAX) else { continue };
                let mut row = inactive.default_row();
                for column in ["conversation_id", "sender", "message_type", "created_at"] {
                    row[inactive.at(column)] = message[messages.at(column)].clone();
                }
                row[inactive.at("id")] = Value::Uuid(ids[swipe]);
                row[inactive.at("parent_id")] = parent.clone();
                // So that versions are listed in the file's order.
                let micros = message[messages.at("created_at")].as_micros().unwrap_or(0);
                row[inactive.at("shelved_at")] = Value::Timestamp(micros + swipe as i64);
                row[inactive.at("content")] = Value::Text(content_of(chat, line, text));
                rows.push(row);
            }
        }
        parent = message[messages.at("id")].clone();
    }
    rows
}

/// The line that each version of a message comes from.
pub(super) fn places(chat: &ChatFile, conversation: Uuid) -> HashMap<Uuid, usize> {
    let mut places = HashMap::new();
    for (place, line) in chat.lines.iter().enumerate() {
        places.insert(message_id(conversation, place), place);
        if let Line::Message(line) = line
            && let Some((texts, shown)) = line.choice()
        {
            let ids = ids(conversation, place, texts.len().min(SWIPES_MAX), shown);
            places.extend(ids.into_iter().map(|id| (id, place)));
        }
    }
    places
}

/// One version of a message.
struct Version {
    id: Option<Uuid>,
    text: String,
    micros: i64,
}

/// Who speaks in a line, and what stands before its words where the import put that there.
type Speaker<'a> = (&'a str, Option<&'a str>);

/// A version without the speaker's name in front, unless it came from the file, which has it as it has it.
fn version(row: &Row, table: &str, from_file: &[Option<Uuid>], (speaker, label): Speaker<'_>) -> Version {
    let table = schema().known(table);
    let id = row[table.at("id")].as_uuid();
    let text = row[table.at("content")].as_str().unwrap_or_default();
    let is_plain = from_file.contains(&id) || row[table.at("sender")].as_str() == Some("user");
    let text = label.and_then(|label| text.strip_prefix(label)).unwrap_or(text);
    Version {
        id,
        text: if is_plain { text.to_string() } else { without_bold(text, speaker) },
        micros: row[table.at("created_at")].as_micros().unwrap_or(0),
    }
}

/// Makes a line show a message, with the message's other versions as alternatives beside those that the line has. `place`
/// is where the line stood in the file, if it did. Says whether the line changed.
pub(super) fn show(
    line: &mut ChatLine,
    (conversation, place): (Uuid, Option<usize>),
    message: &Row,
    others: &[&Row],
    speaker: Speaker<'_>,
) -> Result<bool, CardError> {
    let owned = |texts: Vec<Option<&str>>| texts.into_iter().map(|text| text.map(str::to_string)).collect();
    let before = line.choice().map(|(texts, shown)| (owned(texts), shown));
    let had_choice = before.is_some();
    let before = before.unwrap_or((vec![Some(line.text().to_string())], 0));
    let (mut texts, was_shown): (Vec<Option<String>>, usize) = before;
    let from_file: Vec<Option<Uuid>> = match place {
        Some(place) => ids(conversation, place, texts.len(), was_shown).into_iter().map(Some).collect(),
        None => Vec::new(),
    };
    let current = version(message, "messages", &from_file, speaker);
    let (id, content) = (current.id, current.text.clone());
    let mut known = if place.is_some() { from_file.clone() } else { vec![id] };
    let others = others.iter().map(|row| version(row, "chat.shelved_messages", &from_file, speaker));
    let mut versions: Vec<Version> = others.chain([current]).collect();
    versions.sort_by_key(|version| version.micros);
    let kept = texts.len();
    if place.is_none() {
        // A new line has its alternatives in the order in which they were made.
        known = versions.iter().map(|version| version.id).collect();
        texts = versions.iter().map(|version| Some(version.text.clone())).collect();
    }
    for version in &versions {
        if !known.contains(&version.id) {
            known.push(version.id);
            texts.push(Some(version.text.clone()));
        }
    }
    let shown = known.iter().position(|known| *known == id).unwrap_or(0);
    let text = if shown == was_shown { None } else { texts[shown].clone() };
    let text = text.unwrap_or_else(|| line.text().to_string());
    let is_reworded = plain(&text) != content;
    if !is_reworded && texts.len() == kept && shown == was_shown {
        return Ok(false);
    }
    let text = if is_reworded { content } else { text };
    line.set("mes", json!(text))?;
    texts[shown] = Some(text);
    // Alternatives that cannot be read are not overwritten.
    let has_others = line.raw().get("swipes").and_then(Json::as_array).is_some_and(|swipes| swipes.len() > 1);
    if had_choice || (!has_others && (texts.len() > 1 || line.raw().contains_key("swipes"))) {
        info(line, &versions, &known, shown, was_shown)?;
        // What was no text stays what it was.
        let was = line.raw().remove("swipes");
        let was = was.as_ref().and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let all = texts.iter().enumerate();
        let all = all.map(|(place, text)| {
            text.as_ref().map_or_else(|| was.get(place).cloned(), |text| Some(json!(text)))
        });
        let all: Vec<Json> = all.map(Option::unwrap_or_default).collect();
        line.set("swipes", json!(all))?;
        line.set("swipe_id", json!(shown))?;
    }
    Ok(true)
}

/// Brings `swipe_info`, and what the line says of the alternative that it shows, into line with its alternatives.
fn info(
    line: &mut ChatLine,
    versions: &[Version],
    known: &[Option<Uuid>],
    shown: usize,
    was_shown: usize,
) -> Result<(), CardError> {
    let Some(Json::Array(mut infos)) = line.raw().get("swipe_info").cloned() else { return Ok(()) };
    for id in known.iter().skip(infos.len()) {
        let micros = versions.iter().find(|version| version.id == *id).map_or(0, |version| version.micros);
        infos.push(json!({"send_date": date_of(micros), "extra": {}}));
    }
    if shown != was_shown
        && let Some(Json::Object(of_shown)) = infos.get(shown)
    {
        for field in INFO {
            if let Some(value) = of_shown.get(field) {
                line.set(field, value.clone())?;
            }
        }
    }
    line.set("swipe_info", Json::Array(infos))
}

//! Requests written once for what exists and for what does not: `<thing>` stands for a thing of the other account or,
//! in the second request, for nothing; `<own:thing>` for a thing of the asker.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::life::Life;

/// What stands for the things of the other account.
#[derive(Clone, Copy)]
pub enum Names<'l> {
    /// Those that there are.
    Theirs(&'l Life),
    /// Ids and paths of nothing.
    Nothing,
}

/// Puts names in.
pub fn fill(text: &str, asker: &Life, names: Names) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        filled.push_str(before);
        let Some((name, tail)) = after.split_once('>') else {
            filled.push('<');
            rest = after;
            continue;
        };
        match (name.strip_prefix("own:"), names) {
            (Some(name), _) => filled.push_str(asker.thing(name)),
            (None, Names::Theirs(owner)) => filled.push_str(owner.thing(name)),
            (None, Names::Nothing) => filled.push_str(&nothing(name)),
        }
        rest = tail;
    }
    filled + rest
}

/// An id of nothing, or a path of an account that there is not.
fn nothing(name: &str) -> String {
    match name {
        "file" | "scene_file" | "asset_file" => format!("user-library/{}/nothing.png", Uuid::new_v4()),
        "secret" => format!("ph_{}", Uuid::new_v4().simple()),
        _ => Uuid::new_v4().to_string(),
    }
}

/// What is made anew for each answer.
const ONCE: [&str; 3] = ["seed", "token", "hint"];

/// An answer without what differs between two answers to the same question: ids, times and durations.
pub fn plain(answer: &Json) -> Json {
    match answer {
        Json::String(text) => Json::String(plain_text(text)),
        Json::Array(items) => items.iter().map(plain).collect(),
        Json::Object(members) => {
            let passes = |name: &str| {
                name.ends_with("_at") || name.to_lowercase().contains("time") || ONCE.contains(&name)
            };
            let kept = members.iter().filter(|(name, _)| !passes(name));
            Json::Object(kept.map(|(name, value)| (plain_text(name), plain(value))).collect())
        }
        other => other.clone(),
    }
}

/// A text with `#` for each UUID, and for each path below one.
pub fn plain_text(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if rest.is_char_boundary(36.min(rest.len()))
            && rest.len() >= 36
            && Uuid::parse_str(&rest[..36]).is_ok()
        {
            plain.push('#');
            rest = &rest[36..];
            // The name of a file goes with the folder of its account.
            if rest.starts_with('/') {
                let end = rest.find(|letter: char| "\"' ?&,".contains(letter)).unwrap_or(rest.len());
                rest = &rest[end..];
            }
            continue;
        }
        plain.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    plain
}

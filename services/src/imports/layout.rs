//! What lies where in SillyTavern's data. No IO.
//!
//! ```text
//! <user>/characters/Mira.png            a card; characters/Mira/*.png: its expressions
//! <user>/chats/Mira/<date>.jsonl        chats with the character of that card
//! <user>/groups/<id>.json               a group: name, members, the ids of its chats
//! <user>/group chats/<id>.jsonl
//! <user>/worlds/Tides.json              a lorebook that cards name
//! <user>/User Avatars/*.png             pictures of personas; names and words are in settings.json
//! <user>/backgrounds/*.jpg
//! <user>/user/images/<name>/*.png       pictures that were drawn
//! ```

use std::collections::{BTreeMap, BTreeSet};

/// Folders by which a user's folder is recognised.
const KNOWN: [&str; 8] = [
    "characters",
    "chats",
    "groups",
    "group chats",
    "worlds",
    "User Avatars",
    "backgrounds",
    "settings.json",
];
/// Endings of pictures that come in as such.
const PICTURES: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A card. Its stem is the name by which chats and groups call it.
    Card,
    /// An expression of the card with this stem.
    Expression(String),
    /// A chat with the card of this stem.
    Chat(String),
    /// A group.
    Group,
    /// A chat of a group.
    GroupChat,
    /// A lorebook.
    World,
    /// The picture of a persona.
    Avatar,
    /// A background.
    Background,
    /// A picture that was drawn.
    Image,
    /// The settings, which hold the personas.
    Settings,
    /// Something that has no place here, and why.
    Other(&'static str),
}

/// One user's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFolder {
    /// The path before them, empty or ending in a slash.
    pub root: String,
    /// By path below the root.
    pub files: BTreeMap<String, FileKind>,
}

impl UserFolder {
    /// The name of the folder; empty when the source is the folder itself.
    pub fn handle(&self) -> &str {
        self.root.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }
}

/// The users' folders of a source, and what lies beside them.
pub fn users_of(paths: &[String]) -> (Vec<UserFolder>, Vec<(String, &'static str)>) {
    let roots: BTreeSet<String> = paths.iter().filter_map(|path| root_of(path)).collect();
    let mut folders: Vec<UserFolder> =
        roots.into_iter().map(|root| UserFolder { root, files: BTreeMap::new() }).collect();
    let mut beside = Vec::new();
    for path in paths {
        // The longest root wins: a user's folder may lie below another's.
        let own = folders.iter_mut().filter(|folder| path.starts_with(&folder.root));
        match own.max_by_key(|folder| folder.root.len()) {
            Some(folder) => {
                let rest = path[folder.root.len()..].to_string();
                let kind = kind_of(&rest);
                folder.files.insert(rest, kind);
            }
            None => beside.push((path.clone(), "outside of every user's folder")),
        }
    }
    (folders, beside)
}

/// What stands before the first folder that is a user's.
fn root_of(path: &str) -> Option<String> {
    let mut before = String::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_file = parts.peek().is_none();
        if KNOWN.contains(&part) && is_file == (part == "settings.json") {
            return Some(before);
        }
        before.push_str(part);
        before.push('/');
    }
    None
}

fn kind_of(path: &str) -> FileKind {
    let parts: Vec<&str> = path.split('/').collect();
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let is_picture = PICTURES.contains(&ending.as_str());
    match parts.as_slice() {
        ["settings.json"] => FileKind::Settings,
        ["secrets.json"] => FileKind::Other("keys of other services are not taken over"),
        ["characters", _]
            if matches!(ending.as_str(), "png" | "json" | "charx" | "byaf" | "webp" | "jpg") =>
        {
            FileKind::Card
        }
        ["characters", name, _] if is_picture => FileKind::Expression((*name).to_string()),
        ["chats", name, _] if ending == "jsonl" => FileKind::Chat((*name).to_string()),
        ["groups", _] if ending == "json" => FileKind::Group,
        ["group chats", _] if ending == "jsonl" => FileKind::GroupChat,
        ["worlds", _] if ending == "json" => FileKind::World,
        ["User Avatars", _] if is_picture => FileKind::Avatar,
        ["backgrounds", _] if is_picture => FileKind::Background,
        ["user", "images", ..] if is_picture => FileKind::Image,
        ["backups" | "thumbnails" | "vectors" | "_cache", ..] => {
            FileKind::Other("made again by the program itself")
        }
        ["extensions" | "assets" | "user", ..] => {
            FileKind::Other("a part of the program, or of its extensions")
        }
        [folder, ..] if folder.ends_with(" Settings") || is_preset(folder) => {
            FileKind::Other("a preset of the program, which has no meaning here")
        }
        [
            "characters" | "chats" | "groups" | "group chats" | "worlds" | "User Avatars" | "backgrounds",
            ..,
        ] => FileKind::Other("not a file of this kind"),
        _ => FileKind::Other("an unknown file"),
    }
}

fn is_preset(folder: &str) -> bool {
    matches!(
        folder,
        "themes" | "movingUI" | "QuickReplies" | "instruct" | "context" | "sysprompt" | "reasoning"
    )
}

/// The name of a file without its ending.
pub fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_wherever_their_folders_lie() {
        let paths = |list: &[&str]| list.iter().map(|path| path.to_string()).collect::<Vec<_>>();
        let (users, beside) = users_of(&paths(&[
            "data/ada/characters/Mira.png",
            "data/ada/chats/characters/1.jsonl",
            "data/bob/settings.json",
            "data/cookie-secret.txt",
        ]));
        let roots: Vec<(&str, &str)> = users.iter().map(|user| (user.root.as_str(), user.handle())).collect();
        assert_eq!(roots, [("data/ada/", "ada"), ("data/bob/", "bob")]);
        assert_eq!(users[0].files["chats/characters/1.jsonl"], FileKind::Chat("characters".into()));
        assert_eq!(beside.len(), 1);
        let (users, _) = users_of(&paths(&["characters/A.png", "worlds/b.json"]));
        assert_eq!((users.len(), users[0].root.as_str(), users[0].handle()), (1, "", ""));
        assert!(users_of(&paths(&["a/b.txt"])).0.is_empty());
    }

    #[test]
    fn each_file_has_its_kind_or_a_reason() {
        for (path, kind) in [
            ("characters/Mira.PNG", FileKind::Card),
            ("characters/Mira/joy.png", FileKind::Expression("Mira".into())),
            ("chats/Mira/2024-1-2.jsonl", FileKind::Chat("Mira".into())),
            ("group chats/17.jsonl", FileKind::GroupChat),
            ("user/images/Mira/a.png", FileKind::Image),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
        for path in ["secrets.json", "OpenAI Settings/a.json", "chats/Mira/x.txt", "themes/dark.json", "x/y"]
        {
            assert!(matches!(kind_of(path), FileKind::Other(_)), "{path}");
        }
        assert_eq!((stem("a/b.c.png"), stem("b")), ("b.c", "b"));
    }
}

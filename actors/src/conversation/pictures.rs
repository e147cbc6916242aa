//! Pictures in messages: Markdown whose address is a file of this server, `![a red door](reference_images/…/door.png)`.
//!
//! Pure: what a model that sees gets beside the words, and what one that does not reads in their place.

use std::collections::BTreeMap;
use std::sync::Arc;

use language::{ChatMessage, Role};

/// Tokens that a picture is counted with; models that see differ, and none says it beforehand.
pub const PICTURE_TOKENS: usize = 800;

/// Pictures by the addresses that messages name them with, each as a `data:` address, which is shared by all that hold it.
pub type Seen = BTreeMap<String, Arc<str>>;

/// The words of a message with `[picture: …]` where a picture stands, and the addresses of its pictures.
pub fn apart(text: &str) -> (String, Vec<&str>) {
    let (mut words, mut addresses, mut rest) = (String::new(), Vec::new(), text);
    while let Some(start) = rest.find("![") {
        let (before, mark) = rest.split_at(start);
        words.push_str(before);
        let Some((name, address, after)) = picture(mark) else {
            words.push_str("![");
            rest = &mark[2..];
            continue;
        };
        match name.trim() {
            "" => words.push_str("[picture]"),
            name => words.push_str(&format!("[picture: {name}]")),
        }
        addresses.push(address);
        rest = after;
    }
    words.push_str(rest);
    (words, addresses)
}

/// The name and address of a picture that a text begins with, and what follows; other hosts' pictures are words.
///
/// Neither part is looked for beyond the mark of the next picture, so that a text of nothing but marks is read in time that
/// grows with its length alone.
fn picture(mark: &str) -> Option<(&str, &str, &str)> {
    let named = mark.strip_prefix("![")?;
    let (name, rest) = named.split_at(named.find(['\n', '[', ']'])?);
    let addressed = rest.strip_prefix("](")?;
    let (address, rest) =
        addressed.split_at(addressed.find(|c: char| matches!(c, '(' | ')' | ':') || c.is_whitespace())?);
    let after = rest.strip_prefix(')')?;
    let (bucket, path) = address.split_once('/')?;
    let is_ours = !bucket.is_empty() && !path.is_empty() && !address.contains("..");
    is_ours.then_some((name, address, after))
}

/// What a message costs beside its words.
pub(super) fn tokens(role: Role, text: &str, seen: &Seen) -> usize {
    if role != Role::User || seen.is_empty() {
        return 0;
    }
    apart(text).1.iter().filter(|address| seen.contains_key(**address)).count() * PICTURE_TOKENS
}

/// A message for a model, with the pictures that it may see.
pub(super) fn message(role: Role, text: String, seen: &Seen) -> ChatMessage {
    if role != Role::User || !text.contains("![") {
        return ChatMessage::new(role, text);
    }
    let (words, addresses) = apart(&text);
    let images = addresses.iter().filter_map(|address| seen.get(*address).cloned()).collect();
    ChatMessage { images, ..ChatMessage::new(role, words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_this_server_are_told_from_words() {
        let text = "Look: ![a red door](reference_images/u/door.png) and ![](user-library/u/b.png)!";
        let (words, addresses) = apart(text);
        assert_eq!(words, "Look: [picture: a red door] and [picture]!");
        assert_eq!(addresses, ["reference_images/u/door.png", "user-library/u/b.png"]);
        for other in [
            "![x](https://example.com/a.png)",
            "![x](data:image/png;base64,AA==)",
            "![x](a.png)",
            "![x](a/../b)",
            "![x",
            "![x](",
            "!(a/b)",
            "![a [b](c/d)",
            "![x](a b/c)",
            "wow![",
        ] {
            assert_eq!(apart(other), (other.to_string(), Vec::new()), "{other}");
        }
    }

    #[test]
    fn no_mark_is_looked_for_beyond_the_next_one() {
        // Each would be looked for to the end of the text otherwise: hours for a message of this length.
        for mark in ["![", "![](", "![](a/b", "![]", "![n", "![](a/(b"] {
            let text = mark.repeat((1 << 20) / mark.len());
            assert_eq!(apart(&text), (text.clone(), Vec::new()), "{mark}");
        }
    }

    #[test]
    fn only_what_may_be_seen_goes_along() {
        let seen =
            Seen::from([("reference_images/u/a.png".to_string(), "data:image/png;base64,AA==".into())]);
        let both = "![](reference_images/u/a.png) ![](reference_images/u/b.png)";
        let made = message(Role::User, both.into(), &seen);
        assert_eq!((made.content.as_str(), made.images.len()), ("[picture] [picture]", 1));
        assert_eq!(tokens(Role::User, both, &seen), PICTURE_TOKENS);
        assert_eq!(message(Role::Assistant, both.into(), &seen).images.len(), 0);
    }
}

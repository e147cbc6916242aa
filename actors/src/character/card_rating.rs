//! How a card is rated, and whether it may be as it is.

use cards::Card;
use serde_json::Value as Json;

use super::card_columns::EXTENSION;
use crate::content_rules::{self, ContentRating};
use crate::refusal::Refusal;

/// Longest piece of a text that is looked at in one go, in bytes, and how far pieces overlap.
const PIECE_BYTES: usize = 64 << 10;
const OVERLAP_BYTES: usize = 256;

/// The rating of a card: what the caller says, else what the card says, else what its words tell. Refuses what may not
/// be at that rating; nothing is rewritten.
pub fn rate(card: &Card, given: Option<ContentRating>) -> Result<ContentRating, Refusal> {
    let mut texts = Vec::new();
    for value in card.raw().values() {
        gather(value, &mut texts);
    }
    let own = card.get("extensions").map(|extensions| &extensions[EXTENSION]);
    let said = own.and_then(|own| own["content_rating"].as_str()).and_then(ContentRating::parse);
    let tagged = card.texts("tags").iter().any(|tag| tag.trim().eq_ignore_ascii_case("nsfw"));
    let tier = match given.or(said) {
        Some(tier) => tier,
        None if tagged || texts.iter().any(|text| pieces(text).any(content_rules::is_explicit)) => {
            ContentRating::Nsfw
        }
        None => ContentRating::Sfw,
    };
    if tier == ContentRating::Nsfw
        && own.and_then(|own| own["age_range"].as_str()).is_some_and(content_rules::is_minors_age_range)
    {
        let reason = "a character whose age_range is a minor's cannot be rated nsfw".to_string();
        return Err(Refusal::ContentRefused { reason });
    }
    texts.iter().try_for_each(|text| check_long(tier, "the card", text))?;
    Ok(tier)
}

/// [`content_rules::check`] for texts of any length, in bounded memory.
pub fn check_long(tier: ContentRating, what: &str, text: &str) -> Result<(), Refusal> {
    pieces(text).try_for_each(|piece| content_rules::check(tier, what, piece))
}

/// A text in overlapping pieces.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(0_usize);
    std::iter::from_fn(move || {
        let start = next?;
        let end = text.floor_char_boundary(start.saturating_add(PIECE_BYTES));
        next = (end < text.len()).then(|| text.floor_char_boundary(end - OVERLAP_BYTES));
        Some(&text[start..end])
    })
}

/// Every text in a document, except pictures and the like.
fn gather<'a>(value: &'a Json, texts: &mut Vec<&'a str>) {
    match value {
        Json::String(text) if text.starts_with("data:") => {}
        Json::String(text) => texts.push(text),
        Json::Array(items) => items.iter().for_each(|item| gather(item, texts)),
        Json::Object(members) => members.values().for_each(|member| gather(member, texts)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn card(description: &str, tags: &[&str]) -> Card {
        let card =
            json!({"spec": "chara_card_v2", "data": {"name": "M", "description": description, "tags": tags}});
        Card::from_value(card).expect("a card")
    }

    #[test]
    fn ratings_are_told_from_the_caller_the_card_or_its_words() {
        let far = format!("{} naked", "calm ".repeat(50_000));
        for (description, tags, given, expected) in [
            ("calm", &[][..], None, Some(ContentRating::Sfw)),
            ("calm", &["NSFW"], None, Some(ContentRating::Nsfw)),
            ("naked", &[], None, Some(ContentRating::Nsfw)),
            (&far, &[], None, Some(ContentRating::Nsfw)),
            ("naked", &[], Some(ContentRating::Sfw), None),
            ("calm", &["NSFW"], Some(ContentRating::Sfw), None),
            ("a naked schoolgirl", &[], None, None),
            ("a teenager", &[], Some(ContentRating::Nsfw), None),
            ("a teenager", &[], None, Some(ContentRating::Sfw)),
        ] {
            assert_eq!(rate(&card(description, tags), given).ok(), expected, "{tags:?} {given:?}");
        }
    }

    #[test]
    fn a_minor_hidden_in_a_lorebook_or_an_extension_is_found() {
        let card = json!({"spec": "chara_card_v3", "data": {"name": "M", "tags": ["nsfw"],
            "character_book": {"entries": [{"keys": ["x"], "content": "she is a teenager"}]}}});
        assert!(rate(&Card::from_value(card).expect("a card"), None).is_err());
        let card = json!({"spec": "chara_card_v3", "data": {"name": "M", "tags": ["nsfw"],
            "extensions": {"playhouse": {"age_range": "teen"}}}});
        assert!(rate(&Card::from_value(card).expect("a card"), None).is_err());
    }

    #[test]
    fn pieces_cover_a_text_of_any_script() {
        let text = "日本語".repeat(30_000);
        let total: usize = pieces(&text).map(str::len).sum();
        assert!(total >= text.len() && pieces(&text).all(|piece| piece.len() <= PIECE_BYTES));
        assert_eq!(pieces("").count(), 1);
    }
}

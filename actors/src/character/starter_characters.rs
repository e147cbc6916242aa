//! The characters that the first administrator of a new data folder finds there: cards as any others, which can be
//! changed and deleted.

use cards::Card;
use models::{Value, schema};
use store::Store;
use uuid::Uuid;

use super::import_character::{ImportCharacter, ImportError};
use crate::content_rules::ContentRating;

macro_rules! starter_card {
    ($name:literal) => {
        (
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/characters/", $name, ".json")),
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/characters/", $name, ".png")),
        )
    };
}

/// The cards, and the portraits that the starter model drew for them.
const CARDS: [(&[u8], &[u8]); 3] =
    [starter_card!("odette"), starter_card!("tock"), starter_card!("inkwhistle")];

/// The cards as files, PNG with their portraits.
pub fn starter_card_files() -> Result<Vec<Vec<u8>>, ImportError> {
    let file = |(card, portrait): (&[u8], &[u8])| Ok(cards::png::write(portrait, &Card::from_json(card)?)?);
    CARDS.into_iter().map(file).collect()
}

/// The characters of these cards for an account, open to all accounts of the server; their files are durable. Blocks.
pub fn starter_characters(store: &Store, user: Uuid) -> Result<Vec<ImportCharacter>, ImportError> {
    let character = |file: Vec<u8>| {
        let imported = cards::import(&file)?;
        let mut made = ImportCharacter::of(store, user, &file, &imported, ContentRating::Sfw, true)?;
        // The mark by which clients show them first, and find them when they are to go.
        made.character[schema().known("characters").at("quick_start")] = Value::Bool(true);
        Ok(made)
    };
    starter_card_files()?.into_iter().map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::character::card_rating;

    #[test]
    fn the_cards_are_whole_and_fit_for_all_ages() {
        let files = starter_card_files().expect("cards");
        for file in files {
            let card = cards::import(&file).expect("a card").card;
            assert!(card.warnings().is_empty(), "{}: {:?}", card.name(), card.warnings());
            assert_eq!(card_rating::rate(&card, None).expect("a rating"), ContentRating::Sfw);
            assert!(!card.text("first_mes").is_empty() && card.texts("alternate_greetings").len() == 1);
            let book = card.lorebook().expect("a lorebook").expect("one");
            assert_eq!((book.entries.len(), book.useless_patterns().len()), (3, 0));
        }
    }
}

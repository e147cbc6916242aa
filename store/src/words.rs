//! Words of texts: as searches look for them, and as they stand in an index.

use std::collections::BTreeSet;

use models::schema::IndexInfo;
use models::{Row, Value};
use rust_stemmers::{Algorithm, Stemmer};

use crate::encode;

/// Longest word of an index, in bytes; of longer ones this much stands there.
pub(crate) const WORD_BYTES_MAX: usize = 64;
/// A row with more different words stands in the index once, under [`MANY`]: each search looks at it.
const WORDS_MAX: usize = 2000;
/// The word of rows with too many words; no text has it.
pub(crate) const MANY: &str = "";

/// The words of a text in their order, in small letters; stems of English words where `stem` says so.
pub(crate) fn words(text: &str, stem: bool) -> Vec<String> {
    let stemmer = stem.then(|| Stemmer::create(Algorithm::English));
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            let lower = word.to_lowercase();
            stemmer.as_ref().map_or(lower.clone(), |stemmer| stemmer.stem(&lower).into_owned())
        })
        .collect()
}

/// The fields of a row in an index of words, in their order: each stem of its texts, followed by the columns that give the
/// order of what is found. The last part of the index is that order, all before it are texts.
pub(crate) fn fields(index: &IndexInfo, row: &Row) -> Vec<Vec<u8>> {
    let Some((order, texts)) = index.parts.split_last() else { return Vec::new() };
    let mut found = BTreeSet::new();
    for part in texts {
        let Value::Text(text) = &row[part.column] else { continue };
        for mut word in words(text, true) {
            word.truncate(word.floor_char_boundary(WORD_BYTES_MAX));
            found.insert(word);
        }
    }
    if found.len() > WORDS_MAX {
        found = BTreeSet::from([MANY.to_string()]);
    }
    let field = |word: &String| {
        let mut bytes = Vec::with_capacity(word.len() + 16);
        put(word, &mut bytes);
        encode::value(&row[order.column], order.descending, &mut bytes);
        bytes
    };
    found.iter().map(field).collect()
}

/// Appends a word as entries begin with it.
pub(crate) fn put(word: &str, key: &mut Vec<u8>) {
    encode::value(&Value::text(word), false, key);
}

/// Appends what all entries begin with whose words begin so.
pub(crate) fn put_beginning(word: &str, key: &mut Vec<u8>) {
    key.push(encode::present(false));
    key.extend_from_slice(word.as_bytes());
}

/// The part of an entry up to the end of its word, where its words begin after `prefix` bytes. Words have no zero bytes,
/// which end a text.
pub(crate) fn through_word(entry: &[u8], prefix: usize) -> Option<&[u8]> {
    let end = entry.get(prefix..)?.iter().position(|byte| *byte == 0)?;
    entry.get(..prefix + end + 2)
}

#[cfg(test)]
mod tests {
    use models::schema;

    use super::*;

    #[test]
    fn a_row_has_an_entry_for_each_of_its_words() {
        let messages = schema().known("messages");
        let index = messages.indexes.iter().find(|index| index.kind == models::table::IndexKind::Words);
        let index = index.expect("an index of words");
        let entries = |text: &str| {
            let mut row = messages.default_row();
            row[messages.at("content")] = Value::text(text);
            let fields = fields(index, &row);
            let mut sorted = fields.clone();
            sorted.sort();
            assert_eq!(fields, sorted);
            let word = |entry: &Vec<u8>| through_word(entry, 0).map(|word| word[1..word.len() - 2].to_vec());
            let words = fields.iter().filter_map(word).map(|word| String::from_utf8(word).expect("text"));
            words.collect::<Vec<_>>()
        };
        assert_eq!(entries("The storms, the Storm! Ärger"), ["storm", "the", "ärger"]);
        assert_eq!(entries(" – …"), Vec::<String>::new());
        let long = format!("{}ä", "x".repeat(WORD_BYTES_MAX - 1));
        assert_eq!(entries(&long), ["x".repeat(WORD_BYTES_MAX - 1)]);
        let many: String = (0..=WORDS_MAX).map(|number| format!("w{number} ")).collect();
        assert_eq!(entries(&many), [MANY]);
    }
}

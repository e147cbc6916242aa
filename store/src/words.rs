//! Words of texts: as searches look for them, and as they stand in an index.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

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

/// English words that say nothing of what a text is about: PostgreSQL's list for its configuration `english`.
static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its \
    itself they them their theirs themselves what which who whom this that these those am is are was were be been being \
    have has had having do does did doing a an the and but if or because as until while of at by for with about against \
    between into through during before after above below to from up down in out on off over under again further then once \
    here there when where why how all any both each few more most other some such no nor not only own same so than too \
    very s t can will just don should now"
        .split_ascii_whitespace()
        .collect()
});

/// Whether a word, in small letters, is no lexeme of an English text.
pub(crate) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.contains(word)
}

/// The pieces of a text between spaces, quotation marks and brackets: no token reaches from one into the next.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter.is_whitespace() || "\"'`,;()[]{}<>!|*".contains(letter))
}

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
/// order of what is found. The last part of the index is that order, all before it are texts. Stop words are left out: the
/// index serves searches in English alone, which look for none, and a third of what people write are stop words.
pub(crate) fn fields(index: &IndexInfo, row: &Row) -> Vec<Vec<u8>> {
    let Some((order, texts)) = index.parts.split_last() else { return Vec::new() };
    let mut found = BTreeSet::new();
    for part in texts {
        let Value::Text(text) = &row[part.column] else { continue };
        for piece in pieces(text).filter(|piece| !is_stop(piece)) {
            for mut word in words(piece, true) {
                word.truncate(word.floor_char_boundary(WORD_BYTES_MAX));
                found.insert(word);
            }
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

/// Whether a piece is a stop word and no more. One that is a part of something, as in `over-the-top` or the address of a
/// site, stands in the index: what it is a part of is a lexeme, and may be found by how it begins.
fn is_stop(piece: &str) -> bool {
    let mut parts = piece.split(|letter: char| !letter.is_alphanumeric()).filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some(word), None) => is_stop_word(&word.to_lowercase()),
        _ => false,
    }
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
        assert_eq!(entries("The storms, the Storm! Ärger"), ["storm", "ärger"]);
        // Parts of longer tokens stay, and what becomes a stop word as a stem.
        assert_eq!(entries("over-the-top, of.the.org; don't!"), ["of", "org", "over", "the", "top"]);
        assert_eq!(entries("(Ands) 'over' -- it?"), ["and"]);
        assert_eq!(entries(" – …"), Vec::<String>::new());
        let long = format!("{}ä", "x".repeat(WORD_BYTES_MAX - 1));
        assert_eq!(entries(&long), ["x".repeat(WORD_BYTES_MAX - 1)]);
        let many: String = (0..=WORDS_MAX).map(|number| format!("w{number} ")).collect();
        assert_eq!(entries(&many), [MANY]);
    }
}

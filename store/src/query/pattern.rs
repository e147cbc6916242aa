//! `LIKE` patterns. They take time linear in the text: between `%` each piece is looked for once, behind the one before.

use std::borrow::Cow;

use crate::error::StoreError;

/// Characters of a piece that holds `_` and is looked for at every place of a text.
const WILD_CHARACTERS_MAX: usize = 256;
/// Largest product of a text and such a piece: some tenths of a second.
const LIKE_STEPS_MAX: usize = 1 << 28;

/// A `LIKE` pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    /// What stands between `%`; the first begins the text and the last ends it.
    pieces: Vec<Piece>,
    ignore_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// With `_` in it, which is `None`.
    Wild(Vec<Option<char>>),
}

impl Like {
    /// Reads a pattern: `%` any characters, `_` one, `\` takes the next literally.
    pub fn new(pattern: &str, ignore_case: bool) -> Like {
        let mut pieces = Vec::new();
        let mut piece = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => pieces.push(Piece::new(std::mem::take(&mut piece))),
                '_' => piece.push(None),
                '\\' => piece.extend(fold(characters.next().unwrap_or('\\'), ignore_case).map(Some)),
                other => piece.extend(fold(other, ignore_case).map(Some)),
            }
        }
        pieces.push(Piece::new(piece));
        Like { pieces, ignore_case }
    }

    /// Refuses a pattern that would take too long for a text.
    pub(crate) fn check(&self, text: &str) -> Result<(), StoreError> {
        let [_, between @ .., _] = self.pieces.as_slice() else { return Ok(()) };
        let is_too_long = |piece: &Piece| matches!(piece, Piece::Wild(it) if it.len() > WILD_CHARACTERS_MAX);
        if !between.iter().any(is_too_long) {
            let longest =
                between.iter().map(|piece| if let Piece::Wild(it) = piece { it.len() } else { 0 }).max();
            return match text.len().saturating_mul(longest.unwrap_or_default()) > LIKE_STEPS_MAX {
                true => Err(StoreError::raised(
                    "54000",
                    format!("the LIKE pattern is too complex for a text of {} bytes", text.len()),
                )),
                false => Ok(()),
            };
        }
        let what = "number of characters between two % of a LIKE pattern, with _ among them,";
        Err(StoreError::Limit { what, max: WILD_CHARACTERS_MAX as u64 })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let text: Cow<str> = if self.ignore_case {
            text.chars().flat_map(|character| fold(character, true)).collect::<String>().into()
        } else {
            text.into()
        };
        let (first, between, last) = match self.pieces.as_slice() {
            [] => return text.is_empty(),
            [whole] => return whole.strip_prefix(&text) == Some(""),
            [first, between @ .., last] => (first, between, last),
        };
        let Some(rest) = first.strip_prefix(&text) else { return false };
        let Some(mut rest) = last.strip_suffix(rest) else { return false };
        // The first place is the best: it leaves the most for the pieces behind it.
        for piece in between {
            match piece.after_first(rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        true
    }

    /// What every match begins with.
    pub(crate) fn prefix(&self) -> Option<String> {
        if self.ignore_case {
            return None;
        }
        let prefix: String = match self.pieces.first()? {
            Piece::Literal(text) => text.clone(),
            Piece::Wild(characters) => characters.iter().map_while(|character| *character).collect(),
        };
        (!prefix.is_empty()).then_some(prefix)
    }
}

impl Piece {
    fn new(characters: Vec<Option<char>>) -> Piece {
        match characters.iter().copied().collect() {
            Some(literal) => Piece::Literal(literal),
            None => Piece::Wild(characters),
        }
    }

    /// What is left of a text that begins with this.
    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Literal(literal) => text.strip_prefix(literal.as_str()),
            Piece::Wild(wanted) => {
                let mut characters = text.chars();
                let fits = |wanted: &Option<char>| {
                    characters.next().is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
                };
                wanted.iter().all(fits).then_some(characters.as_str())
            }
        }
    }

    /// What is left of a text that ends with this.
    fn strip_suffix<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Literal(literal) => text.strip_suffix(literal.as_str()),
            Piece::Wild(wanted) => {
                let mut characters = text.chars();
                let fits = |wanted: &Option<char>| {
                    characters.next_back().is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
                };
                wanted.iter().rev().all(fits).then_some(characters.as_str())
            }
        }
    }

    /// What is left of a text behind the first place where this stands.
    fn after_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Literal(literal) => text.find(literal.as_str()).map(|at| &text[at + literal.len()..]),
            Piece::Wild(_) => {
                let mut places = text.char_indices().map(|(at, _)| &text[at..]);
                places.find_map(|rest| self.strip_prefix(rest))
            }
        }
    }
}

fn fold(character: char, ignore_case: bool) -> impl Iterator<Item = char> {
    let lower = ignore_case.then(|| character.to_lowercase());
    let same = (!ignore_case).then_some(character);
    lower.into_iter().flatten().chain(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_sql() {
        let like = |pattern: &str, text: &str| Like::new(pattern, false).matches(text);
        assert!(like("a%c", "abbbc") && like("%", "") && like("a_c", "abc") && like("%b%", "abc"));
        assert!(!like("a_c", "ac") && !like("abc", "abcd") && !like("", "a"));
        assert!(like("100\\%", "100%") && !like("100\\%", "1000"));
        assert!(Like::new("ÄB%", true).matches("äbc"));
    }

    #[test]
    fn pieces_are_found_in_turn_and_do_not_overlap() {
        let like = |pattern: &str, text: &str| Like::new(pattern, false).matches(text);
        assert!(like("%%", "") && like("a%%c", "ac") && like("%ab%ab%", "abab") && like("_%_", "éü"));
        assert!(!like("ab%ba", "aba") && !like("%ab%ab%", "ab") && !like("_%_", "é") && !like("%aa%a", "aa"));
        assert!(like("%_b%", "ab") && like("%a_%_c", "abxc") && like("___", "äöü") && like("a%_%c", "abc"));
        assert!(!like("%_b%", "b") && !like("a%_%c", "ac") && !like("____", "äöü"));
        assert!(Like::new("%É_%", true).matches("xéy") && !Like::new("%É_%", true).matches("xé"));
        assert_eq!(Like::new("ab_c%", false).prefix().as_deref(), Some("ab"));
        assert_eq!(Like::new("%a", false).prefix(), None);
    }

    #[test]
    fn patterns_take_time_linear_in_the_text() {
        let text = "a".repeat(2_000_000);
        let started = std::time::Instant::now();
        assert!(!Like::new(&format!("%{}b%", "a".repeat(1_000_000)), false).matches(&text));
        assert!(!Like::new(&format!("{}b", "%a".repeat(20_000)), false).matches(&text));
        assert!(!Like::new(&format!("%_{}b%", "a".repeat(200)), true).matches(&text));
        // The product of text and pattern, 10¹² steps, would take an hour.
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn a_long_piece_with_wildcards_is_refused_where_it_is_looked_for() {
        let wild = format!("_{}", "a".repeat(256));
        let check = |pattern: &str| Like::new(pattern, false).check("a");
        assert!(matches!(check(&format!("%{wild}%")), Err(StoreError::Limit { max: 256, .. })));
        assert!(check(&wild).is_ok() && check(&format!("{wild}%{wild}")).is_ok());
        assert!(check(&"%_a".repeat(1000)).is_ok());
        let long = Like::new(&format!("%_{}%", "a".repeat(200)), false);
        assert!(long.check(&"a".repeat(1 << 20)).is_ok());
        assert_eq!(long.check(&"a".repeat(2 << 20)).map_err(|error| error.sqlstate()), Err("54000"));
    }
}

//! Canonical codes of characters: `CHAR_A` … `CHAR_Z`, `CHAR_AA` …

/// What a code begins with.
pub const PREFIX: &str = "CHAR_";
/// Longest code, in characters.
pub const CHARS_MAX: usize = 16;

/// The code of a number, from 0.
pub fn code(mut number: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'A' + (number % 26) as u8));
        match (number / 26).checked_sub(1) {
            Some(next) => number = next,
            None => break,
        }
    }
    format!("{PREFIX}{}", letters.iter().rev().collect::<String>())
}

/// Whether a text is a code.
pub fn is_code(text: &str) -> bool {
    text.len() <= CHARS_MAX
        && text
            .strip_prefix(PREFIX)
            .is_some_and(|letters| !letters.is_empty() && letters.bytes().all(|it| it.is_ascii_uppercase()))
}

/// The smallest code that none has yet; `None` once they are used up.
pub fn next(used: &[impl AsRef<str>]) -> Option<String> {
    let used: std::collections::HashSet<&str> = used.iter().map(AsRef::as_ref).collect();
    (0..=used.len()).map(code).find(|code| !used.contains(code.as_str())).filter(|code| is_code(code))
}

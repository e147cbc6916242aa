//! Which tokens does a text have? As PostgreSQL's default parser tells them apart: words, words with hyphens and their
//! parts, numbers, mail and web addresses.

use crate::words::pieces;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// In lower case.
    pub text: String,
    /// A word of letters, which a dictionary may stem.
    pub is_word: bool,
}

impl Token {
    fn word(text: &str) -> Token {
        Token { text: text.to_lowercase(), is_word: !text.chars().any(|letter| letter.is_ascii_digit()) }
    }

    fn other(text: &str) -> Token {
        Token { text: text.to_lowercase(), is_word: false }
    }
}

/// The tokens of a text in their order.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    pieces(text).for_each(|piece| add(piece, &mut tokens));
    tokens
}

fn add(piece: &str, tokens: &mut Vec<Token>) {
    let piece = piece.trim_end_matches(['.', ':', '?', '&', '=', '-', '_', '/', '…']);
    let piece = piece.trim_start_matches(['.', ':', '?', '&', '=', '_', '…']);
    if piece.is_empty() {
        return;
    }
    if is_mail(piece) || number(piece) {
        return tokens.push(Token::other(piece));
    }
    let piece = piece.trim_start_matches('-');
    // The protocol of an address is no lexeme.
    let address = piece.split_once("://").map_or(piece, |(_, address)| address);
    let (host, path) = address.find('/').map_or((address, ""), |slash| address.split_at(slash));
    if is_host(host) {
        if path.len() > 1 {
            tokens.extend([Token::other(address), Token::other(host), Token::other(path)]);
        } else {
            tokens.push(Token::other(host));
        }
        return;
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '-';
    for word in piece.split(|letter: char| !is_part(letter)) {
        let word = word.trim_matches('-');
        let parts: Vec<&str> = word.split('-').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [] => {}
            [word] => tokens.push(Token::word(word)),
            parts => {
                tokens.push(Token::word(word));
                tokens.extend(parts.iter().map(|part| Token::word(part)));
            }
        }
    }
}

/// `5`, `-5.5`, `1e10`, `1.2.3`.
fn number(piece: &str) -> bool {
    let unsigned = piece.strip_prefix(['-', '+']).unwrap_or(piece);
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_scientific = || {
        let (mantissa, exponent) = unsigned.split_once(['e', 'E'])?;
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        Some(mantissa.split('.').all(is_part) && mantissa.contains('.') && is_part(exponent))
    };
    unsigned.split('.').all(is_part) || is_scientific().unwrap_or(false)
}

fn is_mail(piece: &str) -> bool {
    let Some((name, host)) = piece.split_once('@') else { return false };
    let fits = |letter: char| letter.is_alphanumeric() || "._-+".contains(letter);
    !name.is_empty() && name.chars().all(fits) && is_host(host)
}

/// Names with dots between them, the last of them of letters.
fn is_host(text: &str) -> bool {
    let text = text.split_once(':').map_or(text, |(host, _)| host);
    let parts: Vec<&str> = text.split('.').collect();
    let fits = |part: &&str| {
        !part.is_empty() && part.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
    };
    let is_last = |part: &&str| part.len() >= 2 && part.chars().all(char::is_alphabetic);
    parts.len() > 1 && parts.iter().all(fits) && parts.last().is_some_and(is_last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_apart() {
        let texts = |text: &str| tokens(text).into_iter().map(|token| token.text).collect::<Vec<_>>();
        assert_eq!(
            texts("The cat, (Ötzi) \"said\": it's 5!"),
            ["the", "cat", "ötzi", "said", "it", "s", "5"]
        );
        assert_eq!(
            texts("a well-known e2e-test -- x"),
            ["a", "well-known", "well", "known", "e2e-test", "e2e", "test", "x"]
        );
        assert_eq!(
            texts("see https://a.example.com/b?c=1."),
            ["see", "a.example.com/b?c=1", "a.example.com", "/b?c=1"]
        );
        assert_eq!(
            texts("mail a.b@example.com or example.org"),
            ["mail", "a.b@example.com", "or", "example.org"]
        );
        assert_eq!(texts("-5.5 1.2.3 +3 1.5e10 50%"), ["-5.5", "1.2.3", "+3", "1.5e10", "50"]);
        assert!(texts(" - . :: ").is_empty());
    }
}

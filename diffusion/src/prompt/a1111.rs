//! A1111's brackets: `(x)` times 1.1, `[x]` divided by 1.1, `(x:1.3)` times 1.3; `BREAK` begins another row.

use super::Fragment;

const STEP: f64 = 1.1;

/// Parses a prompt; what is not closed runs to the end, and nothing is an error.
pub fn parse_a1111(prompt: &str) -> Vec<Fragment> {
    let mut fragments: Vec<Fragment> = Vec::new();
    let (mut round, mut square) = (Vec::new(), Vec::new());
    let mut text = String::new();
    let mut rest = prompt.chars().peekable();
    let flush = |text: &mut String, fragments: &mut Vec<Fragment>| {
        if !text.is_empty() {
            push_rows(&std::mem::take(text), fragments);
        }
    };
    while let Some(next) = rest.next() {
        match next {
            '\\' if rest.peek().is_some_and(|c| "()[]\\".contains(*c)) => text.extend(rest.next()),
            '(' | '[' => {
                flush(&mut text, &mut fragments);
                if next == '(' { &mut round } else { &mut square }.push(fragments.len());
            }
            ')' if !round.is_empty() => {
                let weight = match text.rsplit_once(':') {
                    Some((before, number)) if is_number(number) => {
                        let weight = number.trim().parse().unwrap_or(1.0);
                        text = before.into();
                        weight
                    }
                    _ => STEP,
                };
                flush(&mut text, &mut fragments);
                multiply(&mut fragments, round.pop(), weight);
            }
            ']' if !square.is_empty() => {
                flush(&mut text, &mut fragments);
                multiply(&mut fragments, square.pop(), 1.0 / STEP);
            }
            other => text.push(other),
        }
    }
    flush(&mut text, &mut fragments);
    for start in round {
        multiply(&mut fragments, Some(start), STEP);
    }
    for start in square {
        multiply(&mut fragments, Some(start), 1.0 / STEP);
    }
    joined(fragments)
}

fn is_number(text: &str) -> bool {
    let text = text.trim().trim_start_matches(['+', '-']);
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok_and(|number| number.is_finite() && number <= 1e3)
}

fn multiply(fragments: &mut [Fragment], from: Option<usize>, weight: f64) {
    fragments.iter_mut().skip(from.unwrap_or(usize::MAX)).for_each(|fragment| fragment.weight *= weight);
}

const BREAK: &str = "BREAK";

/// Adds a text; the words after each `BREAK` in it begin a row. Space around the word goes with it.
fn push_rows(text: &str, fragments: &mut Vec<Fragment>) {
    let mut rest = text;
    let mut begins_row = false;
    while let Some(at) = find_break(rest) {
        let before = rest[..at].trim_end();
        if begins_row || !before.is_empty() {
            fragments.push(Fragment { begins_row, ..Fragment::plain(before) });
        }
        rest = rest[at + BREAK.len()..].trim_start();
        begins_row = true;
    }
    if begins_row || !rest.is_empty() {
        fragments.push(Fragment { begins_row, ..Fragment::plain(rest) });
    }
}

/// Where `BREAK` stands as a word of its own.
fn find_break(text: &str) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(BREAK)
        .map(|(at, _)| at)
        .find(|&at| !text[..at].ends_with(in_word) && !text[at + BREAK.len()..].starts_with(in_word))
}

/// Neighbours of one weight become one.
fn joined(fragments: Vec<Fragment>) -> Vec<Fragment> {
    let mut out: Vec<Fragment> = Vec::new();
    for fragment in fragments {
        match out.last_mut() {
            Some(last) if last.weight == fragment.weight && !fragment.begins_row => {
                last.text.push_str(&fragment.text);
            }
            _ => out.push(fragment),
        }
    }
    if out.is_empty() {
        out.push(Fragment::plain(""));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn break_begins_a_row_where_it_is_a_word() {
        let rows = |prompt: &str| -> Vec<(String, f64, bool)> {
            let fragments = parse_a1111(prompt);
            fragments.into_iter().map(|it| (it.text, it.weight, it.begins_row)).collect()
        };
        let row = |text: &str, weight: f64, begins: bool| (text.to_string(), weight, begins);
        assert_eq!(rows("a BREAK b"), [row("a", 1.0, false), row("b", 1.0, true)]);
        assert_eq!(rows("a\nBREAK\nb, (c:1.5)").len(), 3);
        assert_eq!(rows("(a BREAK b:1.5)"), [row("a", 1.5, false), row("b", 1.5, true)]);
        assert_eq!(rows("a BREAK BREAK b"), [row("a", 1.0, false), row("", 1.0, true), row("b", 1.0, true)]);
        for plain in ["BREAKFAST at BREAK_1", "a break"] {
            assert_eq!(rows(plain), [row(plain, 1.0, false)]);
        }
    }
}

//! A1111's brackets: `(x)` times 1.1, `[x]` divided by 1.1, `(x:1.3)` times 1.3.

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
            fragments.push(Fragment { text: std::mem::take(text), weight: 1.0 });
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

/// Neighbours of one weight become one.
fn joined(fragments: Vec<Fragment>) -> Vec<Fragment> {
    let mut out: Vec<Fragment> = Vec::new();
    for fragment in fragments {
        match out.last_mut() {
            Some(last) if last.weight == fragment.weight => last.text.push_str(&fragment.text),
            _ => out.push(fragment),
        }
    }
    if out.is_empty() {
        out.push(Fragment { text: String::new(), weight: 1.0 });
    }
    out
}

//! Compel's syntax: `red++`, `(red hat)1.3`, `("a", "b").blend(0.7, 0.3)`, `("a", "b").and()`.

use super::{Conjunction, Fragment, Part};

/// Deeper nesting is read as plain words.
const DEPTH_MAX: usize = 64;
const PLUS: f64 = 1.1;
const MINUS: f64 = 0.9;

/// Parses a prompt; what is not understood is taken as words.
pub fn parse_compel(prompt: &str) -> Conjunction {
    let chars = spaced(prompt);
    let parts = combined(&chars).unwrap_or_else(|| vec![(Part::Prompt(flat(&chars)), 1.0)]);
    Conjunction { parts }
}

/// The characters of a prompt, with a space after every comma: `red,hat++` is two words.
fn spaced(prompt: &str) -> Vec<char> {
    let mut chars = Vec::with_capacity(prompt.len());
    let mut rest = prompt.chars().peekable();
    while let Some(next) = rest.next() {
        chars.push(next);
        if next == ',' && rest.peek().is_some_and(|after| !after.is_whitespace()) {
            chars.push(' ');
            // As Compel's expression does, which takes comma and character together: of `,,,` the second is passed over.
            chars.extend(rest.next());
        }
    }
    chars
}

fn flat(chars: &[char]) -> Vec<Fragment> {
    let mut reader = Reader { chars, at: 0, depth: 0 };
    let mut fragments = Vec::new();
    while let Some(next) = reader.peek(0) {
        if next.is_whitespace() {
            reader.at += 1;
        } else if let Some(items) = reader.weighted_or_group() {
            fragments.extend(items);
        } else {
            fragments.push(plain(reader.take_while(|c| !c.is_whitespace())));
        }
    }
    fused(fragments)
}

/// Neighbours of one weight become one, a space between.
fn fused(fragments: Vec<Fragment>) -> Vec<Fragment> {
    let mut out: Vec<Fragment> = Vec::new();
    for fragment in fragments {
        match out.last_mut() {
            Some(last) if last.weight == fragment.weight => {
                last.text.push(' ');
                last.text.push_str(&fragment.text);
            }
            _ => out.push(fragment),
        }
    }
    if out.is_empty() {
        out.push(plain(String::new()));
    }
    out
}

fn plain(text: String) -> Fragment {
    let text = text.replace("\\(", "(").replace("\\)", ")").replace("\\\"", "\"");
    Fragment::plain(text)
}

/// `(…, …).blend(…)` and `(…, …).and(…)`, which must be the whole prompt.
fn combined(chars: &[char]) -> Option<Vec<(Part, f64)>> {
    let mut reader = Reader { chars, at: 0, depth: 0 };
    reader.space();
    reader.expect('(')?;
    let mut prompts = Vec::new();
    loop {
        reader.space();
        let prompt = match reader.peek(0)? {
            '"' => flat(&reader.quoted()?),
            '(' => fused(reader.parenthesized()?),
            _ => flat(
                &reader
                    .take_while(|c| !c.is_whitespace() && !"(),\"".contains(c))
                    .chars()
                    .collect::<Vec<_>>(),
            ),
        };
        prompts.push(prompt);
        reader.space();
        if reader.expect(',').is_none() {
            break;
        }
    }
    reader.expect(')')?;
    reader.space();
    let blends = if reader.word(".blend") {
        true
    } else if reader.word(".and") || reader.word(".add") {
        false
    } else {
        return None;
    };
    let options = reader.options()?;
    reader.space();
    if reader.peek(0).is_some() {
        return None;
    }
    let normalize = options.last().map(String::as_str) != Some("no_normalize");
    let mut weights = options
        .iter()
        .filter(|word| *word != "no_normalize")
        .map(|word| word.parse().ok())
        .collect::<Option<Vec<f64>>>()?;
    if weights.iter().any(|weight| !weight.is_finite()) || weights.len() > prompts.len() {
        return None;
    }
    weights.resize(prompts.len(), 1.0);
    // Weights that sum to nothing cannot be normalised.
    let normalize = normalize && weights.iter().sum::<f64>().abs() > 1e-6;
    Some(match blends {
        true => vec![(Part::Blend { prompts, weights, normalize }, 1.0)],
        false => prompts.into_iter().map(Part::Prompt).zip(weights).collect(),
    })
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        (self.peek(0)? == wanted).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let found = word.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c));
        if found {
            self.at += word.len();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    /// A word or group with what weighs it, or a group without.
    fn weighted_or_group(&mut self) -> Option<Vec<Fragment>> {
        let start = self.at;
        let grouped = matches!(self.peek(0), Some('(' | '"'));
        let items = match self.peek(0)? {
            '(' => self.parenthesized(),
            '"' => self.quoted().map(|inner| flat_inside(&inner, self.depth + 1)),
            _ => self.syntax_free_word().map(|word| vec![plain(word)]),
        };
        let weight = items.as_ref().and_then(|_| self.weight(grouped));
        match (items, weight) {
            (Some(items), Some(by)) => {
                Some(items.into_iter().map(|item| Fragment { weight: item.weight * by, ..item }).collect())
            }
            (Some(items), None) if grouped => Some(items),
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// `+`, `--` or, behind a group, a number; or `.attend(…)`.
    fn weight(&mut self, grouped: bool) -> Option<f64> {
        let start = self.at;
        if self.word(".attend") {
            let weight = self.expect('(').and_then(|()| self.signs_or_number(true));
            let closed = self.expect(')');
            if weight.is_some() && closed.is_some() {
                return weight;
            }
            self.at = start;
        }
        self.signs_or_number(grouped)
    }

    fn signs_or_number(&mut self, numbers: bool) -> Option<f64> {
        let power = |count: String, base: f64| Some(base.powi(count.len().min(100) as i32));
        match self.peek(0)? {
            '+' => power(self.take_while(|c| c == '+'), PLUS),
            '-' => power(self.take_while(|c| c == '-'), MINUS),
            c if numbers && (c.is_ascii_digit() || c == '.') => {
                // `1.3`, `2`, `2.` and `.5`.
                let (start, whole) = (self.at, self.take_while(|c| c.is_ascii_digit()));
                let number = match self.expect('.') {
                    Some(()) => format!("0{whole}.{}0", self.take_while(|c| c.is_ascii_digit())),
                    None => whole,
                };
                if self.at == start + 1 && c == '.' {
                    self.at = start;
                    return None;
                }
                number.parse().ok().filter(|number: &f64| *number <= 1e3)
            }
            _ => None,
        }
    }

    /// A run of characters that mean nothing; a sign belongs to it if more of it follows.
    fn syntax_free_word(&mut self) -> Option<String> {
        const SYNTAX: &str = "(),\".+-=";
        let mut word = String::new();
        while let Some(next) = self.peek(0) {
            let after = self.peek(1);
            let escaped = next == '\\' && after.is_some_and(|c| SYNTAX.contains(c));
            let inner_sign =
                "+-".contains(next) && after.is_some_and(|c| !c.is_whitespace() && !SYNTAX.contains(c));
            if escaped {
                word.extend([next, after.unwrap_or_default()]);
                self.at += 2;
            } else if inner_sign || !(next.is_whitespace() || SYNTAX.contains(next)) {
                word.push(next);
                self.at += 1;
            } else {
                break;
            }
        }
        (!word.is_empty()).then_some(word)
    }

    fn quoted(&mut self) -> Option<Vec<char>> {
        let start = self.at;
        self.expect('"')?;
        let mut inner = Vec::new();
        while let Some(next) = self.peek(0) {
            self.at += 1;
            match next {
                '"' => return Some(inner),
                '\\' if self.peek(0) == Some('"') => {
                    inner.extend(['\\', '"']);
                    self.at += 1;
                }
                other => inner.push(other),
            }
        }
        self.at = start;
        None
    }

    /// `( … )`, with commas and full stops as words of their own.
    fn parenthesized(&mut self) -> Option<Vec<Fragment>> {
        let start = self.at;
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        self.expect('(')?;
        let inner = self.inside();
        self.depth -= 1;
        if self.expect(')').is_some() {
            return Some(inner);
        }
        self.at = start;
        None
    }

    fn inside(&mut self) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        loop {
            self.space();
            if let Some(items) = self.weighted_or_group() {
                fragments.extend(items);
            } else if let Some(word) = self.syntax_free_word() {
                fragments.push(plain(word));
            } else if matches!(self.peek(0), Some(',' | '.')) {
                fragments.push(plain(self.peek(0).into_iter().collect()));
                self.at += 1;
            } else {
                return fragments;
            }
        }
    }

    /// `(0.7, 0.3, no_normalize)` as words.
    fn options(&mut self) -> Option<Vec<String>> {
        self.expect('(')?;
        let text = self.take_while(|c| c != ')');
        self.expect(')')?;
        Some(text.split(',').map(|word| word.trim().to_string()).filter(|word| !word.is_empty()).collect())
    }
}

fn flat_inside(chars: &[char], depth: usize) -> Vec<Fragment> {
    let mut reader = Reader { chars, at: 0, depth };
    let fragments = reader.inside();
    match reader.peek(0) {
        None => fragments,
        Some(_) => vec![plain(chars.iter().collect())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prompt: &str) -> Vec<(String, f64)> {
        let parts = parse_compel(prompt).parts;
        let [(Part::Prompt(fragments), _)] = parts.as_slice() else { panic!("one prompt: {prompt}") };
        fragments.iter().map(|it| (it.text.clone(), (it.weight * 1e6).round() / 1e6)).collect()
    }

    #[test]
    fn a_comma_ends_a_word() {
        let plain = |text: &str| (text.to_string(), 1.0);
        let weighs = |text: &str, weight: f64| (text.to_string(), weight);
        assert_eq!(read("a,b,(c)1.2"), [plain("a, b,"), weighs("c", 1.2)]);
        assert_eq!(read("red,hat++"), [plain("red,"), weighs("hat", 1.21)]);
        assert_eq!(read("(red,hat)1.5"), [weighs("red , hat", 1.5)]);
        assert_eq!(read("a, b"), [plain("a, b")]);
    }

    #[test]
    fn weights_need_no_digit_on_both_sides_of_the_point() {
        let weighs = |text: &str, weight: f64| (text.to_string(), weight);
        assert_eq!(read("(a).5"), [weighs("a", 0.5)]);
        assert_eq!(read("(a)2. b"), [weighs("a", 2.0), weighs("b", 1.0)]);
        assert_eq!(read("(a)1.25"), [weighs("a", 1.25)]);
        assert_eq!(read("(a). b"), [weighs("a . b", 1.0)]);
    }

    #[test]
    fn hostile_nesting_ends_in_words() {
        let deep = "(".repeat(20_000) + &")".repeat(20_000);
        assert_eq!(parse_compel(&deep).parts.len(), 1);
        let quotes = "\"(".repeat(5_000);
        assert_eq!(parse_compel(&quotes).parts.len(), 1);
        assert_eq!(parse_compel("(\"a\", \"b\").blend(1, -1)").parts.len(), 1);
    }
}

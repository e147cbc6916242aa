//! A1111's prompts that change while a picture is drawn: `[a:b:0.5]`, `[a:0.5]`, `[a::0.5]` and `[a|b]`, as its
//! `modules/prompt_parser.py` reads them.

use std::ops::Range;

use crate::DiffusionError;

/// Deeper nesting is read as plain words.
const DEPTH_MAX: usize = 32;
/// Texts of one prompt; each is encoded.
const TEXTS_MAX: usize = 64;

#[derive(Debug)]
enum Node {
    Text(String),
    /// The first until a step, the second after it.
    Change(Vec<Node>, Vec<Node>, usize),
    /// Each for a step, in turn.
    Turns(Vec<Vec<Node>>),
}

/// The text of each step from the first on; one alone where it is the same in all of them.
pub fn prompt_of_steps(prompt: &str, steps: usize) -> Result<Vec<String>, DiffusionError> {
    if !prompt.contains('[') {
        return Ok(vec![prompt.to_string()]);
    }
    let chars: Vec<char> = prompt.chars().collect();
    let parser = Parser { chars: &chars, closes: closes(&chars), steps };
    let nodes = parser.nodes(0..chars.len(), 0);
    if nodes.iter().all(|node| matches!(node, Node::Text(_))) {
        return Ok(vec![prompt.to_string()]);
    }
    let mut texts: Vec<String> = Vec::with_capacity(steps);
    let mut different = std::collections::BTreeSet::new();
    for step in 1..=steps {
        let mut text = String::new();
        write(&nodes, step, &mut text);
        different.insert(text.clone());
        if different.len() > TEXTS_MAX {
            let reason = format!("changes to more than {TEXTS_MAX} texts while it is drawn");
            return Err(DiffusionError::spec("prompt", reason));
        }
        texts.push(text);
    }
    match different.len() {
        1 => Ok(texts.into_iter().take(1).collect()),
        _ => Ok(texts),
    }
}

fn write(nodes: &[Node], step: usize, out: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Change(before, after, when) => write(if step <= *when { before } else { after }, step, out),
            Node::Turns(turns) => write(&turns[(step - 1) % turns.len()], step, out),
        }
    }
}

/// Where each bracket is closed, by the place of the one that opens it.
fn closes(chars: &[char]) -> Vec<Option<usize>> {
    let mut closes = vec![None; chars.len()];
    let (mut round, mut square) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 1,
            '(' => round.push(at),
            '[' => square.push(at),
            ')' | ']' => {
                let open = if chars[at] == ')' { round.pop() } else { square.pop() };
                if let Some(open) = open {
                    closes[open] = Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    closes
}

struct Parser<'a> {
    chars: &'a [char],
    closes: Vec<Option<usize>>,
    steps: usize,
}

impl Parser<'_> {
    fn text(&self, range: Range<usize>) -> String {
        self.chars[range].iter().collect()
    }

    fn nodes(&self, range: Range<usize>, depth: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        let (mut at, mut from) = (range.start, range.start);
        while at < range.end {
            let close = self.closes[at].filter(|close| *close < range.end && self.chars[at] == '[');
            match close.filter(|_| depth < DEPTH_MAX) {
                Some(close) => {
                    nodes.push(Node::Text(self.text(from..at)));
                    self.bracket(at..close, depth, &mut nodes);
                    at = close + 1;
                    from = at;
                }
                None => at += if self.chars[at] == '\\' { 2 } else { 1 },
            }
        }
        nodes.push(Node::Text(self.text(from.min(range.end)..range.end)));
        nodes
    }

    /// What brackets mean that open where `range` starts and close where it ends.
    fn bracket(&self, range: Range<usize>, depth: usize, nodes: &mut Vec<Node>) {
        let inner = range.start + 1..range.end;
        let (colons, bars) = self.signs(inner.clone());
        let parts = |signs: &[usize]| -> Vec<Range<usize>> {
            let starts = std::iter::once(inner.start).chain(signs.iter().map(|at| at + 1));
            starts.zip(signs.iter().copied().chain([inner.end])).map(|(from, to)| from..to).collect()
        };
        if colons.is_empty() && !bars.is_empty() {
            let turns = parts(&bars).into_iter().map(|part| self.nodes(part, depth + 1));
            nodes.push(Node::Turns(turns.collect()));
            return;
        }
        let mut parts = parts(&colons);
        let when = parts.pop().filter(|_| (1..=2).contains(&colons.len()));
        if let Some(when) = when.and_then(|when| self.when(&self.text(when))) {
            let mut part = || parts.pop().map(|part| self.nodes(part, depth + 1)).unwrap_or_default();
            let after = part();
            nodes.push(Node::Change(part(), after, when));
            return;
        }
        // Brackets that lessen a weight, with whatever stands within.
        nodes.push(Node::Text("[".into()));
        nodes.extend(self.nodes(inner, depth + 1));
        nodes.push(Node::Text("]".into()));
    }

    /// Where colons and bars stand that are in no brackets within.
    fn signs(&self, range: Range<usize>) -> (Vec<usize>, Vec<usize>) {
        let (mut colons, mut bars) = (Vec::new(), Vec::new());
        let mut at = range.start;
        while at < range.end {
            match self.chars[at] {
                ':' => colons.push(at),
                '|' => bars.push(at),
                '\\' => at += 1,
                _ => at = self.closes[at].filter(|close| *close < range.end).unwrap_or(at),
            }
            at += 1;
        }
        (colons, bars)
    }

    /// The last step before a change: a share of all steps if it has a point, else their number.
    fn when(&self, text: &str) -> Option<usize> {
        let text = text.trim();
        let plain = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_number = !plain.is_empty() && plain.chars().all(|c| c.is_ascii_digit() || c == '.');
        let number: f64 = text.parse().ok().filter(|_| is_number)?;
        let step = if text.contains('.') { number * self.steps as f64 } else { number };
        Some((step.max(0.0) as usize).min(self.steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each text with the last step that it stands for.
    fn edits(prompt: &str, steps: usize) -> Vec<(usize, String)> {
        let texts = prompt_of_steps(prompt, steps).expect("texts");
        let mut found: Vec<(usize, String)> = Vec::new();
        for (place, text) in texts.into_iter().enumerate() {
            match found.last_mut().filter(|(_, last)| *last == text) {
                Some((until, _)) => *until = place + 1,
                None => found.push((place + 1, text)),
            }
        }
        if found.len() == 1 {
            found[0].0 = steps;
        }
        found
    }

    /// The cases of `prompt_parser.py`'s own documentation, and of its kind.
    #[test]
    fn prompts_change_when_a1111_changes_them() {
        let all = |list: &[(usize, &str)]| -> Vec<(usize, String)> {
            list.iter().map(|(step, text)| (*step, text.to_string())).collect()
        };
        for (prompt, steps, expected) in [
            ("test", 10, all(&[(10, "test")])),
            ("a [b:3]", 10, all(&[(3, "a "), (10, "a b")])),
            ("a [b: 3]", 10, all(&[(3, "a "), (10, "a b")])),
            ("a [[[b]]:2]", 10, all(&[(2, "a "), (10, "a [[b]]")])),
            ("[(a:2):3]", 10, all(&[(3, ""), (10, "(a:2)")])),
            ("a [b : c : 1] d", 10, all(&[(1, "a b  d"), (10, "a  c  d")])),
            ("a[b:[c:d:2]:1]e", 10, all(&[(1, "abe"), (2, "ace"), (10, "ade")])),
            ("a [unbalanced", 10, all(&[(10, "a [unbalanced")])),
            ("a [b:.5] c", 10, all(&[(5, "a  c"), (10, "a b c")])),
            ("a [{b|d{:.5] c", 10, all(&[(5, "a  c"), (10, "a {b|d{ c")])),
            ("((a][:b:c [d:3]", 10, all(&[(3, "((a][:b:c "), (10, "((a][:b:c d")])),
            ("[a|(b:1.1)]", 4, all(&[(1, "a"), (2, "(b:1.1)"), (3, "a"), (4, "(b:1.1)")])),
            ("[fe|]male", 3, all(&[(1, "female"), (2, "male"), (3, "female")])),
            ("a [b::0.5] c", 4, all(&[(2, "a b c"), (4, "a  c")])),
            ("([cat:dog:0.5]:1.2)", 2, all(&[(1, "(cat:1.2)"), (2, "(dog:1.2)")])),
            ("[a] [b, c] [d:e]", 5, all(&[(5, "[a] [b, c] [d:e]")])),
            (r"\[a:b:0.5\]", 4, all(&[(4, r"\[a:b:0.5\]")])),
            ("[a:b:25]", 10, all(&[(10, "a")])),
            ("[a:b:0]", 10, all(&[(10, "b")])),
        ] {
            assert_eq!(edits(prompt, steps), expected, "{prompt}");
        }
    }

    #[test]
    fn nothing_a_client_writes_is_costly() {
        for prompt in ["[".repeat(8000), "[(".repeat(4000), "[a:".repeat(4000) + &"]".repeat(4000)] {
            assert!(prompt_of_steps(&prompt, 1000).is_ok());
        }
        let turns = |count: usize| {
            let all: Vec<String> = (0..count).map(|turn| turn.to_string()).collect();
            format!("[{}]", all.join("|"))
        };
        assert!(prompt_of_steps(&turns(64), 1000).is_ok());
        assert!(prompt_of_steps(&turns(65), 1000).is_err());
    }
}

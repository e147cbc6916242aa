//! Cutting a text into scenes.

use super::words::{paragraphs, sentences};

/// Words with which a line begins that opens a scene.
const HEADINGS: [&str; 3] = ["scene", "chapter", "part"];

/// The scenes of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// Their texts, in order.
    pub scenes: Vec<String>,
    /// How many parts under headings of their own are left out, because there were more than may be.
    pub left_out: usize,
}

/// Cuts a text into at most `max` scenes: at lines that begin with Scene, Chapter or Part where that gives two or more;
/// else paragraphs, else sentences, grouped evenly.
pub fn chunk(text: &str, max: usize) -> Chunks {
    let max = max.max(1);
    let headed = by_headings(text);
    if headed.len() >= 2 {
        let left_out = headed.len().saturating_sub(max);
        return Chunks { scenes: headed.into_iter().take(max).collect(), left_out };
    }
    let paragraphs = paragraphs(text);
    if paragraphs.len() >= 2 {
        return Chunks { scenes: grouped(&paragraphs, max, "\n\n"), left_out: 0 };
    }
    Chunks { scenes: grouped(&sentences(text), max, " "), left_out: 0 }
}

/// Whether a line opens a scene.
pub fn is_heading(line: &str) -> bool {
    let first = line.trim_start_matches(['#', '*', ' ', '\t']);
    let word: String = first.chars().take_while(|letter| letter.is_alphabetic()).collect();
    HEADINGS.contains(&word.to_lowercase().as_str())
        && first[word.len()..].chars().next().is_none_or(|next| !next.is_alphanumeric())
}

fn by_headings(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in text.lines() {
        if is_heading(line) {
            found.push(String::new());
        }
        if let Some(part) = found.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    found.into_iter().map(|part| part.trim().to_string()).filter(|part| !part.is_empty()).collect()
}

/// Puts neighbours together so that there are at most `max` groups, whose sizes differ by one at most.
fn grouped(items: &[String], max: usize, between: &str) -> Vec<String> {
    evenly(items.len(), max).into_iter().map(|range| items[range].join(between)).collect()
}

/// Ranges that divide `count` items into at most `max` groups, the larger ones first.
pub fn evenly(count: usize, max: usize) -> Vec<std::ops::Range<usize>> {
    let groups = max.max(1).min(count);
    let mut start = 0;
    let sizes = (0..groups).map(|group| count / groups + usize::from(group < count % groups));
    sizes
        .map(|size| {
            let range = start..start + size;
            start = range.end;
            range
        })
        .collect()
}

//! Weights of words that stand beside a prompt, put into it: `{"cat": 1.3}` makes `a cat` into `a (cat)1.3`.

use diffusion::prompt::PromptSyntax;
use serde_json::{Map, Value as Json};

/// Words that weigh more or less than they would.
const WEIGHTS_MAX: usize = 64;
/// Signs that mean something in a prompt with weights.
const SIGNS: [char; 9] = ['(', ')', '[', ']', '"', '\\', ':', '<', '>'];

/// A prompt with weights in its own syntax. Words that it already weighs keep their weight; those that it does not have
/// are added at its end. A plain prompt has no weights.
pub(super) fn weighted(prompt: &str, weights: &Map<String, Json>, syntax: PromptSyntax) -> String {
    if syntax == PromptSyntax::Plain {
        return prompt.to_string();
    }
    let mut weights: Vec<(&str, f64)> = weights
        .iter()
        .filter_map(|(words, weight)| Some((words.trim(), weight.as_f64().filter(|it| it.is_finite())?)))
        .filter(|(words, _)| !words.is_empty() && !words.contains(SIGNS))
        .take(WEIGHTS_MAX)
        .collect();
    // Of two that overlap the longer one is meant.
    weights.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
    let mut prompt = prompt.to_string();
    for (words, weight) in weights {
        let weight = weight.max(0.0);
        match place_of(&prompt, words) {
            Some(Place::Plain(from, to)) => {
                let marked = mark(&prompt[from..to], weight, syntax);
                prompt.replace_range(from..to, &marked);
            }
            Some(Place::Weighted) => {}
            None if prompt.trim().is_empty() => prompt = mark(words, weight, syntax),
            None => prompt = format!("{}, {}", prompt.trim_end(), mark(words, weight, syntax)),
        }
    }
    prompt
}

fn mark(words: &str, weight: f64, syntax: PromptSyntax) -> String {
    match syntax.is_a1111() {
        true => format!("({words}:{weight})"),
        false => format!("({words}){weight}"),
    }
}

/// Where words stand in a prompt.
enum Place {
    Plain(usize, usize),
    /// Within brackets, or with signs behind them.
    Weighted,
}

/// The first place where words stand as words of their own.
fn place_of(prompt: &str, words: &str) -> Option<Place> {
    let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let mut depth = 0_i32;
    for (from, letter) in prompt.char_indices() {
        match letter {
            '(' | '[' | '"' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        let Some(rest) = prompt.get(from..) else { continue };
        let Some(length) = begins_with(rest, words) else { continue };
        let (before, after) = (prompt[..from].chars().next_back(), rest[length..].chars().next());
        if is_word(before) || is_word(after) {
            continue;
        }
        let is_weighted = depth > 0 || matches!(after, Some('+' | '-'));
        return Some(if is_weighted { Place::Weighted } else { Place::Plain(from, from + length) });
    }
    None
}

/// How many bytes of a text are these words, in whichever case.
fn begins_with(text: &str, words: &str) -> Option<usize> {
    let mut letters = text.chars();
    let mut length = 0;
    for wanted in words.chars() {
        let found = letters.next()?;
        if !found.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
        length += found.len_utf8();
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(prompt: &str, weights: Json, syntax: PromptSyntax) -> String {
        weighted(prompt, weights.as_object().expect("an object"), syntax)
    }

    #[test]
    fn words_get_their_weights_in_the_prompts_own_syntax() {
        let weights = json!({"cat": 1.3, "red hat": 0.5, "light": 2});
        assert_eq!(
            with("A Cat in a red hat, concatenated", weights.clone(), PromptSyntax::Compel),
            "A (Cat)1.3 in a (red hat)0.5, concatenated, (light)2"
        );
        assert_eq!(with("a cat", json!({"cat": 1.3}), PromptSyntax::A1111), "a (cat:1.3)");
        assert_eq!(with("a cat", weights, PromptSyntax::Plain), "a cat");
    }

    #[test]
    fn what_is_weighed_already_stays() {
        for prompt in ["a (cat)1.5", "cat++ on a hill", "a (small cat:1.2)", "a [cat]"] {
            assert_eq!(with(prompt, json!({"cat": 1.3}), PromptSyntax::Compel), prompt);
        }
        // What would break the syntax is no word, and odd weights are none.
        let odd = json!({"c(a": 1.1, "": 2, " ": 2, "dog": "much", "é": 1.5});
        assert_eq!(with("ein É", odd, PromptSyntax::Compel), "ein (É)1.5");
        assert_eq!(with("", json!({"cat": 1.1}), PromptSyntax::Compel), "(cat)1.1");
    }
}

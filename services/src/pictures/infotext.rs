//! Reading the text in which A1111 and others say how a picture was made: prompt, negative prompt, and a last line of
//! parameters.

use serde_json::{Map, Value as Json};

/// How the negative prompt begins.
const NEGATIVE: &str = "Negative prompt:";
/// A last line with fewer pairs belongs to the prompt.
const PAIRS_MIN: usize = 3;

/// The members that are said, under A1111's names: `Prompt`, `Negative prompt`, `Steps`, `Sampler` and so on; the size also
/// as `Size-1` and `Size-2`.
pub fn read(text: &str) -> Map<String, Json> {
    let mut lines: Vec<&str> = text.trim().lines().collect();
    let last = lines.last().copied().unwrap_or_default();
    let mut pairs = pairs(last);
    match pairs.len() < PAIRS_MIN {
        true => pairs.clear(),
        false => drop(lines.pop()),
    }
    let (mut prompt, mut negative, mut is_negative) = (Vec::new(), Vec::new(), false);
    for line in lines {
        let line = line.trim();
        match line.strip_prefix(NEGATIVE) {
            Some(rest) if !is_negative => {
                is_negative = true;
                negative.push(rest.trim());
            }
            _ if is_negative => negative.push(line),
            _ => prompt.push(line),
        }
    }
    let mut said = Map::new();
    said.insert("Prompt".into(), prompt.join("\n").into());
    said.insert("Negative prompt".into(), negative.join("\n").into());
    for (name, value) in pairs {
        if let Some((width, height)) = value.split_once('x')
            && [width, height]
                .iter()
                .all(|side| !side.is_empty() && side.bytes().all(|it| it.is_ascii_digit()))
        {
            said.insert(format!("{name}-1"), width.into());
            said.insert(format!("{name}-2"), height.into());
        }
        said.insert(name, value.into());
    }
    said
}

/// `Name: value` pairs between commas; values with commas are JSON texts.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = line.trim();
    while let Some((name, after)) = rest.split_once(':') {
        let name = name.trim();
        if name.is_empty() || name.contains(',') {
            return Vec::new();
        }
        let after = after.trim_start();
        let value = match after.starts_with('"') {
            true => {
                let mut texts = serde_json::Deserializer::from_str(after).into_iter::<String>();
                let Some(Ok(value)) = texts.next() else { return Vec::new() };
                let end = texts.byte_offset();
                rest = after.get(end..).unwrap_or_default().trim_start().trim_start_matches(',').trim_start();
                value
            }
            false => {
                let (value, more) = after.split_once(',').unwrap_or((after, ""));
                rest = more.trim_start();
                value.trim().to_string()
            }
        };
        pairs.push((name.to_string(), value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_said_is_read() {
        let text = "a cat,\nred: yes\nNegative prompt: dogs\nand more\nSteps: 20, Sampler: Euler a, \
                    Model: \"big, very: \\\"big\\\"\", Size: 512x768, Seed: 1";
        let said = Json::Object(read(text));
        for (name, value) in [
            ("Prompt", "a cat,\nred: yes"),
            ("Negative prompt", "dogs\nand more"),
            ("Sampler", "Euler a"),
            ("Model", "big, very: \"big\""),
            ("Size", "512x768"),
            ("Size-1", "512"),
            ("Size-2", "768"),
            ("Seed", "1"),
        ] {
            assert_eq!(said[name], json!(value), "{name}");
        }
        for text in ["", "a cat", "a: b, c: d", "Steps: 20, x: \"unended, Size: 1", ":::", ", : ,"] {
            let said = read(text);
            assert_eq!(said["Prompt"], json!(text.trim()), "{text}");
        }
    }
}

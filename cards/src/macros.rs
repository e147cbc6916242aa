//! What do `{{char}}`, `{{random:…}}` and their kin stand for?

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::CardError;

/// Longest text that macros may make.
const EXPANDED_BYTES_MAX: usize = 8 << 20;
const NESTING_MAX: usize = 16;
/// Bytes that are looked at for where macros end: one that does not end costs as much as it might be long.
const SEARCHED_BYTES_MAX: usize = 32 << 20;
const DICE_SIDES_MAX: u64 = 1_000_000_000;

/// Who speaks, and where chance comes from.
#[derive(Debug, Clone)]
pub struct MacroScene<'a> {
    /// `{{char}}`: the character's nickname or name.
    pub character: &'a str,
    /// `{{user}}`: the person's name.
    pub user: &'a str,
    /// Seeds `{{random}}` and `{{roll}}`: another value, another outcome.
    pub chance: u64,
    /// Seeds `{{pick}}`: the same for the whole conversation, so that a pick stays.
    pub conversation: u64,
}

/// Replaces the macros in a text. What is not a macro stays as it is, and names are never expanded again.
pub fn expand(text: &str, scene: &MacroScene<'_>) -> Result<String, CardError> {
    let mut expansion =
        Expansion { scene, rng: ChaCha8Rng::seed_from_u64(scene.chance), picks: 0, bytes: 0, searched: 0 };
    expansion.expand(text, 0)
}

struct Expansion<'a> {
    scene: &'a MacroScene<'a>,
    rng: ChaCha8Rng,
    /// How many picks came before, so that two alike can differ.
    picks: u64,
    /// Bytes made by all expansions, nested ones included.
    bytes: usize,
    /// Bytes looked at for the ends of macros.
    searched: usize,
}

impl Expansion<'_> {
    fn expand(&mut self, text: &str, depth: usize) -> Result<String, CardError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '<']) {
            self.push(&mut out, &rest[..at])?;
            rest = &rest[at..];
            if let Some((body, after)) = self.macro_at(rest) {
                match self.replace(body, depth)? {
                    Some(value) => self.push(&mut out, &value)?,
                    None => self.push(&mut out, &rest[..rest.len() - after.len()])?,
                }
                rest = after;
            } else if let Some((name, after)) = self.legacy(rest) {
                let name = name.to_string();
                self.push(&mut out, &name)?;
                rest = after;
            } else {
                let (first, after) = rest.split_at(1);
                self.push(&mut out, first)?;
                rest = after;
            }
        }
        self.push(&mut out, rest)?;
        Ok(out)
    }

    /// The macro at the beginning of a text; none is found any more once too much was searched.
    fn macro_at<'t>(&mut self, text: &'t str) -> Option<(&'t str, &'t str)> {
        if self.searched > SEARCHED_BYTES_MAX {
            return None;
        }
        let (found, searched) = braces(text);
        self.searched += searched;
        found
    }

    fn push(&mut self, out: &mut String, text: &str) -> Result<(), CardError> {
        self.bytes = self.bytes.saturating_add(text.len());
        CardError::check_size("text with macros", self.bytes, EXPANDED_BYTES_MAX)?;
        out.push_str(text);
        Ok(())
    }

    /// `<USER>`, `<BOT>` and `<CHAR>`, which the first cards used.
    fn legacy<'t>(&self, text: &'t str) -> Option<(&str, &'t str)> {
        for (mark, name) in
            [("<user>", self.scene.user), ("<bot>", self.scene.character), ("<char>", self.scene.character)]
        {
            if text.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark)) {
                return Some((name, &text[mark.len()..]));
            }
        }
        None
    }

    /// What a macro stands for; `None` if it is not one of ours.
    fn replace(&mut self, body: &str, depth: usize) -> Result<Option<String>, CardError> {
        let trimmed = body.trim();
        if trimmed.starts_with("//") {
            return Ok(Some(String::new()));
        }
        let (name, argument) = match trimmed.split_once(':') {
            Some((name, argument)) => (name.trim().to_ascii_lowercase(), Some(argument)),
            None => (trimmed.to_ascii_lowercase(), None),
        };
        match (name.as_str(), argument) {
            ("char", None) => return Ok(Some(self.scene.character.to_string())),
            ("user", None) => return Ok(Some(self.scene.user.to_string())),
            ("hidden_key" | "comment", Some(_)) => return Ok(Some(String::new())),
            ("random" | "pick" | "reverse" | "roll", Some(_)) => {}
            _ => return Ok(None),
        }
        if depth >= NESTING_MAX {
            return Ok(None);
        }
        let argument = self.expand(argument.unwrap_or_default(), depth + 1)?;
        Ok(match name.as_str() {
            "reverse" => Some(argument.chars().rev().collect()),
            "random" => {
                let index = self.rng.random_range(0..options(&argument));
                Some(option(&argument, index))
            }
            "pick" => {
                self.picks += 1;
                let seed = self.scene.conversation ^ fingerprint(&argument).wrapping_add(self.picks);
                let index = ChaCha8Rng::seed_from_u64(seed).random_range(0..options(&argument));
                Some(option(&argument, index))
            }
            _ => {
                let sides = argument.trim().trim_start_matches(['d', 'D']).parse::<u64>().ok();
                let sides = sides.filter(|sides| (1..=DICE_SIDES_MAX).contains(sides));
                sides.map(|sides| self.rng.random_range(1..=sides).to_string())
            }
        })
    }
}

/// The inside of `{{…}}` at the beginning of `text`, inner pairs included, and what follows it; and how many bytes were
/// looked at.
fn braces(text: &str) -> (Option<(&str, &str)>, usize) {
    let bytes = text.as_bytes();
    if !bytes.starts_with(b"{{") {
        return (None, 2);
    }
    let (mut depth, mut at) = (1usize, 2);
    // An unclosed macro must not make every later one search to the end of a long text.
    let end = bytes.len().min(64 << 10);
    while at + 1 < end {
        match &bytes[at..at + 2] {
            b"{{" => {
                depth += 1;
                at += 2;
            }
            b"}}" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return (Some((&text[2..at - 2], &text[at..])), at);
                }
            }
            _ => at += 1,
        }
    }
    (None, at)
}

/// How many options there are between commas; `\,` is a comma within one.
fn options(list: &str) -> usize {
    let mut is_escaped = false;
    let ends = list.bytes().filter(|byte| {
        let ends = *byte == b',' && !is_escaped;
        is_escaped = *byte == b'\\';
        ends
    });
    ends.count() + 1
}

/// One of them.
fn option(list: &str, wanted: usize) -> String {
    let (mut option, mut at) = (String::new(), 0);
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&',') => {
                characters.next();
                if at == wanted {
                    option.push(',');
                }
            }
            ',' if at == wanted => break,
            ',' => at += 1,
            other if at == wanted => option.push(other),
            _ => {}
        }
    }
    option
}

/// FNV-1a: the same on every machine and in every version.
fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(chance: u64) -> MacroScene<'static> {
        MacroScene { character: "Mira", user: "{{char}}", chance, conversation: 5 }
    }

    fn expand(text: &str) -> String {
        super::expand(text, &scene(1)).unwrap()
    }

    #[test]
    fn names_notes_and_reversal() {
        assert_eq!(expand("{{char}} {{ CHAR }} <BOT> <Char>"), "Mira Mira Mira Mira");
        assert_eq!(expand("{{user}} <USER>"), "{{char}} {{char}}", "names are not expanded again");
        assert_eq!(expand("a{{// a note }}b{{hidden_key:cat}}c{{comment: x}}"), "abc");
        assert_eq!(expand("{{reverse:añb}} {{reverse:{{char}}}}"), "bña ariM");
        assert_eq!(expand("{{unknown}} {x} {{ open <b> }} < {"), "{{unknown}} {x} {{ open <b> }} < {");
    }

    #[test]
    fn chance_is_seeded_and_picks_stay() {
        let many = |text: &str| -> Vec<String> {
            (0..200).map(|i| super::expand(text, &scene(i)).unwrap()).collect()
        };
        let random = many("{{random:a,b\\,c,{{char}}}}");
        for option in ["a", "b,c", "Mira"] {
            assert!(random.iter().any(|found| found == option));
        }
        let pick = many("{{pick:a,b,c,d,e,f}}");
        assert!(pick.iter().all(|found| *found == pick[0]));
        let rolls: Vec<u64> = many("{{roll:d6}}").iter().map(|roll| roll.parse().unwrap()).collect();
        assert!((1..=6).all(|side| rolls.contains(&side)) && rolls.iter().all(|roll| (1..=6).contains(roll)));
        assert_eq!(super::expand("{{roll:20}}", &scene(3)), super::expand("{{roll:20}}", &scene(3)));
        assert_eq!(expand("{{roll:0}}{{roll:x}}"), "{{roll:0}}{{roll:x}}");
    }

    #[test]
    fn nested_and_endless_macros_end() {
        assert_eq!(expand(&"{{".repeat(100_000)).len(), 200_000);
        let nested = format!("{}x{}", "{{reverse:".repeat(1000), "}}".repeat(1000));
        assert!(expand(&nested).contains('x'));
        let name = "n".repeat(100_000);
        let large = MacroScene { character: &name, ..scene(0) };
        assert!(matches!(super::expand(&"{{char}}".repeat(1000), &large), Err(CardError::TooLarge { .. })));
        assert!(super::expand(&"x".repeat(100 << 20), &scene(0)).is_err());
    }

    #[test]
    fn chance_that_nests_or_grows_is_bounded() {
        let nested = |levels: usize| {
            (0..levels).fold("x".to_string(), |inner, level| format!("{{{{random:{inner},{level}}}}}"))
        };
        assert!(expand(&nested(NESTING_MAX)).len() < 3);
        // Deeper ones stay as they are, and so does what never ends.
        assert!(expand(&nested(1000)).len() < nested(1000).len());
        for endless in ["{{random:".repeat(1000), "{{".repeat(2 << 20), "{{pick:{{".repeat(400_000)] {
            assert_eq!(expand(&endless), endless);
        }
        assert!(matches!(
            super::expand(&"{{random:a,".repeat(1 << 20), &scene(0)),
            Err(CardError::TooLarge { .. })
        ));
        // A name of nothing but commas has as many options, of which one is made.
        let name = ",".repeat(1 << 20);
        let commas = MacroScene { character: &name, ..scene(0) };
        assert_eq!(super::expand("{{random:{{char}}}}", &commas).unwrap(), "");
        assert_eq!(super::expand("{{pick:{{char}}}}", &commas).unwrap(), "");
        let doubled = (0..10).fold("{{char}}".to_string(), |text, _| format!("{{{{reverse:{text}{text}}}}}"));
        let large = "n".repeat(100_000);
        let large = MacroScene { character: &large, ..scene(0) };
        assert!(matches!(super::expand(&doubled, &large), Err(CardError::TooLarge { .. })));
        for (list, count, first) in
            [("", 1, ""), ("a", 1, "a"), ("a\\,b,c", 2, "a,b"), ("a\\\\,b", 1, "a\\,b")]
        {
            assert_eq!((options(list), option(list, 0).as_str()), (count, first), "{list}");
        }
    }
}

//! What goes into a prompt, and what has to stay out because the model cannot hold it.
//!
//! Pure: the same material makes the same prompt, and the account of it (`inspect`) says what each part cost.

use language::{ChatMessage, Role};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::pictures::{self, Seen};

/// Tokens that a message costs beside its text, in any chat template we know.
const MESSAGE_TOKENS: usize = 16;
/// The share of a prompt that instructions may take, in percent.
const SYSTEM_SHARE: usize = 60;
/// Shortest reply that is worth making room for.
const REPLY_TOKENS_MIN: usize = 16;

/// A part of the instructions.
#[derive(Clone, Debug)]
pub struct Section {
    /// What it is: `template`, `character`, `persona`, `scene`, `lore`, `fact`, `summary`, `style`.
    pub kind: &'static str,
    /// What people call it.
    pub name: String,
    /// The text.
    pub text: String,
    /// The first to go when there is no room is the one with the highest rank; 0 is cut, but never left out.
    pub rank: u8,
    /// Why it is here, or where it comes from.
    pub source: Json,
    /// Whether a model worded it.
    pub by_model: bool,
}

impl Section {
    /// A part without a source of its own.
    pub fn new(kind: &'static str, name: impl Into<String>, text: impl Into<String>, rank: u8) -> Section {
        Section { kind, name: name.into(), text: text.into(), rank, source: Json::Null, by_model: false }
    }

    /// Says whether a model worded it.
    #[must_use]
    pub fn by_model(mut self, by_model: bool) -> Section {
        self.by_model = by_model;
        self
    }

    /// Says where it comes from.
    #[must_use]
    pub fn from(mut self, source: Json) -> Section {
        self.source = source;
        self
    }
}

/// Something said earlier.
#[derive(Clone, Debug)]
pub struct Said {
    /// The message.
    pub id: Option<Uuid>,
    /// By whom.
    pub role: Role,
    /// What.
    pub text: String,
}

/// A text that stands among the messages, counted from the latest.
#[derive(Clone, Debug)]
pub struct Interjection {
    /// So many messages stand after it.
    pub depth: usize,
    /// In whose name.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Everything that could go in.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// Instructions, in order.
    pub sections: Vec<Section>,
    /// Texts among the messages.
    pub interjections: Vec<Interjection>,
    /// What was said, the oldest first; the last one is what is answered.
    pub history: Vec<Said>,
    /// Pictures that the model may see, by the addresses in messages.
    pub pictures: Seen,
    /// Longest reply that is wanted.
    pub max_tokens: usize,
    /// What the model holds.
    pub context_tokens: usize,
}

/// A prompt.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// For the model.
    pub messages: Vec<ChatMessage>,
    /// Longest reply that fits.
    pub max_tokens: usize,
    /// The account of what went in.
    pub inspect: Json,
}

/// The latest message alone is too long for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message has {tokens} tokens, and the model has room for {room}")]
pub struct TooLong {
    /// How long it is.
    pub tokens: usize,
    /// How long it may be.
    pub room: usize,
}

impl Material {
    /// Makes the prompt.
    pub fn assemble(self, count: &dyn Fn(&str) -> usize) -> Result<Prompt, TooLong> {
        let reply = self.max_tokens.min((self.context_tokens / 4).max(REPLY_TOKENS_MIN));
        let budget = self.context_tokens.saturating_sub(reply + MESSAGE_TOKENS);
        let pictures = self.pictures;
        let cost_of = |said: &Said| {
            count(&said.text) + MESSAGE_TOKENS + pictures::tokens(said.role, &said.text, &pictures)
        };
        let latest = self.history.last().map_or(0, cost_of);
        let room = budget.saturating_sub(budget / 4);
        if latest > room {
            return Err(TooLong { tokens: latest, room });
        }
        let for_system = (budget * SYSTEM_SHARE / 100).min(budget - latest).saturating_sub(MESSAGE_TOKENS);
        let (kept, left_out) = fit(self.sections, for_system, count);
        let system = join(&kept);
        let mut used = count(&system) + MESSAGE_TOKENS;
        let system_tokens = used;
        let mut kept_lines: Vec<Said> = Vec::new();
        let mut forgotten = 0;
        for said in self.history.into_iter().rev() {
            let cost = cost_of(&said);
            if forgotten > 0 || used + cost > budget {
                forgotten += 1;
                continue;
            }
            used += cost;
            kept_lines.push(said);
        }
        kept_lines.reverse();
        let ids: Vec<Json> = kept_lines.iter().map(|said| json!(said.id)).collect();
        let mut messages: Vec<ChatMessage> =
            kept_lines.into_iter().map(|said| pictures::message(said.role, said.text, &pictures)).collect();
        let shown: usize = messages.iter().map(|message| message.images.len()).sum();
        let mut placed = Vec::new();
        let mut added = Vec::new();
        for add in self.interjections {
            let cost = count(&add.text) + MESSAGE_TOKENS;
            if used + cost > budget {
                placed.push(json!({"name": add.name, "left_out": true}));
                continue;
            }
            used += cost;
            placed.push(json!({"name": add.name, "depth": add.depth, "tokens": cost, "text": add.text}));
            added.push((add.depth, ChatMessage::new(add.role, add.text)));
        }
        // From the end, so that what is added already moves no other place; those of one place keep their order.
        added.reverse();
        added.sort_by_key(|(depth, _)| *depth);
        let said = messages.len();
        for (depth, message) in added {
            messages.insert(said.saturating_sub(depth), message);
        }
        messages.insert(0, ChatMessage::new(Role::System, system));
        let sections: Vec<Json> = kept.iter().map(|section| section_report(section, count)).collect();
        let left_out: Vec<Json> =
            left_out.iter().map(|section| json!({"kind": section.kind, "name": section.name})).collect();
        Ok(Prompt {
            messages,
            max_tokens: reply,
            inspect: json!({
                "sections": sections, "left_out": left_out, "interjections": placed,
                "history": {"message_ids": ids, "left_out": forgotten, "tokens": used - system_tokens, "pictures": shown},
                "tokens": {
                    "system": system_tokens, "prompt_estimate": used, "budget": budget, "reply_max": reply,
                    "context": self.context_tokens,
                },
            }),
        })
    }
}

fn section_report(section: &Section, count: &dyn Fn(&str) -> usize) -> Json {
    json!({
        "kind": section.kind, "name": section.name, "text": section.text, "tokens": count(&section.text),
        "source": section.source,
    })
}

fn join(sections: &[Section]) -> String {
    let texts: Vec<&str> = sections.iter().map(|section| section.text.trim()).collect();
    texts.join("\n\n")
}

/// Leaves out sections until the rest fits, and cuts what may not be left out.
fn fit(sections: Vec<Section>, room: usize, count: &dyn Fn(&str) -> usize) -> (Vec<Section>, Vec<Section>) {
    let mut kept: Vec<(Section, usize)> = sections
        .into_iter()
        .filter(|section| !section.text.trim().is_empty())
        .map(|section| {
            let tokens = count(&section.text) + 1;
            (section, tokens)
        })
        .collect();
    let mut left_out = Vec::new();
    let mut total: usize = kept.iter().map(|(_, tokens)| tokens).sum();
    while total > room {
        let optional = kept.iter().enumerate().filter(|(_, (section, _))| section.rank > 0);
        let Some((at, _)) = optional.max_by_key(|(at, (section, _))| (section.rank, *at)) else { break };
        let (section, tokens) = kept.remove(at);
        total -= tokens;
        left_out.push(section);
    }
    // From the last to the first, so that what identifies the speaker stays longest.
    for (section, tokens) in kept.iter_mut().rev() {
        if total <= room {
            break;
        }
        let surplus = total - room;
        let wanted = tokens.saturating_sub(surplus);
        cut(&mut section.text, *tokens, wanted, count);
        let now = count(&section.text) + 1;
        total = total - *tokens + now;
        *tokens = now;
    }
    (kept.into_iter().map(|(section, _)| section).collect(), left_out)
}

/// Shortens a text of `tokens` tokens to about `wanted`.
fn cut(text: &mut String, tokens: usize, wanted: usize, count: &dyn Fn(&str) -> usize) {
    let mut share = wanted as f64 / tokens.max(1) as f64;
    for _ in 0..6 {
        let chars = (text.chars().count() as f64 * share) as usize;
        let shorter: String = text.chars().take(chars).collect();
        if count(&shorter) < wanted.max(1) || shorter.is_empty() {
            *text = shorter;
            return;
        }
        share *= 0.85;
    }
    text.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn said(number: u128, text: &str) -> Said {
        let role = if number.is_multiple_of(2) { Role::User } else { Role::Assistant };
        Said { id: Some(Uuid::from_u128(number)), role, text: text.into() }
    }

    fn material(context_tokens: usize) -> Material {
        let long = "word ".repeat(40);
        Material {
            sections: vec![
                Section::new("template", "t", "You are Mira.", 0),
                Section::new("lore", "cats", &long, 3),
                Section::new("character", "Mira", &long, 1),
            ],
            interjections: Vec::new(),
            history: (0..20).map(|number| said(number, "one two three four")).collect(),
            pictures: Seen::default(),
            max_tokens: 64,
            context_tokens,
        }
    }

    #[test]
    fn what_does_not_fit_stays_out_in_order_of_rank_and_age() {
        let all = material(2000).assemble(&words).expect("it fits");
        assert_eq!(all.messages.len(), 21);
        assert_eq!(all.max_tokens, 64);
        assert_eq!(all.inspect["left_out"], json!([]));
        let short = Material { max_tokens: 3, ..material(2000) }.assemble(&words).expect("it fits");
        assert_eq!(short.max_tokens, 3, "no longer than was asked for");

        let some = material(260).assemble(&words).expect("it fits");
        assert_eq!(some.inspect["left_out"], json!([]));
        assert!(some.messages.len() < 10 && some.messages.len() > 2, "{}", some.messages.len());
        assert_eq!(some.messages.last().map(|it| it.role), Some(Role::Assistant));
        assert_eq!(some.inspect["history"]["left_out"], 21 - some.messages.len());

        let few = material(150).assemble(&words).expect("it fits");
        assert_eq!(few.inspect["left_out"][0]["name"], "cats");
        assert!(few.messages[0].content.starts_with("You are Mira."));
    }

    #[test]
    fn a_message_that_the_model_cannot_hold_is_refused() {
        let mut long = material(200);
        long.history.push(said(20, &"word ".repeat(500)));
        assert!(long.assemble(&words).is_err());
        for context in 0..200 {
            // Whatever the model holds, nothing panics and nothing exceeds it.
            if let Ok(prompt) = material(context).assemble(&words) {
                let tokens = prompt.inspect["tokens"]["prompt_estimate"].as_u64().unwrap_or(u64::MAX);
                assert!(tokens as usize + prompt.max_tokens <= context, "{context}: {tokens}");
            }
        }
    }

    #[test]
    fn interjections_count_from_the_end() {
        let mut material = material(2000);
        let add =
            |depth| Interjection { depth, role: Role::System, name: "x".into(), text: format!("at {depth}") };
        let mut first = add(1);
        first.text = "first at 1".into();
        material.interjections = vec![add(0), first, add(1), add(1000)];
        let prompt = material.assemble(&words).expect("it fits");
        let texts: Vec<&str> = prompt.messages.iter().map(|message| message.content.as_str()).collect();
        let [_, oldest, .., first, second, latest, last] = texts.as_slice() else { panic!("{texts:?}") };
        assert_eq!((*oldest, *last), ("at 1000", "at 0"), "{texts:?}");
        assert_eq!((*first, *second), ("first at 1", "at 1"), "{texts:?}");
        assert!(!latest.starts_with("at"), "what was said last stands between: {texts:?}");
    }
}

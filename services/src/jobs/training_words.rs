//! Words of a training: its name, what the character is called by in prompts, and what sample pictures are drawn of.

use actors::content_rules::{self, ContentRating};
use actors::job_scheduler::with_trigger;
use serde_json::Value as Json;

use crate::error::ServiceError;
use crate::jobs::job_prompts::PROMPT_CHARS_MAX;

/// Longest name and trigger word, in characters.
const NAME_CHARS_MAX: usize = 60;

/// A word that is one in a file's name and in a prompt.
pub(super) fn simple(field: &str, text: &str) -> Result<String, ServiceError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let count = text.chars().count();
    if count == 0 || count > NAME_CHARS_MAX || !text.chars().all(fits) {
        let reason = format!("1 to {NAME_CHARS_MAX} letters, digits, hyphens and underscores are taken");
        return Err(ServiceError::field(field, reason));
    }
    Ok(text.to_string())
}

/// A word like that of a name; none where it has neither a letter of a to z nor a digit.
pub(super) fn slug(name: &str) -> Option<String> {
    let kept = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' })
        .collect::<String>();
    let word = kept.split_whitespace().collect::<Vec<_>>().join("_");
    Some(word.chars().take(NAME_CHARS_MAX).collect::<String>()).filter(|word| !word.is_empty())
}

/// What sample pictures are drawn of. It is a prompt, so that the rules of prompts hold for it, whatever captions there
/// are; the name and the trigger word stand in later prompts.
pub(super) fn sample_prompt(
    rating: ContentRating,
    trigger: &str,
    name: &str,
    tags: &str,
) -> Result<String, ServiceError> {
    for (field, words) in [("name", name), ("trigger_word", trigger)] {
        content_rules::check(rating, field, words)?;
    }
    let prompt = with_trigger(trigger, tags);
    if prompt.chars().count() > PROMPT_CHARS_MAX {
        let reason = format!("those of the character are longer than {PROMPT_CHARS_MAX} characters");
        return Err(ServiceError::field("appearance_tags", reason));
    }
    content_rules::check(rating, "appearance_tags of the character", &prompt)?;
    Ok(prompt)
}

/// What is known of the character's looks, as tags.
pub(super) fn tags(character: &Json) -> String {
    let tags = character["appearance_tags"].as_array().into_iter().flatten().filter_map(Json::as_str);
    tags.map(str::trim).filter(|tag| !tag.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_pictures_are_drawn_by_the_rules_of_prompts() {
        let of = |rating, trigger: &str, name: &str, tags: &str| sample_prompt(rating, trigger, name, tags);
        let (sfw, nsfw) = (ContentRating::Sfw, ContentRating::Nsfw);
        assert_eq!(of(sfw, "zum", "zum", "blue ball").ok().as_deref(), Some("zum, blue ball"));
        assert!(of(sfw, "zum", "zum", "completely naked").is_err());
        assert!(of(nsfw, "zum", "zum", "naked").is_ok());
        assert!(of(nsfw, "zum", "zum", "a child").is_err());
        assert!(of(ContentRating::Lowered, "zum", "zum", "a child").is_err());
        assert!(of(sfw, "naked", "zum", "").is_err() && of(sfw, "zum", "naked_zum", "").is_err());
        assert!(of(sfw, "zum", "zum", &"ball ".repeat(PROMPT_CHARS_MAX)).is_err());
    }

    #[test]
    fn names_become_words() {
        assert_eq!(slug("Mira of the Lighthouse").as_deref(), Some("mira_of_the_lighthouse"));
        assert_eq!(slug("猫"), None);
        assert!(
            simple("name", "../x").is_err() && simple("name", "").is_err() && simple("name", "a_b-1").is_ok()
        );
    }
}

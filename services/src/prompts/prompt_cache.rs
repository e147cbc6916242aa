//! Active templates and negative prompts in one document, `system_config.config.promptCache`.

use std::collections::BTreeSet;

use actors::catalog::merge_config::MergeConfig;
use serde_json::{Map, Value as Json, json};
use store::query::Query;

use crate::context::Context;
use crate::error::ServiceError;
use crate::prompts::templates;
use crate::rows::position;

/// Rows of each kind.
const ROWS_MAX: u64 = 1000;
const VERSION: &str = "2.1.0";

/// Words that make a prompt nsfw, beside those of the templates.
const TERMS: [&str; 14] = [
    "nude",
    "naked",
    "explicit",
    "sexual",
    "erotic",
    "sensual",
    "topless",
    "lingerie",
    "seductive",
    "provocative",
    "porn",
    "orgasm",
    "intercourse",
    "nsfw",
];
/// What makes a word of an nsfw template a term.
const PARTS: [&str; 4] = ["sex", "adult", "explicit", "intimate"];

/// Writes the cache anew from the tables; answers with it.
pub async fn refresh(context: &Context) -> Result<Json, ServiceError> {
    let active = |table| {
        Query::all(position(table))
            .equal("is_active", models::Value::Bool(true))
            .order("updated_at", false)
            .limit(ROWS_MAX)
    };
    let templates = context.rows(active("prompt_templates")).await?;
    let negatives = context.rows(active("negative_prompts").order("priority", true)).await?;
    let mut cache = cache(&templates, &negatives);
    let hash = blake3::hash(cache.to_string().as_bytes()).to_hex().to_string();
    let now = chrono::Utc::now().to_rfc3339();
    let terms = cache["nsfwTerms"].as_array().map_or(0, Vec::len);
    cache["metadata"] = json!({
        "refreshed_at": now, "template_count": templates.len(), "negative_prompt_count": negatives.len(),
        "nsfw_term_count": terms, "cache_version": VERSION, "integrity_hash": hash,
    });
    let mut members = Map::new();
    members.insert("promptCache".into(), cache.clone());
    members.insert("cacheLastRefreshed".into(), json!(now));
    members.insert("cacheVersion".into(), json!(VERSION));
    context.ask(MergeConfig { members, action: "refresh_prompt_cache" }).await?;
    Ok(cache)
}

/// The cache without its metadata: `enhancement[target_model][job_type][use_case][content_mode]`,
/// `chat[content_mode][use_case]` and `negatives[model_type][content_mode][generation_mode]`. Of rows for the same place the newest counts.
fn cache(templates: &[Json], negatives: &[Json]) -> Json {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
    let mut enhancement = json!({});
    let mut chat = json!({});
    for row in templates {
        let (mode, use_case) = (text(&row["content_mode"]), text(&row["use_case"]));
        if row["job_type"] == "chat" {
            *slot(&mut chat, &[&mode, &use_case]) = row.clone();
        } else {
            let (target, job) = (text(&row["target_model"]), text(&row["job_type"]));
            *slot(&mut enhancement, &[&target, &job, &use_case, &mode]) = row.clone();
        }
    }
    let mut negative = json!({});
    for row in negatives {
        let keys = [text(&row["model_type"]), text(&row["content_mode"]), text(&row["generation_mode"])];
        let place = slot(&mut negative, &[&keys[0], &keys[1], &keys[2]]);
        let prompt = text(&row["negative_prompt"]);
        *place = match place.as_str() {
            Some(before) => json!(format!("{before}, {prompt}")),
            None => json!(prompt),
        };
    }
    json!({
        "templateCache": {"enhancement": enhancement, "chat": chat},
        "negativeCache": negative,
        "nsfwTerms": terms(templates),
    })
}

/// The place at the end of a path, made if it is not there.
fn slot<'c>(cache: &'c mut Json, path: &[&str]) -> &'c mut Json {
    path.iter().fold(cache, |place, key| {
        if !place.is_object() {
            *place = json!({});
        }
        &mut place[*key]
    })
}

/// Whether a text has a word that the cache of a configuration lists as nsfw, as a word of its own.
pub(crate) fn has_nsfw_term(config: &Json, text: &str) -> bool {
    let Some(terms) = templates::prompt_cache(config).and_then(|cache| cache["nsfwTerms"].as_array()) else {
        return false;
    };
    let text = text.to_lowercase();
    let words: BTreeSet<&str> =
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    terms.iter().filter_map(Json::as_str).any(|term| words.contains(term.to_lowercase().as_str()))
}

fn terms(templates: &[Json]) -> BTreeSet<String> {
    let mut terms: BTreeSet<String> = TERMS.iter().map(ToString::to_string).collect();
    for row in templates.iter().filter(|row| row["content_mode"] == "nsfw") {
        let prompt = row["system_prompt"].as_str().unwrap_or_default().to_lowercase();
        for word in prompt.split(|letter: char| !letter.is_alphabetic()) {
            if word.chars().count() > 3 && PARTS.iter().any(|part| word.contains(part)) {
                terms.insert(word.to_string());
            }
        }
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_find_their_places() {
        let template = |target: Json, job: &str, case: &str, mode: &str, text: &str| json!({"target_model": target, "job_type": job, "use_case": case, "content_mode": mode, "system_prompt": text});
        let negative = |prompt: &str| json!({"model_type": "sdxl", "content_mode": "sfw", "generation_mode": "txt2img", "negative_prompt": prompt});
        let cache = cache(
            &[
                template(json!("sdxl"), "image", "enhancement", "sfw", "old"),
                template(json!("sdxl"), "image", "enhancement", "sfw", "new"),
                template(Json::Null, "chat", "general", "nsfw", "sexuality of adults"),
            ],
            &[negative("blurry"), negative("text")],
        );
        let templates = &cache["templateCache"];
        assert_eq!(templates["enhancement"]["sdxl"]["image"]["enhancement"]["sfw"]["system_prompt"], "new");
        assert_eq!(templates["chat"]["nsfw"]["general"]["use_case"], "general");
        assert_eq!(cache["negativeCache"]["sdxl"]["sfw"]["txt2img"], "blurry, text");
        let terms = cache["nsfwTerms"].to_string();
        assert!(terms.contains("sexuality") && terms.contains("adults") && terms.contains("nude"));
    }

    #[test]
    fn cached_terms_are_found_as_whole_words() {
        let cache =
            json!({"templateCache": {}, "negativeCache": {}, "metadata": {}, "nsfwTerms": ["sensual"]});
        let config = json!({ "promptCache": cache });
        assert!(has_nsfw_term(&config, "A Sensual, slow dance"));
        assert!(!has_nsfw_term(&config, "consensual agreements"));
        assert!(!has_nsfw_term(&json!({}), "sensual"), "without a cache there are no terms");
    }
}

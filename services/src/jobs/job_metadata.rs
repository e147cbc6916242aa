//! Documents that clients send with a job: members that are read, of which kind they are, and those that nothing reads.

use models::value_words::{Takes, is_none_of};
use serde_json::{Map, Value as Json};

use crate::error::ServiceError;
use crate::jobs::depicted_characters::{CHARACTERS, PLACES};

/// Longest name that a warning repeats, in characters.
const NAME_CHARS_MAX: usize = 60;
/// Members that are named one by one; the rest are counted.
const NAMED_MAX: usize = 20;
/// What is read of the metadata of a job, beside those that name a character or a place of one.
const METADATA: [(&str, Takes); 24] = [
    ("reference_image_url", Takes::Text),
    ("start_reference_url", Takes::Text),
    ("end_reference_url", Takes::Text),
    ("reference_mode", Takes::Text),
    ("reference_type", Takes::Text),
    ("exact_copy_mode", Takes::Flag),
    ("originalEnhancedPrompt", Takes::Text),
    ("contentType", Takes::Text),
    ("enhancement_model", Takes::Text),
    ("user_requested_enhancement", Takes::Flag),
    ("skip_enhancement", Takes::Flag),
    ("aspect_ratio", Takes::Text),
    ("num_images", Takes::Whole),
    ("num_characters", Takes::Number),
    ("seed", Takes::Seed),
    ("steps", Takes::Whole),
    ("guidance_scale", Takes::Number),
    ("negative_prompt", Takes::Text),
    ("compel_enabled", Takes::Flag),
    ("compel_weights", Takes::Anything),
    ("consistency_method", Takes::Text),
    ("destination", Takes::Text),
    ("source", Takes::Text),
    ("provider", Takes::Text),
];
/// What is read of a key frame.
const KEYFRAME: [&str; 4] = ["prompt", "negative_prompt", "seed", "frame"];
/// What is read of a LoRA.
const LORA: [&str; 3] = ["name", "scale", "weight"];
/// Shapes that a job may name.
const ASPECT_RATIOS: [&str; 3] = ["1:1", "16:9", "9:16"];

/// Brings the members of a job's metadata to their places, whatever the spelling, and refuses those that are not of their
/// kind. Answers with warnings about the rest, which is kept with the job all the same.
pub(crate) fn settle_metadata(metadata: &mut Map<String, Json>) -> Result<Vec<String>, ServiceError> {
    let more = CHARACTERS.iter().chain(PLACES.iter().map(|(name, _)| name));
    let names: Vec<&str> = METADATA.iter().map(|(name, _)| name).chain(more).copied().collect();
    let unknown = settle(metadata, &names);
    for (name, takes) in METADATA {
        let given = metadata.get(name).unwrap_or(&Json::Null);
        takes.check(given).map_err(|reason| ServiceError::field(format!("metadata.{name}"), reason))?;
    }
    let mut warnings = named(&unknown, "metadata", "kept with the job, and nothing reads it");
    if let Some(ratio) = metadata.get("aspect_ratio").and_then(Json::as_str)
        && !ratio.is_empty()
        && !ASPECT_RATIOS.contains(&ratio)
    {
        let reason = is_none_of(ratio, &ASPECT_RATIOS);
        warnings.push(format!("metadata.aspect_ratio: {reason}, so the picture is square"));
    }
    Ok(warnings)
}

/// The same for a list of objects: `keyframes`, `loras`. What is no list of objects is left to those who read it.
pub(crate) fn settle_list(field: &str, list: &mut Json) -> Vec<String> {
    let names: &[&str] = if field == "loras" { &LORA } else { &KEYFRAME };
    let mut warnings = Vec::new();
    for (place, item) in list.as_array_mut().into_iter().flatten().enumerate() {
        let Json::Object(members) = item else { continue };
        let unknown = settle(members, names);
        warnings.extend(named(&unknown, &format!("{field}[{place}]"), "an unknown field, not used"));
        if warnings.len() > NAMED_MAX {
            warnings.truncate(NAMED_MAX);
            warnings.push(format!("{field}: more unknown fields, not used"));
            break;
        }
    }
    warnings
}

/// Adds members under the names by which they are known; answers with the names that mean nothing.
fn settle(members: &mut Map<String, Json>, names: &[&str]) -> Vec<String> {
    let (mut unknown, mut renamed) = (Vec::new(), Vec::new());
    for (given, value) in members.iter().filter(|(given, _)| !names.contains(&given.as_str())) {
        match names.iter().find(|name| plain(name) == plain(given)) {
            Some(name) if !members.contains_key(*name) => renamed.push((*name, value.clone())),
            Some(_) => {}
            None => unknown.push(given.clone()),
        }
    }
    for (name, value) in renamed {
        members.insert(name.into(), value);
    }
    unknown
}

/// A name without what tells one spelling from the other.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase).collect()
}

fn named(unknown: &[String], place: &str, fate: &str) -> Vec<String> {
    let shown = |name: &String| name.chars().take(NAME_CHARS_MAX).collect::<String>();
    let mut warnings: Vec<String> =
        unknown.iter().take(NAMED_MAX).map(|name| format!("{place}.{}: {fate}", shown(name))).collect();
    if unknown.len() > NAMED_MAX {
        warnings.push(format!("{place}: {} more, {fate}", unknown.len() - NAMED_MAX));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_taken_in_either_spelling_and_the_rest_is_named() {
        let mut metadata =
            json!({"content_type": "sfw", "startReferenceUrl": "a", "mood": 3, "aspect_ratio": "4:3"});
        let warnings = settle_metadata(metadata.as_object_mut().expect("an object")).expect("it reads");
        assert_eq!(
            (&metadata["contentType"], &metadata["start_reference_url"]),
            (&json!("sfw"), &json!("a"))
        );
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("metadata.mood: kept"), "{warnings:?}");
        assert!(warnings[1].contains("16:9"), "{warnings:?}");
        for (wrong, message) in [
            (json!({"steps": "many"}), r#"metadata.steps: "many" is not a whole number from 0"#),
            (json!({"contentType": 7}), "metadata.contentType: 7 is not a text"),
            (json!({"seed": -5}), "metadata.seed: -5 is not a whole number from 0, or -1 for a random one"),
        ] {
            let error = settle_metadata(&mut wrong.as_object().expect("an object").clone());
            assert_eq!(error.expect_err("refused").to_string(), message);
        }
        let mut keyframes = json!([{"negativePrompt": "x", "promt": "y"}, 7]);
        let warnings = settle_list("keyframes", &mut keyframes);
        assert_eq!(warnings, ["keyframes[0].promt: an unknown field, not used"]);
        assert_eq!(keyframes[0]["negative_prompt"], "x");
    }
}

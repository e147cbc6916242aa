//! Documents that clients send with a job: members that are read, of which kind they are, and those that nothing reads.

use std::collections::BTreeMap;

use models::field_names::{KnownNames, Named, folded, shown_name};
use models::value_words::{Takes, is_none_of};
use serde_json::{Map, Value as Json};

use crate::error::ServiceError;
use crate::jobs::depicted_characters::{CHARACTERS, PLACES};

/// What is read of the metadata of a job, beside those that name a character or a place of one.
const METADATA: [(&str, Takes); 33] = [
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
    ("clip_skip", Takes::Whole),
    ("guidance_scale", Takes::Number),
    ("negative_prompt", Takes::Text),
    ("compel_enabled", Takes::Flag),
    ("compel_weights", Takes::Anything),
    ("compel_config", Takes::Text),
    ("enhancement_preset", Takes::Text),
    ("consistency_method", Takes::Text),
    ("character_lora", Takes::Text),
    ("destination", Takes::Text),
    ("source", Takes::Text),
    ("provider", Takes::Text),
    ("apiModelId", Takes::Text),
    ("model_id", Takes::Text),
    ("model_key", Takes::Text),
    ("duration", Takes::Number),
    ("duration_seconds", Takes::Number),
];
/// What is read of a key frame.
const KEYFRAME: [&str; 4] = ["prompt", "negative_prompt", "seed", "frame"];
/// What is read of a LoRA.
const LORA: [&str; 5] = ["name", "scale", "weight", "text_scale", "blocks"];
/// What is read of a ControlNet.
const CONTROL: [&str; 6] = ["model", "image_url", "scale", "start", "end", "preprocess"];
/// What is read of an IP-Adapter.
const IP_ADAPTER: [&str; 4] = ["model", "image_url", "image_urls", "scale"];
/// What becomes of metadata that is not known.
const KEPT: &str = "kept with the job, and nothing reads it";
/// What becomes of a member of a list that is not known.
const UNKNOWN: &str = "an unknown field, not used";
/// Shapes that a job may name.
const ASPECT_RATIOS: [&str; 3] = ["1:1", "16:9", "9:16"];

/// Brings the members of a job's metadata to their places, whatever the spelling, and refuses those that are not of their
/// kind. Answers with warnings about the rest, which is kept with the job all the same.
pub(crate) fn settle_metadata(metadata: &mut Map<String, Json>) -> Result<Vec<String>, ServiceError> {
    let more = CHARACTERS.iter().chain(PLACES.iter().map(|(name, _)| name));
    let names = KnownNames::of(METADATA.iter().map(|(name, _)| name).chain(more).copied());
    let mut warned = Named::default();
    settle(metadata, &names, &|| "metadata".into(), KEPT, &mut warned);
    for (name, takes) in METADATA {
        let given = metadata.get(name).unwrap_or(&Json::Null);
        takes.check(given).map_err(|reason| ServiceError::field(format!("metadata.{name}"), reason))?;
    }
    let mut warnings = warned.take(|more| format!("metadata: {more} more, {KEPT}"));
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
    let names: &[&str] = match field {
        "loras" => &LORA,
        "controls" => &CONTROL,
        "ip_adapters" => &IP_ADAPTER,
        _ => &KEYFRAME,
    };
    let (names, mut warned) = (KnownNames::of(names.iter().copied()), Named::default());
    for (number, item) in list.as_array_mut().into_iter().flatten().enumerate() {
        if let Json::Object(members) = item {
            settle(members, &names, &|| format!("{field}[{number}]"), UNKNOWN, &mut warned);
        }
    }
    warned.take(|more| format!("{field}: {more} more unknown fields, not used"))
}

/// Adds members under the names by which they are known; warns of names that mean nothing, and of members that are given
/// in two spellings.
fn settle(
    members: &mut Map<String, Json>,
    names: &KnownNames<'_>,
    place: &dyn Fn() -> String,
    fate: &str,
    warned: &mut Named,
) {
    let mut renamed: BTreeMap<&str, (String, Json)> = BTreeMap::new();
    for (given, value) in members.iter().filter(|(given, _)| !names.has(given)) {
        let Some(name) = names.of_letters(&folded(given)) else {
            warned.note(|| format!("{}.{}: {fate}", place(), shown_name(given)));
            continue;
        };
        let known = members.get_key_value(name);
        let before = known.filter(|(_, value)| !value.is_null());
        match before.or(renamed.get(name).map(|(name, value)| (name, value))) {
            None if value.is_null() => {}
            None => {
                renamed.insert(name, (given.clone(), value.clone()));
            }
            Some((_, other)) if value.is_null() || other == value => {}
            Some((other, _)) => {
                let other = shown_name(other);
                warned.note(|| {
                    format!("{}.{}: given beside {other}, and not used", place(), shown_name(given))
                });
            }
        }
    }
    for (name, (_, value)) in renamed {
        members.insert(name.into(), value);
    }
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
        let mut twice = json!({"contentType": "sfw", "content_type": "nsfw", "num_Images": 1, "numImages": 2,
            "seed": null, "Seed": 7, "steps": 3, "Steps": 3});
        let warnings = settle_metadata(twice.as_object_mut().expect("an object")).expect("it reads");
        assert_eq!(
            warnings,
            [
                "metadata.content_type: given beside contentType, and not used",
                "metadata.numImages: given beside num_Images, and not used"
            ]
        );
        assert_eq!(
            (&twice["contentType"], &twice["num_images"], &twice["seed"]),
            (&json!("sfw"), &json!(1), &json!(7))
        );
        let mut keyframes = json!([{"negativePrompt": "x", "promt": "y"}, 7]);
        let warnings = settle_list("keyframes", &mut keyframes);
        assert_eq!(warnings, ["keyframes[0].promt: an unknown field, not used"]);
        assert_eq!(keyframes[0]["negative_prompt"], "x");
        let mut many = json!(vec![json!({"negativePrompt": "x", "promt": "y"}); 30]);
        let warnings = settle_list("keyframes", &mut many);
        assert_eq!(
            (warnings.len(), warnings[20].as_str()),
            (21, "keyframes: 10 more unknown fields, not used")
        );
        assert_eq!(many[29]["negative_prompt"], "x");
    }
}

//! What a request says that changes nothing of what is drawn: its owner is to know.

use std::ops::RangeInclusive;

use actors::render::PromptSyntax;
use models::value_words::is_none_of;

use crate::jobs::job_prompts::Mode;
use crate::jobs::job_request::JobRequest;

/// Kinds of models, as the documents name them.
const MODEL_TYPES: [&str; 4] = ["sdxl", "rv51", "flux", "wan"];
/// What a picture is kept as, beside the workspace; those of jobs go along without a word.
const DESTINATIONS: [&str; 4] = ["workspace", "library", "character_portrait", "roleplay_scene"];
/// What becomes of a reference.
const REFERENCE_MODES: [&str; 1] = ["modify"];
/// Priorities that are followed.
pub(crate) const PRIORITIES: RangeInclusive<i32> = -10..=10;

/// Warnings about fields of a request that have no effect as they stand together.
pub(crate) fn without_effect(request: &JobRequest, mode: Mode, is_video: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let frames = ["start_reference_url", "end_reference_url"];
    let has_frames = frames.iter().any(|name| request.member(name).is_some());
    let is_drawn_over = match is_video {
        true => has_frames || request.reference_image_url.is_some(),
        false => mode != Mode::FromText,
    };
    if request.reference_image_url.is_some() && !is_drawn_over {
        warnings.push(
            "reference_image_url: not used; a prompt says what is to change, metadata.reference_mode \"modify\" or \
             metadata.exact_copy_mode what becomes of it"
                .into(),
        );
    }
    for (field, given) in [
        ("denoise_strength", request.denoise_strength.is_some()),
        ("reference_strength", request.reference_strength.is_some()),
    ] {
        if given && !is_drawn_over && request.likeness.is_none() {
            warnings.push(format!("{field}: there is no reference picture, so it changes nothing"));
        }
    }
    if request.denoise_strength.is_some() && request.reference_strength.is_some() {
        warnings.push("reference_strength: given beside denoise_strength, and not used".into());
    }
    for field in frames.into_iter().filter(|name| !is_video && request.member(name).is_some()) {
        warnings.push(format!(
            "metadata.{field}: only videos have it; a picture begins with reference_image_url"
        ));
    }
    let asked = request.image_count.or(request.num_images);
    let drawn = u64::from(request.num_images(is_video));
    if let Some(asked) = asked.filter(|asked| *asked != drawn) {
        let field = if request.image_count.is_some() { "image_count" } else { "num_images" };
        warnings.push(match (is_video, request.images_max) {
            (false, Some(most)) if drawn == u64::from(most) => {
                format!("{field}: {asked} is not followed; the model draws {most} at most for one job")
            }
            (true, _) => format!("{field}: {asked} is not followed; a job draws one video"),
            (false, _) => format!(
                "{field}: {asked} draws {drawn}, for it knows 1, 3 and 6; image_count draws exactly as many as it says"
            ),
        });
    }
    warnings.extend(doubly_given(request, is_video));
    for (field, given) in [
        ("hires_scale", request.hires_scale.is_some()),
        ("hires_denoise_strength", request.hires_denoise_strength.is_some()),
        ("hires_steps", request.hires_steps.is_some()),
        ("hires_upscaler", request.hires_upscaler.is_some()),
    ] {
        if given && is_video {
            warnings.push(format!("{field}: only pictures have a second pass, so it changes nothing"));
        } else if given && request.hires_scale.is_none() {
            warnings
                .push(format!("{field}: without hires_scale there is no second pass, so it changes nothing"));
        }
    }
    warnings.extend(unknown_values(request));
    let destination = request.member("destination");
    let draws_a_character = request.metadata.get("character_id").is_some_and(|id| !id.is_null());
    if destination == Some("character_portrait") && !draws_a_character && request.keep_portrait.is_none() {
        warnings.push(
            "metadata.destination: a character_portrait needs character_id; without it the picture is kept in the \
             workspace alone"
                .into(),
        );
    }
    if destination == Some("roleplay_scene")
        && request.metadata.get("scene_id").is_none_or(|id| id.is_null())
        && !(draws_a_character && request.metadata.get("conversation_id").is_some_and(|id| !id.is_null()))
    {
        warnings.push(
            "metadata.destination: a roleplay_scene needs scene_id, or conversation_id and character_id; without them \
             the picture is kept in the workspace alone"
                .into(),
        );
    }
    warnings
}

/// What A1111's `AND` between prompts would do: it draws each with a weight of its own. Here they are one prompt.
pub(crate) fn joined_prompts(prompt: &str, syntax: PromptSyntax) -> Option<String> {
    let mut words = prompt.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    (syntax.is_a1111() && words.any(|word| word == "AND")).then(|| {
        "prompt: AND is read as a word; prompts are not joined by weights as in A1111, BREAK begins a part of its own"
            .to_string()
    })
}

/// What another field of the request decides.
fn doubly_given(request: &JobRequest, is_video: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if request.image_count.is_some() && request.num_images.is_some() {
        warnings.push("num_images: given beside image_count, and not used".into());
    }
    let syntax = request.prompt_syntax.as_deref();
    if let (Some(true), Some(syntax)) = (request.compel_enabled, syntax.filter(|syntax| *syntax != "compel"))
    {
        warnings.push(format!("compel_enabled: prompt_syntax says {syntax}, so it changes nothing"));
    }
    if !is_video && request.quality.as_deref() == Some("high") && request.steps.is_some() {
        warnings.push("quality: steps says how many steps are drawn, so high changes nothing".into());
    }
    warnings
}

/// What is kept with the job, and means nothing here.
fn unknown_values(request: &JobRequest) -> Vec<String> {
    let mut warnings = Vec::new();
    for (field, given, known, instead) in [
        ("model_type", request.model_type.as_deref(), &MODEL_TYPES[..], "it is kept with the job alone"),
        (
            "metadata.destination",
            request.member("destination"),
            &DESTINATIONS[..],
            "the picture is kept in the workspace alone",
        ),
        (
            "metadata.reference_mode",
            request.member("reference_mode"),
            &REFERENCE_MODES[..],
            "it changes nothing",
        ),
    ] {
        if let Some(given) = given.filter(|given| !known.contains(given)) {
            warnings.push(format!("{field}: {}, so {instead}", is_none_of(given, known)));
        }
    }
    if !PRIORITIES.contains(&request.priority) {
        let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
        let taken = request.priority.clamp(*least, *most);
        warnings.push(format!(
            "priority: {} is not within {least} to {most}, so {taken} counts",
            request.priority
        ));
    }
    let is_plain = match request.prompt_syntax.as_deref() {
        Some(syntax) => syntax == "plain",
        None => !request.reads_compel(),
    };
    if request.compel_weights.is_some() && is_plain {
        warnings.push(
            "compel_weights: the prompt is plain (compel_enabled, prompt_syntax), so they change nothing of what is \
             drawn here"
                .into(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn prompts_joined_as_in_a1111_are_warned_of() {
        for (prompt, is_joined) in [
            ("a cat AND a dog", true),
            ("a cat:1.2 AND a dog :0.5", true),
            ("a cat\nAND\na dog", true),
            ("a cat and a dog", false),
            ("SAND, BRAND_AND_NAME", false),
        ] {
            for syntax in [PromptSyntax::A1111, PromptSyntax::A1111Native] {
                assert_eq!(joined_prompts(prompt, syntax).is_some(), is_joined, "{prompt}");
            }
            assert!(joined_prompts(prompt, PromptSyntax::Compel).is_none());
        }
    }

    #[test]
    fn what_changes_nothing_is_said() {
        for (request, is_video, field) in [
            (json!({"denoise_strength": 0.5}), false, Some("denoise_strength")),
            (json!({"reference_strength": 0.5}), false, Some("reference_strength")),
            (json!({"metadata": {"start_reference_url": "a"}}), false, Some("metadata.start_reference_url")),
            (json!({"metadata": {"start_reference_url": "a"}, "denoise_strength": 0.5}), true, None),
            (json!({"metadata": {"destination": "character_portrait"}}), false, Some("metadata.destination")),
            (json!({"metadata": {"destination": "roleplay_scene"}}), false, Some("metadata.destination")),
            (json!({"num_images": 2}), false, Some("num_images")),
            (json!({"num_images": 3}), true, Some("num_images")),
            (json!({"num_images": 3}), false, None),
            (json!({"image_count": 2}), false, None),
            (json!({"reference_image_url": "a"}), false, Some("reference_image_url")),
            (json!({"reference_image_url": "a", "prompt": "b", "denoise_strength": 0.5}), false, None),
        ] {
            let read: JobRequest = serde_json::from_value(request.clone()).expect("a request");
            let warnings = without_effect(&read, Mode::of(&read), is_video);
            let named: Vec<Json> =
                warnings.iter().filter_map(|it| Some(json!(it.split_once(": ")?.0))).collect();
            assert_eq!(named, field.map(|field| json!(field)).into_iter().collect::<Vec<_>>(), "{request}");
        }
    }
}

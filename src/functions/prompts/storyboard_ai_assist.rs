//! storyboard-ai-assist: a plan of beats, prompts for clips, the kind of the next clip, a richer prompt.

use actors::content_rules::{self, ContentRating};
use actors::conversation::sheet::each_text;
use actors::language::{Chosen, Wanted};
use actors::storyboard::clip_kinds::{Position, recommended};
use models::field_names::is_same_name;
use models::value_words::{Takes, is_none_of};
use serde_json::{Value as Json, json};
use services::ServiceError;
use services::age_gate;
use services::context::Context;
use services::ids::uuid;
use services::prompts::ask_model::{self, Question};
use services::prompts::templates;
use services::storyboards::{apply_proposal, owned};
use uuid::Uuid;

use crate::functions::actions::Actions;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::{self, Field};

/// Seconds of one beat.
const BEAT_S: f64 = 5.0;
const BEATS_MAX: usize = 60;
const PROMPTS: usize = 3;
/// Longest input, in characters.
const CHARS_MAX: usize = 8000;

const PLAN: &str = "Divide the story into beats for a short film, as JSON.";
const SUGGEST: &str = "Write prompts for the next clip of a storyboard, as JSON.";
const ENHANCE: &str =
    "Make the prompt of a film clip richer: movement, camera, light. Answer with the prompt alone.";

/// What can be asked for. Prompts are suggested by whatever is told.
const ACTIONS: Actions = Actions(&[
    (
        "story_plan",
        &[
            "targetDuration",
            "duration",
            "durationSeconds",
            "targetDurationSeconds",
            "title",
            "description",
            "projectDescription",
            "story",
            "aiStoryPrompt",
            "prompt",
            "projectId",
            "apply",
        ],
    ),
    ("suggest_prompts", &[]),
    (
        "recommend_clip_type",
        &[
            "clipIndex",
            "totalClips",
            "previousClipType",
            "hasMotionPreset",
            "motionPreset",
            "motionPresetId",
            "isFirstClip",
            "isLastClip",
            "position",
        ],
    ),
    ("enhance_prompt", &["prompt", "originalPrompt", "sceneId", "apply"]),
]);
/// How clips are made, and what each is for.
const CLIPS: [(&str, &str); 5] = [
    ("quick", "a short clip that begins with a picture"),
    ("extended", "goes on from the last frame of the clip before"),
    ("controlled", "follows the movement of a motion preset"),
    ("long", "one take that is extended until the scene is told"),
    ("keyframed", "passes from one picture to another"),
];
const CLIP_TYPES: [&str; 5] = [CLIPS[0].0, CLIPS[1].0, CLIPS[2].0, CLIPS[3].0, CLIPS[4].0];
/// Where a clip stands in its scene.
const POSITIONS: [&str; 3] = ["first", "middle", "last"];
/// How strong the movement of a prompt is.
const INTENSITIES: [&str; 3] = ["subtle", "moderate", "dramatic"];
/// Seconds of a story.
const SECONDS: [f64; 2] = [1.0, 3600.0];
/// The fields of a request.
const FIELDS: [Field<'static>; 27] = [
    ("projectId", Takes::Uuid),
    ("sceneId", Takes::Uuid),
    ("apply", Takes::Flag),
    ("action", Takes::Text),
    ("params", Takes::Object),
    ("contentTier", Takes::Text),
    ("contentMode", Takes::Text),
    ("targetDuration", Takes::Number),
    ("duration", Takes::Number),
    ("durationSeconds", Takes::Number),
    ("targetDurationSeconds", Takes::Number),
    ("title", Takes::Text),
    ("description", Takes::Text),
    ("projectDescription", Takes::Text),
    ("story", Takes::Text),
    ("aiStoryPrompt", Takes::Text),
    ("prompt", Takes::Text),
    ("originalPrompt", Takes::Text),
    ("clipIndex", Takes::Whole),
    ("totalClips", Takes::Whole),
    ("previousClipType", Takes::Text),
    ("hasMotionPreset", Takes::Flag),
    ("motionPreset", Takes::Anything),
    ("motionPresetId", Takes::Text),
    ("isFirstClip", Takes::Flag),
    ("isLastClip", Takes::Flag),
    ("position", Takes::Anything),
];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let input = &input(&call)?;
    let tier = input["contentTier"].as_str().or(input["contentMode"].as_str());
    let tier = age_gate::rating(&call.context, "contentTier", tier)?;
    let mut words = String::new();
    for (_, value) in said(input) {
        each_text(value, &mut |text| {
            if words.len() < CHARS_MAX {
                words.push_str(text);
                words.push('\n');
            }
        });
    }
    content_rules::check(tier, "the request", &words)?;
    match input["action"].as_str().unwrap_or_default() {
        "" => Err(FunctionError::missing_choice("action", &ACTIONS.names()).with("success", false)),
        "story_plan" => story_plan(&call, input, tier).await,
        "suggest_prompts" => suggest_prompts(&call, input, tier).await,
        "recommend_clip_type" => ok(recommend(input)),
        "enhance_prompt" => enhance_prompt(&call, input, tier).await,
        other => Err(FunctionError::none_of("action", other, &ACTIONS.names()).with("success", false)),
    }
}

/// What is said of the story: all but the fields that say what is to be done with it.
fn said(input: &Json) -> impl Iterator<Item = (&String, &Json)> {
    let of_the_call = |name: &str| {
        matches!(name, "action" | "contentTier" | "contentMode" | "projectId" | "sceneId" | "apply")
    };
    input.as_object().into_iter().flatten().filter(move |(name, _)| !of_the_call(name))
}

/// The fields of a request. Older callers wrap them in `params`.
fn input(call: &Call) -> Result<Json, FunctionError> {
    let given = Json::Object(request_body::object(&call.body)?);
    let takes_all = given["action"] == "suggest_prompts";
    let mut input = known(call, "", &given, takes_all)?;
    let params = input["params"].take();
    for (name, value) in known(call, "params", &params, takes_all)?.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    let action = input["action"].as_str().filter(|action| *action != "suggest_prompts").unwrap_or_default();
    for (place, given) in [("", &given), ("params.", &params)] {
        let unused = given.as_object().map(|given| ACTIONS.unused(given, action)).unwrap_or_default();
        call.warnings.extend(unused.into_iter().map(|field| ACTIONS.warning(place, field, action)));
    }
    if let Some(kind) = input["previousClipType"].as_str().filter(|kind| !CLIP_TYPES.contains(kind)) {
        let reason = is_none_of(kind, &CLIP_TYPES);
        call.warnings.extend([format!("previousClipType: {reason}, so it changes nothing")]);
    }
    if let Some(position) = input["position"].as_str().filter(|position| !POSITIONS.contains(position)) {
        let reason = is_none_of(position, &POSITIONS);
        call.warnings.extend([format!("position: {reason}, so it changes nothing")]);
    }
    Ok(input)
}

/// The fields that an object has; `suggest_prompts` goes by whatever else it is told.
fn known(call: &Call, path: &str, given: &Json, takes_all: bool) -> Result<Json, FunctionError> {
    let names = given.as_object().into_iter().flat_map(|given| given.keys().map(String::as_str));
    let more = names.filter(|name| takes_all && !FIELDS.iter().any(|(known, _)| is_same_name(name, known)));
    let fields: Vec<Field<'_>> =
        FIELDS.iter().copied().chain(more.map(|name| (name, Takes::Anything))).collect();
    call.read_fields_at(path, given, &fields)
}

async fn engine(call: &Call) -> Result<Chosen, FunctionError> {
    let wanted = Wanted { name: None, task: "reasoning", strict: false };
    Ok(call.context.services.chat.engines().choose(wanted).await?)
}

fn text<'j>(input: &'j Json, names: &[&str]) -> &'j str {
    names
        .iter()
        .find_map(|name| input[*name].as_str().map(str::trim).filter(|it| !it.is_empty()))
        .unwrap_or("")
}

/// The row into which a proposal is to be written, where that is asked for; it is looked for before a model is asked.
fn target(
    call: &Call,
    input: &Json,
    field: &str,
    find: impl Fn(&Context, Uuid) -> Result<(), ServiceError>,
) -> Result<Option<Uuid>, FunctionError> {
    if input["apply"] != Json::Bool(true) {
        return Ok(None);
    }
    let id = uuid(&input[field]).ok_or_else(|| FunctionError::missing(&[field]).with("success", false))?;
    find(&call.context, id)?;
    Ok(Some(id))
}

async fn story_plan(call: &Call, input: &Json, tier: ContentRating) -> Outcome {
    let target = target(call, input, "projectId", |context, id| owned::project(context, id).map(|_| ()))?;
    let seconds = ["targetDuration", "duration", "durationSeconds", "targetDurationSeconds"];
    let given = seconds.iter().find_map(|name| Some((*name, input[*name].as_f64()?)));
    let (field, seconds) = given.unwrap_or((seconds[0], 30.0));
    let [least, most] = SECONDS;
    if !(least..=most).contains(&seconds) {
        let error = ServiceError::not_within(field, seconds, least, most);
        return Err(error.with("success", false).into());
    }
    let count = ((seconds / BEAT_S).ceil() as usize).clamp(1, BEATS_MAX);
    let title = text(input, &["title"]);
    let story = text(input, &["aiStoryPrompt", "projectDescription", "description", "story", "prompt"]);
    if title.is_empty() && story.is_empty() {
        return Err(FunctionError::missing(&["projectDescription"]).with("success", false));
    }
    let template = templates::of_use_case(&call.context, "story_plan", tier, PLAN).await?;
    let user = format!("Title: {title}\nStory: {story}\nWrite {count} beats of about {BEAT_S} seconds.");
    let beat = json!({
        "type": "object",
        "properties": {
            "description": {"type": "string"}, "mood": {"type": "string"}, "suggestedPrompt": {"type": "string"},
        },
        "required": ["description", "mood", "suggestedPrompt"],
        "additionalProperties": false,
    });
    let schema = json!({
        "type": "object",
        "properties": {"beats": {"type": "array", "items": beat, "minItems": 1, "maxItems": count}},
        "required": ["beats"],
        "additionalProperties": false,
    });
    let made = match engine(call).await {
        Ok(chosen) => {
            let question =
                Question::new("storyboard-ai-assist", &template.system_prompt, &user, 120 * count.min(16));
            ask_model::object(&call.context, &chosen, question, schema).await.map_err(FunctionError::from)
        }
        Err(error) => Err(error),
    };
    let mut problem = None;
    let mut beats = match made {
        Ok(mut made) => made.said["beats"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        Err(error) => {
            problem = error.body["error"].as_str().map(str::to_string);
            Vec::new()
        }
    };
    beats.truncate(count);
    let allowed = |beat: &Json| {
        let mut fine = true;
        each_text(beat, &mut |text| {
            fine &= content_rules::check(tier.of_own_words(), "a beat", text).is_ok()
        });
        fine
    };
    let is_fallback = beats.is_empty() || !beats.iter().all(allowed);
    if is_fallback {
        let reason = problem.unwrap_or_else(|| "the model wrote none that can be used".into());
        call.warnings.extend([format!("the beats are a plain division of the story: {reason}")]);
        let about = if story.is_empty() { title } else { story };
        let part = |number: usize| json!({"description": format!("Part {} of {count}: {about}", number + 1), "mood": "neutral", "suggestedPrompt": about});
        beats = (0..count).map(part).collect();
    }
    for (number, beat) in beats.iter_mut().enumerate() {
        let start = number as f64 * BEAT_S;
        beat["beatNumber"] = json!(number + 1);
        beat["timestamp"] = json!(start);
        let length = (seconds - start).clamp(1.0, BEAT_S);
        beat["duration"] = json!(length);
        beat["suggestedDuration"] = json!(length);
        beat["suggestedClipType"] = json!(if number == 0 { "quick" } else { "extended" });
    }
    let scenes: Vec<Json> = beats
        .chunks(3)
        .enumerate()
        .map(|(number, beats)| {
            json!({
                "sceneNumber": number + 1,
                "title": format!("Scene {}", number + 1),
                "description": beats[0]["description"],
                "beats": beats.iter().map(|beat| beat["beatNumber"].clone()).collect::<Vec<_>>(),
                "targetDuration": beats.iter().filter_map(|beat| beat["duration"].as_f64()).sum::<f64>(),
            })
        })
        .collect();
    let mut answer =
        json!({"success": true, "storyBeats": beats, "sceneBreakdown": scenes, "fallback": is_fallback});
    if let Some(project) = target {
        let made = apply_proposal::plan(&call.context, project, &beats, &scenes).await?;
        answer["applied"] = json!({"project_id": project, "scene_ids": made});
    }
    ok(answer)
}

async fn suggest_prompts(call: &Call, input: &Json, tier: ContentRating) -> Outcome {
    let target = target(call, input, "sceneId", |context, id| owned::scene(context, id).map(|_| ()))?;
    let mut known = Vec::new();
    for (name, value) in said(input) {
        let mut texts = Vec::new();
        each_text(value, &mut |text| texts.push(text.to_string()));
        if !texts.is_empty() {
            known.push(format!("{name}: {}", texts.join(", ")));
        }
    }
    let user: String = known.join("\n").chars().take(CHARS_MAX).collect();
    let template = templates::of_use_case(&call.context, "suggest_prompts", tier, SUGGEST).await?;
    let item = json!({
        "type": "object",
        "properties": {
            "prompt": {"type": "string"}, "intensity": {"enum": INTENSITIES}, "description": {"type": "string"},
        },
        "required": ["prompt", "intensity", "description"],
        "additionalProperties": false,
    });
    let schema = json!({
        "type": "object",
        "properties": {"prompts": {"type": "array", "items": item, "minItems": PROMPTS, "maxItems": PROMPTS}},
        "required": ["prompts"],
        "additionalProperties": false,
    });
    let chosen = engine(call).await?;
    let question = Question::new("storyboard-ai-assist", &template.system_prompt, &user, 500);
    let made = ask_model::object(&call.context, &chosen, question, schema).await?;
    let prompts = suggestions(&made.said["prompts"]);
    let mut refused = Ok(());
    for prompt in &prompts {
        each_text(prompt, &mut |text| {
            if refused.is_ok() {
                refused = content_rules::check(tier.of_own_words(), "a prompt", text);
            }
        });
    }
    refused?;
    if let Some(scene) = target {
        apply_proposal::prompts(&call.context, scene, &prompts).await?;
    }
    ok(json!({
        "success": true, "prompts": prompts, "suggestions": prompts, "model_used": made.model,
        "applied": target.map(|scene| json!({"scene_id": scene})),
    }))
}

/// What a model suggests, in the shape that screens read; servers elsewhere answer with plain texts at times.
fn suggestions(made: &Json) -> Vec<Json> {
    let mut suggestions = Vec::new();
    for (place, made) in made.as_array().into_iter().flatten().take(PROMPTS).enumerate() {
        let prompt = made.as_str().or(made["prompt"].as_str()).map(str::trim).unwrap_or_default();
        if prompt.is_empty() {
            continue;
        }
        let intensity = made["intensity"].as_str().filter(|given| INTENSITIES.contains(given));
        let description = made["description"].as_str().map(str::trim).filter(|text| !text.is_empty());
        suggestions.push(json!({
            "prompt": prompt, "intensity": intensity.unwrap_or(INTENSITIES[place.min(INTENSITIES.len() - 1)]),
            "description": description.unwrap_or(prompt),
        }));
    }
    suggestions
}

/// Rules, no model: how the next clip is best made.
fn recommend(input: &Json) -> Json {
    let place = input["position"].as_str().unwrap_or_default();
    // A number counts clips from 0; in the middle there is at least one before.
    let index = input["clipIndex"].as_u64().or(input["position"].as_u64());
    let index = index.unwrap_or(u64::from(matches!(place, "middle" | "last")));
    let total = input["totalClips"].as_u64().unwrap_or(0);
    let before = text(input, &["previousClipType"]);
    let has_motion = input["hasMotionPreset"] == Json::Bool(true)
        || input["motionPreset"].is_object()
        || !text(input, &["motionPreset", "motionPresetId"]).is_empty();
    let position = Position {
        index,
        is_first: place == "first" || input["isFirstClip"] == Json::Bool(true),
        is_last: place == "last"
            || input["isLastClip"] == Json::Bool(true)
            || (total > 0 && index + 1 == total),
        before,
        has_motion,
    };
    let (kind, reason) = recommended(position);
    let kind = kind.name();
    let others = CLIPS.into_iter().filter(|(other, _)| *other != kind);
    let alternatives: Vec<Json> =
        others.map(|(kind, description)| json!({"type": kind, "description": description})).collect();
    json!({
        "success": true, "recommended": kind, "recommendedType": kind, "reason": reason, "reasoning": reason,
        "alternatives": alternatives,
        "recommendation": {"recommended": kind, "reason": reason, "alternatives": alternatives},
    })
}

async fn enhance_prompt(call: &Call, input: &Json, tier: ContentRating) -> Outcome {
    let target = target(call, input, "sceneId", |context, id| owned::scene(context, id).map(|_| ()))?;
    let prompt = text(input, &["prompt", "originalPrompt"]);
    if prompt.is_empty() {
        return Err(FunctionError::missing(&["prompt"]).with("success", false));
    }
    let made = match engine(call).await {
        Ok(chosen) => ask_model::text(
            &call.context,
            &chosen,
            Question::new("storyboard-ai-assist", ENHANCE, prompt, 200),
        )
        .await
        .map_err(FunctionError::from),
        Err(error) => Err(error),
    };
    let usable = |made: &String| {
        !made.is_empty() && content_rules::check(tier.of_own_words(), "the prompt", made).is_ok()
    };
    let problem = match &made {
        Ok(made) if usable(&made.said) => None,
        Ok(_) => Some("the model wrote nothing that can be used".to_string()),
        Err(error) => error.body["error"].as_str().map(str::to_string),
    };
    call.warnings.extend(problem.map(|reason| format!("the prompt is as it was: {reason}")));
    let made = made.ok().map(|made| made.said).filter(usable);
    let written = target.zip(made.as_deref());
    if let Some((scene, prompt)) = written {
        apply_proposal::prompt(&call.context, scene, prompt).await?;
    }
    ok(json!({
        "applied": written.map(|(scene, _)| json!({"scene_id": scene})),
        "success": true, "originalPrompt": prompt, "enhancedPrompt": made.as_deref().unwrap_or(prompt),
        "enhanced": made.is_some(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_recommended_by_rule() {
        for (input, kind) in [
            (json!({}), "quick"),
            (json!({"clipIndex": 2, "motionPresetId": "x"}), "controlled"),
            (json!({"clipIndex": 1, "previousClipType": "quick"}), "extended"),
            (json!({"clipIndex": 4, "totalClips": 5, "previousClipType": "extended"}), "quick"),
            (json!({"clipIndex": 2, "totalClips": 5, "previousClipType": "extended"}), "extended"),
            (json!({"position": "first", "previousClipType": "extended"}), "quick"),
            (json!({"position": "middle"}), "extended"),
            (json!({"position": "middle", "hasMotionPreset": true}), "controlled"),
            (json!({"position": "last", "previousClipType": "extended"}), "quick"),
            (json!({"position": 0}), "quick"),
            (json!({"position": 3, "totalClips": 9}), "extended"),
        ] {
            let said = recommend(&input);
            assert_eq!(said["recommended"], kind, "{input}");
            let others = said["alternatives"].as_array().expect("others");
            assert_eq!(others.len(), CLIPS.len() - 1);
            assert!(others.iter().all(|other| other["type"] != kind && other["description"].is_string()));
        }
    }

    #[test]
    fn suggestions_have_one_shape_whoever_made_them() {
        let made =
            json!([{"prompt": " a walk ", "intensity": "wild", "description": ""}, "a leap", {"prompt": ""}]);
        let expected = json!([
            {"prompt": "a walk", "intensity": "subtle", "description": "a walk"},
            {"prompt": "a leap", "intensity": "moderate", "description": "a leap"},
        ]);
        assert_eq!(json!(suggestions(&made)), expected);
    }
}

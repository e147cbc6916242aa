//! StoryBuild: a text becomes characters, a script and scenes; in full mode the scenes are planned and tested, and the
//! script is written again where they are not good enough.

use serde_json::{Value as Json, json};
use webtoon::offline;
use webtoon::planning::beats::classify_silence;

use super::ask::{self, NodeQuestion, ask};
use super::run::{Run, Step, Stop};
use super::story::{RETRIES_MAX, Story};
use super::story_persist::persist;
use super::story_review::{Verdict, plan_and_review};
use super::{StoryBuild, genre_of, panels_of};
use crate::error::ServiceError;

/// Characters from the populator on.
const POPULATED_MAX: usize = 4;
/// Beats that a model writes for a scene.
const BEATS_PER_SCENE: usize = 3;
const SYSTEM: &str =
    "You adapt stories into webtoons. You invent no characters and no events that the story does not have.";

/// Runs the graph; answers with the ids of scenes and characters.
pub async fn run(run: &mut Run, build: &StoryBuild) -> Result<Json, Stop> {
    let total = super::queue::total_steps(build);
    let genre = genre_of(build.story_style.as_deref());
    let panels = panels_of(build.panel_count, &genre);
    let step = Step { story: build.story_id, number: 1, total };
    let story = Story { build, genre, panels, step };
    run.progress(story.step(1), "ValidateStoryInputs", "checking the request").await?;
    if build.story_text.trim().is_empty() {
        return Err(run.failed("ValidateStoryInputs", ServiceError::bad("the story is empty")));
    }
    if run.done("ValidateStoryInputs").is_none() {
        let result =
            json!({"genre": story.genre, "panel_count": story.panels, "max_scenes": build.max_scenes});
        run.record("ValidateStoryInputs", result, Vec::new()).await?;
    }
    run.progress(story.step(2), "StoryPopulator", "reading the story").await?;
    let populated = populate(run, build).await?;
    run.progress(story.step(3), "LLMCharacterExtractor", "finding characters").await?;
    let extracted = extract(run, build, &populated).await?;
    run.progress(story.step(4), "LLMCharacterProfileNormalizer", "settling characters").await?;
    let characters = settle(run, &extracted, build).await?;
    let mut feedback: Vec<String> = Vec::new();
    let mut round = 0;
    loop {
        run.progress(story.step(5), "WebtoonScriptWriter", "writing the script").await?;
        let script = script(run, &story, &feedback, round).await?;
        let splitter = if build.full { "StudioDirector" } else { "SceneSplitter" };
        run.progress(story.step(6), splitter, "cutting the script into scenes").await?;
        let (script, rewrite) = direct(run, &story, script, round).await?;
        if let Some(reason) = rewrite
            && round < RETRIES_MAX
        {
            feedback.push(reason);
            round += 1;
            continue;
        }
        run.progress(story.step(7), "PersistStoryBundle", "writing scenes and characters").await?;
        let bundle = persist(run, &story, &script, &characters, round).await?;
        if !build.full {
            return Ok(bundle);
        }
        match plan_and_review(run, &story, &bundle, round).await? {
            Verdict::Passed(result) => return Ok(result),
            Verdict::Rewrite(reason) => {
                feedback.push(reason);
                round += 1;
            }
        }
    }
}

/// Who is in the story, as far as a first reading tells. The text stays as it is: what a model adds is not the story's.
async fn populate(run: &mut Run, build: &StoryBuild) -> Result<Json, Stop> {
    if let Some(known) = run.done("StoryPopulator") {
        return Ok(known);
    }
    let max = build.max_characters.min(POPULATED_MAX);
    let result = match run.offline {
        true => json!({"characters": offline::characters::extract(&build.story_text, max)}),
        false => {
            let character = ask::object(&[("name", ask::text()), ("description", ask::text())]);
            let question = NodeQuestion {
                node: "StoryPopulator",
                system: SYSTEM,
                user: format!("Name at most {max} characters of this story.\n\n{}", build.story_text),
                members: vec![("characters", ask::list(character))],
                max_tokens: 600,
            };
            let said = ask(run, question, |_| Ok(())).await?;
            json!({"characters": said["characters"]})
        }
    };
    run.record("StoryPopulator", result, Vec::new()).await
}

async fn extract(run: &mut Run, build: &StoryBuild, populated: &Json) -> Result<Json, Stop> {
    if let Some(known) = run.done("LLMCharacterExtractor") {
        return Ok(known);
    }
    let max = build.max_characters.min(POPULATED_MAX);
    let result = match run.offline {
        true => json!({"characters": offline::characters::extract(&build.story_text, max)}),
        false => {
            let character = ask::object(&[
                ("name", ask::text()),
                ("role", ask::one_of(&["protagonist", "antagonist", "secondary"])),
                ("gender", ask::one_of(&["male", "female", "non_binary", "unspecified"])),
                (
                    "age_range",
                    ask::one_of(&["child", "teen", "young_adult", "adult", "middle_aged", "elderly"]),
                ),
                ("description", ask::text()),
                ("hair_description", ask::text()),
                ("base_outfit", ask::text()),
            ]);
            let question = NodeQuestion {
                node: "LLMCharacterExtractor",
                system: SYSTEM,
                user: format!(
                    "Describe at most {max} characters as they are drawn.\nKnown: {}\n\n{}",
                    populated["characters"], build.story_text
                ),
                members: vec![("characters", ask::list(character))],
                max_tokens: 1200,
            };
            ask(run, question, |said| {
                let named = said["characters"].as_array().into_iter().flatten();
                let named =
                    named.filter(|it| it["name"].as_str().is_some_and(|name| !name.trim().is_empty()));
                if named.count() == 0 { Err("no character has a name".into()) } else { Ok(()) }
            })
            .await?
        }
    };
    run.record("LLMCharacterExtractor", result, Vec::new()).await
}

/// Characters as they are kept. Their words are settled by rule; a model has described them before.
async fn settle(run: &mut Run, extracted: &Json, build: &StoryBuild) -> Result<Vec<Json>, Stop> {
    let known = match run.done("LLMCharacterProfileNormalizer") {
        Some(known) => known,
        None => {
            let written = extracted["characters"].as_array().cloned().unwrap_or_default();
            let max = build.max_characters.min(POPULATED_MAX);
            let result = json!({"characters": offline::characters::normalize(&written, max)});
            run.record("LLMCharacterProfileNormalizer", result, Vec::new()).await?
        }
    };
    Ok(known["characters"].as_array().cloned().unwrap_or_default())
}

async fn script(run: &mut Run, story: &Story<'_>, feedback: &[String], round: u32) -> Result<Json, Stop> {
    let node = format!("WebtoonScriptWriter#{round}");
    if let Some(known) = run.done(&node) {
        return Ok(known);
    }
    let build = story.build;
    let text = &build.story_text;
    let result = match run.offline {
        true => offline::script::write(text, build.max_scenes),
        false => {
            let most = build.max_scenes * BEATS_PER_SCENE;
            let beat = ask::object(&[
                ("beat_type", ask::one_of(&["initial", "escalation", "peak", "release", "hook"])),
                ("emotional_intensity", ask::number()),
                ("action_complexity", json!({"type": "integer"})),
                ("visual_action", ask::text()),
                ("dialogue", ask::text()),
                ("sfx", ask::text()),
                ("silence_candidate", json!({"type": "boolean"})),
            ]);
            let mut beats = ask::list(beat);
            beats["minItems"] = json!(1);
            beats["maxItems"] = json!(most);
            let mut user = format!("Genre: {}. Write at most {most} visual beats.", story.genre);
            for (number, reason) in (1..).zip(feedback) {
                user.push_str(&format!("\nDraft {number} was sent back: {reason}"));
            }
            user.push_str(&format!("\n\n{text}"));
            // Every draft before is shown, so that none comes back.
            for earlier in 0..round {
                if let Some(draft) = run.done(&format!("WebtoonScriptWriter#{earlier}")) {
                    let shown: String = draft["visual_beats"].to_string().chars().take(4000).collect();
                    user.push_str(&format!("\n\nDraft {}: {shown}", earlier + 1));
                }
            }
            let question = NodeQuestion {
                node: "WebtoonScriptWriter",
                system: SYSTEM,
                user,
                members: vec![("episode_intent", ask::text()), ("visual_beats", beats)],
                max_tokens: 250 * most.min(30) + 200,
            };
            ask(run, question, |said| {
                let beats = said["visual_beats"].as_array().into_iter().flatten();
                let shown = beats
                    .filter(|beat| beat["visual_action"].as_str().is_some_and(|it| !it.trim().is_empty()));
                if shown.count() == 0 { Err("no beat shows anything".into()) } else { Ok(()) }
            })
            .await?
        }
    };
    run.record(&node, result, Vec::new()).await
}

/// Full mode: silent beats lose their dialogue, and the director takes the script or sends it back with a reason.
async fn direct(
    run: &mut Run,
    story: &Story<'_>,
    script: Json,
    round: u32,
) -> Result<(Json, Option<String>), Stop> {
    if !story.build.full {
        return Ok((script, None));
    }
    let node = format!("StudioDirector#{round}");
    let result = match run.done(&node) {
        Some(known) => known,
        None => {
            let mut script = script;
            let mut beats = script["visual_beats"].as_array().cloned().unwrap_or_default();
            classify_silence(&mut beats);
            script["visual_beats"] = json!(beats);
            // Without a model nothing else would come of a second draft.
            let mut verdict = json!({"action": "approve", "feedback": ""});
            if !run.offline {
                let question = NodeQuestion {
                    node: "StudioDirector",
                    system: "You direct webtoons. Approve a script or send it back with one clear reason.",
                    user: format!("Story:\n{}\n\nScript:\n{script}", story.build.story_text),
                    members: vec![
                        ("action", ask::one_of(&["approve", "rewrite"])),
                        ("feedback", ask::text()),
                    ],
                    max_tokens: 200,
                };
                verdict = ask(run, question, |_| Ok(())).await?;
            }
            let result =
                json!({"script": script, "action": verdict["action"], "feedback": verdict["feedback"]});
            run.record(&node, result, Vec::new()).await?
        }
    };
    let rewrite = (result["action"] == "rewrite")
        .then(|| result["feedback"].as_str().unwrap_or("the director sent it back").to_string());
    Ok((result["script"].clone(), rewrite))
}

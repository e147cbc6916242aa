//! The second half of a full StoryBuild: visual plans, planning scene by scene, blind tests, the gate and the critic.

use actors::job_scheduler::NodeWrite;
use models::Value;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use webtoon::offline;
use webtoon::planning::transitions::{closure_plan, transition_map};
use webtoon::review::gate::{self, Measured};
use webtoon::text::importance::Importance;

use super::ask::{self, NodeQuestion, ask};
use super::run::{Kept, Run, Stop, artifact};
use super::scene_plan::{PlanInput, Planned, plan};
use super::story::{RETRIES_MAX, Story};
use super::story_persist::ids;
use crate::webtoon::scenes;

/// What comes of a review.
pub enum Verdict {
    /// The story is done; with what it came to.
    Passed(Json),
    /// The script is to be written again, for this reason.
    Rewrite(String),
}

/// Plans every scene of a bundle, tests them, and judges the whole.
pub async fn plan_and_review(
    run: &mut Run,
    story: &Story<'_>,
    bundle: &Json,
    round: u32,
) -> Result<Verdict, Stop> {
    let scene_ids = ids(&bundle["scenes"]);
    let characters = scenes::character_names(&run.context, story.build.story_id).await?;
    run.progress(story.step(8), "LLMVisualPlanCompiler", "saying what each scene shows").await?;
    let mut inputs: Vec<PlanInput> = Vec::with_capacity(scene_ids.len());
    for (place, scene) in scene_ids.iter().enumerate() {
        let before = inputs.last().map(|input| input.text.clone());
        let at = (place, scene_ids.len(), before.as_deref());
        inputs.push(visual_plan(run, story, at, *scene, &characters, round).await?);
    }
    let mut planned = Vec::with_capacity(inputs.len());
    let mut templates: Vec<String> = Vec::new();
    for (place, input) in inputs.iter_mut().enumerate() {
        let message = format!("planning scene {} of {}", place + 1, scene_ids.len());
        run.progress(story.step(9), "PerScenePlanningLoop", &message).await?;
        input.before.clone_from(&templates);
        let scene = plan(run, input).await?;
        templates.push(scene.template.clone());
        planned.push(scene);
    }
    hero(run, story, &mut inputs, &mut planned, &mut templates).await?;
    run.progress(story.step(10), "BlindTestRunner", "reading the panels without the text").await?;
    let mut scores = Vec::with_capacity(planned.len());
    for (input, scene) in inputs.iter().zip(&planned) {
        scores.push(blind_test(run, input, scene).await?);
    }
    run.progress(story.step(11), "BlindTestCritic", "judging the whole").await?;
    critic(run, (&planned, &templates, &scores), bundle, round).await
}

/// The visual plan of a scene with its transitions and what a reader closes, and its part in the story, which its row
/// gets; all in one commit.
async fn visual_plan(
    run: &mut Run,
    story: &Story<'_>,
    (place, count, before): (usize, usize, Option<&str>),
    scene: Uuid,
    characters: &[String],
    round: u32,
) -> Result<PlanInput, Stop> {
    let node = format!("{scene}/LLMVisualPlanCompiler#{round}");
    let row = scenes::scene(&run.context, scene).await?;
    let text = row["source_text"].as_str().unwrap_or_default().to_string();
    let kept = match run.kept(&node).await? {
        Some(kept) => kept,
        None => {
            let mut payload = offline::script::visual_plan(place, count, &text, characters);
            payload["characters"] = json!(offline::scene::named(&text, characters));
            if !run.offline {
                let question = NodeQuestion {
                    node: &node,
                    system: "You say what a webtoon scene shows and what part it has in its story.",
                    user: format!("Scene {} of {count}:\n{text}", place + 1),
                    members: vec![
                        ("summary", ask::text()),
                        ("scene_importance", ask::one_of(&Importance::NAMES)),
                        ("must_show", ask::texts()),
                        ("global_environment_anchors", ask::texts()),
                    ],
                    max_tokens: 300,
                };
                let said = ask(run, question, |_| Ok(())).await?;
                for (name, value) in said.as_object().into_iter().flatten() {
                    payload[name] = value.clone();
                }
            }
            let importance = payload["scene_importance"].as_str().unwrap_or("build").to_string();
            let part = NodeWrite::Update {
                table: "scenes",
                id: scene,
                values: vec![("scene_importance", Value::text(importance))],
            };
            let map = transition_map(place, before, &text, characters);
            let closures = artifact(Uuid::new_v4(), scene, "closure_plan", &closure_plan(&map, &text));
            let beside = vec![part, artifact(Uuid::new_v4(), scene, "transition_map", &map), closures];
            run.keep(&node, scene, "visual_plan", payload, beside).await?
        }
    };
    let importance = kept.payload["scene_importance"].as_str().and_then(Importance::of_stored);
    let must_show = kept.payload["must_show"].as_array().into_iter().flatten();
    let must_show = must_show.filter_map(Json::as_str).map(str::to_string).collect();
    let style = scenes::style_of(&run.context, &row, story.build.image_style.as_deref()).await?;
    Ok(PlanInput {
        scene,
        text,
        importance: importance.unwrap_or(Importance::Build),
        panel_count: story.panels,
        genre: story.genre.clone(),
        characters: characters.to_vec(),
        must_show,
        style,
        before: Vec::new(),
        round,
    })
}

/// Where a scene of one panel is wanted and none has it, the last that ends open, else the last, is planned anew as one.
async fn hero(
    run: &mut Run,
    story: &Story<'_>,
    inputs: &mut [PlanInput],
    planned: &mut [Planned],
    templates: &mut [String],
) -> Result<(), Stop> {
    if !story.build.require_hero_single || templates.iter().any(|template| template == "9x16_1") {
        return Ok(());
    }
    let ends_open = |input: &PlanInput| input.importance == Importance::Cliffhanger;
    let place = inputs.iter().rposition(ends_open).or(inputs.len().checked_sub(1));
    let Some(place) = place else { return Ok(()) };
    let input = &mut inputs[place];
    // One panel is what scenes that end open have; rounds of their own keep both plans apart.
    input.importance = Importance::Cliffhanger;
    input.round += RETRIES_MAX + 1;
    planned[place] = plan(run, input).await?;
    templates[place].clone_from(&planned[place].template);
    Ok(())
}

/// The blind test's score of a scene.
pub async fn blind_test(run: &mut Run, input: &PlanInput, scene: &Planned) -> Result<f64, Stop> {
    let kept = blind_report_of(run, input, &scene.semantics).await?;
    Ok(kept.payload["score"].as_f64().unwrap_or(0.0))
}

/// The report on a scene's panels.
pub async fn blind_report_of(run: &mut Run, input: &PlanInput, seen: &[Json]) -> Result<Kept, Stop> {
    let node = format!("{}/BlindTestRunner#{}", input.scene, input.round);
    if let Some(kept) = run.kept(&node).await? {
        return Ok(kept);
    }
    let report = blind_report(run, &node, &input.text, seen, &input.characters).await?;
    run.keep(&node, input.scene, "blind_test_report", report, Vec::new()).await
}

/// What a reader makes of panels without their text. Scores are counted by rule in any case: a model's own are not
/// the same twice.
async fn blind_report(
    run: &Run,
    node: &str,
    text: &str,
    seen: &[Json],
    characters: &[String],
) -> Result<Json, Stop> {
    let mut report = offline::critic::blind_test(text, seen, characters);
    if !run.offline {
        let question = NodeQuestion {
            node,
            system: "You see a webtoon's panels described and do not know its story. Say what happens and how it feels.",
            user: Json::from(seen.to_vec()).to_string(),
            members: vec![("reconstructed_story", ask::text()), ("emotional_takeaway", ask::text())],
            max_tokens: 300,
        };
        let said = ask(run, question, |_| Ok(())).await?;
        for (name, value) in said.as_object().into_iter().flatten() {
            report[name] = value.clone();
        }
    }
    Ok(report)
}

/// The gate, and where it says no, another round while there are some; without a model there is nothing to write anew.
async fn critic(
    run: &mut Run,
    (planned, templates, scores): (&[Planned], &[String], &[f64]),
    bundle: &Json,
    round: u32,
) -> Result<Verdict, Stop> {
    let node = format!("BlindTestCritic#{round}");
    let result = match run.done(&node) {
        Some(known) => known,
        None => {
            let panels: usize = planned.iter().map(|scene| scene.panels.len()).sum();
            let silent: usize = planned.iter().map(|scene| scene.report.metrics.silent_panel_count).sum();
            let stops = planned
                .iter()
                .filter(|scene| scene.panels.iter().any(|panel| panel.must_be_large || panel.weight >= 0.7));
            let measured = Measured {
                blind_scores: scores.to_vec(),
                rhythm_diversity: Some(gate::rhythm_diversity(templates)),
                silent_ratio: (panels > 0).then(|| silent as f64 / panels as f64),
                thumb_stops: (!planned.is_empty()).then(|| stops.count() as f64 / planned.len() as f64),
            };
            let verdict = gate::judge(&measured);
            let result =
                json!({"passed": verdict.passed, "composite": verdict.composite, "reasons": verdict.reasons});
            run.record(&node, result, Vec::new()).await?
        }
    };
    let reasons: Vec<&str> =
        result["reasons"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if result["passed"] != Json::Bool(true) && round < RETRIES_MAX && !run.offline {
        return Ok(Verdict::Rewrite(reasons.join("; ")));
    }
    let mut bundle = bundle.clone();
    bundle["gate"] = result;
    Ok(Verdict::Passed(bundle))
}

//! ScenePlanning: intent, panels, layout and what is seen in each panel, an artifact each.

use pages::strip::gutter_below;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use webtoon::drawing::prompt::color_temperature;
use webtoon::drawing::references::names;
use webtoon::offline;
use webtoon::offline::metaphors::metaphor_directions;
use webtoon::planning::dialogue::{clean_lines, name_speakers};
use webtoon::planning::geometry::rectangles;
use webtoon::planning::layout::{Choice, Rect, repeated};
use webtoon::planning::panel::{GRAMMARS, PURPOSES, Panel};
use webtoon::planning::panel_count::{limit, panel_count};
use webtoon::planning::panel_plan::{clean, derived_features, normalize, weigh};
use webtoon::planning::presence::presence_map;
use webtoon::planning::rhythm::vertical_rhythm_map;
use webtoon::review::quality;
use webtoon::text::importance::Importance;

use super::ask::{self, NodeQuestion, ask};
use super::run::{Kept, Run, Stop, artifact};
use crate::error::{Kind, ServiceError};

/// What a scene is planned by.
#[derive(Clone, Debug)]
pub struct PlanInput {
    /// The scene.
    pub scene: Uuid,
    /// Its text.
    pub text: String,
    /// The part that it has in the story.
    pub importance: Importance,
    /// Panels that are asked for.
    pub panel_count: u32,
    /// The genre.
    pub genre: String,
    /// The names of the story's characters.
    pub characters: Vec<String>,
    /// What must be seen.
    pub must_show: Vec<String>,
    /// The style's name, and what it says.
    pub style: (String, serde_json::Map<String, Json>),
    /// Templates of the scenes before.
    pub before: Vec<String>,
    /// The round of the graph, 0 first.
    pub round: u32,
}

/// A planned scene.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The artifacts by type.
    pub artifacts: Vec<(&'static str, Uuid)>,
    /// The template of its page.
    pub template: String,
    /// The panels of the plan.
    pub panels: Vec<Panel>,
    /// What is seen in them.
    pub semantics: Vec<Json>,
    /// The report of quality control.
    pub report: quality::Report,
}

impl PlanInput {
    fn node(&self, name: &str) -> String {
        format!("{}/{name}#{}", self.scene, self.round)
    }
}

/// Plans a scene; nodes that are done are read, not made again.
pub async fn plan(run: &mut Run, input: &PlanInput) -> Result<Planned, Stop> {
    let intent = intent(run, input).await?;
    let art = art_direction(run, input).await?;
    let (plan, panels) = panel_plan(run, input, &intent.payload).await?;
    let normalized = normalized(run, input, panels, &plan.payload["derived_features"]).await?;
    let panels = panels_in(&normalized.payload);
    let layout = layout(run, input, &panels).await?;
    let semantics = semantics(run, input, &panels, &intent.payload).await?;
    let seen = semantics.payload["panels"].as_array().cloned().unwrap_or_default();
    let report = quality::check(&panels, Some(&seen));
    let quality = match run.kept(&input.node("QCReport")).await? {
        Some(kept) => kept,
        None => {
            run.keep(&input.node("QCReport"), input.scene, "qc_report", json!(report), Vec::new()).await?
        }
    };
    let suggestions = match run.kept(&input.node("DialogueSuggestions")).await? {
        Some(kept) => kept,
        None => {
            let payload = json!({"dialogue_by_panel": suggestions(&seen, &input.characters)});
            let node = input.node("DialogueSuggestions");
            run.keep(&node, input.scene, "dialogue_suggestions", payload, Vec::new()).await?
        }
    };
    let further = further(run, input, (&panels, &layout.payload, &seen)).await?;
    let template = layout.payload["template_id"].as_str().unwrap_or_default().to_string();
    let mut artifacts = vec![
        ("scene_intent", intent.id),
        ("art_direction", art.id),
        ("panel_plan", plan.id),
        ("panel_plan_normalized", normalized.id),
        ("layout_template", layout.id),
        ("panel_semantics", semantics.id),
        ("qc_report", quality.id),
        ("dialogue_suggestions", suggestions.id),
    ];
    artifacts.extend(further);
    Ok(Planned { artifacts, template, panels, semantics: seen, report })
}

/// The panels of a plan after the rules.
pub(super) async fn normalized(
    run: &mut Run,
    input: &PlanInput,
    mut panels: Vec<Panel>,
    features: &Json,
) -> Result<Kept, Stop> {
    let node = input.node("RulePanelPlanNormalize");
    if let Some(kept) = run.kept(&node).await? {
        return Ok(kept);
    }
    normalize(&mut panels);
    let payload = json!({
        "panels": panels, "derived_features": features, "scene_importance": input.importance.name(),
    });
    run.keep(&node, input.scene, "panel_plan_normalized", payload, Vec::new()).await
}

/// The panels of a plan as it is stored.
pub fn panels_in(payload: &Json) -> Vec<Panel> {
    serde_json::from_value(payload["panels"].clone()).unwrap_or_default()
}

pub(super) async fn intent(run: &mut Run, input: &PlanInput) -> Result<Kept, Stop> {
    let node = input.node("LLMSceneIntent");
    if let Some(kept) = run.kept(&node).await? {
        return Ok(kept);
    }
    let mut payload = offline::scene::intent(&input.text, &input.genre, &input.characters);
    if !run.offline {
        let question = NodeQuestion {
            node: &node,
            system: "You plan a webtoon scene. Say what it is about, briefly, by its text alone.",
            user: format!(
                "Genre: {}\nCharacters: {}\nScene:\n{}",
                input.genre,
                input.characters.join(", "),
                input.text
            ),
            members: vec![
                ("summary", ask::text()),
                ("setting", ask::text()),
                ("beats", ask::texts()),
                ("characters", ask::texts()),
                ("pacing", ask::one_of(&["slow_burn", "normal", "fast", "impact"])),
                ("visual_motifs", ask::texts()),
            ],
            max_tokens: 500,
        };
        let said = ask(run, question, |said| match said["summary"].as_str().map(str::trim) {
            Some("") | None => Err("summary is empty".into()),
            _ => Ok(()),
        });
        let said = said.await?;
        for (name, value) in said.as_object().into_iter().flatten() {
            payload[name] = value.clone();
        }
        let beats =
            payload["beats"].as_array().map(|beats| beats.iter().take(5).cloned().collect::<Vec<_>>());
        payload["beats"] = json!(beats);
    }
    run.keep(&node, input.scene, "scene_intent", payload, Vec::new()).await
}

async fn art_direction(run: &mut Run, input: &PlanInput) -> Result<Kept, Stop> {
    let node = input.node("ArtDirection");
    if let Some(kept) = run.kept(&node).await? {
        return Ok(kept);
    }
    let (style, config) = &input.style;
    let mut payload = offline::scene::art_direction(&input.text, style, "");
    let temperature = payload["color_temperature"].as_str().unwrap_or_default().to_string();
    payload["color_temperature"] = json!(color_temperature(config, &temperature));
    run.keep(&node, input.scene, "art_direction", payload, Vec::new()).await
}

pub(super) async fn panel_plan(
    run: &mut Run,
    input: &PlanInput,
    intent: &Json,
) -> Result<(Kept, Vec<Panel>), Stop> {
    let node = input.node("LLMPanelPlan");
    if let Some(kept) = run.kept(&node).await? {
        let panels = panels_in(&kept.payload);
        return Ok((kept, panels));
    }
    let count = panel_count(input.panel_count, input.importance, &input.text);
    let written = match run.offline {
        true => offline::panels::plan(&input.text, count, input.importance),
        false => {
            let panel = ask::object(&[
                ("grammar_id", ask::one_of(&GRAMMARS)),
                ("panel_purpose", ask::one_of(&PURPOSES)),
                ("has_dialogue", json!({"type": "boolean"})),
                ("utility_score", ask::number()),
                ("notes", ask::text()),
            ]);
            let mut panels = ask::list(panel);
            panels["minItems"] = json!(count);
            panels["maxItems"] = json!(count);
            let question = NodeQuestion {
                node: &node,
                system: "You plan the panels of a webtoon scene: for each what kind of shot it is and what for.",
                user: format!("Panels: {count}\nIntent: {}\nScene:\n{}", intent["summary"], input.text),
                members: vec![("panels", panels)],
                max_tokens: 200 * count + 100,
            };
            let said = ask(run, question, |said| match clean(list(&said["panels"])).is_empty() {
                true => Err("there are no panels".into()),
                false => Ok(()),
            });
            said.await?["panels"].as_array().cloned().unwrap_or_default()
        }
    };
    let mut panels = clean(&written);
    limit(&mut panels, count);
    if panels.is_empty() {
        let error = ServiceError::new(Kind::Upstream, "the plan has no panels");
        return Err(run.failed(&node, error));
    }
    weigh(&mut panels, input.importance);
    let features = derived_features(&panels, &input.must_show, &names(&intent["characters"]));
    let payload = json!({
        "panels": panels, "must_show": input.must_show, "derived_features": features,
        "scene_importance": input.importance.name(),
    });
    let kept = run.keep(&node, input.scene, "panel_plan", payload, Vec::new()).await?;
    Ok((kept, panels))
}

pub(super) async fn layout(run: &mut Run, input: &PlanInput, panels: &[Panel]) -> Result<Kept, Stop> {
    let node = input.node("RuleLayout");
    if let Some(kept) = run.kept(&node).await? {
        return Ok(kept);
    }
    let before: Vec<&str> = input.before.iter().map(String::as_str).collect();
    let excluded: Vec<&str> = repeated(&before).into_iter().collect();
    let features = derived_features(panels, &input.must_show, &[]);
    let choice = Choice { panels, features: &features, importance: input.importance, excluded: &excluded };
    let template = choice.template();
    let payload = json!({
        "template_id": template.id, "layout_text": template.text, "panels": rectangles(template, panels),
    });
    run.keep(&node, input.scene, "layout_template", payload, Vec::new()).await
}

pub(super) async fn semantics(
    run: &mut Run,
    input: &PlanInput,
    panels: &[Panel],
    intent: &Json,
) -> Result<Kept, Stop> {
    let node = input.node("LLMPanelSemantics");
    if let Some(kept) = run.kept(&node).await? {
        return Ok(kept);
    }
    let mut seen = offline::panels::semantics(&input.text, panels, &input.characters);
    if !run.offline {
        let character = ask::object(&[
            ("name", ask::text()),
            ("position", ask::one_of(&["left", "center", "right"])),
            ("expression", ask::text()),
            ("action", ask::text()),
        ]);
        let line = ask::object(&[
            ("speaker", ask::text()),
            ("type", ask::one_of(&["speech", "thought", "caption", "sfx"])),
            ("text", ask::text()),
        ]);
        let panel = ask::object(&[
            ("camera", ask::text()),
            ("description", ask::text()),
            ("characters", ask::list(character)),
            ("location", ask::text()),
            ("dialogue", ask::list(line)),
        ]);
        let mut list_of = ask::list(panel);
        list_of["minItems"] = json!(panels.len());
        list_of["maxItems"] = json!(panels.len());
        let kinds: Vec<&str> = panels.iter().map(|panel| panel.grammar_id.as_str()).collect();
        let question = NodeQuestion {
            node: &node,
            system: "You say what is seen and said in each panel of a webtoon scene, by its text alone.",
            user: format!(
                "Panels in order: {}\nCharacters: {}\nSummary: {}\nScene:\n{}",
                kinds.join(", "),
                input.characters.join(", "),
                intent["summary"],
                input.text
            ),
            members: vec![("panels", list_of)],
            max_tokens: 350 * panels.len() + 100,
        };
        let count = panels.len();
        let said = ask(run, question, move |said| match list(&said["panels"]).len() {
            number if number == count => Ok(()),
            number => Err(format!("there are {number} panels, and {count} are planned")),
        });
        let said = said.await?;
        for (panel, written) in seen.iter_mut().zip(list(&said["panels"])) {
            for member in ["camera", "description", "characters"] {
                panel[member] = written[member].clone();
            }
            panel["environment"]["location"] = written["location"].clone();
            let mut lines = clean_lines(list(&written["dialogue"]));
            name_speakers(lines.iter_mut(), &input.characters);
            panel["dialogue"] = json!(lines);
        }
    }
    run.keep(&node, input.scene, "panel_semantics", json!({"panels": seen}), Vec::new()).await
}

/// Rhythm, metaphors and presence, by rule: three artifacts in one commit.
async fn further(
    run: &mut Run,
    input: &PlanInput,
    (panels, layout, seen): (&[Panel], &Json, &[Json]),
) -> Result<Vec<(&'static str, Uuid)>, Stop> {
    const KINDS: [&str; 3] = ["vertical_rhythm_map", "metaphor_directions", "presence_map"];
    let node = input.node("RhythmMetaphorsPresence");
    let recorded = match run.done(&node) {
        Some(known) => known,
        None => {
            let rects: Vec<Rect> = serde_json::from_value(layout["panels"].clone()).unwrap_or_default();
            let gap = gutter_below(input.importance.name());
            let payloads = [
                vertical_rhythm_map(panels, &rects, seen, f64::from(gap)),
                metaphor_directions(&input.text, panels.len()),
                presence_map(seen, &input.characters, &input.must_show),
            ];
            let ids = KINDS.map(|_| Uuid::new_v4());
            let writes = (0..KINDS.len()).map(|at| artifact(ids[at], input.scene, KINDS[at], &payloads[at]));
            let writes = writes.collect();
            run.record(&node, json!(ids), writes).await?
        }
    };
    Ok(KINDS.into_iter().zip(super::story_persist::ids(&recorded)).collect())
}

/// What may be said in each panel.
fn suggestions(seen: &[Json], characters: &[String]) -> Vec<Json> {
    let mut all: Vec<_> = seen.iter().map(|panel| clean_lines(list(&panel["dialogue"]))).collect();
    name_speakers(all.iter_mut().flatten(), characters);
    let panel = |(place, lines): (usize, _)| json!({"panel_id": place + 1, "lines": lines, "notes": ""});
    all.into_iter().enumerate().map(panel).collect()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

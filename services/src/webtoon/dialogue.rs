//! Speech bubbles of a scene: one layer of them, and what the script suggests.

use models::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;
use webtoon::planning::bubbles::{Place, places};
use webtoon::planning::dialogue::{Line, clean_lines, from_quotes, name_speakers};
use webtoon::planning::layout::Rect;

use super::{episodes, records};
use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::position;

/// Bubbles of a scene at most.
const BUBBLES_MAX: usize = 100;
/// Characters of a bubble at most.
const TEXT_CHARS_MAX: usize = 2000;
/// Characters of a speaker's name at most.
const SPEAKER_CHARS_MAX: usize = 255;
/// Kinds of bubbles.
const KINDS: [&str; 4] = ["chat", "thought", "narration", "sfx"];
/// Panels of a scene whose plan is not there yet.
const PANELS: usize = 3;

/// A place, as fractions of the scene's whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Point {
    /// From the left, 0 to 1.
    pub x: f64,
    /// From the top, 0 to 1.
    pub y: f64,
}

/// Width and height, as fractions of the scene's whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Extent {
    /// Width, 0.01 to 1.
    pub w: f64,
    /// Height, 0.01 to 1.
    pub h: f64,
}

/// A bubble as a client sends it and as it is stored.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct GivenBubble {
    /// Its id; a new one where none is given.
    #[serde(default)]
    pub bubble_id: Option<Uuid>,
    /// The panel that it belongs to, from 1.
    pub panel_id: i64,
    /// `chat`, `thought`, `narration` or `sfx`; `chat` where none is given.
    #[serde(default)]
    pub bubble_type: Option<String>,
    /// Who says it.
    #[serde(default)]
    pub speaker: Option<String>,
    /// What it says.
    pub text: String,
    /// Its left upper corner.
    pub position: Point,
    /// Its width and height.
    pub size: Extent,
    /// Where its tail ends.
    #[serde(default)]
    pub tail: Option<Point>,
}

impl GivenBubble {
    /// The bubble with an id and a kind, or what is wrong with it.
    fn checked(mut self, place: usize) -> Result<GivenBubble, ServiceError> {
        let field = |name: &str| format!("bubbles.{place}.{name}");
        if self.panel_id < 1 {
            return Err(ServiceError::field(field("panel_id"), format!("{} is below 1", self.panel_id)));
        }
        let kind = self.bubble_type.take().unwrap_or_else(|| "chat".into());
        if !KINDS.contains(&kind.as_str()) {
            return Err(ServiceError::none_of(field("bubble_type"), &kind, &KINDS));
        }
        records::text(&field("text"), &self.text, TEXT_CHARS_MAX)?;
        if let Some(speaker) = &self.speaker
            && speaker.chars().count() > SPEAKER_CHARS_MAX
        {
            return Err(ServiceError::field(
                field("speaker"),
                format!("has more than {SPEAKER_CHARS_MAX} characters"),
            ));
        }
        let mut numbers = vec![
            ("position.x", self.position.x, 0.0),
            ("position.y", self.position.y, 0.0),
            ("size.w", self.size.w, 0.01),
            ("size.h", self.size.h, 0.01),
        ];
        if let Some(tail) = self.tail {
            numbers.extend([("tail.x", tail.x, 0.0), ("tail.y", tail.y, 0.0)]);
        }
        for (name, number, least) in numbers {
            if !(least..=1.0).contains(&number) {
                return Err(ServiceError::not_within(field(name), number, least, 1.0));
            }
        }
        self.bubble_type = Some(kind);
        self.bubble_id.get_or_insert_with(Uuid::new_v4);
        Ok(self)
    }
}

fn checked(bubbles: Vec<GivenBubble>) -> Result<Value, ServiceError> {
    if bubbles.len() > BUBBLES_MAX {
        return Err(ServiceError::field("bubbles", format!("{} are more than {BUBBLES_MAX}", bubbles.len())));
    }
    let mut ids = std::collections::HashSet::new();
    let mut list = Vec::with_capacity(bubbles.len());
    for (place, bubble) in bubbles.into_iter().enumerate() {
        let bubble = bubble.checked(place)?;
        if !ids.insert(bubble.bubble_id) {
            let field = format!("bubbles.{place}.bubble_id");
            return Err(ServiceError::field(field, "another bubble of the list has it"));
        }
        list.push(json!(bubble));
    }
    Ok(Value::json(&Json::Array(list)))
}

/// Makes the layer of a scene, which has none yet. It may be empty.
pub async fn create(context: &Context, scene: Uuid, bubbles: Vec<GivenBubble>) -> Result<Json, ServiceError> {
    records::get(context, "scenes", scene, "scene").await?;
    let bubbles = checked(bubbles)?;
    if layer(context, scene).await?.is_some() {
        return Err(ServiceError::bad(
            "the scene has a dialogue layer already; PUT /dialogue/{dialogue_id} replaces its bubbles",
        ));
    }
    records::insert(context, "dialogue_layers", vec![("scene_id", Value::Uuid(scene)), ("bubbles", bubbles)])
        .await
}

/// The layer of a scene.
pub async fn of_scene(context: &Context, scene: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "scenes", scene, "scene").await?;
    layer(context, scene).await?.ok_or_else(|| ServiceError::not_found("dialogue not found"))
}

/// Replaces the bubbles of a layer.
pub async fn replace(context: &Context, id: Uuid, bubbles: Vec<GivenBubble>) -> Result<Json, ServiceError> {
    let bubbles = checked(bubbles)?;
    records::update(context, "dialogue_layers", id, vec![("bubbles", bubbles)], "dialogue").await
}

/// Makes dialogue layers of what the script suggests, for those scenes of an episode that have none, all or none of them;
/// layers that are there stay as they are.
pub async fn letter_episode(context: &Context, episode: Uuid) -> Result<Json, ServiceError> {
    let (mut made, mut kept, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    records::get(context, "episodes", episode, "episode").await?;
    for scene in episodes::scene_ids(context, episode).await? {
        if layer(context, scene).await?.is_some() {
            kept.push(scene);
            continue;
        }
        let suggested = suggestions(context, scene).await?;
        let bubbles: Vec<GivenBubble> = serde_json::from_value(suggested["bubbles"].clone())
            .map_err(|error| ServiceError::bad(format!("scene {scene}: its suggestions: {error}")))?;
        made.push((scene, bubbles.len(), suggested["source"].clone()));
        rows.push(vec![("scene_id", Value::Uuid(scene)), ("bubbles", checked(bubbles)?)]);
    }
    let written = records::insert_all(context, "dialogue_layers", rows).await?;
    let shown = |((scene, bubbles, source), row): ((Uuid, usize, Json), &Json)| json!({"scene_id": scene, "dialogue_id": row["id"], "bubbles": bubbles, "source": source});
    let lettered: Vec<Json> = made.into_iter().zip(&written).map(shown).collect();
    Ok(json!({"episode_id": episode, "lettered": lettered, "kept": kept}))
}

async fn layer(context: &Context, scene: Uuid) -> Result<Option<Json>, ServiceError> {
    let query = Query::all(position("dialogue_layers")).equal("scene_id", Value::Uuid(scene)).limit(1);
    Ok(records::find(context, query).await?.into_iter().next())
}

/// The newest artifact of a type that a scene has.
async fn latest(context: &Context, scene: Uuid, kind: &str) -> Result<Option<Json>, ServiceError> {
    let query = Query::all(position("artifacts"))
        .equal("scene_id", Value::Uuid(scene))
        .equal("type", Value::text(kind))
        .order("version", true)
        .limit(1);
    Ok(records::find(context, query).await?.into_iter().next())
}

/// What the script of a scene suggests: lines for each panel, and bubbles that hold them. From the artifact
/// `dialogue_suggestions`, else from what stands in quotation marks in the scene's text; `source` says which.
pub async fn suggestions(context: &Context, scene: Uuid) -> Result<Json, ServiceError> {
    let row = records::get(context, "scenes", scene, "scene").await?;
    let artifact = latest(context, scene, "dialogue_suggestions").await?;
    let layout = latest(context, scene, "layout_template").await?.unwrap_or_default();
    let rectangles = rectangles(&layout["payload"]["panels"]);
    let (source, mut panels): (&str, Vec<(i64, Vec<Line>)>) = match &artifact {
        Some(artifact) => {
            let by_panel = artifact["payload"]["dialogue_by_panel"].as_array().cloned().unwrap_or_default();
            let read = |(place, panel): (usize, &Json)| {
                let lines = panel["lines"].as_array().cloned().unwrap_or_default();
                (panel["panel_id"].as_i64().unwrap_or(place as i64 + 1), clean_lines(&lines))
            };
            ("dialogue_suggestions", by_panel.iter().enumerate().map(read).collect())
        }
        None => {
            let text = row["source_text"].as_str().unwrap_or_default();
            let count = if rectangles.is_empty() { PANELS } else { rectangles.len() };
            ("source_text", (1..).zip(from_quotes(text, count)).collect())
        }
    };
    let names = character_names(context, &row["story_id"]).await?;
    name_speakers(panels.iter_mut().flat_map(|panel| panel.1.iter_mut()), &names);
    let seen = latest(context, scene, "panel_semantics").await?.unwrap_or_default();
    let mut bubbles = Vec::new();
    for (panel, lines) in &panels {
        let whole = Rect { x: 0.0, y: 0.0, w: 1.0, h: 1.0 };
        let rectangle = usize::try_from(*panel - 1).ok().and_then(|place| rectangles.get(place));
        bubbles.extend(placed(*panel, rectangle.unwrap_or(&whole), lines, &sides(&seen, *panel, lines)));
    }
    let shown = |(panel, lines): &(i64, Vec<Line>)| {
        let lines: Vec<Json> = lines
            .iter()
            .map(|line| json!({"speaker": line.speaker, "type": line.kind, "text": line.text}))
            .collect();
        json!({"panel_id": panel, "lines": lines})
    };
    Ok(json!({
        "scene_id": scene, "source": source, "artifact_id": artifact.map(|artifact| artifact["id"].clone()),
        "dialogue_by_panel": panels.iter().map(shown).collect::<Vec<Json>>(), "bubbles": bubbles,
    }))
}

async fn character_names(context: &Context, story: &Json) -> Result<Vec<String>, ServiceError> {
    let Some(story) = crate::ids::uuid(story) else { return Ok(Vec::new()) };
    let links = Query::all(position("story_characters")).equal("story_id", Value::Uuid(story));
    let mut names = Vec::new();
    for link in records::find(context, links).await? {
        let Some(character) = crate::ids::uuid(&link["character_id"]) else { continue };
        let query = Query::all(position("characters")).equal("id", Value::Uuid(character)).limit(1);
        let found = records::find(context, query).await?.into_iter().next();
        names.extend(found.and_then(|row| row["name"].as_str().map(str::to_string)));
    }
    Ok(names)
}

/// Where panels lie.
fn rectangles(panels: &Json) -> Vec<Rect> {
    let side = |panel: &Json, name: &str| panel[name].as_f64().unwrap_or(0.0).clamp(0.0, 1.0);
    let read = |panel: &Json| {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| side(panel, name));
        Rect { x, y, w, h }
    };
    let panels = panels.as_array().into_iter().flatten().map(read);
    panels.filter(|panel| panel.w > 0.0 && panel.h > 0.0).collect()
}

/// Bubbles for the lines of a panel, as [`places`] lays them out.
fn placed(panel: i64, rect: &Rect, lines: &[Line], sides: &[Option<&str>]) -> Vec<Json> {
    let rounded = |number: f64| (number.clamp(0.0, 1.0) * 1e4).round() / 1e4;
    let point = |(x, y): (f64, f64)| json!({"x": rounded(x), "y": rounded(y)});
    let bubble = |(line, place): (&Line, Place)| {
        let kind = match line.kind.as_str() {
            "thought" => "thought",
            "caption" => "narration",
            "sfx" => "sfx",
            _ => "chat",
        };
        let (w, h) = place.size;
        json!({
            "panel_id": panel, "bubble_type": kind, "speaker": line.speaker, "text": line.text,
            "position": point(place.position), "tail": place.tail.map(point),
            "size": {"w": rounded(w).max(0.01), "h": rounded(h).max(0.01)},
        })
    };
    lines.iter().zip(places(rect, lines, sides)).map(bubble).collect()
}

/// Where the speakers of a panel's lines stand, as its semantics say.
fn sides<'s>(seen: &'s Json, panel: i64, lines: &[Line]) -> Vec<Option<&'s str>> {
    let place = usize::try_from(panel - 1).unwrap_or(usize::MAX);
    let cast = seen["payload"]["panels"].get(place).and_then(|panel| panel["characters"].as_array());
    let side = |line: &Line| {
        let speaker = cast?
            .iter()
            .find(|it| it["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&line.speaker)));
        speaker?["position"].as_str()
    };
    lines.iter().map(side).collect()
}

//! Graphs: a story is built, a scene planned, a scene drawn, as jobs of the queue that go on where they stopped.
//!
//! ```text
//! queue ─▶ runner ─▶ story_build ─▶ scene_plan     a node ends with one commit: what it made, and that it is done
//!                ├─▶ scene_plan
//!                └─▶ scene_render ─▶ jobs of pictures ─▶ compose_page
//! ```

mod ask;
mod compose_page;
mod draw_panel;
pub mod queue;
mod run;
pub mod runner;
mod scene_node;
mod scene_plan;
mod scene_render;
mod story;
mod story_build;
mod story_persist;
mod story_review;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::webtoon::panel_looks::PanelLooks;

/// What a job of a graph is to do, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "graph", rename_all = "snake_case")]
pub enum Graph {
    /// A text becomes scenes and characters; in full mode planned ones.
    Story(StoryBuild),
    /// A scene is planned.
    Planning(ScenePlanning),
    /// A scene is drawn.
    Render(SceneRender),
    /// One node of a scene runs by itself.
    Node(SceneNode),
}

/// A text becomes scenes and characters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoryBuild {
    /// The story.
    pub story_id: Uuid,
    /// Its text.
    pub story_text: String,
    /// Scenes at most, 1 to 30.
    pub max_scenes: usize,
    /// Characters at most, 1 to 20.
    pub max_characters: usize,
    /// Panels of a scene, 1 to 3; by the genre where absent.
    pub panel_count: Option<u32>,
    /// Whether scenes may be there already.
    pub allow_append: bool,
    /// How the story runs; its first word is the genre.
    pub story_style: Option<String>,
    /// How it is drawn.
    pub image_style: Option<String>,
    /// Whether scenes are planned and tested too.
    pub full: bool,
    /// Whether a scene of one panel is wanted.
    pub require_hero_single: bool,
    /// Whether rules stand in for the language model.
    pub offline: bool,
}

/// A scene is planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenePlanning {
    /// The scene.
    pub scene_id: Uuid,
    /// Panels that are asked for.
    pub panel_count: u32,
    /// The genre.
    pub genre: String,
    /// Whether rules stand in for the language model.
    pub offline: bool,
}

/// A scene is drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SceneRender {
    /// The scene.
    pub scene_id: Uuid,
    /// The style; the scene's, the story's or the default one where absent.
    pub style_id: Option<String>,
    /// Words in place of those that the plan gives.
    pub prompt_override: Option<String>,
    /// Whether a plan that does not pass quality control is not drawn.
    pub enforce_qc: bool,
    /// Whether the scene is planned and blind tested before; a scene without a plan is planned in any case.
    pub full: bool,
    /// Panels that are asked for where it is planned.
    pub panel_count: u32,
    /// The genre where it is planned.
    pub genre: String,
    /// Whether rules stand in for the language model.
    pub offline: bool,
    /// A row of the catalogue whose server draws the panels; the default for them where absent.
    #[serde(default)]
    pub api_model_id: Option<Uuid>,
    /// What leads the panels beside their words. What is drawn again is led as it was.
    #[serde(default, skip_serializing_if = "PanelLooks::is_empty")]
    pub looks: PanelLooks,
    /// Draws an earlier specification again, for this reason.
    pub again: Option<Again>,
}

/// Which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// What the scene is about.
    SceneIntent,
    /// Its panels.
    PanelPlan,
    /// The panels after the rules.
    Normalize,
    /// Where they lie.
    Layout,
    /// What is seen and said in them.
    PanelSemantics,
    /// What pictures are drawn from.
    RenderSpec,
    /// The pictures.
    Render,
    /// Quality control.
    Quality,
    /// What a reader makes of the panels without the text.
    BlindTest,
}

/// One node of a scene.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SceneNode {
    /// Which.
    pub node: NodeKind,
    /// The scene, and what its graphs would be asked for.
    pub render: SceneRender,
}

/// An earlier specification is drawn again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Again {
    /// Why.
    pub reason: Option<String>,
    /// Whether its seeds stay, as they do where only what is stale is drawn again.
    pub keep_seeds: bool,
    /// Panels that are drawn again; all where there are none. The others stay as they are.
    pub panels: Vec<u64>,
}

impl Graph {
    /// The type of its job.
    pub fn job_type(&self) -> &'static str {
        match self {
            Graph::Story(_) => "webtoon_story",
            Graph::Planning(_) => "webtoon_planning",
            Graph::Render(_) => "webtoon_render",
            Graph::Node(_) => "webtoon_planning",
        }
    }
}

/// The genre of a story: the first word of its style, `drama` without one.
pub fn genre_of(story_style: Option<&str>) -> String {
    let word = story_style
        .unwrap_or_default()
        .split(|letter: char| !letter.is_alphanumeric())
        .find(|it| !it.is_empty());
    word.unwrap_or("drama").to_lowercase()
}

/// Panels of a scene: those asked for, 1 to 3; else 4 for action, 2 for comedy, 3 for the rest.
pub fn panels_of(panel_count: Option<u32>, genre: &str) -> u32 {
    match (panel_count, genre) {
        (Some(count), _) => count.clamp(1, 3),
        (None, "action") => 4,
        (None, "comedy") => 2,
        (None, _) => 3,
    }
}

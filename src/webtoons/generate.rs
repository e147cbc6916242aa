//! What graphs do, at once or as a job: blueprints of stories, plans and pictures of scenes; and the jobs themselves.

use actors::character::consistency::ConsistencySettings;
use actors::job_scheduler::{CancelJob, is_final};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::webtoon::graph::queue::{queue, result};
use services::webtoon::graph::{Again, Graph, ScenePlanning, SceneRender, StoryBuild, genre_of};
use services::webtoon::panel_looks::PanelLooks;
use services::webtoon::{artifacts, characters, scenes, staleness, stories};
use services::{Kind, ServiceError};
use uuid::Uuid;

use super::call::{Answer, Call, Outcome, get, ok, post};
use super::error::DetailError;
use super::scenes::within;
use super::shown::{CHARACTER, SCENE};
use crate::app::App;

/// What graphs do.
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/stories/{story_id}/generate/blueprint", post(blueprint))
        .route("/stories/{story_id}/generate/blueprint_async", post(blueprint_later))
        .route("/stories/{story_id}/render-stale", post(render_stale))
        .route("/scenes/{scene_id}/plan", post(plan))
        .route("/scenes/{scene_id}/plan_async", post(plan_later))
        .route("/scenes/{scene_id}/render", post(render))
        .route("/scenes/{scene_id}/generate/full", post(full))
        .route("/scenes/{scene_id}/generate/full_async", post(full_later))
        .route("/scenes/{scene_id}/generate/render_async", post(render_later))
        .route("/scenes/{scene_id}/review/regenerate", post(regenerate))
        .route("/jobs/{job_id}", get(job))
        .route("/jobs/{job_id}/cancel", post(cancel))
}

#[derive(Deserialize)]
struct Blueprint {
    source_text: String,
    max_scenes: Option<u64>,
    panel_count: Option<u64>,
    style_id: Option<String>,
    story_style: Option<String>,
    max_characters: Option<u64>,
    generate_render_spec: Option<bool>,
    allow_append: Option<bool>,
    require_hero_single: Option<bool>,
    planning_mode: Option<String>,
    offline: Option<bool>,
}

#[derive(Deserialize)]
struct Planning {
    panel_count: Option<u64>,
    genre: Option<String>,
    offline: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Rendering {
    style_id: Option<String>,
    prompt_override: Option<String>,
    enforce_qc: Option<bool>,
    panel_count: Option<u64>,
    genre: Option<String>,
    offline: Option<bool>,
    api_model_id: Option<Uuid>,
    consistency_method: Option<String>,
    consistency_settings: Option<ConsistencySettings>,
    #[serde(default)]
    controls: Json,
    #[serde(default)]
    ip_adapters: Json,
    #[serde(default)]
    loras: Json,
}

#[derive(Deserialize)]
struct Regenerating {
    reason: Option<String>,
    panels: Option<Vec<u64>>,
}

#[derive(Deserialize)]
struct Restyling {
    offline: Option<bool>,
}

/// Why a picture is drawn again.
const REASONS: [&str; 3] = ["bad_faces", "bad_mood", "bad_composition"];

impl Blueprint {
    async fn graph(self, call: &Call) -> Result<Graph, DetailError> {
        let story_id = call.id("story_id")?;
        let story = stories::story(&call.context, story_id).await?;
        let text = self.source_text.trim().to_string();
        if text.is_empty() {
            return Err(DetailError::invalid("body", "source_text", "is empty"));
        }
        let chars = text.chars().count();
        if chars > scenes::TEXT_CHARS_MAX {
            let reason = format!("has {chars} characters, and {} are the most", scenes::TEXT_CHARS_MAX);
            return Err(DetailError::invalid("body", "source_text", reason));
        }
        let full = match self.planning_mode.as_deref() {
            None | Some("characters_only") => false,
            Some("full") => true,
            Some(_) => {
                return Err(DetailError::invalid(
                    "body",
                    "planning_mode",
                    "is none of full, characters_only",
                ));
            }
        };
        let max_scenes = within("max_scenes", self.max_scenes.unwrap_or(6), 1, scenes::SCENES_MAX as u64)?;
        let max_characters = within("max_characters", self.max_characters.unwrap_or(6), 1, 20)?;
        let panel_count = match self.panel_count {
            Some(count) => Some(within("panel_count", count, 1, 3)? as u32),
            None => None,
        };
        if let Some(style) = &self.style_id {
            let project = services::ids::uuid(&story["project_id"]).unwrap_or_default();
            let project = services::webtoon::projects::project(&call.context, project).await?;
            services::webtoon::styles::require_image_style(&call.context, Some(&project), style).await?;
        }
        let allow_append = self.allow_append.unwrap_or(false);
        if !allow_append && !scenes::list(&call.context, story_id).await?.is_empty() {
            let reason = "story already has scenes; set allow_append to true to append more";
            return Err(ServiceError::bad(reason).into());
        }
        if self.generate_render_spec == Some(true) && !full {
            call.warn(["generate_render_spec: scenes are not planned here, so they get none".to_string()]);
        }
        Ok(Graph::Story(StoryBuild {
            story_id,
            story_text: text,
            max_scenes: max_scenes as usize,
            max_characters: max_characters as usize,
            panel_count,
            allow_append,
            story_style: self.story_style,
            image_style: self.style_id,
            full,
            require_hero_single: self.require_hero_single.unwrap_or(false),
            offline: self.offline.unwrap_or(false),
        }))
    }
}

async fn blueprint(call: Call) -> Outcome {
    let graph = call.read::<Blueprint>()?.graph(&call).await?;
    let job = queue(&call.context, call.user, &graph, None).await?;
    let made = result(&call.context, job).await?;
    let mut shown = (Vec::new(), Vec::new());
    for id in ids(&made["scenes"]) {
        shown.0.push(SCENE.one(&scenes::scene(&call.context, id).await?));
    }
    for id in ids(&made["characters"]) {
        shown.1.push(CHARACTER.one(&characters::character(&call.context, id).await?));
    }
    let mut answer = json!({"scenes": shown.0, "characters": shown.1});
    if made["gate"].is_object() {
        answer["gate"] = made["gate"].clone();
    }
    ok(answer)
}

fn ids(list: &Json) -> Vec<Uuid> {
    list.as_array().into_iter().flatten().filter_map(services::ids::uuid).collect()
}

async fn blueprint_later(call: Call) -> Outcome {
    let graph = call.read::<Blueprint>()?.graph(&call).await?;
    accepted(&call, &graph).await
}

impl Planning {
    async fn graph(self, call: &Call) -> Result<Graph, DetailError> {
        let scene_id = call.id("scene_id")?;
        let scene = scenes::scene(&call.context, scene_id).await?;
        if scene["planning_locked"] == Json::Bool(true) {
            let missing = artifacts::missing(&call.context, scene_id).await?;
            if !missing.is_empty() {
                let reason = format!("planning is locked but missing artifacts: {}", missing.join(", "));
                return Err(ServiceError::bad(reason).into());
            }
        }
        Ok(Graph::Planning(ScenePlanning {
            scene_id,
            panel_count: panels(self.panel_count)?,
            genre: genre_of(self.genre.as_deref()),
            offline: self.offline.unwrap_or(false),
        }))
    }
}

/// Panels that are asked for: 1 to 12 are taken, and 3 are the most.
fn panels(given: Option<u64>) -> Result<u32, DetailError> {
    Ok(within("panel_count", given.unwrap_or(3), 1, 12)?.min(3) as u32)
}

/// Of a locked scene nothing runs: its latest artifacts are the answer.
async fn plan(call: Call) -> Outcome {
    let graph = call.read::<Planning>()?.graph(&call).await?;
    let scene_id = call.id("scene_id")?;
    let scene = scenes::scene(&call.context, scene_id).await?;
    if scene["planning_locked"] == Json::Bool(true) {
        let latest = artifacts::latest(&call.context, scene_id).await?;
        let planned = latest
            .iter()
            .filter(|artifact| artifact["type"].as_str().is_some_and(|kind| scenes::PLANNED.contains(&kind)));
        let named = planned.filter_map(|it| Some((it["type"].as_str()?.to_string(), it["id"].clone())));
        return ok(Json::Object(named.collect()));
    }
    let job = queue(&call.context, call.user, &graph, None).await?;
    ok(result(&call.context, job).await?)
}

async fn plan_later(call: Call) -> Outcome {
    let graph = call.read::<Planning>()?.graph(&call).await?;
    accepted(&call, &graph).await
}

impl Rendering {
    async fn graph(self, call: &Call, full: bool, enforce_qc: bool) -> Result<Graph, DetailError> {
        Ok(Graph::Render(self.of_scene(call, full, enforce_qc).await?))
    }

    /// What a scene's graph is asked for.
    pub async fn of_scene(
        self,
        call: &Call,
        full: bool,
        enforce_qc: bool,
    ) -> Result<SceneRender, DetailError> {
        let scene_id = call.id("scene_id")?;
        scenes::scene(&call.context, scene_id).await?;
        let looks = PanelLooks {
            consistency_method: self.consistency_method.filter(|method| !method.trim().is_empty()),
            consistency_settings: self.consistency_settings,
            controls: self.controls,
            ip_adapters: self.ip_adapters,
            loras: self.loras,
        };
        call.warn(looks.check(&call.context, call.user)?);
        Ok(SceneRender {
            scene_id,
            style_id: self.style_id.filter(|style| !style.trim().is_empty()),
            prompt_override: self.prompt_override.filter(|words| !words.trim().is_empty()),
            enforce_qc: self.enforce_qc.unwrap_or(enforce_qc),
            full,
            panel_count: panels(self.panel_count)?,
            genre: genre_of(self.genre.as_deref()),
            offline: self.offline.unwrap_or(false),
            api_model_id: self.api_model_id,
            looks,
            again: None,
        })
    }
}

async fn render(call: Call) -> Outcome {
    let graph = call.read::<Rendering>()?.graph(&call, false, true).await?;
    let job = queue(&call.context, call.user, &graph, None).await?;
    ok(result(&call.context, job).await?)
}

async fn render_later(call: Call) -> Outcome {
    let graph = call.read::<Rendering>()?.graph(&call, false, false).await?;
    accepted(&call, &graph).await
}

async fn full(call: Call) -> Outcome {
    let graph = call.read::<Rendering>()?.graph(&call, true, false).await?;
    let job = queue(&call.context, call.user, &graph, None).await?;
    ok(result(&call.context, job).await?)
}

async fn full_later(call: Call) -> Outcome {
    let graph = call.read::<Rendering>()?.graph(&call, true, false).await?;
    accepted(&call, &graph).await
}

/// Draws the latest specification again: the same words, other seeds, a new version. Of `panels`, where they are named,
/// these alone; the others keep their pictures.
async fn regenerate(call: Call) -> Outcome {
    let Regenerating { reason, panels } = call.read()?;
    if let Some(reason) = reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        let shown: String = reason.chars().take(60).collect();
        return Err(DetailError::invalid(
            "body",
            "reason",
            format!("{shown:?} is none of {}", REASONS.join(", ")),
        ));
    }
    let scene_id = call.id("scene_id")?;
    scenes::scene(&call.context, scene_id).await?;
    let Some(spec) = artifacts::latest_of(&call.context, scene_id, "render_spec").await? else {
        return Err(ServiceError::bad("the scene has no render_spec: render it first").into());
    };
    let panels = panels.unwrap_or_default();
    let known = spec["payload"]["panels"].as_array().map_or(0, Vec::len) as u64;
    if let Some(wrong) = panels.iter().find(|panel| !(1..=known).contains(panel)) {
        let reason = format!("{wrong} is none of the scene's {known} panels, which count from 1");
        return Err(DetailError::invalid("body", "panels", reason));
    }
    let again = Again { reason, keep_seeds: false, panels };
    let job = queue(&call.context, call.user, &drawn_again(scene_id, again), None).await?;
    ok(result(&call.context, job).await?)
}

fn drawn_again(scene_id: Uuid, again: Again) -> Graph {
    Graph::Render(SceneRender {
        scene_id,
        style_id: None,
        prompt_override: None,
        enforce_qc: false,
        full: false,
        panel_count: 3,
        genre: genre_of(None),
        offline: true,
        api_model_id: None,
        looks: PanelLooks::default(),
        again: Some(again),
    })
}

/// Draws again exactly the stale panels of a story, with their seeds; the others keep their pictures.
async fn render_stale(call: Call) -> Outcome {
    let Restyling { offline } = call.read()?;
    let story = call.id("story_id")?;
    let stale = staleness::stale_panels(&call.context, story).await?;
    let mut jobs = Vec::new();
    for scene in scenes::list(&call.context, story).await? {
        let panels = stale.iter().filter(|panel| panel["scene_id"] == scene["id"]);
        let panels: Vec<u64> = panels.filter_map(|panel| panel["panel_index"].as_u64()).collect();
        let Some(scene_id) = services::ids::uuid(&scene["id"]).filter(|_| !panels.is_empty()) else {
            continue;
        };
        let Graph::Render(render) =
            drawn_again(scene_id, Again { reason: Some("stale".into()), keep_seeds: true, panels })
        else {
            continue;
        };
        let graph = Graph::Render(SceneRender { offline: offline.unwrap_or(true), ..render });
        jobs.push(queue(&call.context, call.user, &graph, None).await?);
    }
    Ok(Answer::Json(StatusCode::ACCEPTED, json!({"panels": stale, "jobs": jobs})))
}

/// 202 with the job.
async fn accepted(call: &Call, graph: &Graph) -> Outcome {
    let job = queue(&call.context, call.user, graph, None).await?;
    Ok(Answer::Json(StatusCode::ACCEPTED, json!({"job_id": job, "status": "queued"})))
}

/// A graph's job in the words of this dialect.
async fn job_row(call: &Call) -> Result<Json, DetailError> {
    let id = call.id("job_id")?;
    let row = services::webtoon::records::get(&call.context, "jobs", id, "job").await?;
    match row["job_type"].as_str().is_some_and(|kind| kind.starts_with("webtoon_")) {
        true => Ok(row),
        false => Err(ServiceError::not_found("job not found").into()),
    }
}

fn shown(row: &Json) -> Json {
    let status = match row["status"].as_str() {
        Some("processing") => "running",
        Some("completed") => "succeeded",
        other => other.unwrap_or("queued"),
    };
    json!({
        "job_id": row["id"], "type": row["job_type"], "status": status, "error": row["error_message"],
        "result": row["metadata"]["result"], "story_id": row["metadata"]["story_id"],
        "scene_id": row["metadata"]["scene_id"], "request_id": row["metadata"]["request_id"],
        "created_at": row["created_at"], "started_at": row["started_at"], "completed_at": row["completed_at"],
    })
}

async fn job(call: Call) -> Outcome {
    ok(shown(&job_row(&call).await?))
}

/// 202 when it is cancelled; one that has ended stays as it is.
async fn cancel(call: Call) -> Outcome {
    let row = job_row(&call).await?;
    if is_final(row["status"].as_str()) {
        return ok(shown(&row));
    }
    let id = call.id("job_id")?;
    call.context.ask(CancelJob { id, message: "cancelled".into() }).await.map_err(ServiceError::from)?;
    let row = job_row(&call).await?;
    if row["status"] != "cancelled" {
        return Err(ServiceError::new(Kind::Conflict, "the job ended meanwhile").into());
    }
    Ok(Answer::Json(StatusCode::ACCEPTED, shown(&row)))
}

//! SceneRender: the plan of a scene becomes words for each panel, the panels pictures, and these its page.

use std::time::Duration;

use actors::file::copy_object::CopyObject;
use actors::job_scheduler::{NodeWrite, WORKSPACE_BUCKET};
use models::Value;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use webtoon::planning::panel_plan::normalize;
use webtoon::review::quality;

use super::compose_page::compose;
use super::draw_panel::{default_model, queue_panel};
use super::run::{Kept, Run, Stop};
use super::scene_plan::{PlanInput, panels_in, plan};
use super::story_review::blind_test;
use super::{Again, SceneRender};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::jobs::await_job;
use crate::webtoon::panel_looks::PanelLooks;
use crate::webtoon::panels::{PanelSpec, Sources};
use crate::webtoon::{artifacts, scenes};

/// Where pictures of panels are kept.
const BUCKET: &str = "user-library";
/// How long a panel may wait to be drawn.
const DRAW_MAX: Duration = Duration::from_secs(24 * 3600);

/// Runs the graph; answers with the ids of its artifacts.
pub async fn run(run: &mut Run, render: &SceneRender) -> Result<Json, Stop> {
    let scene = scenes::scene(&run.context, render.scene_id).await?;
    let mut made = Map::new();
    if render.again.is_none() {
        plan_first(run, render, &scene, &mut made).await?;
    }
    let spec = spec(run, render, &scene).await?;
    made.insert("render_spec".into(), json!(spec.id));
    check(run, render, &mut made).await?;
    let result = draw_spec(run, render, &scene, &spec).await?;
    made.insert("render_result".into(), json!(result.id));
    Ok(Json::Object(made))
}

/// Draws the panels of a specification.
pub async fn draw_spec(run: &mut Run, render: &SceneRender, scene: &Json, spec: &Kept) -> Result<Kept, Stop> {
    let panels: Vec<PanelSpec> = serde_json::from_value(spec.payload["panels"].clone()).map_err(|error| {
        run.failed("RenderSpec", ServiceError::bad(format!("its panels cannot be read: {error}")))
    })?;
    draw(run, render, (scene, spec), &panels).await
}

/// Plans a scene that has no plan, or that is to be planned anew.
async fn plan_first(
    run: &mut Run,
    render: &SceneRender,
    scene: &Json,
    made: &mut Map<String, Json>,
) -> Result<(), Stop> {
    let locked = scene["planning_locked"] == Json::Bool(true);
    let planned_here = run.done(&format!("{}/LLMSceneIntent#0", render.scene_id)).is_some();
    let lacks = artifacts::missing(&run.context, render.scene_id).await?;
    if locked || (!render.full && !planned_here && lacks.is_empty()) {
        if locked && !lacks.is_empty() {
            let reason = format!("planning is locked but missing artifacts: {}", lacks.join(", "));
            return Err(Stop::Failed(ServiceError::bad(reason)));
        }
        return Ok(());
    }
    let input = input(run, scene, (render.panel_count, &render.genre), render.style_id.as_deref()).await?;
    let planned = plan(run, &input).await?;
    made.extend(planned.artifacts.iter().map(|(kind, id)| ((*kind).to_string(), json!(id))));
    if render.full {
        blind_test(run, &input, &planned).await?;
        let node = format!("{}/BlindTestRunner#{}", input.scene, input.round);
        made.insert("blind_test_report".into(), run.done(&node).unwrap_or_default());
    }
    Ok(())
}

/// What a scene is planned by, as its row and story say.
pub async fn input(
    run: &Run,
    scene: &Json,
    (panel_count, genre): (u32, &str),
    style: Option<&str>,
) -> Result<PlanInput, Stop> {
    let story = uuid(&scene["story_id"]).unwrap_or_default();
    let characters = scenes::character_names(&run.context, story).await?;
    let text = scene["source_text"].as_str().unwrap_or_default().to_string();
    let must_show = webtoon::offline::scene::named(&text, &characters);
    Ok(PlanInput {
        scene: uuid(&scene["id"]).unwrap_or_default(),
        importance: scenes::importance_of(scene),
        panel_count,
        genre: genre.to_string(),
        must_show,
        style: scenes::style_of(&run.context, scene, style).await?,
        characters,
        text,
        before: Vec::new(),
        round: 0,
    })
}

/// The specification: the latest one again, or one by the latest plan.
pub async fn spec(run: &mut Run, render: &SceneRender, scene: &Json) -> Result<Kept, Stop> {
    if let Some(kept) = run.kept("RenderSpec").await? {
        return Ok(kept);
    }
    let latest = |kind: &'static str| {
        let context = run.context.clone();
        async move { artifacts::latest_of(&context, render.scene_id, kind).await }
    };
    // What is stale is drawn by the words of now.
    if render.again.as_ref().is_some_and(|again| !again.keep_seeds) {
        let known = latest("render_spec").await?;
        let known = known
            .ok_or_else(|| run.failed("RenderSpec", ServiceError::bad("the scene has no render_spec")))?;
        return Ok(Kept { id: uuid(&known["id"]).unwrap_or_default(), payload: known["payload"].clone() });
    }
    let mut found = Vec::new();
    for kind in ["layout_template", "panel_semantics"] {
        let artifact = latest(kind).await?;
        let missing = || run.failed("LoadArtifacts", ServiceError::bad(format!("the scene has no {kind}")));
        found.push(artifact.ok_or_else(missing)?);
    }
    let (layout, semantics) = (&found[0]["payload"], &found[1]["payload"]);
    let seen = semantics["panels"].as_array().cloned().unwrap_or_default();
    let rects = layout["panels"].as_array().cloned().unwrap_or_default();
    if seen.len() != rects.len() {
        let reason = format!(
            "Layout/template panel count mismatch: {} panels, {} rectangles",
            seen.len(),
            rects.len()
        );
        return Err(run.failed("RenderSpec", ServiceError::bad(reason)));
    }
    let art = latest("art_direction").await?.map(|artifact| artifact["payload"].clone());
    // What is stale is drawn by the model of before and led as before, as its seeds are those of before.
    let before = match &render.again {
        Some(_) => latest("render_spec").await?.map(|it| it["payload"].clone()),
        None => None,
    };
    let looks = match &before {
        Some(before) => {
            PanelLooks::read(&before["looks"]).map_err(|error| run.failed("RenderSpec", error))?
        }
        None => render.looks.clone(),
    };
    let model = match (before, &render.api_model_id) {
        (Some(before), _) => before["api_model_id"].as_str().map(str::to_string),
        (None, Some(model)) => Some(model.to_string()),
        (None, None) => default_model(&run.context).await?,
    };
    let style = render.style_id.as_deref();
    let sources = Sources::of(&run.context, scene, style, model.as_deref(), &looks).await?;
    sources.led_by_one(&seen).into_iter().chain(looks.beyond(seen.len() as u64)).for_each(|it| run.warn(it));
    let mut payload = sources.spec(layout, &seen, art.as_ref(), render.prompt_override.as_deref());
    payload["prompt_sha256"] = json!(sha256(payload["prompt"].as_str().unwrap_or_default()));
    payload["api_model_id"] = json!(model);
    if !looks.is_empty() {
        payload["looks"] = json!(looks);
    }
    payload["plan"] = json!({"layout_template": found[0]["id"], "panel_semantics": found[1]["id"]});
    run.keep("RenderSpec", render.scene_id, "render_spec", payload, Vec::new()).await
}

/// Quality control before anything is drawn; the report is kept either way.
pub async fn check(run: &mut Run, render: &SceneRender, made: &mut Map<String, Json>) -> Result<(), Stop> {
    if render.again.is_some() {
        return Ok(());
    }
    let kept = match run.kept("QCCheck").await? {
        Some(kept) => kept,
        None => {
            let context = run.context.clone();
            let latest = |kind: &'static str| artifacts::latest_of(&context, render.scene_id, kind);
            let plan =
                latest("panel_plan_normalized").await?.map(|row| row["payload"].clone()).unwrap_or_default();
            let seen = latest("panel_semantics").await?.map(|row| row["payload"]["panels"].clone());
            let mut panels = panels_in(&plan);
            normalize(&mut panels);
            let seen = seen.as_ref().and_then(Json::as_array).map(Vec::as_slice);
            let report = quality::check(&panels, seen);
            run.keep("QCCheck", render.scene_id, "qc_report", json!(report), Vec::new()).await?
        }
    };
    made.insert("qc_report".into(), json!(kept.id));
    if render.enforce_qc && kept.payload["passed"] != Json::Bool(true) {
        let summary = kept.payload["summary"].as_str().unwrap_or("failed");
        return Err(Stop::Failed(ServiceError::bad(format!("quality control: {summary}"))));
    }
    Ok(())
}

/// Draws the panels and writes what came of them.
async fn draw(
    run: &mut Run,
    render: &SceneRender,
    (scene, spec): (&Json, &Kept),
    panels: &[PanelSpec],
) -> Result<Kept, Stop> {
    if let Some(kept) = run.kept("RenderResult").await? {
        return Ok(kept);
    }
    let before = artifacts::latest_of(&run.context, render.scene_id, "render_result").await?;
    let turn = match &render.again {
        Some(again) if !again.keep_seeds => {
            before.as_ref().and_then(|row| row["version"].as_u64()).unwrap_or(0)
        }
        _ => 0,
    };
    let drawn_before = |panel: &PanelSpec| {
        let again = render.again.as_ref().filter(|again| !again.panels.is_empty())?;
        if again.panels.contains(&panel.panel_index) {
            return None;
        }
        let drawn = before.as_ref()?["payload"]["panels"].as_array()?;
        drawn.iter().find(|drawn| drawn["panel_index"] == panel.panel_index).cloned()
    };
    let model = spec.payload["api_model_id"].as_str();
    let looks = PanelLooks::read(&spec.payload["looks"]);
    let looks = looks.map_err(|error| run.failed("RenderResult", error))?;
    // All wait together, so that those of one kind are drawn side by side.
    let mut jobs = Vec::with_capacity(panels.len());
    for panel in panels {
        let node = format!("panel-{}/RenderPanel", panel.panel_index);
        jobs.push(match (run.done(&node), drawn_before(panel)) {
            (Some(_), _) | (None, Some(_)) => None,
            (None, None) => {
                let job = queue_panel(run, panel, turn, model, &looks).await?;
                run.pictures.push(job);
                Some(job)
            }
        });
    }
    let mut drawn = Vec::with_capacity(panels.len());
    for (panel, job) in panels.iter().zip(jobs) {
        let node = format!("panel-{}/RenderPanel", panel.panel_index);
        drawn.push(match (run.done(&node), job, drawn_before(panel)) {
            (Some(known), ..) | (None, None, Some(known)) => known,
            (None, Some(job), _) => keep_panel(run, scene, panel, job, &node).await?,
            (None, None, None) => return Err(Stop::Ended),
        });
    }
    let page = compose(run, scene, &drawn).await?;
    let first = drawn.first().cloned().unwrap_or_default();
    let reason = render.again.as_ref().and_then(|Again { reason, .. }| reason.clone());
    let mut payload = json!({
        "image_id": page["image_id"], "image_url": page["image_url"], "mime_type": page["mime_type"],
        "page": page["page"], "model": first["model"], "usage": {"pictures": drawn.len()}, "prompt": spec.payload["prompt"],
        "prompt_sha256": spec.payload["prompt_sha256"], "approved": false, "reason": reason, "panels": drawn,
        "layout": spec.payload["layout"], "style_id": spec.payload["style_id"], "render_spec": spec.id,
        "api_model_id": model,
    });
    if !looks.is_empty() {
        payload["looks"] = json!(looks);
    }
    run.keep("RenderResult", render.scene_id, "render_result", payload, Vec::new()).await
}

/// Waits for a panel and keeps its picture where it stays.
async fn keep_panel(
    run: &mut Run,
    scene: &Json,
    panel: &PanelSpec,
    job: Uuid,
    node: &str,
) -> Result<Json, Stop> {
    let ended = await_job::ended(&run.context, job, DRAW_MAX).await;
    // A picture that failed for good stays failed, so that trying again would change nothing.
    let failed = |error: ServiceError| ServiceError::new(Kind::Upstream, error.to_string());
    let (row, assets) = ended.map_err(|error| run.failed("RenderPanel", failed(error)))?;
    let asset = assets.into_iter().next();
    let lost =
        || run.failed("RenderPanel", ServiceError::not_found("the picture is drawn, but its file is gone"));
    let asset = asset.ok_or_else(lost)?;
    let from = asset["temp_storage_path"].as_str().ok_or_else(lost)?.to_string();
    let scene_id = scene["id"].as_str().unwrap_or_default();
    let extension = asset["mime_type"].as_str().and_then(|kind| kind.strip_prefix("image/")).unwrap_or("png");
    let to = format!("{}/webtoon/{scene_id}/{job}.{extension}", run.user);
    copy(&run.context, from, to.clone()).await.map_err(|error| run.failed("RenderPanel", error))?;
    let image = Uuid::new_v4();
    let url = format!("{BUCKET}/{to}");
    let mut made = json!({
        "panel_index": panel.panel_index, "image_id": image, "image_url": url, "job_id": job,
        "seed": asset["generation_seed"], "loras": asset["generation_settings"]["loras"], "model": asset["model_used"], "prompt": panel.prompt,
        "width": asset["width"], "height": asset["height"], "rect": panel.rect,
        "made_from": panel.made_from,
    });
    if row["metadata"]["consistency"].is_object() {
        made["consistency"] = row["metadata"]["consistency"].clone();
    }
    let writes = vec![NodeWrite::Insert {
        table: "images",
        values: vec![
            ("id", Value::Uuid(image)),
            ("user_id", Value::Uuid(run.user)),
            ("prompt", Value::text(&*panel.prompt)),
            ("image_url", Value::text(&*url)),
            ("generation_mode", Value::text("webtoon")),
            ("status", Value::text("completed")),
            ("seed", asset["generation_seed"].as_i64().map_or(Value::Null, Value::Int)),
            ("metadata", Value::json(&made)),
        ],
    }];
    run.record(node, made, writes).await
}

async fn copy(context: &Context, from: String, to: String) -> Result<(), ServiceError> {
    let copy = CopyObject {
        from: (WORKSPACE_BUCKET.into(), from),
        to: (BUCKET.into(), to),
        with_metadata: true,
        upsert: true,
    };
    context.ask(copy).await?;
    Ok(())
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

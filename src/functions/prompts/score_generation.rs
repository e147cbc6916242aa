//! score-generation: how well a job's picture follows its prompt, by a model that can look.

use actors::job_scheduler::WORKSPACE_BUCKET;
use actors::telemetry::score_prompt::ScorePrompt;
use models::Value;
use models::value_words::Takes;
use serde_json::{Value as Json, json};
use services::age_gate;
use services::files::picture_for_model;
use services::ids::uuid;
use services::jobs::job_assets::assets_of;
use services::rows::position;
use store::query::Query;

use super::describe_image;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let fields = [("jobId", Takes::Uuid), ("imageUrl", Takes::Text), ("force", Takes::Flag)];
    let body = call.read_fields(&fields)?;
    let id = uuid(&body["jobId"]).ok_or_else(|| FunctionError::missing(&["jobId"]))?;
    let missing = || FunctionError::not_found("Job not found");
    let job = call.context.row("jobs", id).await?.ok_or_else(missing)?;
    let is_own = call.context.claims.user_id.is_some_and(|user| job["user_id"] == user.to_string());
    if !is_own && !call.context.is_admin()? {
        return Err(missing());
    }
    let prompt = job["original_prompt"].as_str().or(job["prompt"].as_str()).unwrap_or_default().trim();
    if prompt.is_empty() {
        return Err(FunctionError::bad("the job has no prompt"));
    }
    let skipped = |reason: &str| ok(json!({"success": true, "skipped": true, "reason": reason}));
    let force = body["force"] == Json::Bool(true);
    let config = call.context.services.chat.engines().system_config().await?;
    let scoring = &config["promptScoring"];
    if scoring["enabled"] == Json::Bool(false) || (scoring["enabled"].is_null() && !force) {
        return skipped("scoring is switched off");
    }
    if scoring["autoAnalysisEnabled"] == Json::Bool(false) && !force {
        return skipped("automatic analysis is switched off");
    }
    let by_job = |table| Query::all(position(table)).equal("job_id", Value::Uuid(id)).limit(1);
    let scored = call.context.rows(by_job("prompt_scores")).await?.pop();
    if !force && scored.as_ref().is_some_and(|row| !row["vision_analysis"].is_null()) {
        return skipped("the job is scored already");
    }
    let asset = assets_of(&call.context, &job).await?.into_iter().next();
    let path = asset.as_ref().and_then(|row| row["temp_storage_path"].as_str());
    let path = path.map(|path| format!("{WORKSPACE_BUCKET}/{path}"));
    let image = body["imageUrl"].as_str().map(str::to_string).or(path);
    let image = image.ok_or_else(|| FunctionError::missing(&["imageUrl"]))?;
    let image = picture_for_model::address(&call.context, &image).await?;
    let mode = job["metadata"]["contentType"].as_str();
    let tier = age_gate::rating_of_stored(&call.context, "metadata.contentType", mode)?;
    let chosen =
        call.context.services.chat.engines().choose_vision(scoring["visionModelId"].as_str()).await?;
    let analysis = describe_image::look(&call, &chosen, image, "scoring", prompt, tier).await?.said;
    let score = |name: &str| {
        let given = analysis[name].as_f64().filter(|score| *score > 0.0).unwrap_or(3.0);
        given.clamp(1.0, 5.0)
    };
    let weight = |name: &str, otherwise: f64| {
        scoring["scoringWeights"][name]
            .as_f64()
            .filter(|weight| weight.is_finite() && *weight >= 0.0)
            .unwrap_or(otherwise)
    };
    let composite = score("action_match") * weight("action_match", 0.4)
        + score("appearance_match") * weight("appearance_match", 0.35)
        + score("overall_quality") * weight("overall_quality", 0.25);
    let composite = (composite * 10.0).round() / 10.0;
    let decision = ScorePrompt {
        job_id: id,
        user_id: uuid(&job["user_id"]).ok_or_else(missing)?,
        workspace_asset_id: asset.as_ref().and_then(|row| uuid(&row["id"])),
        api_model_id: chosen.catalogued.map(|(model, _)| model),
        original_prompt: prompt.to_string(),
        enhanced_prompt: job["enhanced_prompt"].as_str().map(str::to_string),
        scores: [score("action_match"), score("appearance_match"), score("overall_quality"), composite],
        analysis: analysis.clone(),
    };
    let row = call.context.ask(decision).await?;
    ok(json!({"success": true, "score": row, "composite_score": composite, "vision_analysis": analysis}))
}

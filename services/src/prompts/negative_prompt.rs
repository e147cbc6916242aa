//! The preset negative prompts of a model, joined.

use std::collections::BTreeSet;

use models::Value;
use store::query::Query;

use crate::context::Context;
use crate::error::ServiceError;
use crate::prompts::templates;
use crate::rows::position;

/// The models that there are active presets for.
pub async fn preset_models(context: &Context) -> Result<BTreeSet<String>, ServiceError> {
    let query = Query::all(position("negative_prompts")).equal("is_active", Value::Bool(true)).limit(1000);
    let rows = context.rows(query).await?;
    Ok(rows.iter().filter_map(|row| row["model_type"].as_str().map(str::to_string)).collect())
}

/// The active presets of a model, rating and mode, most important first, joined by commas; empty when there are none.
/// A whole prompt cache answers; without one the table does.
pub async fn negative_prompt(
    context: &Context,
    model_type: &str,
    content_mode: &str,
    generation_mode: &str,
) -> Result<String, ServiceError> {
    let config = context.services.chat.engines().system_config().await?;
    if let Some(cache) = templates::prompt_cache(&config) {
        let cached = &cache["negativeCache"][model_type][content_mode][generation_mode];
        return Ok(cached.as_str().unwrap_or_default().to_string());
    }
    let query = Query::all(position("negative_prompts"))
        .equal("model_type", Value::text(model_type))
        .equal("content_mode", Value::text(content_mode))
        .equal("generation_mode", Value::text(generation_mode))
        .equal("is_active", Value::Bool(true))
        .order("priority", true)
        .limit(100);
    let rows = context.rows(query).await?;
    let prompts: Vec<&str> = rows.iter().filter_map(|row| row["negative_prompt"].as_str()).collect();
    Ok(prompts.join(", "))
}

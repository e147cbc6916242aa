//! refresh-prompt-cache: writes active templates and negative prompts into `system_config.config.promptCache`.

use models::value_words::Takes;
use serde_json::json;
use services::prompts::prompt_cache;

use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    // A field of the documents that changes nothing: the cache is always made anew.
    call.read_fields(&[("force_refresh", Takes::Flag)])?;
    let cache = prompt_cache::refresh(&call.context).await?;
    let about = &cache["metadata"];
    let (templates, negatives) = (&about["template_count"], &about["negative_prompt_count"]);
    ok(json!({
        "success": true,
        "message": format!("{templates} templates and {negatives} negative prompts are cached"),
        "cache_stats": {
            "lastUpdated": about["refreshed_at"], "templateCount": templates, "negativePromptCount": negatives,
            "nsfwTermCount": about["nsfw_term_count"], "version": about["cache_version"],
            "integrityHash": about["integrity_hash"],
        },
        "cached_data": cache,
    }))
}

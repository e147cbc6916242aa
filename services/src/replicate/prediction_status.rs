//! How a prediction fares.

use actors::job_scheduler::WORKSPACE_BUCKET;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::job_assets::assets_of;
use crate::replicate::fal_queue;
use crate::replicate::provider_api::{Api, Door, connection};
use crate::replicate::start_prediction::{TIMEOUT, model};
use crate::replicate::take_report::{ended, job_of, take, urls};

/// Life of the URLs that are answered, in seconds.
const SIGNED_S: u64 = 3600;

/// What the provider says of a prediction of one of the caller's jobs, its output as a list of URLs.
pub async fn status_of(
    context: &Context,
    door: Door,
    user: Uuid,
    prediction: &str,
) -> Result<Json, ServiceError> {
    if prediction.len() > 100 || !prediction.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err(ServiceError::field("predictionId", "not an id"));
    }
    let job = job_of(context, prediction, Some(user)).await?;
    let job = job.ok_or_else(|| ServiceError::not_found("there is no such prediction of yours"))?;
    if let Some(ended) = ended(&job) {
        return Ok(json!({
            "id": prediction, "status": ended, "jobId": job["id"], "jobStatus": job["status"],
            "output": pictures(context, &job).await?, "error": job["error_message"],
        }));
    }
    let id = job["api_model_id"].as_str().map(str::to_string);
    let (model, provider, api) = model(context, door, id.as_deref()).await?;
    let unavailable = |message: String| ServiceError::new(Kind::Upstream, message);
    match api {
        Api::Replicate => {}
        Api::Fal => {
            let mut answer = fal_queue::fare(&model, &provider, prediction).await.map_err(unavailable)?;
            take(context, &job, &answer).await?;
            answer["jobId"] = job["id"].clone();
            return Ok(answer);
        }
        // Its answer is waited for.
        Api::OpenAi | Api::Local => {
            return Ok(
                json!({"id": prediction, "status": "processing", "jobId": job["id"], "jobStatus": job["status"]}),
            );
        }
    }
    let (base, secret) = connection(api, &provider).map_err(unavailable)?;
    let secret = secret.unwrap_or_default();
    let client = language::http_client().build().map_err(|error| unavailable(error.to_string()))?;
    let request = client.get(format!("{base}/predictions/{prediction}")).bearer_auth(secret);
    let response = request.timeout(TIMEOUT).send().await;
    let response = response.map_err(|_| unavailable("the provider cannot be reached".into()))?;
    let mut answer: Json = language::json_answer(response)
        .await
        .ok_or_else(|| unavailable("the provider's answer is not JSON".into()))?;
    take(context, &job, &answer).await?;
    answer["output"] = json!(urls(&answer["output"]));
    Ok(answer)
}

/// The pictures of a job that has ended, as URLs that are good for a while.
async fn pictures(context: &Context, job: &Json) -> Result<Vec<String>, ServiceError> {
    let assets = assets_of(context, job).await?;
    let url = |asset: &Json| {
        let path = asset["temp_storage_path"].as_str()?;
        context.services.links.signed(WORKSPACE_BUCKET, path, SIGNED_S).ok()
    };
    Ok(assets.iter().filter_map(url).collect())
}

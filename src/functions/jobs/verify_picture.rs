//! verify-picture: a PNG file is drawn again from its own record, and compared with what came of it.

use axum::http::{Method, StatusCode};
use serde_json::json;
use services::pictures::verify_picture::{Verification, VerifyRequest, verify};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::functions::uploaded::{Uploaded, reading_permit};

/// Options beside the file.
const OPTIONS: [&str; 5] =
    ["reference_image_url", "mask_image_url", "guide_image_url", "contentType", "jobId"];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "verify-picture takes POST"));
    }
    let uploaded = Uploaded::of(&call, &OPTIONS).await?;
    let _turn = reading_permit(&call, uploaded.bytes.len()).await?;
    let job = uploaded.option(&call, "jobId").map(|text| text.parse()).transpose();
    let job = job.map_err(|_| FunctionError::bad("jobId: is not a UUID").of_field("jobId"))?;
    let request = VerifyRequest {
        reference_image_url: uploaded.option(&call, "reference_image_url"),
        mask_image_url: uploaded.option(&call, "mask_image_url"),
        guide_image_urls: uploaded.options(&call, "guide_image_url"),
        content_type: uploaded.option(&call, "contentType"),
        job,
        file: uploaded.bytes,
    };
    let Verification { job, asset, record, comparison, warnings } = verify(&call.context, request).await?;
    call.warnings.extend(warnings);
    ok(json!({
        "result": comparison.result, "distance": comparison.distance, "differences": comparison.differences,
        "record": record, "jobId": job, "assetId": asset["id"],
    }))
}

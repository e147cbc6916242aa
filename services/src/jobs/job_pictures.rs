//! The pictures that a job begins with, checked and resolved before anything is queued.

use std::collections::BTreeMap;

use actors::job_scheduler::{GuideConfig, VideoConfig};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::files::file_hash::{hash_of, hashes_of};
use crate::files::reference_picture::{self, Reference};
use crate::jobs::job_fields::{VideoFields, reference};
use crate::jobs::job_guides;
use crate::jobs::job_prompts::{Mode, before};
use crate::jobs::job_request::JobRequest;

/// What a job begins with.
pub(crate) struct JobPictures {
    /// The picture that the job begins with.
    pub reference: Option<Reference>,
    /// Where it may be redrawn.
    pub mask: Option<Reference>,
    /// What only videos have.
    pub video: Option<VideoConfig>,
    /// What leads the drawing beside the prompts.
    pub guides: GuideConfig,
}

impl JobPictures {
    /// Refuses other accounts' files, whether or not the job would come to use them.
    pub(crate) fn check_owners(
        context: &Context,
        user: Uuid,
        request: &JobRequest,
    ) -> Result<(), ServiceError> {
        for (field, given) in [
            ("reference_image_url", request.reference_image_url.as_deref()),
            ("mask_image_url", request.mask_image_url.as_deref()),
            ("metadata.reference_image_url", request.member("reference_image_url")),
            ("metadata.start_reference_url", request.member("start_reference_url")),
            ("metadata.end_reference_url", request.member("end_reference_url")),
        ] {
            let Some(given) = given else { continue };
            reference_picture::check_owner(context, user, given).map_err(|error| error.of_field(field))?;
        }
        job_guides::check_owners(context, user, request)
    }

    /// All of them as `bucket/path`, but for the mask, with the field that names each.
    pub(crate) fn objects(&self) -> Vec<(String, String)> {
        let of = |field: &str, object: &Option<String>| Some((field.to_string(), object.clone()?));
        let reference = self.reference.as_ref().map(|reference| reference.object.clone());
        let mut all: Vec<(String, String)> = of("reference_image_url", &reference).into_iter().collect();
        if let Some(video) = &self.video {
            all.extend(of("metadata.start_reference_url", &video.first_frame_object));
            all.extend(of("metadata.end_reference_url", &video.last_frame_object));
        }
        all.extend(self.guides.pictures().map(|(field, picture)| (field, picture.image_object.clone())));
        all
    }

    /// The hash of the bytes of each of them, and of the mask, by `bucket/path`; a picture that is not there is refused.
    pub(crate) async fn hashes(&self, context: &Context) -> Result<BTreeMap<String, String>, ServiceError> {
        let mask: Vec<String> = self.mask.iter().map(|mask| mask.object.clone()).collect();
        // A mask shows no person: one that is not there is said when it is drawn.
        let mut hashes = hashes_of(context, &mask).await?;
        for (field, object) in self.objects() {
            let hash = hash_of(context, &object).await?;
            let gone = || ServiceError::field(field, "there is no such file");
            hashes.insert(object, hash.ok_or_else(gone)?);
        }
        Ok(hashes)
    }

    /// Resolves the pictures of a request; URLs are fetched.
    pub(crate) async fn of(
        context: &Context,
        user: Uuid,
        request: &JobRequest,
        mode: Mode,
        is_video: bool,
        base_prompt: Option<&str>,
    ) -> Result<JobPictures, ServiceError> {
        let given = request.reference_image_url.as_deref();
        let image = given.filter(|_| !is_video && mode != Mode::FromText);
        let image = reference(context, user, "reference_image_url", image).await?;
        let mask = request.mask_image_url.as_deref();
        if mask.is_some() && image.is_none() {
            let needs = "needs reference_image_url, and a prompt or reference_mode \"modify\"";
            return Err(ServiceError::field("mask_image_url", needs));
        }
        let mask = reference(context, user, "mask_image_url", mask).await?;
        let guides = job_guides::resolve(context, user, request).await?;
        let keyframes = keyframes(&request.keyframes, base_prompt);
        let of_video = VideoFields {
            num_frames: request.num_frames,
            fps: request.fps,
            keyframes: &keyframes,
            motion_module: request.motion_module.as_deref(),
            motion_context: request.motion_context,
            first_frame: request.member("start_reference_url"),
            last_frame: request.member("end_reference_url"),
        };
        if !is_video {
            of_video.refuse()?;
            return Ok(JobPictures { reference: image, mask, video: None, guides });
        }
        let (image, video) = of_video.config(context, user, given).await?;
        Ok(JobPictures { reference: image, mask, video: Some(video), guides })
    }
}

/// The key frames of a video, each of whose prompts says whom it shows.
fn keyframes(given: &Json, base_prompt: Option<&str>) -> Json {
    let mut keyframes = given.clone();
    if let Some(base) = base_prompt {
        for keyframe in keyframes.as_array_mut().into_iter().flatten() {
            if let Some(prompt) = keyframe["prompt"].as_str().map(|prompt| before(base, prompt)) {
                keyframe["prompt"] = prompt.into();
            }
        }
    }
    keyframes
}

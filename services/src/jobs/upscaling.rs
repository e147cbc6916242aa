//! Pictures that become larger: what a request for one says, checked, and which upscaler is taken.

use actors::job_scheduler::UpscaleWork;
use actors::render::{LANCZOS, LATENT, NAMED_MAX, list_upscalers, upscaler_named, upscaler_names};

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::job_request::JobRequest;

/// The field that names what enlarges the picture between two passes.
const HIRES_UPSCALER: &str = "hires_upscaler";

/// Checks the upscalers that a request names and chooses one where it asks for a larger picture without naming any. A
/// field that means nothing beside `upscale_scale` is warned of.
pub(crate) async fn settle(
    context: &Context,
    request: &mut JobRequest,
    is_video: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<UpscaleWork>, ServiceError> {
    if request.hires_upscaler.is_some() && !is_video {
        match request.hires_upscaler.as_deref() {
            Some(name) if name.eq_ignore_ascii_case(LATENT) => request.hires_upscaler = Some(LATENT.into()),
            name => drop(named(context, HIRES_UPSCALER, name.map(str::to_string)).await?),
        }
    }
    let Some(scale) = request.upscale_scale else {
        if request.upscaler.is_some() {
            warnings
                .push("upscaler: without upscale_scale nothing is made larger, so it changes nothing".into());
        }
        return Ok(None);
    };
    if is_video {
        return Err(ServiceError::field("upscale_scale", "only pictures can be made larger"));
    }
    if request.reference_image_url.is_none() {
        let reason = "missing: which picture is to become larger?";
        return Err(ServiceError::field("reference_image_url", reason));
    }
    let upscaler = match request.upscaler.clone() {
        Some(name) => named(context, "upscaler", Some(name.clone())).await?.filter(|_| !is_lanczos(&name)),
        None => named(context, "upscaler", None).await?,
    };
    if upscaler.is_none() && request.upscaler.is_none() {
        warnings.push(format!(
            "upscaler: no upscaler is installed (upscalers/NAME.safetensors in models_dir), so {LANCZOS} makes the \
             picture larger"
        ));
    }
    for (field, given) in [
        ("mask_image_url", request.mask_image_url.take().is_some()),
        ("hires_scale", request.hires_scale.take().is_some()),
        ("loras", !request.loras.is_null()),
        ("vae", request.vae.take().is_some()),
        ("denoise_strength", request.denoise_strength.take().is_some()),
        ("reference_strength", request.reference_strength.take().is_some()),
        ("steps", request.steps.take().is_some()),
        ("width, height", request.width.take().is_some() | request.height.take().is_some()),
    ] {
        if given {
            warnings.push(format!(
                "{field}: nothing is drawn where upscale_scale is given, so it changes nothing"
            ));
        }
    }
    request.loras = serde_json::Value::Null;
    (request.image_count, request.num_images) = (Some(1), None);
    Ok(Some(UpscaleWork { scale, upscaler }))
}

fn is_lanczos(name: &str) -> bool {
    name.eq_ignore_ascii_case(LANCZOS)
}

/// The upscaler by its name, or the first there is; `None` where that is Lanczos. Remote workers have files of their own.
async fn named(
    context: &Context,
    field: &'static str,
    name: Option<String>,
) -> Result<Option<String>, ServiceError> {
    if context.services.render.is_none() {
        return Ok(name);
    }
    let folder = context.services.settings.models_dir.clone();
    let found = tokio::task::spawn_blocking(move || match name {
        None => Ok(list_upscalers(&folder).into_iter().next().map(|(name, _)| name)),
        Some(name) => match upscaler_named(&folder, &name) {
            Ok(path) => Ok(path.and_then(|path| Some(path.file_stem()?.to_str()?.to_string()))),
            Err(reason) => {
                let latent = (field == HIRES_UPSCALER).then(|| LATENT.to_string());
                let names = latent.into_iter().chain(upscaler_names(&folder));
                let names: Vec<String> = names.take(NAMED_MAX).collect();
                Err(ServiceError::field(field, reason).with("accepted", names))
            }
        },
    });
    let unread = || ServiceError::new(Kind::Internal, "the models folder cannot be read").of_field(field);
    found.await.map_err(|_| unread())?
}

//! Requests for a part of a picture: the masked one, or what lies beyond the edges; checked.

use actors::job_scheduler::{Outpaint, PasteWork};
use models::value_words::Takes;
use serde::Deserialize;

use crate::error::ServiceError;
use crate::jobs::job_request::JobRequest;

/// `inpaint_area` of the masked part alone.
pub(crate) const MASKED: &str = "masked";
/// Areas that may be asked for.
const AREAS: [&str; 2] = ["whole", MASKED];
/// How far the part reaches beyond the mask unless the request says, in pixels.
const PADDING_PX: u32 = 32;
/// Over how many pixels what is drawn fades unless the request says.
const FEATHER_PX: u32 = 8;
/// Longest of such lengths.
const LENGTH_PX_MAX: u32 = 512;
/// Pixels that are added to a side at most.
const ADDED_PX_MAX: u32 = 2048;

/// The part that a request asks for; a field that means nothing is warned of.
pub(crate) fn settle(
    request: &mut JobRequest,
    is_video: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<PasteWork>, ServiceError> {
    let is_masked = match request.inpaint_area.as_deref() {
        Some(area) if !AREAS.contains(&area) => {
            return Err(ServiceError::none_of("inpaint_area", area, &AREAS));
        }
        area => area == Some(MASKED),
    };
    for (field, length) in
        [("inpaint_padding", request.inpaint_padding), ("mask_feather", request.mask_feather)]
    {
        if let Some(length) = length.filter(|length| *length > LENGTH_PX_MAX) {
            return Err(ServiceError::not_within(field, length, 0, LENGTH_PX_MAX));
        }
    }
    let outpaint = outpaint(request)?;
    let given = [
        ("inpaint_area", is_masked),
        ("inpaint_padding", request.inpaint_padding.is_some()),
        ("mask_feather", request.mask_feather.is_some()),
        ("outpaint", outpaint.is_some()),
    ];
    if is_video || request.upscale_scale.is_some() {
        let unused = given.iter().filter(|(_, given)| *given);
        warnings.extend(unused.map(|(field, _)| {
            format!("{field}: only drawings over a picture have it, so it changes nothing")
        }));
        return Ok(None);
    }
    if !is_masked && outpaint.is_none() {
        let unused = given.iter().filter(|(_, given)| *given);
        warnings.extend(unused.map(|(field, _)| {
            format!("{field}: without inpaint_area \"masked\" or outpaint the whole picture is drawn, so it changes nothing")
        }));
        return Ok(None);
    }
    let needed = if outpaint.is_some() { "outpaint" } else { "inpaint_area" };
    if request.reference_image_url.is_none() {
        return Err(ServiceError::field(needed, "needs reference_image_url"));
    }
    if outpaint.is_none() && request.mask_image_url.is_none() {
        return Err(ServiceError::field(needed, "needs mask_image_url: which part is drawn?"));
    }
    let is_silent = !request.metadata.contains_key("reference_mode");
    if is_silent {
        request.metadata.insert("reference_mode".into(), "modify".into());
    }
    if outpaint.is_some() {
        if !is_masked && (request.width.take().is_some() | request.height.take().is_some()) {
            warnings.push("width, height: the size is that of the picture with what outpaint adds".into());
        }
        if request.denoise_strength.is_none() && request.reference_strength.is_none() {
            request.denoise_strength = Some(1.0);
        }
    }
    if request.hires_scale.take().is_some() {
        warnings.push("hires_scale: a part of a picture has no second pass, so it changes nothing".into());
    }
    Ok(Some(PasteWork {
        padding_px: is_masked.then(|| request.inpaint_padding.unwrap_or(PADDING_PX)),
        feather_px: request.mask_feather.unwrap_or(FEATHER_PX),
        outpaint,
    }))
}

fn outpaint(request: &JobRequest) -> Result<Option<Outpaint>, ServiceError> {
    if request.outpaint.is_null() {
        return Ok(None);
    }
    Takes::Object.check(&request.outpaint).map_err(|reason| ServiceError::field("outpaint", reason))?;
    let added = Outpaint::deserialize(&request.outpaint).map_err(|error| {
        let reason =
            format!("{error}; it has left, top, right and bottom in pixels, and fill \"edge\" or \"noise\"");
        ServiceError::field("outpaint", reason)
    })?;
    let sides = [("left", added.left), ("top", added.top), ("right", added.right), ("bottom", added.bottom)];
    if let Some((side, length)) = sides.into_iter().find(|(_, length)| *length > ADDED_PX_MAX) {
        return Err(ServiceError::not_within(format!("outpaint.{side}"), length, 0, ADDED_PX_MAX));
    }
    if sides.iter().all(|(_, length)| *length == 0) {
        return Err(ServiceError::field("outpaint", "nothing is added: left, top, right and bottom are 0"));
    }
    Ok(Some(added))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn settled(body: Json) -> (Result<Option<PasteWork>, String>, Vec<String>, JobRequest) {
        let mut request: JobRequest = serde_json::from_value(body).expect("a request");
        let mut warnings = Vec::new();
        let work = settle(&mut request, false, &mut warnings).map_err(|error| error.to_string());
        (work, warnings, request)
    }

    #[test]
    fn parts_are_read_and_what_means_nothing_is_said() {
        let (work, warnings, _) = settled(json!({"reference_image_url": "a", "mask_image_url": "b",
            "inpaint_area": "masked", "inpaint_padding": 12}));
        let wanted = PasteWork { padding_px: Some(12), feather_px: 8, outpaint: None };
        assert_eq!((work, warnings), (Ok(Some(wanted)), Vec::new()));
        let (work, warnings, request) =
            settled(json!({"reference_image_url": "a", "width": 64, "height": 64,
            "outpaint": {"left": 16, "fill": "noise"}, "mask_feather": 0}));
        let work = work.expect("it is read").expect("a part");
        assert_eq!((work.padding_px, work.feather_px, work.outpaint.map(|it| it.left)), (None, 0, Some(16)));
        assert_eq!((warnings.len(), request.width, request.denoise_strength), (1, None, Some(1.0)));
        let (work, warnings, _) = settled(json!({"mask_feather": 3, "inpaint_area": "whole"}));
        assert_eq!((work, warnings.len()), (Ok(None), 1));
        for (body, said) in [
            (json!({"inpaint_area": "half"}), "half"),
            (json!({"inpaint_area": "masked"}), "reference_image_url"),
            (json!({"inpaint_area": "masked", "reference_image_url": "a"}), "mask_image_url"),
            (json!({"outpaint": {"left": 8}}), "reference_image_url"),
            (json!({"outpaint": 7, "reference_image_url": "a"}), "7"),
            (json!({"outpaint": {"lift": 8}, "reference_image_url": "a"}), "lift"),
            (json!({"outpaint": {"left": -8}, "reference_image_url": "a"}), "-8"),
            (json!({"outpaint": {"left": 9999}, "reference_image_url": "a"}), "9999"),
            (json!({"outpaint": {}, "reference_image_url": "a"}), "nothing is added"),
            (json!({"mask_feather": 9999}), "9999"),
        ] {
            let error = settled(body.clone()).0.expect_err("refused");
            assert!(error.contains(said), "{body}: {error}");
        }
    }
}

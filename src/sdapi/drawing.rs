//! What is asked of a picture, in A1111's words and in ours.

use actors::render::{LANCZOS, LATENT, Sampler, samplers};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use services::jobs::job_request::JobRequest;
use syntax::half_characters;

use super::control_units::ControlUnits;
use super::error::SdError;
use crate::request_body::{Notes, typed};

/// By what kind of program a job came.
pub(super) const SOURCE: &str = "a1111";
/// Pictures of one request.
const PICTURES_MAX: u64 = 6;
/// How far a picture is drawn anew unless the client says, as there.
const STRENGTH: f64 = 0.75;
/// Schedules by their names, and whether their steps are spaced by Karras; the first leaves it to the sampler.
pub(super) const SCHEDULES: [(&str, &str, Option<bool>); 3] =
    [("automatic", "Automatic", None), ("normal", "Normal", Some(false)), ("karras", "Karras", Some(true))];

/// `txt2img` and `img2img`, as far as they are followed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Drawing {
    pub prompt: Option<String>,
    pub negative_prompt: Option<String>,
    pub styles: Option<Vec<String>>,
    #[serde(deserialize_with = "services::seed::or_random")]
    pub seed: Option<u64>,
    pub sampler_name: Option<String>,
    pub sampler_index: Option<String>,
    pub scheduler: Option<String>,
    pub batch_size: Option<u64>,
    pub n_iter: Option<u64>,
    pub steps: Option<u32>,
    pub cfg_scale: Option<f64>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub denoising_strength: Option<f64>,
    pub enable_hr: Option<bool>,
    pub hr_scale: Option<f64>,
    pub hr_second_pass_steps: Option<u32>,
    pub hr_upscaler: Option<String>,
    /// As A1111 counts: 1 leaves no layer of the text encoder out.
    pub clip_skip: Option<u32>,
    pub override_settings: Option<Map<String, Json>>,
    pub send_images: Option<bool>,
    pub init_images: Option<Vec<String>>,
    pub mask: Option<String>,
    pub inpainting_mask_invert: Option<Json>,
    /// Whether the masked part alone is drawn and put back.
    pub inpaint_full_res: Option<Json>,
    pub inpaint_full_res_padding: Option<u32>,
    pub mask_blur: Option<u32>,
    pub refiner_checkpoint: Option<String>,
    pub refiner_switch_at: Option<f64>,
    pub alwayson_scripts: Option<Map<String, Json>>,
    /// Names of upscalers that there are, Lanczos among them.
    #[serde(skip)]
    pub upscalers: Vec<String>,
    /// Ours: `sfw` or `nsfw`.
    pub content_rating: Option<String>,
}

/// Fields of the dialect that change nothing here, beside those that say where files go.
const NOT_FOLLOWED: [&str; 23] = [
    "restore_faces",
    "tiling",
    "subseed",
    "subseed_strength",
    "seed_resize_from_h",
    "seed_resize_from_w",
    "eta",
    "s_churn",
    "s_tmax",
    "s_tmin",
    "s_noise",
    "s_min_uncond",
    "disable_extra_networks",
    "firstpass_image",
    "comments",
    "script_name",
    "script_args",
    "infotext",
    "image_cfg_scale",
    "initial_noise_multiplier",
    "latent_mask",
    "resize_mode",
    "inpainting_fill",
];
/// Fields that say where files go, or only matter together with one that is not followed.
const OF_NO_MATTER: [&str; 20] = [
    "save_images",
    "do_not_save_samples",
    "do_not_save_grid",
    "override_settings_restore_afterwards",
    "include_init_images",
    "force_task_id",
    "firstphase_width",
    "firstphase_height",
    "hr_resize_x",
    "hr_resize_y",
    "hr_checkpoint_name",
    "hr_sampler_name",
    "hr_scheduler",
    "hr_prompt",
    "hr_negative_prompt",
    "hr_cfg",
    "hr_additional_modules",
    "hr_distilled_cfg",
    "mask_blur_x",
    "mask_blur_y",
];

/// Fields of a second pass that are not followed, and matter where there is one.
const HIRES_NOT_FOLLOWED: [&str; 12] = [
    "firstphase_width",
    "firstphase_height",
    "hr_resize_x",
    "hr_resize_y",
    "hr_checkpoint_name",
    "hr_sampler_name",
    "hr_scheduler",
    "hr_prompt",
    "hr_negative_prompt",
    "hr_cfg",
    "hr_additional_modules",
    "hr_distilled_cfg",
];
/// How many times longer the sides become in a second pass unless the client says, as there.
const HIRES_SCALE: f64 = 2.0;

impl Drawing {
    /// Reads a JSON body; the error names the field. What is not followed is warned of where it asks for something.
    pub fn read(body: &[u8], notes: &mut Notes) -> Result<Drawing, SdError> {
        let drawing: Drawing = typed(body, notes)?;
        let given: Map<String, Json> =
            serde_json::from_slice(&half_characters::mend(body)).unwrap_or_default();
        let mut warnings = notes.warnings();
        warnings.retain(|warning| {
            let field = warning.split_once(": ").map_or("", |(field, _)| field);
            !OF_NO_MATTER.contains(&field) && !NOT_FOLLOWED.contains(&field)
        });
        let of_hires = HIRES_NOT_FOLLOWED.iter().filter(|_| drawing.enable_hr == Some(true));
        for field in NOT_FOLLOWED.iter().chain(of_hires).copied() {
            if given.get(field).is_some_and(|value| asks_for_something(field, value)) {
                warnings.push(format!("{field}: not followed here"));
            }
        }
        notes.warnings = warnings;
        Ok(drawing)
    }

    /// The sampler as jobs name it; a warning where the schedule is not followed.
    fn sampler(&self) -> Result<(Option<String>, Option<String>), SdError> {
        let named = [("sampler_name", &self.sampler_name), ("sampler_index", &self.sampler_index)];
        let named = named.into_iter().find_map(|(field, name)| {
            Some((field, name.as_deref().map(str::trim).filter(|name| !name.is_empty())?))
        });
        let schedule = self.scheduler.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let is_karras = match schedule {
            None => None,
            Some(name) => {
                let known = |(known, label, _): &&(&str, &str, _)| {
                    known.eq_ignore_ascii_case(name) || label.eq_ignore_ascii_case(name)
                };
                match SCHEDULES.iter().find(known) {
                    Some((_, _, is_karras)) => *is_karras,
                    None => {
                        let known = SCHEDULES.map(|(name, _, _)| name).join(", ");
                        return Err(SdError::field("scheduler", format!("{name:?} is none of {known}")));
                    }
                }
            }
        };
        let not_followed =
            |reason: &str| Some(format!("scheduler: {}: {reason}", schedule.unwrap_or_default()));
        let Some((field, name)) = named else {
            let warning = is_karras.and_then(|_| not_followed("not followed without sampler_name"));
            return Ok((None, warning));
        };
        let samplers = samplers();
        let same = |given: Option<&str>| given.is_some_and(|given| given.eq_ignore_ascii_case(name));
        // The sampler of the list, or one with its schedule in its name, as older clients have it.
        let found = samplers.iter().find(|it| it.name.eq_ignore_ascii_case(name));
        let whole = samplers.iter().find(|it| same(it.plain) || same(it.karras));
        match (found, whole) {
            (Some(Sampler { plain, karras, .. }), _) => {
                let (wanted, other) = if is_karras == Some(true) { (karras, plain) } else { (plain, karras) };
                let warning = match (wanted, is_karras) {
                    (None, Some(_)) => not_followed(&format!("{name} is not drawn with it")),
                    _ => None,
                };
                Ok((wanted.or(*other).map(str::to_string), warning))
            }
            (None, Some(_)) => Ok((Some(name.to_string()), None)),
            (None, None) => {
                let known: Vec<&str> = samplers.iter().map(|it| it.name).collect();
                let name: String = name.chars().take(64).collect();
                Err(SdError::field(field, format!("{name:?} is none of {}", known.join(", "))))
            }
        }
    }

    /// The model that the request names for itself.
    pub fn model(&self) -> Option<&str> {
        let named = self.override_settings.as_ref()?.get("sd_model_checkpoint")?.as_str();
        named.map(str::trim).filter(|name| !name.is_empty())
    }

    /// Layers of the text encoder that are left out: `override_settings.CLIP_stop_at_last_layers` wins, as there.
    fn clip_skip(&self) -> Result<Option<u32>, SdError> {
        const SETTING: &str = "CLIP_stop_at_last_layers";
        let setting = self.override_settings.as_ref().and_then(|settings| settings.get(SETTING));
        let setting = setting.filter(|value| !value.is_null()).map(|value| {
            let layers = value.as_u64().and_then(|layers| u32::try_from(layers).ok());
            let field = format!("override_settings.{SETTING}");
            layers.ok_or_else(|| SdError::field(&field, format!("{value} is not a whole number from 1")))
        });
        let layers = setting.transpose()?.or(self.clip_skip);
        // 0 is what clients send that ask for nothing.
        Ok(layers.filter(|layers| *layers > 0).map(|layers| layers - 1))
    }

    /// The VAE that the request names for itself: `Automatic` leaves it to the model.
    fn vae(&self) -> Option<String> {
        let named = self.override_settings.as_ref()?.get("sd_vae")?.as_str()?.trim();
        (!matches!(named, "" | "Automatic")).then(|| named.to_string())
    }

    /// Whether the mask says what is to stay, instead of what is to be drawn.
    pub fn inverts_mask(&self) -> bool {
        is_on(self.inpainting_mask_invert.as_ref())
    }

    /// What leads the drawing beside its prompts.
    pub fn units(&self, warnings: &mut Vec<String>) -> Result<ControlUnits, SdError> {
        self.alwayson_scripts
            .as_ref()
            .map_or(Ok(ControlUnits::default()), |scripts| ControlUnits::read(scripts, warnings))
    }

    /// The job that is asked for, and what of the request is not followed.
    pub fn job(
        &self,
        model: Option<String>,
        reference: Option<String>,
        mask: Option<String>,
    ) -> Result<(JobRequest, Vec<String>), SdError> {
        let mut warnings = Vec::new();
        let (scheduler, warning) = self.sampler()?;
        warnings.extend(warning);
        let (size, count) = (self.batch_size.unwrap_or(1), self.n_iter.unwrap_or(1));
        let pictures = size.saturating_mul(count);
        if !(1..=PICTURES_MAX).contains(&pictures) {
            let reason = format!("{size} times n_iter {count} is not within 1 to {PICTURES_MAX} pictures");
            return Err(SdError::field("batch_size", reason));
        }
        if self.styles.as_ref().is_some_and(|styles| !styles.is_empty()) {
            warnings.push("styles: there are none here".into());
        }
        for (name, value) in self.override_settings.iter().flatten() {
            if name != "sd_model_checkpoint"
                && !["CLIP_stop_at_last_layers", "sd_vae"].contains(&name.as_str())
                && asks_for_something(name, value)
            {
                warnings.push(format!("override_settings.{name}: not followed here"));
            }
        }
        let prompt = self.prompt.as_deref().map(str::trim).unwrap_or_default();
        if prompt.is_empty() {
            return Err(SdError::field("prompt", "missing: what shall the picture show?"));
        }
        // As there, pictures that begin with one have no second pass.
        let has_second_pass = self.enable_hr == Some(true) && reference.is_none();
        if self.enable_hr == Some(true) && !has_second_pass {
            warnings.push("enable_hr: only txt2img has a second pass".into());
        }
        let upscaler =
            self.hr_upscaler.as_deref().map(str::trim).filter(|name| has_second_pass && !name.is_empty());
        let named = |name: &str| self.upscalers.iter().find(|it| it.eq_ignore_ascii_case(name)).cloned();
        let is_latent =
            |name: &&str| name.get(..LATENT.len()).is_some_and(|it| it.eq_ignore_ascii_case(LATENT));
        // There are several ways there to resample what is not decoded.
        let latent = upscaler.filter(is_latent).map(|_| LATENT.to_string());
        let known = upscaler.and_then(named).or(latent);
        if let Some(name) = upscaler
            && !name.eq_ignore_ascii_case(known.as_deref().unwrap_or(LANCZOS))
        {
            let (name, by): (String, _) =
                (name.chars().take(64).collect(), known.as_deref().unwrap_or(LANCZOS));
            warnings.push(format!("hr_upscaler: {name:?} is not here; {by} enlarges the picture"));
        }
        let masked_only = mask.is_some() && is_on(self.inpaint_full_res.as_ref());
        let refiner = self.refiner_checkpoint.as_deref().map(str::trim);
        let refiner = refiner.filter(|name| !matches!(*name, "" | "None")).map(str::to_string);
        let strength = self.denoising_strength.unwrap_or(STRENGTH);
        let mut metadata = Map::new();
        metadata.insert("contentType".into(), json!(self.content_rating.as_deref().unwrap_or("sfw")));
        metadata.insert("skip_enhancement".into(), json!(true));
        if reference.is_some() {
            metadata.insert("reference_mode".into(), json!("modify"));
        }
        let request = JobRequest {
            job_type: "image_fast".into(),
            quality: Some("fast".into()),
            prompt: Some(prompt.into()),
            // The prompt says all that is meant; nothing is put before it.
            enhanced_prompt: Some(prompt.into()),
            negative_prompt: self.negative_prompt.clone(),
            seed: self.seed,
            steps: self.steps,
            guidance_scale: self.cfg_scale,
            clip_skip: self.clip_skip()?,
            scheduler,
            width: self.width,
            height: self.height,
            denoise_strength: reference.as_ref().map(|_| strength),
            hires_scale: has_second_pass.then(|| self.hr_scale.unwrap_or(HIRES_SCALE)),
            hires_denoise_strength: has_second_pass.then_some(strength),
            inpaint_area: masked_only.then(|| "masked".to_string()),
            inpaint_padding: self.inpaint_full_res_padding.filter(|_| masked_only),
            mask_feather: self.mask_blur.filter(|_| masked_only),
            refiner: refiner.clone(),
            refiner_switch_at: self.refiner_switch_at.filter(|_| refiner.is_some()),
            vae: self.vae(),
            hires_upscaler: known.filter(|name| name != LANCZOS),
            hires_steps: self.hr_second_pass_steps.filter(|steps| has_second_pass && *steps > 0),
            reference_image_url: reference,
            mask_image_url: mask,
            model,
            image_count: Some(pictures),
            prompt_syntax: Some("a1111_native".into()),
            metadata,
            ..JobRequest::default()
        };
        Ok((request, warnings))
    }
}

/// Whether a switch is on, which clients send as a truth value or a number.
fn is_on(switch: Option<&Json>) -> bool {
    match switch {
        Some(Json::Bool(is_on)) => *is_on,
        Some(Json::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
        _ => false,
    }
}

/// Whether a value of a field that is not followed is more than what it is where nothing is asked.
fn asks_for_something(field: &str, value: &Json) -> bool {
    match (field, value) {
        ("initial_noise_multiplier", Json::Number(number)) => {
            number.as_f64() != Some(1.0) && number.as_f64() != Some(0.0)
        }
        ("subseed" | "seed_resize_from_h" | "seed_resize_from_w", Json::Number(number)) => {
            number.as_f64().is_some_and(|number| number > 0.0)
        }
        ("s_noise", Json::Number(number)) => number.as_f64() != Some(1.0),
        // What is drawn where is decided by the mask; how its edge is blurred is the model's part.
        ("resize_mode" | "inpainting_fill", _) => false,
        ("hr_checkpoint_name" | "hr_sampler_name" | "hr_scheduler", Json::String(name)) => {
            !name.is_empty() && !name.starts_with("Use same")
        }
        (_, Json::Null | Json::Bool(false)) => false,
        (_, Json::Number(number)) => number.as_f64() != Some(0.0),
        (_, Json::String(text)) => !text.trim().is_empty(),
        (_, Json::Array(items)) => !items.is_empty(),
        (_, Json::Object(members)) => !members.is_empty(),
        (_, Json::Bool(true)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The job, with what of it is not followed, and what was noted.
    type Read = (Result<(JobRequest, Vec<String>), SdError>, Vec<String>);

    fn read(body: Json) -> Read {
        let mut notes = Notes::default();
        let read = Drawing::read(body.to_string().as_bytes(), &mut notes);
        (read.and_then(|drawing| drawing.job(None, None, None)), notes.warnings())
    }

    #[test]
    fn a_request_of_a_client_becomes_a_job() {
        // As a chat client of this dialect sends it, with what it never asks for.
        let (job, noted) = read(json!({"prompt": "a (red:1.2) hat", "negative_prompt": "blue", "seed": -1,
            "sampler_name": "DPM++ 2M", "scheduler": "karras", "steps": 9, "cfg_scale": 6.5, "width": 64,
            "height": 96, "restore_faces": false, "enable_hr": false, "hr_upscaler": "Latent", "hr_scale": 2,
            "denoising_strength": 0.7, "clip_skip": 1, "override_settings": {"CLIP_stop_at_last_layers": 1},
            "save_images": true, "send_images": true, "do_not_save_grid": false, "n_iter": 1, "batch_size": 2}));
        let (job, warnings) = job.expect("a job");
        assert_eq!((warnings, noted), (Vec::<String>::new(), Vec::new()));
        assert_eq!((job.scheduler.as_deref(), job.seed), (Some("DPM++ 2M Karras"), None));
        assert_eq!((job.width, job.height, job.image_count), (Some(64), Some(96), Some(2)));
        assert_eq!((job.prompt_syntax.as_deref(), job.denoise_strength), (Some("a1111_native"), None));
        assert_eq!(job.clip_skip, Some(0));
        for (body, layers) in [
            (json!({"prompt": "x"}), None),
            (json!({"prompt": "x", "clip_skip": 0}), None),
            (json!({"prompt": "x", "clip_skip": 2}), Some(1)),
            (
                json!({"prompt": "x", "clip_skip": 2, "override_settings": {"CLIP_stop_at_last_layers": 3}}),
                Some(2),
            ),
        ] {
            assert_eq!(read(body).0.expect("a job").0.clip_skip, layers);
        }
        let odd = json!({"prompt": "x", "override_settings": {"CLIP_stop_at_last_layers": "two"}});
        let error = read(odd).0.expect_err("refused").to_string();
        assert!(error.starts_with("override_settings.CLIP_stop_at_last_layers: "), "{error}");
    }

    #[test]
    fn samplers_and_schedules_are_put_together() {
        for (sampler, schedule, name, warns) in [
            ("Euler a", "Automatic", "Euler a", false),
            ("euler", "karras", "Euler Karras", false),
            ("DPM++ 2M Karras", "", "DPM++ 2M Karras", false),
            ("DPM++ 3M SDE", "", "DPM++ 3M SDE Karras", false),
            ("DPM++ 3M SDE", "normal", "DPM++ 3M SDE Karras", true),
            ("DDIM", "Karras", "DDIM", true),
        ] {
            let (job, _) = read(json!({"prompt": "x", "sampler_name": sampler, "scheduler": schedule}));
            let (job, warnings) = job.expect("a job");
            assert_eq!((job.scheduler.as_deref(), !warnings.is_empty()), (Some(name), warns), "{sampler}");
        }
    }

    #[test]
    fn what_is_not_followed_is_said_and_what_cannot_be_is_refused() {
        let (job, noted) = read(json!({"prompt": "x", "enable_hr": false, "restore_faces": true,
            "override_settings": {"eta_noise_seed_delta": 2}, "styles": ["x"], "promt": "y"}));
        let (_, warnings) = job.expect("a job");
        let fields = |list: Vec<String>| -> Vec<String> {
            list.iter().filter_map(|it| Some(it.split_once(": ")?.0.to_string())).collect()
        };
        assert_eq!(fields(noted), ["promt", "restore_faces"]);
        assert_eq!(fields(warnings), ["styles", "override_settings.eta_noise_seed_delta"]);
        let (job, noted) = read(
            json!({"prompt": "x", "enable_hr": true, "hr_scale": 1.5, "hr_upscaler": "Latent",
            "hr_second_pass_steps": 0, "denoising_strength": 0.4, "hr_prompt": "y", "hr_sampler_name": "Use same sampler"}),
        );
        let (job, warnings) = job.expect("a job");
        assert_eq!((fields(warnings), fields(noted)), (Vec::new(), vec!["hr_prompt".into()]));
        assert_eq!(
            (job.hires_scale, job.hires_denoise_strength, job.hires_steps),
            (Some(1.5), Some(0.4), None)
        );
        assert_eq!(job.hires_upscaler.as_deref(), Some("Latent"));
        for (asked, upscaler) in [("Latent (nearest)", Some("Latent")), ("SwinIR_4x", None)] {
            let (job, _) = read(json!({"prompt": "x", "enable_hr": true, "hr_upscaler": asked}));
            let (job, warnings) = job.expect("a job");
            assert_eq!(
                (job.hires_upscaler.as_deref(), fields(warnings)),
                (upscaler, vec!["hr_upscaler".into()])
            );
        }
        for (body, field) in [
            (json!({}), "prompt"),
            (json!({"prompt": "x", "batch_size": 7}), "batch_size"),
            (json!({"prompt": "x", "batch_size": 0}), "batch_size"),
            (json!({"prompt": "x", "n_iter": u64::MAX, "batch_size": 2}), "batch_size"),
            (json!({"prompt": "x", "sampler_name": "Nonesuch"}), "sampler_name"),
            (json!({"prompt": "x", "sampler_name": "Euler", "scheduler": "odd"}), "scheduler"),
            (json!({"prompt": 7}), "prompt"),
            (json!({"prompt": "x", "steps": "many"}), "steps"),
        ] {
            let (job, _) = read(body.clone());
            let error = job.expect_err("refused").to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{body}: {error}");
        }
    }
}

//! What is asked of a picture, in this dialect's words and in ours.

use actors::character::consistency::ConsistencySettings;
use actors::render::{SIDE_STEP_PX, SIDES_PX, check_side};
use models::value_words::{is_none_of, shown_text};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use services::jobs::job_request::JobRequest;

use super::error::OpenAiError;
use crate::request_body::{Notes, typed};

/// Pictures of one request.
const PICTURES_MAX: u64 = 6;

/// `images/generations`, and the fields of `images/edits`. Fields of ours stand beside those of the dialect.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ImageRequest {
    pub prompt: Option<String>,
    pub model: Option<String>,
    pub n: Option<u64>,
    pub size: Option<String>,
    pub quality: Option<String>,
    pub response_format: Option<String>,
    pub output_format: Option<String>,
    pub output_compression: Option<u8>,
    pub stream: Option<bool>,
    // Ours.
    pub negative_prompt: Option<String>,
    #[serde(deserialize_with = "services::seed::or_random")]
    pub seed: Option<u64>,
    pub steps: Option<u32>,
    #[serde(alias = "cfg_scale")]
    pub guidance_scale: Option<f64>,
    pub scheduler: Option<String>,
    #[serde(alias = "denoise_strength")]
    pub strength: Option<f64>,
    pub content_rating: Option<String>,
    pub character_id: Option<String>,
    pub compel: Option<bool>,
    pub prompt_syntax: Option<String>,
    pub loras: Json,
    pub vae: Option<String>,
    pub controls: Json,
    pub ip_adapters: Json,
    pub consistency_method: Option<String>,
    pub consistency_settings: Option<ConsistencySettings>,
}

/// How the answer carries pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// A URL that opens without a key for a while, instead of the bytes.
    pub as_url: bool,
    /// What the bytes are.
    pub format: actors::file::picture::Format,
    /// Of JPEG, 20 to 100.
    pub quality: u8,
}

impl ImageRequest {
    /// Reads a JSON body; the error names the field.
    pub fn read(body: &[u8], notes: &mut Notes) -> Result<ImageRequest, OpenAiError> {
        Ok(typed(body, notes)?)
    }

    /// How the answer carries pictures.
    pub fn delivery(&self) -> Result<Delivery, OpenAiError> {
        use actors::file::picture::Format;
        if self.stream == Some(true) {
            return Err(OpenAiError::param("stream", "pictures are not streamed; leave it out"));
        }
        let as_url = match self.response_format.as_deref() {
            None | Some("url") => true,
            Some("b64_json") => false,
            Some(other) => {
                return Err(OpenAiError::param("response_format", is_none_of(other, &["url", "b64_json"])));
            }
        };
        let format = match self.output_format.as_deref() {
            None | Some("png") => Format::Png,
            Some("jpeg") => Format::Jpeg,
            Some("webp") => Format::Webp,
            Some(other) => {
                return Err(OpenAiError::param("output_format", is_none_of(other, &["png", "jpeg", "webp"])));
            }
        };
        // Without a word about it, a format other than the stored one can only be sent as bytes.
        if as_url && self.response_format.is_some() && format != Format::Png {
            return Err(OpenAiError::param("output_format", "URLs lead to PNG files; ask for b64_json"));
        }
        let as_url = as_url && format == Format::Png;
        Ok(Delivery { as_url, format, quality: self.output_compression.unwrap_or(90) })
    }

    /// The job that is asked for.
    pub fn job(&self, reference: Option<&str>, mask: Option<&str>) -> Result<JobRequest, OpenAiError> {
        let prompt = self.prompt.as_deref().map(str::trim).unwrap_or_default();
        if prompt.is_empty() {
            return Err(OpenAiError::param("prompt", "missing"));
        }
        let pictures = self.n.unwrap_or(1);
        if !(1..=PICTURES_MAX).contains(&pictures) {
            return Err(OpenAiError::param("n", format!("{pictures} is not within 1 to {PICTURES_MAX}")));
        }
        let quality = match self.quality.as_deref() {
            None | Some("auto" | "standard" | "low" | "medium") => "fast",
            Some("hd" | "high") => "high",
            Some(other) => {
                let known = ["auto", "standard", "low", "medium", "high", "hd"];
                return Err(OpenAiError::param("quality", is_none_of(other, &known)));
            }
        };
        let mut metadata = Map::new();
        metadata.insert("source".into(), json!("openai"));
        metadata.insert("contentType".into(), json!(self.content_rating.as_deref().unwrap_or("sfw")));
        if let Some(character) = &self.character_id {
            metadata.insert("character_id".into(), json!(character));
        }
        let (width, height) = self.size()?.unzip();
        Ok(JobRequest {
            job_type: format!("image_{quality}"),
            quality: Some(quality.into()),
            prompt: Some(prompt.into()),
            negative_prompt: self.negative_prompt.clone(),
            seed: self.seed,
            steps: self.steps,
            guidance_scale: self.guidance_scale,
            scheduler: self.scheduler.clone(),
            denoise_strength: self.strength,
            model: self.model.clone(),
            width,
            height,
            image_count: Some(pictures),
            reference_image_url: reference.map(str::to_string),
            mask_image_url: mask.map(str::to_string),
            // An edit says all it wants; nothing is put before it.
            enhanced_prompt: reference.map(|_| prompt.into()),
            compel_enabled: self.compel,
            prompt_syntax: self.prompt_syntax.clone(),
            loras: self.loras.clone(),
            vae: self.vae.clone(),
            controls: self.controls.clone(),
            ip_adapters: self.ip_adapters.clone(),
            consistency_method: self.consistency_method.clone(),
            consistency_settings: self.consistency_settings.clone(),
            metadata,
            ..JobRequest::default()
        })
    }

    /// Width and height; `None` leaves them to the model.
    fn size(&self) -> Result<Option<(u32, u32)>, OpenAiError> {
        let Some(size) = self.size.as_deref().filter(|size| !matches!(*size, "" | "auto")) else {
            return Ok(None);
        };
        let sides = size.split_once('x').and_then(|(width, height)| {
            Some((width.trim().parse::<u32>().ok()?, height.trim().parse::<u32>().ok()?))
        });
        let Some((width, height)) = sides else {
            let (least, most) = (SIDES_PX.start(), SIDES_PX.end());
            let reason = format!(
                "{} is neither auto nor WIDTHxHEIGHT, each a multiple of {SIDE_STEP_PX} within {least} to {most}",
                shown_text(size)
            );
            return Err(OpenAiError::param("size", reason));
        };
        for (field, side) in [("width", width), ("height", height)] {
            check_side(field, side).map_err(|unfit| OpenAiError::param("size", unfit.message))?;
        }
        Ok(Some((width, height)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialects_words_become_ours() {
        let body = br#"{"prompt":" a hill ","n":3,"size":"64x96","quality":"hd","seed":-1,"cfg_scale":5,
            "loras":["ink"],"user":"x"}"#;
        let job = ImageRequest::read(body, &mut Notes::default())
            .expect("a request")
            .job(None, None)
            .expect("a job");
        assert_eq!((job.job_type.as_str(), job.prompt.as_deref()), ("image_high", Some("a hill")));
        assert_eq!((job.width, job.height, job.image_count), (Some(64), Some(96), Some(3)));
        assert_eq!((job.guidance_scale, job.seed), (Some(5.0), None));
        assert_eq!(job.loras, json!(["ink"]));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (body, param) in [
            (r#"{}"#, "prompt"),
            (r#"{"prompt":"a","n":0}"#, "n"),
            (r#"{"prompt":"a","n":7}"#, "n"),
            (r#"{"prompt":"a","size":"65x64"}"#, "size"),
            (r#"{"prompt":"a","size":"big"}"#, "size"),
            (r#"{"prompt":"a","seed":-7}"#, "seed"),
            (r#"{"prompt":"a","seed":18446744073709551616}"#, "seed"),
            (r#"{"prompt":"a","steps":"many"}"#, "steps"),
            (r#"{"prompt":"a","quality":"best"}"#, "quality"),
            (r#"{"prompt":"a","response_format":"file"}"#, "response_format"),
            (r#"{"prompt":"a","output_format":"bmp"}"#, "output_format"),
            (r#"{"prompt":"a","stream":true}"#, "stream"),
        ] {
            let read = ImageRequest::read(body.as_bytes(), &mut Notes::default());
            let error = read.and_then(|it| it.delivery().and_then(|_| it.job(None, None))).err();
            let error = error.expect("an error");
            assert_eq!(error.body()["error"]["param"], json!(param), "{body}");
        }
    }
}

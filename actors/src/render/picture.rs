//! Pixels to files: a PNG that tells how it was made, and a thumbnail.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use diffusion::GenerateSpec;
use image::{ExtendedColorType, ImageEncoder, RgbImage, imageops};
use serde_json::{Value as Json, json};

use super::lora_choice::describe;
use super::lora_hash::recorded_hash;
use super::payload::SourceHashes;
use super::picture_record::{ComputedWith, KEYWORD, PictureRecord, RecordedRefiner, RecordedSpec};
use super::recorded_guides::guides;
use super::upscaler_choice::LANCZOS;
use crate::job_scheduler::{HiresPass, PasteWork};

/// Longest side of a thumbnail, in pixels.
const THUMBNAIL_SIDE_PX: u32 = 256;

/// What a picture was made with.
pub(super) struct Origin<'a> {
    /// Everything that was asked for.
    pub spec: &'a GenerateSpec,
    /// The picture's own seed.
    pub seed: u64,
    /// Its place among the job's pictures, from 0.
    pub index: usize,
    /// Hashes of the pictures that it began with.
    pub sources: &'a SourceHashes,
    /// Its second pass.
    pub hires: Option<&'a HiresPass>,
    /// The part that was drawn, where it was put back into a whole.
    pub paste: Option<&'a PasteWork>,
    /// The model that drew the last steps.
    pub refiner: Option<&'a RecordedRefiner>,
    /// The model's name.
    pub model: &'a str,
    /// BLAKE3 of its weights, hexadecimal.
    pub weights_hash: &'a str,
    /// How it was computed.
    pub computed: &'a ComputedWith,
}

/// The line of parameters that A1111 writes and other programs read.
pub(super) fn infotext(origin: &Origin<'_>) -> String {
    let Origin { spec, seed, model, weights_hash, hires, .. } = origin;
    let mut text = spec.prompt.clone();
    for lora in lora_names(spec) {
        let (name, unet) = (lora["name"].as_str().unwrap_or_default(), &lora["scale"]);
        // A1111 writes that of the text encoders before that of the UNet where they differ.
        let scale = lora.get("text_scale").map_or_else(|| unet.to_string(), |text| format!("{text}:{unet}"));
        let weights = lora["blocks"].as_array().map(|weights| {
            format!(":lbw={}", weights.iter().map(Json::to_string).collect::<Vec<_>>().join(","))
        });
        text.push_str(&format!(" <lora:{name}:{scale}{}>", weights.unwrap_or_default()));
    }
    if let Some(negative) = spec.negative_prompt.as_deref().filter(|negative| !negative.is_empty()) {
        text.push_str("\nNegative prompt: ");
        text.push_str(negative);
    }
    let quoted = |value: &str| match value.contains([',', ':', '\n', '"']) {
        true => json!(value).to_string(),
        false => value.to_string(),
    };
    let (sampler, schedule) = match spec.scheduler.as_deref() {
        Some(name) => match name.strip_suffix(" Karras") {
            Some(sampler) => (sampler.to_string(), Some("Karras")),
            None => (name.to_string(), None),
        },
        None => ("Default".to_string(), None),
    };
    text.push_str(&format!("\nSteps: {}, Sampler: {}", spec.steps, quoted(&sampler)));
    if let Some(schedule) = schedule {
        text.push_str(&format!(", Schedule type: {schedule}"));
    }
    text.push_str(&format!(
        ", CFG scale: {}, Seed: {seed}, Size: {}x{}, Model hash: {}, Model: {}",
        spec.guidance_scale,
        spec.width,
        spec.height,
        weights_hash.get(..10).unwrap_or(weights_hash),
        quoted(model)
    ));
    if spec.init_image.is_some() {
        text.push_str(&format!(", Denoising strength: {}", spec.strength));
    }
    if let Some(hires) = hires {
        // One strength can be said; that of a reference comes first.
        if spec.init_image.is_none() {
            text.push_str(&format!(", Denoising strength: {}", hires.denoise_strength));
        }
        text.push_str(&format!(", Hires upscale: {}", hires.scale));
        if let Some(steps) = hires.steps {
            text.push_str(&format!(", Hires steps: {steps}"));
        }
        text.push_str(&format!(", Hires upscaler: {}", quoted(hires.upscaler.as_deref().unwrap_or(LANCZOS))));
    }
    if let Some(refiner) = origin.refiner {
        let (model, at) = (quoted(&refiner.work.model), refiner.work.switch_at);
        text.push_str(&format!(", Refiner: {model}, Refiner switch at: {at}"));
    }
    if let Some(vae) = spec.vae.as_deref().and_then(stem) {
        text.push_str(&format!(", VAE: {}", quoted(&vae)));
    }
    if spec.clip_skip > 0 {
        text.push_str(&format!(", Clip skip: {}", spec.clip_skip + 1));
    }
    text.push_str(&format!(", RNG: CPU, Version: Playhouse {}", env!("CARGO_PKG_VERSION")));
    text
}

/// The LoRAs of a spec by name, with their scales.
pub(super) fn lora_names(spec: &GenerateSpec) -> Vec<Json> {
    spec.loras.iter().map(|(path, scale)| describe(&stem(path).unwrap_or_default(), scale)).collect()
}

/// What a file is called, without its ending.
fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(|name| name.to_string_lossy().into_owned())
}

/// The embeddings of a spec by name, with the hashes of their files.
fn embedding_hashes(spec: &GenerateSpec) -> Vec<Json> {
    let about = |path: &PathBuf| {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        json!({"name": name, "hash": recorded_hash(path)})
    };
    spec.embeddings.iter().map(about).collect()
}

/// A PNG with A1111's `parameters` and our own `playhouse` text. The same spec and pixels give the same bytes.
pub(super) fn png(picture: &RgbImage, origin: &Origin) -> Result<Vec<u8>, String> {
    let spec = origin.spec;
    let mut loras = lora_names(spec);
    for (lora, (path, _)) in loras.iter_mut().zip(&spec.loras) {
        lora["hash"] = json!(recorded_hash(path));
    }
    let about = PictureRecord {
        generator: KEYWORD.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        model: origin.model.into(),
        weights_hash: format!("blake3:{}", origin.weights_hash),
        computed: Some(origin.computed.clone()),
        spec: RecordedSpec {
            prompt: spec.prompt.clone(),
            negative_prompt: spec.negative_prompt.clone(),
            width: spec.width,
            height: spec.height,
            steps: u32::try_from(spec.steps).unwrap_or(u32::MAX),
            guidance_scale: spec.guidance_scale,
            seed: origin.seed,
            noise: format!("{:?}", spec.noise),
            scheduler: spec.scheduler.clone(),
            strength: spec.init_image.as_ref().map(|_| spec.strength),
            clip_skip: u32::try_from(spec.clip_skip).unwrap_or(u32::MAX),
            prompt_syntax: spec.prompt_syntax,
            loras,
            embeddings: embedding_hashes(spec),
            guides: guides(spec, origin.sources),
            vae: spec.vae.as_deref().map(|path| json!({"name": stem(path), "hash": recorded_hash(path)})),
            masked: spec.mask.is_some(),
            reference_hash: origin.sources.reference.clone(),
            mask_hash: origin.sources.mask.clone(),
            hires: origin.hires.cloned(),
            upscaler_hash: origin.sources.upscaler.clone(),
            paste: origin.paste.cloned(),
            refiner: origin.refiner.cloned(),
            whole_px: origin.paste.map(|_| picture.dimensions()),
        },
        image_index: origin.index,
    };
    let about = serde_json::to_string(&about).map_err(|error| format!("encoding the picture: {error}"))?;
    png_with_texts(picture, vec![("parameters", infotext(origin)), (KEYWORD, about)])
}

/// A PNG with texts by keyword.
pub(super) fn png_with_texts(picture: &RgbImage, texts: Vec<(&str, String)>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let refused = |error: png::EncodingError| format!("encoding the picture: {error}");
    let mut encoder = png::Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, text) in texts {
        // tEXt holds Latin-1 only; iTXt holds everything, and readers of one read the other.
        match text.chars().all(|character| (character as u32) < 256) {
            true => encoder.add_text_chunk(keyword.into(), text),
            false => encoder.add_itxt_chunk(keyword.into(), text),
        }
        .map_err(refused)?;
    }
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(picture.as_raw()).map_err(refused)?;
    writer.finish().map_err(refused)?;
    Ok(bytes)
}

/// A small WebP, lossless.
pub(super) fn thumbnail_webp(picture: &RgbImage) -> Result<Vec<u8>, String> {
    let small = fit(picture, THUMBNAIL_SIDE_PX);
    let mut bytes = Vec::new();
    image::codecs::webp::WebPEncoder::new_lossless(&mut bytes)
        .write_image(small.as_raw(), small.width(), small.height(), ExtendedColorType::Rgb8)
        .map_err(|error| format!("encoding the thumbnail: {error}"))?;
    Ok(bytes)
}

/// A PNG of a preview.
pub(super) fn preview_png(picture: &RgbImage) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).ok()?;
    Some(bytes)
}

fn fit(picture: &RgbImage, side_max: u32) -> RgbImage {
    let longest = picture.width().max(picture.height());
    if longest <= side_max {
        return picture.clone();
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(side_max) / u64::from(longest)).max(1) as u32;
    imageops::resize(
        picture,
        scaled(picture.width()),
        scaled(picture.height()),
        imageops::FilterType::Triangle,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_png_says_how_it_was_made_and_is_the_same_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ink.safetensors");
        std::fs::write(&file, b"ink").expect("a file");
        let spec = GenerateSpec {
            prompt: "a red circle, flat".into(),
            prompt_syntax: diffusion::prompt::PromptSyntax::A1111,
            loras: vec![(file, 0.5.into())],
            negative_prompt: Some("blue".into()),
            scheduler: Some("DPM++ 2M Karras".into()),
            width: 16,
            height: 8,
            ..GenerateSpec::default()
        };
        let computed = ComputedWith { weights: "bf16".into(), device: "cuda".into() };
        let sources = SourceHashes { reference: Some("blake3:ab".into()), ..SourceHashes::default() };
        let origin = Origin {
            spec: &spec,
            seed: 7,
            index: 2,
            sources: &sources,
            hires: None,
            paste: None,
            refiner: None,
            model: "starter",
            weights_hash: "0123456789abcdef",
            computed: &computed,
        };
        let picture = RgbImage::new(16, 8);
        let bytes = png(&picture, &origin).expect("it encodes");
        assert_eq!(bytes, png(&picture, &origin).expect("it encodes"));
        let decoder = png::Decoder::new(Cursor::new(&bytes));
        let reader = decoder.read_info().expect("a PNG");
        let texts = &reader.info().uncompressed_latin1_text;
        let parameters = &texts.iter().find(|chunk| chunk.keyword == "parameters").expect("parameters").text;
        assert_eq!(
            parameters.lines().collect::<Vec<_>>()[..2],
            ["a red circle, flat <lora:ink:0.5>", "Negative prompt: blue"]
        );
        let last = parameters.lines().last().expect("a last line");
        assert!(last.starts_with("Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 7, Size: 16x8, Model hash: 0123456789, Model: starter"), "{last}");
        let record = PictureRecord::of_png(&bytes).expect("a record");
        assert_eq!((record.spec.seed, record.model.as_str()), (7, "starter"));
        let own = &texts.iter().find(|chunk| chunk.keyword == "playhouse").expect("our own").text;
        let own: Json = serde_json::from_str(own).expect("JSON");
        assert_eq!(own["image_index"], 2);
        assert_eq!(own["computed"], json!({"weights": "bf16", "device": "cuda"}));
        assert_eq!(own["spec"]["prompt_syntax"], "a1111");
        assert_eq!(own["spec"]["reference_hash"], "blake3:ab");
        let lora = &own["spec"]["loras"][0];
        assert_eq!((&lora["name"], &lora["scale"]), (&json!("ink"), &json!(0.5)));
        assert_eq!(lora["hash"], format!("blake3:{}", blake3::hash(b"ink").to_hex()));
        let other = GenerateSpec { prompt: "猫".into(), ..spec.clone() };
        let bytes = png(&picture, &Origin { spec: &other, ..origin }).expect("any text fits");
        let reader = png::Decoder::new(Cursor::new(&bytes)).read_info().expect("a PNG");
        assert!(
            reader
                .info()
                .utf8_text
                .iter()
                .any(|chunk| chunk.get_text().is_ok_and(|text| text.starts_with('猫')))
        );
    }
}

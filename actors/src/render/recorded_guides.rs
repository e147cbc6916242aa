//! What led a picture beside its prompts, as its record tells it, and the same as a job asks for it again.

use std::collections::BTreeMap;
use std::path::Path;

use diffusion::{ControlSpec, GenerateSpec, ImagePromptSpec};
use serde_json::{Value as Json, json};

use super::guide_choice::CANNY;
use super::lora_hash::recorded_hash;
use super::payload::SourceHashes;
use crate::job_scheduler::{ControlConfig, GuideConfig, GuidePicture, IpAdapterConfig, LikenessConfig};

/// What led a picture; `sources` has the hashes of what was sent, in the order of its guides.
pub(super) fn guides(spec: &GenerateSpec, sources: &SourceHashes) -> Json {
    let guides = &spec.guides;
    if guides.is_empty() {
        return Json::Null;
    }
    let mut pictures = sources.guides.iter();
    let mut controls = Vec::new();
    for ControlSpec { file, scale, start, end, finds_lines, .. } in &guides.controls {
        let mut about = file_about(file);
        about["scale"] = json!(scale);
        (about["start"], about["end"]) = (json!(start), json!(end));
        about["preprocess"] = if *finds_lines { json!(CANNY) } else { Json::Null };
        about["picture"] = json!(pictures.next());
        controls.push(about);
    }
    // The adapter that a character's looks chose is the last of them, and so is its picture.
    let mut adapters = Vec::new();
    for ImagePromptSpec { file, encoder, scale, pictures: seen } in &guides.image_prompts {
        let mut about = file_about(file);
        about["scale"] = scale.clone();
        about["encoder"] = file_about(encoder);
        about["pictures"] = json!(pictures.by_ref().take(seen.len()).collect::<Vec<_>>());
        adapters.push(about);
    }
    let reference = guides.reference.as_ref().map(|it| {
        json!({"share": it.share, "fidelity": it.fidelity, "emphasis": it.emphasis, "picture": pictures.next()})
    });
    json!({
        "controls": controls, "ip_adapters": adapters, "reference": reference, "pictures": sources.guides,
    })
}

fn file_about(path: &Path) -> Json {
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
    json!({"model": name, "hash": recorded_hash(path)})
}

/// The hashes of the pictures that led a recorded one, each once.
pub(super) fn picture_hashes(guides: &Json) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for hash in guides["pictures"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if !all.iter().any(|known| known == hash) {
            all.push(hash.to_string());
        }
    }
    all
}

/// What a record says as a job asks for it. `pictures` are the files that led, by their hashes; one that is missing, or a
/// record that does not say which picture led what, as those of earlier versions do not, is an error.
pub(super) fn asked_again(
    guides: &Json,
    pictures: &BTreeMap<String, GuidePicture>,
) -> Result<GuideConfig, String> {
    let picture = |hash: &Json| {
        let hash = hash.as_str().ok_or("its record does not say which picture led what")?;
        pictures.get(hash).cloned().ok_or_else(|| format!("the picture with the hash {hash} is missing"))
    };
    let model = |about: &Json| about["model"].as_str().unwrap_or_default().to_string();
    let list = |name: &str| guides[name].as_array().cloned().unwrap_or_default();
    let mut again = GuideConfig::default();
    for control in list("controls") {
        again.controls.push(ControlConfig {
            model: model(&control),
            picture: picture(&control["picture"])?,
            preprocess: control["preprocess"].as_str().map(str::to_string),
            scale: control["scale"].as_f64().unwrap_or(1.0),
            start: control["start"].as_f64().unwrap_or(0.0),
            end: control["end"].as_f64().unwrap_or(1.0),
        });
    }
    for adapter in list("ip_adapters") {
        let seen = adapter["pictures"].as_array().ok_or("its record does not say which picture led what")?;
        again.ip_adapters.push(IpAdapterConfig {
            model: model(&adapter),
            pictures: seen.iter().map(picture).collect::<Result<_, _>>()?,
            scale: adapter["scale"].clone(),
        });
    }
    if guides["reference"].is_object() {
        let reference = &guides["reference"];
        again.likeness = Some(LikenessConfig {
            picture: picture(&reference["picture"])?,
            strength: reference["share"].as_f64(),
        });
    }
    Ok(again)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use diffusion::{GuideSpec, ReferenceSpec};
    use image::RgbImage;

    use super::*;

    #[test]
    fn each_picture_is_recorded_where_it_led_and_asked_for_there_again() {
        let seen = Arc::new(RgbImage::new(1, 1));
        let control = ControlSpec {
            file: "pose.safetensors".into(),
            picture: seen.clone(),
            finds_lines: true,
            scale: 0.5,
            start: 0.25,
            end: 0.75,
        };
        let adapter = ImagePromptSpec {
            file: "looks.safetensors".into(),
            encoder: "encoder".into(),
            pictures: vec![seen.clone(), seen.clone()],
            scale: json!(0.6),
        };
        let reference = ReferenceSpec { picture: seen, fidelity: 1.0, emphasis: 0.25, share: 0.5 };
        let guides_of_it = GuideSpec {
            controls: vec![control],
            image_prompts: vec![adapter],
            reference: Some(reference),
            ..GuideSpec::default()
        };
        let spec = GenerateSpec { guides: guides_of_it, ..GenerateSpec::default() };
        let hashes = ["a", "b", "c", "a"].map(String::from).to_vec();
        let recorded = guides(&spec, &SourceHashes { guides: hashes, ..SourceHashes::default() });
        assert_eq!(recorded["controls"][0]["picture"], "a");
        assert_eq!(recorded["ip_adapters"][0]["pictures"], json!(["b", "c"]));
        assert_eq!(recorded["reference"]["picture"], "a");
        assert_eq!(recorded["reference"]["emphasis"], 0.25);
        assert_eq!(picture_hashes(&recorded), ["a", "b", "c"]);
        let named = |hash: &str| GuidePicture { image: String::new(), image_object: format!("o/{hash}") };
        let mut pictures: BTreeMap<String, GuidePicture> =
            ["a", "b", "c"].map(|hash| (hash.to_string(), named(hash))).into();
        let again = asked_again(&recorded, &pictures).expect("all are there");
        let control = &again.controls[0];
        assert_eq!((control.model.as_str(), control.preprocess.as_deref()), ("pose", Some(CANNY)));
        assert_eq!((control.scale, control.start, control.end), (0.5, 0.25, 0.75));
        assert_eq!(again.ip_adapters[0].pictures, [named("b"), named("c")]);
        let likeness = again.likeness.expect("a reference");
        assert_eq!((likeness.picture, likeness.strength), (named("a"), Some(0.5)));
        pictures.remove("c");
        assert!(asked_again(&recorded, &pictures).is_err_and(|reason| reason.contains("hash c is missing")));
        let old = json!({"controls": [{"model": "pose", "scale": 1.0}], "pictures": ["a"]});
        assert!(asked_again(&old, &pictures).is_err_and(|reason| reason.contains("does not say")));
    }
}

//! How a picture was made, as far as its file says: in the texts of a PNG, under the names that `queue-job` takes.

mod a1111;
mod comfy;
mod invoke;
mod taken;

use serde_json::{Map, Value as Json, json};

use taken::Taken;

/// Keywords of texts that say how a picture was made, and who writes them; the first that is there counts.
const KEYWORDS: [(&str, &str); 5] = [
    ("playhouse", "playhouse"),
    ("invokeai_metadata", "invokeai"),
    ("sd-metadata", "invokeai"),
    ("parameters", "a1111"),
    ("prompt", "comfyui"),
];

/// What a file says.
#[derive(Debug, Default)]
pub struct PictureSettings {
    /// Who wrote it: `playhouse`, `invokeai`, `a1111` or `comfyui`; `None` where no text says how it was made.
    pub format: Option<&'static str>,
    /// What can be given to `queue-job` as it stands.
    pub settings: Map<String, Json>,
    /// What the file says beside that, and is not taken over.
    pub unused: Map<String, Json>,
    /// Texts that could not be read.
    pub warnings: Vec<String>,
}

/// Reads the texts of a PNG, by keyword. Where several programs have written, the one that says most is followed.
pub fn read(texts: &[(String, String)]) -> PictureSettings {
    let mut warnings = Vec::new();
    for (keyword, format) in KEYWORDS {
        let Some((_, text)) = texts.iter().find(|(name, _)| name == keyword) else { continue };
        let taken = match keyword {
            "parameters" => Ok(a1111::read(text)),
            _ => serde_json::from_str(text).map(|said: Map<String, Json>| match keyword {
                "playhouse" => own(said),
                "invokeai_metadata" => invoke::read(said),
                "sd-metadata" => invoke::read_first(said),
                _ => comfy::read(&said),
            }),
        };
        match taken {
            Ok(Taken { settings, unused }) => {
                return PictureSettings { format: Some(format), settings, unused, warnings };
            }
            Err(error) => warnings.push(format!("{keyword}: cannot be read: {error}")),
        }
    }
    PictureSettings { warnings, ..PictureSettings::default() }
}

/// Our own text.
fn own(mut said: Map<String, Json>) -> Taken {
    let mut taken = Taken::default();
    taken.text("model", said.get("model").and_then(Json::as_str).unwrap_or_default());
    let spec = match said.remove("spec") {
        Some(Json::Object(spec)) => spec,
        _ => Map::new(),
    };
    for (name, value) in spec {
        match name.as_str() {
            "prompt" | "negative_prompt" | "scheduler" | "prompt_syntax" => {
                taken.text(&name, value.as_str().unwrap_or_default());
            }
            "width" | "height" | "steps" | "seed" => taken.count(&name, &name, &value),
            "clip_skip" if value == 0 => {}
            "clip_skip" => taken.count(&name, &name, &value),
            "guidance_scale" => taken.number(&name, &name, &value),
            "loras" => {
                for lora in value.as_array().into_iter().flatten() {
                    taken.described_lora(lora, "loras");
                }
            }
            "hires" if value.is_object() => {
                for (name, said_as) in [
                    ("hires_scale", "scale"),
                    ("hires_denoise_strength", "denoise_strength"),
                    ("hires_steps", "steps"),
                ] {
                    match &value[said_as] {
                        Json::Null => {}
                        steps if name == "hires_steps" => taken.count(name, said_as, steps),
                        number => taken.number(name, said_as, number),
                    }
                }
                taken.text("hires_upscaler", value["upscaler"].as_str().unwrap_or_default());
            }
            "vae" => taken.text("vae", value["name"].as_str().unwrap_or_default()),
            // The pictures that it began with are not in the file.
            "masked" if value == json!(false) => {}
            _ => taken.leave(&name, &value),
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keyword: &str, text: &str) -> PictureSettings {
        read(&[("Title".into(), "x".into()), (keyword.into(), text.into())])
    }

    #[test]
    fn a1111_is_read() {
        let text = "a (small:1.2) lighthouse <lora:ink:0.5> <lora:fog:0.8:0.25>\nNegative prompt: people\nSteps: 20, Sampler: DPM++ 2M, \
                    Schedule type: Karras, CFG scale: 5.5, Seed: 11, Size: 512x768, Model hash: 1234, Model: dream, \
                    Clip skip: 2, Denoising strength: 0.4, Hires upscale: 2, Hires steps: 9, Hires upscaler: Latent";
        let found = of("parameters", text);
        assert_eq!(found.format, Some("a1111"));
        assert_eq!(
            Json::Object(found.settings),
            json!({"prompt": "a (small:1.2) lighthouse", "negative_prompt": "people", "steps": 20, "seed": 11,
                   "scheduler": "DPM++ 2M Karras", "guidance_scale": 5.5, "width": 512, "height": 768,
                   "hires_scale": 2.0, "hires_denoise_strength": 0.4, "hires_steps": 9, "hires_upscaler": "Latent",
                   "model": "dream", "clip_skip": 1, "loras": [{"name": "ink", "scale": 0.5}, {"name": "fog", "scale": 0.25, "text_scale": 0.8}],
                   "prompt_syntax": "a1111"})
        );
        assert_eq!(Json::Object(found.unused), json!({"Model hash": "1234"}));
        let odd = of("parameters", "a cat\nSteps: many, Sampler: Restart, CFG scale: nan, Seed: -1, Size: 5");
        assert_eq!(Json::Object(odd.settings), json!({"prompt": "a cat"}));
        assert_eq!(
            Json::Object(odd.unused),
            json!({"Steps": "many", "scheduler": "Restart", "CFG scale": "nan", "Seed": "-1", "Size": "5"})
        );
    }

    #[test]
    fn invokeai_is_read() {
        let text = json!({
            "app_version": "4.0.0", "generation_mode": "txt2img", "positive_prompt": "a red++ barn",
            "negative_prompt": "fog", "width": 640, "height": 512, "seed": 7, "cfg_scale": 7.5, "steps": 30,
            "scheduler": "dpmpp_2m_k", "clip_skip": 0, "model": {"name": "dream", "hash": "blake3:1"},
            "loras": [{"model": {"name": "ink"}, "weight": 0.75}], "controlnets": [], "vae": null,
        });
        let found = of("invokeai_metadata", &text.to_string());
        assert_eq!(
            (found.format, Json::Object(found.settings)),
            (
                Some("invokeai"),
                json!({"prompt": "a red++ barn", "negative_prompt": "fog", "width": 640, "height": 512, "seed": 7,
                       "guidance_scale": 7.5, "steps": 30, "scheduler": "DPM++ 2M Karras", "model": "dream",
                       "loras": [{"name": "ink", "scale": 0.75}], "prompt_syntax": "compel"})
            )
        );
        assert_eq!(Json::Object(found.unused), json!({"app_version": "4.0.0", "generation_mode": "txt2img"}));
        let first = json!({"model_weights": "sd-1.4", "image": {"prompt": [{"prompt": "a barn [fog]", "weight": 1}],
            "steps": 50, "cfg_scale": 7.5, "sampler": "k_euler_a", "width": 512, "height": 512, "seed": 3}});
        let found = of("sd-metadata", &first.to_string());
        assert_eq!(
            Json::Object(found.settings),
            json!({"prompt": "a barn", "negative_prompt": "fog", "steps": 50, "guidance_scale": 7.5,
                   "scheduler": "Euler a", "width": 512, "height": 512, "seed": 3, "model": "sd-1.4"})
        );
    }

    #[test]
    fn comfyuis_graph_is_followed() {
        let graph = json!({
            "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15/dream.safetensors"}},
            "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "ink.safetensors", "strength_model": 0.6,
                  "model": ["1", 0], "clip": ["1", 1]}},
            "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["2", 1]}},
            "4": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["3", 0], "strength": 1.0}},
            "5": {"class_type": "CLIPTextEncode", "inputs": {"text": ["6", 0], "clip": ["2", 1]}},
            "6": {"class_type": "PrimitiveString", "inputs": {"value": "people"}},
            "7": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 384, "batch_size": 1}},
            "8": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "cfg": 8, "sampler_name": "dpmpp_2m",
                  "scheduler": "karras", "denoise": 1, "model": ["2", 0], "positive": ["4", 0], "negative": ["5", 0],
                  "latent_image": ["7", 0]}},
            "10": {"class_type": "KSampler", "inputs": {"seed": 6, "steps": 5, "cfg": 8, "sampler_name": "euler",
                  "scheduler": "normal", "denoise": 0.5, "model": ["1", 0], "positive": ["3", 0], "negative": ["5", 0],
                  "latent_image": ["8", 0]}},
            "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0]}},
        });
        let found = of("prompt", &graph.to_string());
        assert_eq!(
            (found.format, Json::Object(found.settings)),
            (
                Some("comfyui"),
                json!({"prompt": "a lighthouse", "negative_prompt": "people", "seed": 5, "steps": 20,
                       "guidance_scale": 8.0, "scheduler": "DPM++ 2M Karras", "width": 512, "height": 384,
                       "model": "dream", "loras": [{"name": "ink", "scale": 0.6}]})
            )
        );
        assert_eq!(Json::Object(found.unused), json!({"node 10": "KSampler"}));
        // Graphs that lead nowhere, or to themselves, end.
        for graph in [
            json!({"1": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["1", 0], "model": ["1", 0]}}}),
            json!({"1": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["9", 0]}}}),
            json!({"1": {"class_type": "A", "inputs": {"conditioning": ["2", 0]}},
                   "2": {"class_type": "A", "inputs": {"conditioning": ["1", 0]}},
                   "3": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["1", 0]}}}),
            json!({"1": 5, "2": [], "3": {"class_type": 7}}),
        ] {
            assert_eq!(of("prompt", &graph.to_string()).settings.get("prompt"), None, "{graph}");
        }
    }

    #[test]
    fn our_own_is_read_before_what_others_read() {
        let own = json!({"generator": "playhouse", "model": "starter", "spec": {"prompt": "a cat", "steps": 4,
            "negative_prompt": null, "width": 64, "height": 64, "guidance_scale": 1.5, "seed": 9, "noise": "Cpu",
            "scheduler": "Euler", "strength": 0.5, "clip_skip": 0, "prompt_syntax": "plain", "masked": false,
            "loras": [{"name": "ink", "scale": 0.5, "hash": null}], "reference_hash": "blake3:1", "mask_hash": null}});
        let texts = [("parameters".to_string(), "a dog".to_string()), ("playhouse".into(), own.to_string())];
        let found = read(&texts);
        assert_eq!(
            (found.format, Json::Object(found.settings)),
            (
                Some("playhouse"),
                json!({"model": "starter", "prompt": "a cat", "steps": 4, "width": 64, "height": 64, "seed": 9,
                       "guidance_scale": 1.5, "scheduler": "Euler", "prompt_syntax": "plain",
                       "loras": [{"name": "ink", "scale": 0.5}]})
            )
        );
        assert_eq!(
            Json::Object(found.unused),
            json!({"noise": "Cpu", "strength": "0.5", "reference_hash": "blake3:1"})
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_next_is_tried() {
        let texts = [("prompt".to_string(), "{\"1\": NaN}".to_string()), ("playhouse".into(), "[]".into())];
        let found = read(&texts);
        assert_eq!((found.format, found.settings.len(), found.warnings.len()), (None, 0, 2), "{found:?}");
        let found = read(&[texts[1].clone(), ("parameters".into(), "a cat".into())]);
        assert_eq!((found.format, found.warnings.len()), (Some("a1111"), 1));
        assert_eq!(read(&[]).format, None);
    }
}

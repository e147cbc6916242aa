//! The JSON that InvokeAI writes: `invokeai_metadata`, and `sd-metadata` of its first years.

use serde_json::{Map, Value as Json};

use super::taken::Taken;

/// What of `invokeai_metadata` is a setting here.
pub(super) fn read(mut said: Map<String, Json>) -> Taken {
    let mut taken = Taken::default();
    let mut take = |name: &str| said.remove(name).unwrap_or(Json::Null);
    taken.text("prompt", take("positive_prompt").as_str().unwrap_or_default());
    taken.text("negative_prompt", take("negative_prompt").as_str().unwrap_or_default());
    for name in ["width", "height", "steps", "seed", "clip_skip"] {
        let value = take(name);
        // Its count of skipped layers begins at 0 as ours does.
        if !(name == "clip_skip" && value == 0) {
            taken.count(name, name, &value);
        }
    }
    taken.number("guidance_scale", "cfg_scale", &take("cfg_scale"));
    taken.sampler(take("scheduler").as_str().unwrap_or_default(), "");
    let model = take("model");
    taken.text("model", named(&model).unwrap_or_default());
    if let Json::Array(loras) = take("loras") {
        for lora in loras {
            let name = named(&lora["model"]).or_else(|| named(&lora["lora"]));
            taken.lora(name, &lora["weight"], "loras");
        }
    }
    syntax(&mut taken);
    for (name, value) in said {
        // Lists of what was not used there are empty.
        if !value.as_array().is_some_and(Vec::is_empty) {
            taken.leave(&name, &value);
        }
    }
    taken
}

/// What of `sd-metadata` is a setting here.
pub(super) fn read_first(mut said: Map<String, Json>) -> Taken {
    let mut taken = Taken::default();
    let mut image = match said.remove("image") {
        Some(Json::Object(image)) => image,
        _ => Map::new(),
    };
    let mut take = |name: &str| image.remove(name).unwrap_or(Json::Null);
    let prompt = match take("prompt") {
        Json::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(|part| part["prompt"].as_str()).collect();
            parts.join(", ")
        }
        other => other.as_str().unwrap_or_default().to_string(),
    };
    // What stands in brackets was not to be seen.
    let (mut shown, mut hidden, mut rest) = (String::new(), Vec::new(), prompt.as_str());
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inner, after)) = after.split_once(']') else { break };
        shown.push_str(before);
        hidden.push(inner.trim());
        rest = after;
    }
    shown.push_str(rest);
    taken.text("prompt", &shown);
    taken.text("negative_prompt", &hidden.join(", "));
    for name in ["width", "height", "steps", "seed"] {
        taken.count(name, name, &take(name));
    }
    taken.number("guidance_scale", "cfg_scale", &take("cfg_scale"));
    taken.sampler(take("sampler").as_str().unwrap_or_default().trim_start_matches("k_"), "");
    taken.text("model", said.remove("model_weights").as_ref().and_then(Json::as_str).unwrap_or_default());
    syntax(&mut taken);
    for (name, value) in image.into_iter().chain(said) {
        taken.leave(&name, &value);
    }
    taken
}

/// Its prompts are Compel's.
fn syntax(taken: &mut Taken) {
    let weighs = |text: &str| text.contains(['(', '+']) || text.contains("--");
    let all = ["prompt", "negative_prompt"].map(|name| taken.settings.get(name).and_then(Json::as_str));
    if all.into_iter().flatten().any(weighs) {
        taken.text("prompt_syntax", "compel");
    }
}

/// The name of a model, as its versions have called it.
fn named(model: &Json) -> Option<&str> {
    ["name", "model_name"].iter().find_map(|member| model[member].as_str()).or(model.as_str())
}

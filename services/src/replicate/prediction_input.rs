//! What a prediction is given: the model's defaults, what the caller asks for within limits, and only what the model takes.

use models::value_words::{Takes, seed, shown_text};
use serde_json::{Map, Value as Json, json};

use crate::error::ServiceError;

/// The input of a prediction, and what of the request it does not follow.
#[derive(Debug)]
pub(crate) struct Built {
    pub input: Json,
    pub warnings: Vec<String>,
}

/// The input of a prediction. `api_models.capabilities` says which keys a model takes and what it calls them.
pub(crate) fn build(
    model: &Json,
    request: &Map<String, Json>,
    metadata: &Map<String, Json>,
    prompt: &str,
    negative: Option<&str>,
    picture: Option<&str>,
) -> Result<Built, ServiceError> {
    let mut warnings = Vec::new();
    let capabilities = &model["capabilities"];
    let key = |name: &str, default: &str| {
        capabilities["input_key_mappings"][name].as_str().unwrap_or(default).to_string()
    };
    let asked =
        |name: &str| request.get(name).or_else(|| metadata.get(name)).filter(|value| !value.is_null());
    let mut number = |name: &str, min: f64, max: f64| -> Result<Option<f64>, ServiceError> {
        let Some(value) = asked(name) else { return Ok(None) };
        Takes::Number.check(value).map_err(|reason| ServiceError::field(name, reason))?;
        let value = value.as_f64().unwrap_or(min);
        let taken = value.clamp(min, max);
        if taken != value {
            warnings.push(format!("{name}: {value} is not within {min} to {max}, so {taken} is taken"));
        }
        Ok(Some(taken))
    };
    let whole = |value: f64| json!(value.round() as i64);

    let mut input = Map::new();
    input.insert("num_outputs".into(), json!(1));
    if let Json::Object(defaults) = &model["input_defaults"] {
        input.extend(defaults.clone());
    }
    input.insert("prompt".into(), json!(prompt));
    let own = asked("negative_prompt").and_then(Json::as_str);
    let negatives: Vec<&str> =
        [negative, own].into_iter().flatten().filter(|text| !text.is_empty()).collect();
    if !negatives.is_empty() {
        input.insert("negative_prompt".into(), json!(negatives.join(", ")));
    }
    if let Some(steps) = number("steps", 1.0, 100.0)? {
        input.insert(key("steps", "num_inference_steps"), whole(steps));
    }
    if let Some(scale) = number("guidance_scale", 1.0, 20.0)? {
        input.insert("guidance_scale".into(), json!(scale));
    }
    // As other programs write a random one.
    let is_random = asked("seed").and_then(seed).is_some_and(|seed| seed.is_none());
    if !is_random && let Some(seed) = number("seed", 0.0, 2_147_483_647.0)? {
        input.insert("seed".into(), whole(seed));
    }
    let sides = (number("width", 64.0, 1920.0)?, number("height", 64.0, 1920.0)?);
    let (width, height) = match (sides, asked("aspect_ratio").and_then(Json::as_str)) {
        ((Some(width), Some(height)), _) => (Some(width), Some(height)),
        (_, Some("1:1")) => (Some(1024.0), Some(1024.0)),
        (_, Some("16:9")) => (Some(1344.0), Some(768.0)),
        (_, Some("9:16")) => (Some(768.0), Some(1344.0)),
        _ => sides,
    };
    for (name, side) in [("width", width), ("height", height)] {
        if let Some(side) = side {
            input.insert(name.into(), whole(side));
        }
    }
    let method = asked("consistency_method").and_then(Json::as_str).unwrap_or_default();
    if matches!(method, "seed_locked" | "hybrid") && !input.contains_key("seed") {
        return Err(
            ServiceError::field("seed", format!("missing; {method} needs one")).with("missing", vec!["seed"])
        );
    }
    if let Some(picture) = picture {
        let by_reference = matches!(method, "i2i_reference" | "hybrid");
        let (first, second) = match by_reference {
            true => ("reference_strength", "strength"),
            false => ("strength", "reference_strength"),
        };
        let strength = number(first, 0.1, 1.0)?.or(number(second, 0.1, 1.0)?).unwrap_or(0.7);
        let name = |place: &str, default: &str| capabilities[place].as_str().unwrap_or(default).to_string();
        input.insert(name("i2i_image_key", "image"), json!(picture));
        input.insert(name("i2i_strength_key", "strength"), json!(strength));
    } else if asked("mode").and_then(Json::as_str) == Some("i2i") {
        let error = ServiceError::field("reference_image_url", "missing; i2i needs a picture");
        return Err(error.with("missing", vec!["reference_image_url"]));
    } else {
        for name in ["strength", "reference_strength"].into_iter().filter(|name| asked(name).is_some()) {
            warnings.push(format!("{name}: there is no reference picture, so it changes nothing"));
        }
    }
    let scheduler = asked("scheduler")
        .and_then(Json::as_str)
        .and_then(|asked_for| scheduler_for(capabilities, asked_for, &model["input_defaults"]["scheduler"]));
    if let Some(scheduler) = scheduler {
        let asked_for = asked("scheduler").and_then(Json::as_str).unwrap_or_default();
        if scheduler != json!(capabilities["scheduler_aliases"][asked_for].as_str().unwrap_or(asked_for)) {
            let asked_for = shown_text(asked_for);
            warnings.push(format!("scheduler: the model does not know {asked_for}, so {scheduler} is taken"));
        }
        input.insert("scheduler".into(), scheduler);
    }
    if let Json::Array(allowed) = &capabilities["allowed_input_keys"] {
        input.retain(|name, _| allowed.iter().any(|key| key.as_str() == Some(name)));
    }
    Ok(Built { input: Json::Object(input), warnings })
}

/// A scheduler that the model takes: by alias, as it is, the default, the first.
fn scheduler_for(capabilities: &Json, asked_for: &str, default: &Json) -> Option<Json> {
    let asked_for = capabilities["scheduler_aliases"][asked_for].as_str().unwrap_or(asked_for);
    let Json::Array(allowed) = &capabilities["allowed_schedulers"] else { return Some(json!(asked_for)) };
    [json!(asked_for), default.clone()]
        .into_iter()
        .find(|name| allowed.contains(name))
        .or_else(|| allowed.first().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_model_takes_goes_out() {
        let model = json!({
            "input_defaults": {"num_outputs": 1, "scheduler": "K_EULER", "refine": "none"},
            "capabilities": {
                "input_key_mappings": {"steps": "steps"}, "i2i_image_key": "init",
                "allowed_input_keys": ["prompt", "steps", "seed", "scheduler", "init", "strength", "width", "height"],
                "allowed_schedulers": ["K_EULER", "DDIM"], "scheduler_aliases": {"ddim": "DDIM"},
            },
        });
        let request =
            json!({"steps": 500, "seed": 3, "scheduler": "ddim", "aspect_ratio": "16:9", "strength": 0.01});
        let request = request.as_object().expect("an object");
        let built =
            build(&model, request, &Map::new(), "a cat", None, Some("http://x/y.png")).expect("it builds");
        let fields: Vec<&str> = built.warnings.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(fields, ["steps", "strength"]);
        assert_eq!(
            built.input,
            json!({"prompt": "a cat", "steps": 100, "seed": 3, "scheduler": "DDIM", "init": "http://x/y.png",
                   "strength": 0.1, "width": 1344, "height": 768})
        );
        let locked = json!({"consistency_method": "seed_locked"});
        let error = build(&model, locked.as_object().expect("an object"), &Map::new(), "a cat", None, None);
        assert!(error.is_err());
        assert_eq!(scheduler_for(&model["capabilities"], "PNDM", &json!("nothing")), Some(json!("K_EULER")));
    }
}

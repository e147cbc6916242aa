//! The text `parameters`, as A1111 and most programs write it.

use actors::render::{LATENT, lora_tags};
use serde_json::{Value as Json, json};

use super::taken::Taken;
use crate::pictures::infotext;

/// What of the text is a setting here.
pub(super) fn read(text: &str) -> Taken {
    let mut said = infotext::read(text);
    let mut taken = Taken::default();
    let mut take = |name: &str| said.remove(name).unwrap_or(Json::Null);
    let prompt = take("Prompt");
    let prompt = prompt.as_str().unwrap_or_default();
    match lora_tags(prompt) {
        Ok((words, loras)) => {
            taken.text("prompt", &words);
            for lora in loras {
                taken.described_lora(&lora.describe(), "loras");
            }
        }
        // It stays in the prompt, where the words of a tag do what words do.
        Err(_) => taken.text("prompt", prompt),
    }
    taken.text("negative_prompt", take("Negative prompt").as_str().unwrap_or_default());
    // What the brackets of its prompts mean.
    let weighs = ["prompt", "negative_prompt"].iter().any(|name| {
        taken.settings.get(*name).and_then(Json::as_str).is_some_and(|text| text.contains(['(', '[']))
    });
    if weighs {
        taken.text("prompt_syntax", "a1111");
    }
    for (said_as, name) in [("Steps", "steps"), ("Seed", "seed")] {
        taken.count(name, said_as, &take(said_as));
    }
    let (width, height) = (take("Size-1"), take("Size-2"));
    if !width.is_null() && !height.is_null() {
        take("Size");
        taken.count("width", "Size-1", &width);
        taken.count("height", "Size-2", &height);
    }
    taken.number("guidance_scale", "CFG scale", &take("CFG scale"));
    let (sampler, schedule) = (take("Sampler"), take("Schedule type"));
    // As we write the scheduler that a model likes.
    if sampler != json!("Default") {
        taken.sampler(sampler.as_str().unwrap_or_default(), schedule.as_str().unwrap_or_default());
    }
    let scale = take("Hires upscale");
    if !scale.is_null() {
        taken.number("hires_scale", "Hires upscale", &scale);
        for (said_as, name) in
            [("Denoising strength", "hires_denoise_strength"), ("Hires steps", "hires_steps")]
        {
            let value = take(said_as);
            match (value.is_null(), name) {
                (true, _) => {}
                (false, "hires_steps") => taken.count(name, said_as, &value),
                (false, _) => taken.number(name, said_as, &value),
            }
        }
        // Networks have other names here; this one needs none.
        let upscaler = take("Hires upscaler");
        match upscaler.as_str().is_some_and(|name| name.eq_ignore_ascii_case(LATENT)) {
            true => taken.text("hires_upscaler", LATENT),
            false => taken.leave("Hires upscaler", &upscaler),
        }
    }
    taken.text("model", take("Model").as_str().unwrap_or_default());
    taken.text("vae", take("VAE").as_str().unwrap_or_default());
    let skipped = take("Clip skip");
    match skipped.as_str().and_then(|text| text.parse::<u64>().ok()) {
        // A1111 counts from the last layer.
        Some(layers @ 1..) => taken.count("clip_skip", "Clip skip", &json!(layers - 1)),
        _ => taken.leave("Clip skip", &skipped),
    }
    for (name, value) in said {
        taken.leave(&name, &value);
    }
    taken
}

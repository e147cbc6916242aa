//! Textual-inversion embeddings on the models of the first part.

use std::path::Path;

use diffusion::TextualInversion;
use diffusion::pipelines::encode_prompt::PromptOptions;
use serde_json::{Value, json};

use super::adapters::open;
use super::networks::values;
use super::runs::check_run;
use crate::support::{Report, read_json};

/// The files whose words a list of placeholder ids names, in the order of their ids.
fn files(folder: &Path, ids: &Value) -> Vec<TextualInversion> {
    let mut names: Vec<(u64, &String)> =
        ids.as_object().unwrap().iter().map(|(name, ids)| (ids[0].as_u64().unwrap(), name)).collect();
    names.sort();
    let open = |name: &str| TextualInversion::open(&folder.join(format!("{name}.safetensors"))).unwrap();
    names.into_iter().map(|(_, name)| open(name)).collect()
}

pub fn check(folder: &Path, report: &mut Report) {
    for (base, ids, prompts, tag, run) in [
        ("sd15", "placeholder_ids", "prompts", "ti", "txt2img.ti"),
        ("sdxl", "sdxl_placeholder_ids", "prompts_xl", "ti_xl", "txt2img.ti_xl"),
    ] {
        let described = read_json(&folder.join("goldens.json"));
        if described[prompts].is_null() {
            continue;
        }
        let mut goldens = open(folder, &format!("{base}-tiny"));
        let of_base = read_json(&folder.with_file_name(format!("{base}-tiny")).join("goldens.json"));
        goldens.json["base_scheduler"] = of_base["base_scheduler"].clone();
        let learned = files(folder, &goldens.json[ids]);
        goldens.model = goldens.model.with_learned_words(&learned).unwrap();
        let listed = goldens.json[prompts].as_array().unwrap().clone();
        for (i, prompt) in listed.iter().enumerate() {
            let prompt = prompt["prompt"].as_str().or(prompt.as_str()).unwrap();
            let key = |part: &str| format!("{tag}.{i}.{part}");
            for (part, encoder) in ["ids", "ids2"].iter().zip(&goldens.model.text_encoders) {
                let golden = goldens.tensor(&key(part)).values.iter().map(|id| *id as u32).collect();
                let found = encoder.encode_row(prompt).unwrap();
                report.equal(&format!("{} {}", goldens.name, key(part)), golden, found);
                report.mark(&goldens.name, &key(part));
            }
            let encoded = goldens.model.encode_prompt(prompt, None, PromptOptions::default()).unwrap();
            let embeds = if tag == "ti" { "last_hidden_state" } else { "prompt_embeds" };
            let found = [(embeds, Some(values(encoded.embeds))), ("pooled", encoded.pooled.map(values))];
            for (part, found) in found.into_iter().filter_map(|(part, found)| Some((part, found?))) {
                report.judge(&goldens.name, &key(part), goldens.tensor(&key(part)), &goldens.json, &found);
            }
        }
        let mut described = goldens.json["runs"][run].clone();
        described["mode"] = json!("txt2img");
        check_run(&goldens, run, &described, report);
        let other = |name: &str| name.split('.').any(|part| part == "ti_xl") == (tag == "ti");
        goldens.tensors.keys().filter(|name| other(name)).for_each(|name| report.mark(&goldens.name, name));
        report.nothing_left(&goldens.name, &goldens.tensors, |_| true);
    }
    // As diffusers stores it: under the token, and the same vectors.
    let alone = TextualInversion::open(&folder.join("learned_embeds.safetensors")).unwrap();
    let token = alone.token.clone().unwrap();
    let word = token.trim_matches(['<', '>']).to_string();
    let goldens = open(folder, "sd15-tiny");
    let a1111 = TextualInversion::open(&folder.join(format!("{word}.safetensors"))).unwrap();
    let states = |learned: TextualInversion, prompt: &str| {
        let model = goldens.model.with_learned_words(&[learned]).unwrap();
        values(model.encode_prompt(prompt, None, PromptOptions::default()).unwrap().embeds)
    };
    let expected = states(a1111, &format!("a photo of {word}, fog"));
    report.equal("token of the file", expected, states(alone, &format!("a photo of {token}, fog")));
}

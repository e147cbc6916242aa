//! Weighted prompts and LoRA, on the model that they were computed with.

use std::path::{Path, PathBuf};

use diffusion::Lora;
use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::prompt::{
    Fragment, LongPrompts, Part, PromptSyntax, encode_native, encode_prompts, parse_a1111, parse_compel,
};

use serde_json::Value;

use super::networks::{tensor, values};
use crate::support::{Goldens, Report, read_json, read_tensors};

/// The model that all of these were made with: the one that the file names, else the first.
fn model_of<'a>(json: &Value, models: &'a [PathBuf]) -> &'a Path {
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let said = [&json["model"], &json["lora"]["inputs"]].map(|value| value.as_str().unwrap_or_default());
    models.iter().find(|path| said.iter().any(|said| said.contains(&name(path)))).unwrap_or(&models[0])
}

pub fn check(folder: &Path, models: &[PathBuf], report: &mut Report) {
    let json = read_json(&folder.join("extra_goldens.json"));
    let model = model_of(&json, models);
    let goldens = Goldens {
        name: "extra".into(),
        folder: folder.into(),
        tensors: read_tensors(&folder.join("extra_goldens.safetensors")),
        model: crate::support::build(model),
        json,
    };
    compel(&goldens, report);
    a1111(&goldens, report);
    if goldens.json["lora"].is_object() {
        let inputs = read_tensors(&model.join("goldens.safetensors"));
        lora(&goldens, &inputs, report);
    }
    report.nothing_left("extra", &goldens.tensors, |_| true);
}

fn cases<'a>(goldens: &'a Goldens, kind: &str) -> &'a [Value] {
    goldens.json[kind].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn judge(goldens: &Goldens, report: &mut Report, name: &str, found: &[f32]) {
    report.judge("extra", name, goldens.tensor(name), &goldens.json, found);
}

fn options(syntax: PromptSyntax, long_prompts: LongPrompts) -> PromptOptions {
    PromptOptions { syntax, long_prompts, clip_skip: 0 }
}

fn compel(goldens: &Goldens, report: &mut Report) {
    let model = &goldens.model;
    let truncate = options(PromptSyntax::Compel, LongPrompts::Truncate);
    for (i, case) in cases(goldens, "compel").iter().enumerate() {
        let prompt = case["prompt"].as_str().unwrap();
        let parsed = parse_compel(prompt);
        report.equal(
            &format!("compel {prompt}"),
            case["parsed"].as_str().unwrap().to_string(),
            as_compel(&parsed.parts),
        );
        let found = model.encode_prompt(prompt, None, truncate).unwrap();
        judge(goldens, report, &format!("compel.{i}"), &values(found.embeds));
        let tokens = format!("compel.{i}.tokens");
        if let Some(golden) = goldens.tensors.get(&tokens) {
            let tokenizer = &model.text_encoders[0].tokenizer;
            let prompts = parsed.parts.iter().flat_map(|(part, _)| match part {
                Part::Prompt(fragments) => vec![fragments],
                // Compel shows the tokens of the first only.
                Part::Blend { prompts, .. } => prompts.iter().take(1).collect(),
            });
            let ids: Vec<f64> = prompts
                .flat_map(|fragments| {
                    let ids: Vec<u32> =
                        fragments.iter().flat_map(|part| tokenizer.encode(&part.text).unwrap()).collect();
                    tokenizer.row(&ids)
                })
                .map(f64::from)
                .collect();
            report.mark("extra", &tokens);
            report.equal(&tokens, golden.values.clone(), ids);
        }
    }
    if let Some(long) = goldens.json["compel_long"]["prompt"].as_str() {
        let found =
            model.encode_prompt(long, None, options(PromptSyntax::Compel, LongPrompts::Split)).unwrap();
        judge(goldens, report, "compel.long_untruncated", &values(found.embeds));
    }
    let Some(pair) = goldens.json["compel_two_padded"]["prompts"].as_array() else { return };
    let pair: Vec<_> = pair
        .iter()
        .map(|prompt| model.encode_prompt(prompt.as_str().unwrap(), None, truncate).unwrap())
        .collect();
    let rows = pair.iter().map(|text| text.embeds.dims()[1]).max().unwrap();
    let padded: Vec<f32> = pair
        .into_iter()
        .flat_map(|text| values(model.lengthened(text, rows, truncate).unwrap().embeds))
        .collect();
    judge(goldens, report, "compel.padded_pair", &padded);
}

/// As Compel prints what it parsed.
fn as_compel(parts: &[(Part, f64)]) -> String {
    let number = |weight: f64| format!("{weight:?}");
    let prompt = |fragments: &[Fragment]| {
        let fragments: Vec<String> = fragments
            .iter()
            .map(|fragment| {
                let quoted = format!("Fragment:'{}'@", fragment.text);
                quoted + &number(fragment.weight)
            })
            .collect();
        format!("FlattenedPrompt:[{}]", fragments.join(", "))
    };
    let list = |weights: Vec<f64>| weights.into_iter().map(number).collect::<Vec<_>>().join(", ");
    let shown: Vec<String> = parts
        .iter()
        .map(|(part, _)| match part {
            Part::Prompt(fragments) => prompt(fragments),
            Part::Blend { prompts, weights, normalize } => {
                let prompts: Vec<String> = prompts.iter().map(|fragments| prompt(fragments)).collect();
                let how = if *normalize { " " } else { "(non-normalized)" };
                format!("Blend:[{}] | weights {how} [{}]", prompts.join(", "), list(weights.clone()))
            }
        })
        .collect();
    let weights = list(parts.iter().map(|(_, weight)| *weight).collect());
    format!("Conjunction:[{}] | type AND | weights [{weights}] | loras []", shown.join(", "))
        .replace("weights   [", "weights  [")
}

fn a1111(goldens: &Goldens, report: &mut Report) {
    let (encoder, device) = (&goldens.model.text_encoders[0], &goldens.model.device);
    let truncate = options(PromptSyntax::A1111, LongPrompts::Truncate);
    for (i, case) in cases(goldens, "a1111").iter().enumerate() {
        let prompt = case["prompt"].as_str().unwrap();
        let expected: Vec<(String, f64)> = serde_json::from_value(case["fragments"].clone()).unwrap();
        let fragments = parse_a1111(prompt);
        let words = |fragments: &[Fragment]| fragments.iter().map(|f| f.text.clone()).collect::<Vec<_>>();
        report.equal(
            &format!("a1111 {prompt}"),
            expected.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>(),
            words(&fragments),
        );
        let near = expected.iter().zip(&fragments).all(|((_, weight), f)| (weight - f.weight).abs() < 1e-12);
        report.equal(&format!("a1111 weights of {prompt}"), true, near);
        let found = goldens.model.encode_prompt(prompt, None, truncate).unwrap();
        judge(goldens, report, &format!("a1111.compel_rule.{i}"), &values(found.embeds));
        let tokens = format!("a1111.{i}.tokens");
        if let Some(golden) = goldens.tensors.get(&tokens) {
            let tokenizer = &encoder.tokenizer;
            let ids: Vec<u32> =
                fragments.iter().flat_map(|part| tokenizer.encode(&part.text).unwrap()).collect();
            report.mark("extra", &tokens);
            let ids = tokenizer.row(&ids).into_iter().map(f64::from).collect();
            report.equal(&tokens, golden.values.clone(), ids);
        }
        let native = encode_native(encoder, &fragments, truncate, false, device).unwrap();
        judge(goldens, report, &format!("a1111.native.{i}"), &values(native));
        let given: Vec<(String, f64)> = serde_json::from_value(case["compel_fragments"].clone()).unwrap();
        let given =
            given.into_iter().map(|(text, weight)| Fragment { weight, ..Fragment::plain(text) }).collect();
        let given = diffusion::prompt::Conjunction { parts: vec![(Part::Prompt(given), 1.0)] };
        let found = encode_prompts(encoder, &given, truncate, false, device).unwrap();
        judge(goldens, report, &format!("a1111.compel_rule.{i}"), &values(found));
    }
}

fn lora(
    goldens: &Goldens,
    inputs: &std::collections::BTreeMap<String, crate::support::Golden>,
    report: &mut Report,
) {
    let timestep = goldens.json["lora"]["timestep"].as_f64().unwrap();
    let rows = goldens.tensors.iter().find(|(name, _)| name.starts_with("lora.") && name.ends_with(".te"));
    let ids: Vec<Vec<u32>> = inputs["tok.ids"]
        .values
        .chunks(inputs["tok.ids"].shape[1])
        .take(rows.map_or(1, |(_, golden)| golden.shape[0]))
        .map(|row| row.iter().map(|&id| id as u32).collect())
        .collect();
    let mut check =
        |tag: &str, model: &diffusion::pipelines::stable_diffusion::StableDiffusion, names: [String; 2]| {
            let (sample, context) =
                (tensor(goldens, &inputs["unet.sample"]), tensor(goldens, &inputs["unet.context"]));
            let out = values(model.unet.forward(sample, timestep, context, None));
            let text = model.text_encoders[0].model.forward(&ids, None, &model.device);
            let found = [out, values(text.last_hidden_state)];
            let judged = names.iter().zip(&found).filter(|(name, _)| goldens.tensors.contains_key(*name));
            let count = judged.map(|(name, found)| judge(goldens, report, name, found)).count();
            report.equal(&format!("lora {tag} has goldens"), true, count > 0);
        };
    check("base", &goldens.model, ["lora.unet.base".into(), "lora.te.base".into()]);
    let mut tags: Vec<&str> = goldens
        .tensors
        .keys()
        .filter_map(|name| name.strip_prefix("lora.")?.strip_suffix(".unet"))
        .filter(|tag| *tag != "base")
        .collect();
    tags.dedup();
    let mut untold: Vec<String> = lora_files(goldens);
    for tag in tags {
        let (file, scale) = tag.rsplit_once('_').unwrap();
        untold.retain(|other| other != file);
        let mut files = vec![file.to_string()];
        // The same weights under older names.
        if file == "peft_noalpha" {
            files.extend(untold.extract_if(.., |other| other == "diffusers_old"));
        }
        for file in files {
            let lora = Lora::open(&goldens.folder.join("lora").join(format!("{file}.safetensors"))).unwrap();
            let model = goldens.model.with_loras(&[(lora, scale.parse::<f64>().unwrap().into())]).unwrap();
            check(
                &format!("{file} at {scale}"),
                &model,
                [format!("lora.{tag}.unet"), format!("lora.{tag}.te")],
            );
        }
    }
    report.equal("LoRA files without goldens", Vec::<String>::new(), untold);
}

fn lora_files(goldens: &Goldens) -> Vec<String> {
    let entries = std::fs::read_dir(goldens.folder.join("lora")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".safetensors")?.to_string()))
        .collect()
}

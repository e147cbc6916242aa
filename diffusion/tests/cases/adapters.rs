//! LyCORIS files, weights of 8 bits, and schedules whose end has no picture, on the models of the first part.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::DType;
use diffusion::models::unets::unet_2d_condition::AddedConditions;
use diffusion::pipelines::stable_diffusion::{Parts, StableDiffusion};
use diffusion::schedulers::{SchedulerClass, SchedulerConfig};
use diffusion::weights::ComponentWeights;
use diffusion::weights::load::load;
use diffusion::weights::safetensors::WeightFile;
use diffusion::{Lora, LoraScale};
use serde_json::{Value, json};

use super::networks::{tensor, values};
use super::runs::check_run;
use crate::support::{Golden, Goldens, Report, build, read_json, read_tensors};

/// Goldens of `folder`, with a model that lies beside it.
pub fn open(folder: &Path, model: &str) -> Goldens {
    Goldens {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        folder: folder.into(),
        json: read_json(&folder.join("goldens.json")),
        tensors: read_tensors(&folder.join("goldens.safetensors")),
        model: build(&folder.with_file_name(model)),
    }
}

fn ids(golden: &Golden) -> Vec<Vec<u32>> {
    golden.values.chunks(golden.shape[1]).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

fn judge(goldens: &Goldens, report: &mut Report, name: &str, found: &[f32]) {
    report.judge(&goldens.name, name, goldens.tensor(name), &goldens.json, found);
}

pub fn lycoris(folder: &Path, report: &mut Report) {
    for base in ["sd15", "sdxl"] {
        let model = folder.with_file_name(format!("{base}-tiny"));
        let goldens = open(folder, &format!("{base}-tiny"));
        let inputs = read_tensors(&model.join("goldens.safetensors"));
        let mut files: Vec<&String> = goldens.json["files"].as_object().unwrap().keys().collect();
        files.retain(|name| name.starts_with("sdxl") == (base == "sdxl"));
        outputs(&goldens, &goldens.model, base, &format!("{base}.base"), &inputs, report);
        for name in files {
            for scale in [1.0, 0.6] {
                let lora = Lora::open(&folder.join(format!("{name}.safetensors"))).unwrap();
                let merged = goldens.model.with_loras(&[(lora, LoraScale::from(scale))]).unwrap();
                // Of the conventions away from 1 that of A1111 and ComfyUI.
                let plain = format!("{name}_{scale:.1}");
                let interpolated = format!("{plain}_interpolate");
                let has = goldens.tensors.keys().any(|key| key.starts_with(&interpolated));
                let tag = if has { &interpolated } else { &plain };
                outputs(&goldens, &merged, base, tag, &inputs, report);
            }
        }
        for name in goldens.tensors.keys() {
            let other = if base == "sd15" { "sdxl" } else { "sd15" };
            // The other conventions, the merged weights that the outputs are made with, and the other model's.
            let of_other = if base == "sd15" { name.starts_with(other) } else { !name.starts_with("sdxl") };
            let convention = ["dora", "doha"].iter().any(|kind| name.starts_with(kind))
                && name.contains("_0.6")
                && !name.contains("_interpolate");
            if of_other || convention || name.contains(".weight.") || name.ends_with(".ids") {
                report.mark(&goldens.name, name);
            }
        }
        report.nothing_left(&goldens.name, &goldens.tensors, |_| true);
    }
}

fn outputs(
    goldens: &Goldens,
    model: &StableDiffusion,
    base: &str,
    tag: &str,
    inputs: &BTreeMap<String, Golden>,
    report: &mut Report,
) {
    let timestep = goldens.json["timestep"].as_f64().unwrap();
    let input = |name: &str| &inputs[name];
    let added = (base == "sdxl").then(|| AddedConditions {
        text_embeds: tensor(goldens, input("unet.text_embeds")),
        time_ids: input("unet.time_ids")
            .values
            .chunks(input("unet.time_ids").shape[1])
            .map(<[f64]>::to_vec)
            .collect(),
    });
    let (sample, context) = (tensor(goldens, input("unet.sample")), tensor(goldens, input("unet.context")));
    let found = values(model.unet.forward(sample, timestep, context, added.as_ref()));
    judge(goldens, report, &format!("{tag}.unet"), &found);
    for (i, encoder) in model.text_encoders.iter().enumerate() {
        let te = if i == 0 { "te" } else { "te2" };
        let output =
            encoder.model.forward(&ids(goldens.tensor(&format!("{base}.{te}.ids"))), None, &model.device);
        let states = &output.hidden_states;
        for (part, found) in [
            ("last_hidden_state", Some(values(output.last_hidden_state.clone()))),
            ("penultimate", Some(values(states[states.len() - 2].clone()))),
            ("text_embeds", output.text_embeds.clone().map(values)),
        ] {
            let name = format!("{tag}.{te}.{part}");
            if let Some(found) = found.filter(|_| goldens.tensors.contains_key(&name)) {
                judge(goldens, report, &name, &found);
            }
        }
    }
}

pub fn fp8(folder: &Path, report: &mut Report) {
    let goldens = open(folder, "sd15-tiny");
    let inputs = read_tensors(&folder.with_file_name("sd15-tiny").join("goldens.safetensors"));
    let name = "sd15-tiny_fp8_single_file.safetensors";
    let config = folder.with_file_name("sd15-tiny");
    let parts = Parts::open_checkpoint(&folder.join(name), Some(&config)).unwrap();
    for key in goldens.tensors.keys().filter_map(|name| name.strip_prefix("weight.")) {
        let (found, _) = parts.weights[0].read_f32(key).unwrap();
        judge(&goldens, report, &format!("weight.{key}"), &found);
    }
    let model = parts.build(&goldens.model.device, DType::F32).unwrap();
    let timestep = goldens.json["timestep"].as_f64().unwrap();
    // The UNet alone, too, by diffusers' names.
    let alone = WeightFile::open(&folder.join("unet_e4m3fn.safetensors")).unwrap();
    let alone = ComponentWeights::from_files("unet", vec![alone]);
    let unet =
        load(model.unet_config.init(&model.device).unwrap(), &alone, &model.device, DType::F32).unwrap();
    for unet in [&model.unet, &unet] {
        let (sample, context) =
            (tensor(&goldens, &inputs["unet.sample"]), tensor(&goldens, &inputs["unet.context"]));
        judge(&goldens, report, "unet.out", &values(unet.forward(sample, timestep, context, None)));
    }
    let rows = goldens.tensor("te.last_hidden_state").shape[0];
    let ids: Vec<Vec<u32>> = ids(&inputs["tok.ids"]).into_iter().take(rows).collect();
    let text = model.text_encoders[0].model.forward(&ids, None, &model.device);
    judge(&goldens, report, "te.last_hidden_state", &values(text.last_hidden_state));
    let z = &inputs["vae.decode.z"];
    let shape: [usize; 4] = z.shape.as_slice().try_into().unwrap();
    judge(&goldens, report, "vae.decode.out", &model.decode(&z.values, shape).unwrap());

    // Every byte. What is no number is refused in weights, so each is read alone.
    let bytes = std::fs::read(folder.join("all_values.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for kind in ["e4m3fn", "e5m2"] {
        let all = file.tensor(&format!("all_{kind}")).unwrap();
        let found: Vec<f32> = all.data().iter().map(|byte| one(kind, *byte)).collect();
        judge(&goldens, report, &format!("values.{kind}"), &found);
    }
    report.nothing_left(&goldens.name, &goldens.tensors, |_| true);
}

/// One byte read as a file of one number; 0 where it is refused.
fn one(kind: &str, byte: u8) -> f32 {
    let dtype = if kind == "e5m2" { "F8_E5M2" } else { "F8_E4M3" };
    let header = json!({"x": {"dtype": dtype, "shape": [1], "data_offsets": [0, 1]}}).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.push(byte);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let file = WeightFile::open(&path).unwrap();
    file.read_f32("x", &file.tensors["x"]).map_or(0.0, |values| values[0])
}

pub fn zero_snr(folder: &Path, report: &mut Report) {
    for base in ["sd2", "sdxl"] {
        let mut goldens = open(folder, &format!("{base}-tiny"));
        let of_base = read_json(&folder.with_file_name(format!("{base}-tiny")).join("goldens.json"));
        goldens.json["base_scheduler"] = of_base["base_scheduler"].clone();
        let runs = goldens.json["runs"].as_object().unwrap().clone();
        for (name, run) in runs.iter().filter(|(name, _)| name.starts_with(&format!("{base}."))) {
            let mut run = run.clone();
            run["mode"] = json!("txt2img");
            check_run(&goldens, name, &run, report);
            let kind = name.split('.').next_back().unwrap();
            let alphas = format!("alphas_cumprod.{kind}");
            if let Some(golden) = goldens.tensors.get(&alphas) {
                let class = SchedulerClass::named(run["scheduler"].as_str().unwrap()).unwrap();
                let config = SchedulerConfig::resolve(class, &run["scheduler_config"], &Value::Null).unwrap();
                let found = config.noise_schedule().alphas_cumprod;
                report.judge_wide(&goldens.name, &alphas, golden, &goldens.json, &found);
            }
        }
        let other = if base == "sd2" { "sdxl." } else { "sd2." };
        for name in goldens.tensors.keys() {
            // What the tables above are made of.
            if name.starts_with(other) || name.starts_with("betas") {
                report.mark(&goldens.name, name);
            }
        }
        report.nothing_left(&goldens.name, &goldens.tensors, |_| true);
    }
}

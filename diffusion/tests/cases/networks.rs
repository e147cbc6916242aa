//! Tokenizers, text encoders, UNet and VAE, each alone.

use burn::tensor::{DType, Tensor, TensorData};
use diffusion::models::unets::unet_2d_condition::AddedConditions;
use diffusion::pipelines::encode_prompt::PromptOptions;

use crate::support::{Golden, Goldens, Report};

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

pub fn tensor<const D: usize>(goldens: &Goldens, golden: &Golden) -> Tensor<D> {
    let values: Vec<f32> = golden.values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, golden.shape.clone()), (&goldens.model.device, DType::F32))
}

fn ids(golden: &Golden) -> Vec<Vec<u32>> {
    golden.values.chunks(golden.shape[1]).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

pub fn check(goldens: &Goldens, report: &mut Report) {
    tokenizers(goldens, report);
    text_encoders(goldens, report);
    conditions(goldens, report);
    unet(goldens, report);
    vae(goldens, report);
    let name = "scheduler.alphas_cumprod";
    let config = diffusion::schedulers::SchedulerConfig::from_json(&goldens.json["base_scheduler"]).unwrap();
    let alphas = config.noise_schedule().alphas_cumprod;
    report.judge_wide(&goldens.name, name, goldens.tensor(name), &goldens.json, &alphas);
    let runs = |name: &str| ["txt2img.", "img2img.", "inpaint."].iter().any(|kind| name.starts_with(kind));
    report.nothing_left(&goldens.name, &goldens.tensors, |name| !runs(name));
}

fn tokenizers(goldens: &Goldens, report: &mut Report) {
    let prompts: Vec<&str> =
        goldens.json["prompts"].as_array().unwrap().iter().map(|prompt| prompt.as_str().unwrap()).collect();
    for (i, encoder) in goldens.model.text_encoders.iter().enumerate() {
        let name = if i == 0 { "tok.ids" } else { "tok2.ids" };
        let expected = ids(goldens.tensor(name));
        report.mark(&goldens.name, name);
        for (row, prompt) in prompts.iter().enumerate() {
            let what = format!("{} {name} {row}", goldens.name);
            report.equal(&what, expected[row].clone(), encoder.tokenizer.encode_row(prompt).unwrap());
            if i > 0 {
                continue;
            }
            let whole = goldens.json["token_ids_untruncated_no_special"][row].as_array().unwrap();
            let whole: Vec<u32> = whole.iter().map(|id| id.as_u64().unwrap() as u32).collect();
            report.equal(&format!("{what} whole"), whole, encoder.tokenizer.encode(prompt).unwrap());
        }
    }
}

fn text_encoders(goldens: &Goldens, report: &mut Report) {
    let rows = goldens.json["text_encoder_rows"].as_u64().unwrap() as usize;
    for (i, encoder) in goldens.model.text_encoders.iter().enumerate() {
        let suffix = if i == 0 { "" } else { "2" };
        let ids = ids(goldens.tensor(&format!("tok{suffix}.ids")));
        let output = encoder.model.forward(&ids[..rows], None, &goldens.model.device);
        let states = &output.hidden_states;
        let skipped = encoder.model.final_layer_norm(states[states.len() - 2].clone());
        let skipped_rows =
            goldens.tensors.get(&format!("te{suffix}.clip_skip1")).map_or(1, |golden| golden.shape[0]);
        let found = [
            ("last_hidden_state", values(output.last_hidden_state.clone())),
            ("penultimate", values(states[states.len() - 2].clone())),
            ("pooler_output", values(output.pooler_output.clone())),
            ("text_embeds", output.text_embeds.clone().map(values).unwrap_or_default()),
            ("clip_skip1", values(skipped.narrow(0, 0, skipped_rows))),
            ("embeddings_out0", values(states[0].clone().narrow(0, 1, 1))),
        ];
        for (name, found) in found {
            let name = format!("te{suffix}.{name}");
            if let Some(golden) = goldens.tensors.get(&name) {
                report.judge(&goldens.name, &name, golden, &goldens.json, &found);
            }
        }
    }
}

fn conditions(goldens: &Goldens, report: &mut Report) {
    let text = |key: &str| goldens.json[key].as_str();
    for (prompt, second, embeds, pooled) in [
        ("prompt", "prompt_2", "cond.prompt_embeds", "cond.pooled"),
        ("negative", "negative_2", "cond.neg_embeds", "cond.neg_pooled"),
    ] {
        let encoded = goldens
            .model
            .encode_prompt(text(prompt).unwrap(), text(second), PromptOptions::default())
            .unwrap();
        report.judge(&goldens.name, embeds, goldens.tensor(embeds), &goldens.json, &values(encoded.embeds));
        if let Some(golden) = goldens.tensors.get(pooled) {
            let found = encoded.pooled.map(values).unwrap_or_default();
            report.judge(&goldens.name, pooled, golden, &goldens.json, &found);
        }
    }
}

fn unet(goldens: &Goldens, report: &mut Report) {
    let model = &goldens.model;
    let mut judge = |name: &str, found: &[f32]| {
        report.judge(&goldens.name, name, goldens.tensor(name), &goldens.json, found);
    };
    let context = tensor::<3>(goldens, goldens.tensor("unet.context"));
    let added = goldens.tensors.get("unet.time_ids").map(|ids| AddedConditions {
        text_embeds: tensor(goldens, goldens.tensor("unet.text_embeds")),
        time_ids: ids.values.chunks(ids.shape[1]).map(<[f64]>::to_vec).collect(),
    });
    let sample = tensor::<4>(goldens, goldens.tensor("unet.sample"));
    let batch = sample.dims()[0];
    for timestep in goldens.json["unet_timesteps"].as_array().unwrap() {
        let timestep = timestep.as_f64().unwrap();
        let (sinusoids, embedding) = model.unet.time_embedding(&[timestep], &model.device);
        judge(&format!("unet.time_proj.{timestep}"), &values(sinusoids));
        judge(&format!("unet.time_emb.{timestep}"), &values(embedding));
        let mut seen = Vec::new();
        let out = model.unet.forward_observed(
            sample.clone(),
            timestep,
            context.clone(),
            added.as_ref(),
            &mut |name, activation| {
                seen.push((
                    format!("unet.act.{timestep}.{name}"),
                    values(activation.clone().narrow(0, batch - 1, 1)),
                ));
            },
        );
        for (name, found) in seen {
            if goldens.tensors.contains_key(&name) {
                judge(&name, &found);
            }
        }
        judge(&format!("unet.out.{timestep}"), &values(out));
    }
    let sample = tensor(goldens, goldens.tensor("unet.nonsquare.sample"));
    let timestep = goldens.json["unet_nonsquare_timestep"].as_f64().unwrap();
    judge("unet.nonsquare.out", &values(model.unet.forward(sample, timestep, context, added.as_ref())));
    for name in ["unet.context", "unet.sample", "unet.nonsquare.sample", "unet.text_embeds", "unet.time_ids"]
    {
        report.mark(&goldens.name, name);
    }
}

fn vae(goldens: &Goldens, report: &mut Report) {
    let model = &goldens.model;
    let scale = model.vae_config.scaling_factor;
    report.equal("scaling_factor", goldens.json["scaling_factor"].as_f64(), Some(scale));
    report.equal(
        "vae_scale_factor",
        goldens.json["vae_scale_factor"].as_u64(),
        Some(model.vae_config.scale_factor() as u64),
    );
    let mut judge = |name: &str, found: &[f32]| {
        report.judge(&goldens.name, name, goldens.tensor(name), &goldens.json, found);
    };
    let z = tensor::<4>(goldens, goldens.tensor("vae.decode.z")) / scale;
    judge("vae.decode.out", &values(model.vae.decode(z)));
    let mean = tensor::<4>(goldens, goldens.tensor("vae.encode.mean"));
    judge("vae.roundtrip.out", &values(model.vae.decode(mean)));
    let encodes: Vec<&str> = goldens
        .tensors
        .keys()
        .filter(|name| name.starts_with("vae."))
        .filter_map(|name| name.strip_suffix(".image01"))
        .collect();
    for case in &encodes {
        let image = tensor::<4>(goldens, goldens.tensor(&format!("{case}.image01")));
        let (mean, log_variance) = model.vae.encode(image * 2.0 - 1.0);
        judge(&format!("{case}.mean"), &values(mean));
        judge(&format!("{case}.logvar"), &values(log_variance));
    }
    report.mark(&goldens.name, "vae.decode.z");
    for case in encodes {
        report.mark(&goldens.name, &format!("{case}.image01"));
    }
}

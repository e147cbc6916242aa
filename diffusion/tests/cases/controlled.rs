//! ControlNets, alone, on a UNet and in whole runs, with models of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use diffusion::models::attention_context::AttentionContext;
use diffusion::models::controlnet::{ControlNetModel, ControlResiduals};
use diffusion::models::unets::unet_2d_condition::AddedConditions;
use diffusion::pipelines::guides::{Control, Guides};
use diffusion::weights::controlnet_file::ControlNetFile;
use serde_json::{Value, json};

use super::networks::{tensor, values};
use super::runs::check_run_with;
use crate::support::{Goldens, Report, build, read_json, read_tensors};

/// The goldens of one family, with its base model.
fn open(folder: &Path, family: &str) -> Goldens {
    let base = folder.join(format!("{family}-base"));
    let mut json = read_json(&folder.join(format!("goldens_{family}.json")));
    json["base_scheduler"] = read_json(&base.join("scheduler/scheduler_config.json"));
    Goldens {
        name: format!("controlnet {family}"),
        folder: folder.into(),
        json,
        tensors: read_tensors(&folder.join(format!("goldens_{family}.safetensors"))),
        model: build(&base),
    }
}

fn net(goldens: &Goldens, path: &Path) -> ControlNetModel {
    let file = ControlNetFile::open(path, &goldens.model.unet_config).unwrap();
    file.load(&goldens.model.device, DType::F32).unwrap()
}

struct Inputs {
    sample: Tensor<4>,
    context: Tensor<3>,
    added: Option<AddedConditions>,
}

impl Inputs {
    fn residuals(
        &self,
        net: &ControlNetModel,
        hint: &Tensor<4>,
        timestep: f64,
        scale: f64,
    ) -> ControlResiduals {
        let text = AttentionContext::of(self.context.clone());
        net.forward(self.sample.clone(), timestep, &text, self.added.as_ref(), hint, scale)
    }

    fn unet(&self, goldens: &Goldens, timestep: f64, control: Option<&ControlResiduals>) -> Vec<f32> {
        let text = AttentionContext::of(self.context.clone());
        let sample = self.sample.clone();
        let unet = &goldens.model.unet;
        values(unet.forward_guided(sample, timestep, &text, self.added.as_ref(), control, &mut |_, _| {}))
    }
}

pub fn check(folder: &Path, report: &mut Report) {
    let is_there = |family: &&str| folder.join(format!("goldens_{family}.json")).is_file();
    for family in ["sd15", "sdxl"].into_iter().filter(is_there) {
        let goldens = open(folder, family);
        let nets: Vec<Arc<ControlNetModel>> = ["a", "b"]
            .iter()
            .map(|letter| Arc::new(net(&goldens, &folder.join(format!("{family}-controlnet-{letter}")))))
            .collect();
        networks(&goldens, &nets, report);
        let original = folder.join(format!("{family}-controlnet-a-original.safetensors"));
        if original.is_file() {
            networks(&goldens, &[Arc::new(net(&goldens, &original)), nets[1].clone()], report);
        }
        let runs = goldens.json["runs"].as_object().unwrap().clone();
        for (name, run) in &runs {
            let mut run = run.clone();
            run["mode"] = json!(name.split('.').next().unwrap());
            let guides = Guides { controls: controls(&goldens, &nets, &run), ..Guides::default() };
            keeps(name, &run, &guides.controls, report);
            check_run_with(&goldens, name, &run, guides, report);
        }
        for name in ["control_nonsquare.image01", "img2img.image01"] {
            report.mark(&goldens.name, name);
        }
        report.nothing_left(&goldens.name, &goldens.tensors, |_| true);
    }
}

fn networks(goldens: &Goldens, nets: &[Arc<ControlNetModel>], report: &mut Report) {
    let golden = |name: &str| goldens.tensor(name);
    let mut judge = |name: String, found: &[f32]| {
        // Not every timestep has all of them.
        if let Some(golden) = goldens.tensors.get(&name) {
            report.judge(&goldens.name, &name, golden, &goldens.json, found);
        }
    };
    let inputs = Inputs {
        sample: tensor(goldens, golden("unet.sample")),
        context: tensor(goldens, golden("unet.context")),
        added: goldens.tensors.get("unet.time_ids").map(|ids| AddedConditions {
            text_embeds: tensor(goldens, golden("unet.text_embeds")),
            time_ids: ids.values.chunks(ids.shape[1]).map(<[f64]>::to_vec).collect(),
        }),
    };
    let hints: Vec<Tensor<4>> = ["a", "b"]
        .iter()
        .zip(nets)
        .map(|(letter, net)| net.embed_picture(tensor(goldens, golden(&format!("control_{letter}.image01")))))
        .collect();
    for (letter, hint) in ["a", "b"].iter().zip(&hints) {
        judge(format!("control_{letter}.hint_embedding"), &values(hint.clone()));
    }
    let scale = goldens.json["scale"].as_f64().unwrap();
    let scales = goldens.json["scale_two"].as_array().unwrap().clone();
    for timestep in goldens.json["timesteps"].as_array().unwrap() {
        let t = timestep.as_f64().unwrap();
        let whole = inputs.residuals(&nets[0], &hints[0], t, 1.0);
        for (i, residual) in whole.down.iter().enumerate() {
            judge(format!("control_a.down.{i}.{t}"), &values(residual.clone()));
        }
        judge(format!("control_a.mid.{t}"), &values(whole.mid.clone()));
        judge(format!("unet.base.{t}"), &inputs.unet(goldens, t, None));
        judge(format!("unet.control_a_1.0.{t}"), &inputs.unet(goldens, t, Some(&whole)));
        let part = inputs.residuals(&nets[0], &hints[0], t, scale);
        judge(format!("unet.control_a_{scale:?}.{t}"), &inputs.unet(goldens, t, Some(&part)));
        let of = |i: usize| inputs.residuals(&nets[i], &hints[i], t, scales[i].as_f64().unwrap());
        judge(format!("unet.two.{t}"), &inputs.unet(goldens, t, Some(&of(0).plus(of(1)))));
    }
    // Guess mode is not offered.
    let guessed = goldens.tensors.keys().filter(|name| name.contains(".guess_mode."));
    guessed.for_each(|name| report.mark(&goldens.name, name));
    for name in ["unet.sample", "unet.context", "unet.text_embeds", "unet.time_ids"] {
        report.mark(&goldens.name, name);
    }
    for letter in ["a", "b"] {
        report.mark(&goldens.name, &format!("control_{letter}.image01"));
    }
}

/// A number of a call, or that of the `i`-th network.
fn number(call: &Value, key: &str, i: usize, default: f64) -> f64 {
    call[key][i].as_f64().or(call[key].as_f64()).unwrap_or(default)
}

fn controls(goldens: &Goldens, nets: &[Arc<ControlNetModel>], run: &Value) -> Vec<Control> {
    let words = run["control"].as_str().unwrap();
    let count = if words.contains("and b") { 2 } else { 1 };
    (0..count)
        .map(|i| {
            let own = format!("control_{}.image01", ["a", "b"][i]);
            let named = words.split_once("with ").map_or(own, |(_, name)| name.to_string());
            let call = &run["call"];
            // What the pipelines take where a call does not say.
            let scale = if run["mode"] == "img2img" { 0.8 } else { 1.0 };
            Control {
                net: nets[i].clone(),
                hint: nets[i].embed_picture(tensor(goldens, goldens.tensor(&named))),
                scale: number(call, "controlnet_conditioning_scale", i, scale),
                start: number(call, "control_guidance_start", i, 0.0),
                end: number(call, "control_guidance_end", i, 1.0),
            }
        })
        .collect()
}

/// The steps in which each takes part.
fn keeps(name: &str, run: &Value, controls: &[Control], report: &mut Report) {
    let keep = &run["keep"];
    for (i, control) in controls.iter().enumerate() {
        let Some(expected) = keep[i].as_array().or(keep.as_array()) else { continue };
        let found: BTreeMap<usize, f64> = (0..expected.len())
            .map(|step| (step, f64::from(u8::from(control.takes_part(step, expected.len())))))
            .collect();
        let expected = expected.iter().map(|keep| keep.as_f64().unwrap()).enumerate().collect();
        report.equal(&format!("{name} keep {i}"), expected, found);
    }
}

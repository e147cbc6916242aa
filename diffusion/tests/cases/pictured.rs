//! IP-Adapters and their picture encoder, on the models of the first part.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use diffusion::models::attention_context::{AttentionContext, ImageAttention};
use diffusion::models::ip_adapter::{IpAdapter, block_scales};
use diffusion::models::unets::unet_2d_condition::{AddedConditions, UNetPart};
use diffusion::pipelines::guides::Guides;
use diffusion::weights::ip_adapter_file::IpAdapterFile;
use diffusion::{ClipImageProcessor, ImageEncoder, Lora, LoraScale};
use image::RgbImage;
use serde_json::{Value, json};

use super::networks::{tensor, values};
use super::runs::check_run_with;
use crate::support::{Golden, Goldens, Report, build, read_json, read_tensors};

fn open(folder: &Path, family: &str) -> Goldens {
    let base = folder.with_file_name(format!("{family}-tiny"));
    let mut json = read_json(&folder.join(format!("goldens_{family}.json")));
    json["base_scheduler"] = read_json(&base.join("goldens.json"))["base_scheduler"].clone();
    Goldens {
        name: format!("ip-adapter {family}"),
        folder: folder.into(),
        json,
        tensors: read_tensors(&folder.join(format!("goldens_{family}.safetensors"))),
        model: build(&base),
    }
}

fn picture(golden: &Golden) -> RgbImage {
    let (height, width) = (golden.shape[0] as u32, golden.shape[1] as u32);
    RgbImage::from_raw(width, height, golden.values.iter().map(|value| *value as u8).collect()).unwrap()
}

/// Both adapters, and what the encoder says of the pictures.
struct Adapters {
    std: IpAdapter,
    plus: IpAdapter,
    encoder: ImageEncoder,
    pixels: Vec<Tensor<4>>,
}

impl Adapters {
    fn open(goldens: &Goldens, family: &str, images: &Goldens) -> Self {
        let (model, folder) = (&goldens.model, &goldens.folder);
        let encoder = ImageEncoder::open(&folder.join("image_encoder"), &model.device, DType::F32).unwrap();
        let places = model.unet.transformers();
        let adapter = |kind: &str| {
            let path = folder.join(format!("{kind}_{family}.safetensors"));
            let file = IpAdapterFile::open(&path, &model.unet_config).unwrap();
            file.check(&model.unet_config, &places, &encoder.config).unwrap();
            file.load(&model.unet_config, &places, &model.device, DType::F32).unwrap()
        };
        let mut pixels = Vec::new();
        while let Some(golden) = images.tensors.get(&format!("image.{}.rgb8", pixels.len())) {
            let side = encoder.config.image_size;
            let values = encoder.processor.pixel_values(&picture(golden));
            let data = TensorData::new(values, [1, 3, side, side]);
            pixels.push(Tensor::from_data(data, (&model.device, DType::F32)));
        }
        Self { std: adapter("ip-adapter"), plus: adapter("ip-adapter-plus"), encoder, pixels }
    }

    fn named(&self, name: &str) -> &IpAdapter {
        if name == "plus" { &self.plus } else { &self.std }
    }

    /// `[2, images, …]`: the negative half before the positive one.
    fn embeds(&self, adapter: &IpAdapter, images: &[usize]) -> Vec<Tensor<3>> {
        let positive = images.iter().map(|image| {
            let output = self.encoder.model.forward(self.pixels[*image].clone());
            adapter.encoder_embeds(&output)
        });
        positive
            .map(|positive| {
                let negative = match adapter.sees_patches() {
                    true => {
                        let output = self.encoder.model.forward(self.pixels[0].zeros_like());
                        adapter.encoder_embeds(&output)
                    }
                    false => positive.zeros_like(),
                };
                Tensor::cat(vec![negative, positive], 0)
            })
            .collect()
    }

    fn tokens(&self, adapter: &IpAdapter, images: &[usize]) -> Tensor<3> {
        let embeds = self.embeds(adapter, images).into_iter();
        Tensor::cat(embeds.map(|embeds| adapter.tokens(embeds)).collect(), 1)
    }

    fn attention(&self, goldens: &Goldens, name: &str, images: &[usize], scale: &Value) -> ImageAttention {
        let places = goldens.model.unet.transformers();
        let adapter = self.named(name);
        let scales = block_scales(scale, &places).unwrap();
        adapter.attention(&self.tokens(adapter, images), &places, &scales)
    }
}

pub fn check(folder: &Path, report: &mut Report) {
    let images = open(folder, "sd15");
    let is_there = |family: &&str| folder.join(format!("goldens_{family}.json")).is_file();
    for family in ["sd15", "sdxl"].into_iter().filter(is_there) {
        let goldens = open(folder, family);
        let adapters = Adapters::open(&goldens, family, &images);
        if family == "sd15" {
            encoder(&goldens, &adapters, report);
        }
        projections(&goldens, &adapters, report);
        unet(&goldens, &adapters, report);
        layers(&goldens, report);
        runs(&goldens, &adapters, report);
        report.nothing_left(&goldens.name, &goldens.tensors, |_| true);
    }
}

fn judge(goldens: &Goldens, report: &mut Report, name: &str, found: &[f32]) {
    report.judge(&goldens.name, name, goldens.tensor(name), &goldens.json, found);
}

fn encoder(goldens: &Goldens, adapters: &Adapters, report: &mut Report) {
    let side = adapters.encoder.config.image_size as u32;
    let usual = ClipImageProcessor::of_side(224);
    for (name, golden) in goldens.tensors.iter().filter(|(name, _)| name.ends_with(".rgb8")) {
        let processor = if name.starts_with("image_224") { &usual } else { &adapters.encoder.processor };
        let cropped = processor.cropped(&picture(golden));
        let name = name.replace(".rgb8", ".cropped_rgb8");
        let found: Vec<f64> = cropped.as_raw().iter().map(|byte| f64::from(*byte)).collect();
        report.within(&goldens.name, &name, goldens.tensor(&name), 1.0, &found);
        report.mark(&goldens.name, &name.replace("cropped_", ""));
    }
    assert!(adapters.encoder.processor.crop == side);
    for (i, pixels) in adapters.pixels.iter().enumerate() {
        judge(goldens, report, &format!("image.{i}.pixel_values"), &values(pixels.clone()));
    }
    let output = adapters.encoder.model.forward(Tensor::cat(adapters.pixels.clone(), 0));
    let states = &output.hidden_states;
    judge(goldens, report, "vision.embeddings_out", &values(states[0].clone()));
    judge(goldens, report, "vision.penultimate", &values(output.penultimate()));
    judge(goldens, report, "vision.last_hidden_state", &values(states[states.len() - 1].clone()));
    judge(goldens, report, "vision.image_embeds", &values(output.image_embeds.clone()));
    let zeros = adapters.encoder.model.forward(adapters.pixels[0].zeros_like());
    judge(goldens, report, "vision.zero_image.penultimate", &values(zeros.penultimate()));
}

fn projections(goldens: &Goldens, adapters: &Adapters, report: &mut Report) {
    for (tag, kind, images) in
        [("std", "std", &[0][..]), ("plus", "plus", &[0]), ("std.two_images", "std", &[0, 1])]
    {
        let adapter = adapters.named(kind);
        let embeds = adapters.embeds(adapter, images);
        judge(goldens, report, &format!("{tag}.encoder_embeds"), &values(Tensor::cat(embeds, 1)));
        judge(goldens, report, &format!("{tag}.projected"), &values(adapters.tokens(adapter, images)));
    }
}

fn unet(goldens: &Goldens, adapters: &Adapters, report: &mut Report) {
    let golden = |name: &str| goldens.tensor(name);
    let added = goldens.tensors.get("unet.time_ids").map(|ids| AddedConditions {
        text_embeds: tensor(goldens, golden("unet.text_embeds")),
        time_ids: ids.values.chunks(ids.shape[1]).map(<[f64]>::to_vec).collect(),
    });
    let timestep = goldens.json["timestep"].as_f64().unwrap();
    let mut out = |goldens: &Goldens, name: &str, context: &str, images: &[ImageAttention]| {
        if !goldens.tensors.contains_key(name) {
            return;
        }
        let text = AttentionContext::of(tensor(goldens, golden(context))).with_images(images);
        let sample = tensor(goldens, golden("unet.sample"));
        let unet = &goldens.model.unet;
        let found = unet.forward_guided(sample, timestep, &text, added.as_ref(), None, &mut |_, _| {});
        judge(goldens, report, name, &values(found));
    };
    let json = &goldens.json;
    let scale = &json["scale"];
    let of = |kind: &str, images: &[usize], scale: &Value| adapters.attention(goldens, kind, images, scale);
    out(goldens, "unet.base", "unet.context", &[]);
    for kind in ["std", "plus"] {
        out(goldens, &format!("unet.{kind}_1.0"), "unet.context", &[of(kind, &[0], &json!(1.0))]);
        out(goldens, &format!("unet.{kind}_{scale}"), "unet.context", &[of(kind, &[0], scale)]);
        out(goldens, &format!("unet.{kind}_style"), "unet.context", &[of(kind, &[0], &json["style"])]);
    }
    out(goldens, "unet.std_style_layout", "unet.context", &[of("std", &[0], &json["style_layout"])]);
    out(goldens, "unet.std_two_images", "unet.context", &[of("std", &[0, 1], scale)]);
    let two = [of("std", &[0], &json["scale_two"][0]), of("plus", &[2], &json["scale_two"][1])];
    out(goldens, "unet.two", "unet.context", &two);
    if let Some(merged) = with_lora(goldens) {
        out(&merged, &format!("unet.std_{scale}_lora"), "lora.context", &[of("std", &[0], scale)]);
    }
    for name in ["unet.sample", "unet.context", "unet.text_embeds", "unet.time_ids", "lora.context"] {
        report.mark(&goldens.name, name);
    }
}

/// The same goldens with the LoRA merged into the model.
fn with_lora(goldens: &Goldens) -> Option<Goldens> {
    let lora = &goldens.json["lora"];
    let file = goldens.folder.join(lora["file"].as_str()?);
    let scale = LoraScale::from(lora["scale"].as_f64().unwrap());
    let model = goldens.model.with_loras(&[(Lora::open(&file).unwrap(), scale)]).unwrap();
    Some(Goldens {
        name: goldens.name.clone(),
        folder: goldens.folder.clone(),
        json: goldens.json.clone(),
        tensors: goldens.tensors.clone(),
        model,
    })
}

/// Which scale each layer gets, spelled out.
fn layers(goldens: &Goldens, report: &mut Report) {
    let places = goldens.model.unet.transformers();
    let mut names = Vec::new();
    for place in &places {
        let part = match place.part {
            UNetPart::Down(level) => format!("down_blocks.{level}"),
            UNetPart::Mid => "mid_block".into(),
            UNetPart::Up(level) => format!("up_blocks.{level}"),
        };
        for block in 0..place.blocks {
            names.push(format!("{part}.attentions.{}.transformer_blocks.{block}.attn2", place.attention));
        }
    }
    for style in ["style", "style_layout"] {
        let scales = block_scales(&goldens.json[style], &places).unwrap();
        let found: BTreeMap<String, f64> = names.iter().cloned().zip(scales).collect();
        let spelled = goldens.json[format!("{style}_per_layer")].as_object().unwrap();
        let expected = spelled.iter().map(|(name, scale)| (name.clone(), scale.as_f64().unwrap())).collect();
        report.equal(&format!("{} {style}", goldens.name), expected, found);
    }
}

fn runs(goldens: &Goldens, adapters: &Adapters, report: &mut Report) {
    for (name, run) in goldens.json["runs"].as_object().unwrap() {
        let mut run = run.clone();
        run["mode"] = json!("txt2img");
        let image = |i: usize| run["images"][i].as_u64().unwrap() as usize;
        let scale = &run["ip_scale"];
        let images = match run["adapter"].as_str().unwrap() {
            "two" => vec![
                adapters.attention(goldens, "std", &[image(0)], &scale[0]),
                adapters.attention(goldens, "plus", &[image(1)], &scale[1]),
            ],
            kind => vec![adapters.attention(goldens, kind, &[image(0)], scale)],
        };
        let guides = Guides { images, ..Guides::default() };
        match with_lora(goldens).filter(|_| !run["lora_scale"].is_null()) {
            Some(merged) => check_run_with(&merged, name, &run, guides, report),
            None => check_run_with(goldens, name, &run, guides, report),
        }
    }
}

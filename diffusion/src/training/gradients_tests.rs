//! The gradients of all factors against those of PyTorch: `tests/fixtures/training/gradients.py` computed them in double
//! precision, on the tiny models of the goldens.

use std::path::Path;

use serde_json::{Value, json};

use super::examples::Example;
use super::factors::{Factor, LoraFactors};
use super::objective::Objective;
use super::run::LoraTrainer;
use super::settings::LoraTraining;
use crate::weights::safetensors::WeightFile;
use crate::{DeviceChoice, DiffusionModel, LoadOptions, ModelSource};

/// Of the largest number of a gradient, how far ours may be. Single precision through forty layers and back leaves
/// about a hundred thousandth.
const ERROR_MAX: f64 = 2e-4;

struct Golden(WeightFile);

impl Golden {
    fn read(&self, name: &str) -> Vec<f32> {
        let entry = self.0.tensors.get(name).unwrap_or_else(|| panic!("no {name}"));
        self.0.read_f32(name, entry).expect("numbers")
    }
}

/// How the fixtures call a factor: by diffusers' names, in which kohya's differ for SDXL alone.
fn fixture_name(factor: &Factor, xl: bool) -> String {
    let layer = factor.weight.trim_end_matches(".weight").replace('.', "_");
    let prefix = match (factor.component, xl) {
        (0, _) => "lora_unet".to_string(),
        (_, false) => "lora_te".to_string(),
        (place, true) => format!("lora_te{place}"),
    };
    let name = format!("{prefix}_{layer}");
    assert!(xl || name == factor.name, "{name}");
    name
}

/// The device that `PLAYHOUSE_GOLDENS_DEVICE` names; the processor without it.
fn device() -> DeviceChoice {
    let named = std::env::var("PLAYHOUSE_GOLDENS_DEVICE").ok();
    named.map_or(DeviceChoice::Cpu, |name| name.parse().expect("a device"))
}

fn check(case: &Value, golden: &Golden, fixtures: &Path) -> (usize, f64) {
    let name = case["name"].as_str().expect("a name");
    let folder = fixtures.join("goldens").join(case["model"].as_str().expect("a model"));
    let source = ModelSource::Folder(folder);
    let loaded = DiffusionModel::load(&source, device(), LoadOptions::default()).expect("it loads");
    let model = loaded.networks();
    let number = |key: &str| case[key].as_u64().expect("a number") as usize;
    let settings = LoraTraining {
        rank: number("rank"),
        alpha: case["alpha"].as_f64().expect("alpha"),
        train_text_encoder: case["text"] == true,
        resolution: 8 * model.vae_config.scale_factor() as u32,
        ..LoraTraining::default()
    };
    let mut scheduler = model.scheduler.clone();
    scheduler["prediction_type"] = case["prediction"].clone();
    scheduler["_class_name"] = json!("DDIMScheduler");
    let mut factors = LoraFactors::new(model, &settings);
    for factor in &mut factors.factors {
        let key = fixture_name(factor, model.xl);
        factor.down.values = golden.read(&format!("{name}/{key}.down"));
        factor.up.values = golden.read(&format!("{name}/{key}.up"));
    }
    let clean = golden.read(&format!("{name}/clean"));
    let noise = golden.read(&format!("{name}/noise"));
    let rows = if model.xl { case["ids"].clone() } else { json!([case["ids"]]) };
    let ids: Vec<Vec<u32>> = serde_json::from_value(rows).expect("ids");
    assert_eq!(ids.len(), model.text_encoders.len());
    let time_ids: Vec<f64> = match model.xl {
        true => serde_json::from_value(case["time_ids"].clone()).expect("sizes"),
        false => Vec::new(),
    };
    let example = Example::of_latents(clean.clone(), 1.0, ids, time_ids);
    let captions = match settings.train_text_encoder {
        true => Vec::new(),
        false => vec![example.caption(model)],
    };
    let objective = Objective::new(&scheduler, case["gamma"].as_f64()).expect("a schedule");
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    let noised = objective.noised(&wide(clean), &wide(noise), number("timestep"));
    assert!((noised.weight - case["weight"].as_f64().expect("a weight")).abs() < 1e-9, "{name}: weight");
    let trainer = LoraTrainer::of_example(settings, objective, example, captions, factors.clone());
    let found = trainer.backward(model, &factors, 0, &noised, number("timestep"));
    let (loss, gradients) = found.expect("gradients");
    let expected = case["loss"].as_f64().expect("a loss");
    assert!((loss - expected).abs() < 1e-5 * expected, "{name}: loss {loss}, expected {expected}");
    let mut worst = 0.0f64;
    for (factor, gradient) in factors.factors.iter().zip(&gradients) {
        for (side, found) in [("down", &gradient.down), ("up", &gradient.up)] {
            let key = format!("{name}/{}.{side}.gradient", fixture_name(factor, model.xl));
            let expected = golden.read(&key);
            let size = expected.iter().fold(0f32, |size, value| size.max(value.abs()));
            assert_eq!(expected.len(), found.len(), "{key}");
            if size == 0.0 {
                // SDXL takes the last state but one: the first encoder's last layer has no part in it.
                assert!(model.xl && factor.component == 1, "{key}");
                assert!(found.iter().all(|value| *value == 0.0), "{key}");
                continue;
            }
            let far = expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            let error = f64::from(far / size);
            assert!(error < ERROR_MAX, "{key}: {error:.1e} of its largest number");
            worst = worst.max(error);
        }
    }
    (gradients.len() * 2, worst)
}

#[test]
fn the_gradients_are_those_of_pytorch() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let folder = fixtures.join("training");
    let text = std::fs::read_to_string(folder.join("gradients.json")).expect("the cases");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let golden = Golden(WeightFile::open(&folder.join("gradients.safetensors")).expect("the numbers"));
    for case in cases["cases"].as_array().expect("a list") {
        let (count, worst) = check(case, &golden, &fixtures);
        println!("{}: {count} gradients, error at most {worst:.1e} of the largest number", case["name"]);
        // Two attentions of four weights in each of the tiny model's transformers.
        assert!(count >= 2 * 8, "{count}");
    }
}

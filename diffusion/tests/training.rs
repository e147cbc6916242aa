//! Training a LoRA on the starter model: it learns, it goes on where it stopped, and the same seed gives the same bytes.

mod character;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use diffusion::training::{LoraTrainer, LoraTraining};
use diffusion::{DeviceChoice, DiffusionError, DiffusionModel, GenerateSpec, LoadOptions, Lora, ModelSource};

static STARTER: LazyLock<DiffusionModel> = LazyLock::new(|| {
    DiffusionModel::load(&ModelSource::Starter, DeviceChoice::Cpu, LoadOptions::default()).unwrap()
});

fn short() -> LoraTraining {
    LoraTraining { steps: 6, batch_size: 1, rank: 4, alpha: 4.0, seed: 7, ..STARTER.default_training() }
}

fn begin(settings: &LoraTraining, resume: Option<&Path>) -> LoraTrainer {
    let trainer = STARTER.begin_training(settings, &character::pictures(), resume);
    trainer.unwrap_or_else(|error| panic!("{error}"))
}

fn train(settings: &LoraTraining) -> LoraTrainer {
    let mut trainer = begin(settings, None);
    trainer.run(&STARTER, &mut |_| ControlFlow::Continue(())).unwrap_or_else(|error| panic!("{error}"));
    trainer
}

fn file(trainer: &LoraTrainer) -> Vec<u8> {
    trainer.lora_file(&BTreeMap::new())
}

/// Goes on to the end; says which steps that took.
fn go_on(trainer: &mut LoraTrainer) -> Vec<usize> {
    let mut steps = Vec::new();
    let ran = trainer.run(&STARTER, &mut |step| {
        steps.push(step.step);
        ControlFlow::Continue(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    steps
}

#[test]
fn a_training_that_stopped_goes_on_to_the_same_bytes() {
    let settings = short();
    let whole = train(&settings);
    assert_eq!(whole.losses().len(), 6);
    assert!(whole.losses().iter().all(|loss| loss.is_finite() && *loss > 0.0), "{:?}", whole.losses());
    assert!(file(&train(&settings)) == file(&whole), "the same seed gave other bytes");
    assert!(file(&train(&LoraTraining { seed: 8, ..settings.clone() })) != file(&whole));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut stopping = begin(&settings, None);
    let stopped = stopping.run(&STARTER, &mut |step| match step.step {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(DiffusionError::Cancelled { step: 3 })), "{stopped:?}");
    std::fs::write(&path, stopping.checkpoint().file()).unwrap();
    assert_eq!(go_on(&mut stopping), [4, 5, 6], "in memory it goes on");
    assert!(file(&stopping) == file(&whole));
    let mut resumed = begin(&settings, Some(&path));
    assert_eq!(go_on(&mut resumed), [4, 5, 6], "it begins where it had stopped");
    assert_eq!(resumed.losses(), whole.losses());
    assert!(file(&resumed) == file(&whole), "what stopped and went on has other bytes");

    // A checkpoint of another training is none of this one's.
    let other = LoraTraining { learning_rate: 1e-3, ..settings };
    let mut anew = begin(&other, Some(&path));
    assert!(anew.left_checkpoint_out() && !resumed.left_checkpoint_out());
    assert_eq!(go_on(&mut anew), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_step_that_is_cancelled_between_two_pictures_leaves_nothing() {
    let settings = LoraTraining { batch_size: 3, ..short() };
    let mut trainer = begin(&settings, None);
    let asked = std::cell::Cell::new(0);
    let cancels = || {
        asked.set(asked.get() + 1);
        asked.get() > 5
    };
    let cut = trainer.run_unless(&STARTER, &cancels, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(cut, Err(DiffusionError::Cancelled { step: 1 })), "{cut:?}");
    assert_eq!((trainer.losses().len(), trainer.checkpoint().step()), (1, 1));
    assert_eq!(go_on(&mut trainer), [2, 3, 4, 5, 6]);
    assert!(file(&trainer) == file(&train(&settings)), "a cut step has left something");
}

#[test]
fn the_file_is_in_kohyas_form_and_says_how_it_was_made() {
    let settings = LoraTraining { steps: 1, train_text_encoder: true, ..short() };
    let trained = train(&settings);
    let more = BTreeMap::from([("ss_output_name".to_string(), "zum".to_string())]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zum.safetensors");
    std::fs::write(&path, trained.lora_file(&more)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    for (key, value) in [
        ("ss_network_module", "networks.lora"),
        ("ss_network_dim", "4"),
        ("ss_network_alpha", "4"),
        ("ss_seed", "7"),
        ("ss_steps", "1"),
        ("ss_num_train_images", "12"),
        ("ss_lr_warmup_steps", "1"),
        ("ss_base_model_version", "sd_v1"),
        ("ss_output_name", "zum"),
    ] {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(metadata["ss_tag_frequency"].contains("\"zum\":12"), "{}", metadata["ss_tag_frequency"]);
    let curve: Vec<f64> = serde_json::from_str(&metadata["playhouse_loss_curve"]).unwrap();
    assert_eq!(curve.len(), 1);
    let layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k";
    let shape = |part: &str| tensors.tensor(&format!("{layer}.{part}")).unwrap().shape().to_vec();
    assert_eq!(shape("lora_down.weight"), [4, 128]);
    assert_eq!(shape("lora_up.weight"), [128, 4]);
    assert!(shape("alpha").is_empty());
    // A step changes what began as zero, in the UNet and in the text encoder.
    for layer in [layer, "lora_te_text_model_encoder_layers_0_self_attn_v_proj"] {
        let up = tensors.tensor(&format!("{layer}.lora_up.weight")).unwrap();
        assert!(up.data().iter().any(|byte| *byte != 0), "{layer}");
    }
    // And the model draws with it.
    Lora::open(&path).unwrap();
    let spec = GenerateSpec {
        prompt: "a cat".into(),
        steps: 1,
        loras: vec![(path, 1.0.into())],
        ..STARTER.default_spec()
    };
    STARTER.generate(&spec, &mut |_| ControlFlow::Continue(())).unwrap();
}

#[test]
fn what_cannot_be_trained_is_refused_by_field() {
    let refused = |settings: &LoraTraining, pictures: usize| {
        let pictures: Vec<_> = character::pictures().into_iter().cycle().take(pictures).collect();
        match STARTER.begin_training(settings, &pictures, None).unwrap_err() {
            DiffusionError::Spec { field, .. } => field,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(&short(), 4), "pictures");
    assert_eq!(refused(&short(), 41), "pictures");
    assert_eq!(refused(&LoraTraining { resolution: 63, ..short() }, 5), "resolution");
    assert_eq!(refused(&LoraTraining { resolution: 128, ..short() }, 5), "resolution");
    assert_eq!(refused(&LoraTraining { rank: 1000, ..short() }, 5), "rank");
}

/// Pictures of the character at places that it was never shown at.
fn drawn(prompt: &str, loras: &[std::path::PathBuf]) -> Vec<image::RgbImage> {
    let of = |(seed, place): (usize, &&str)| {
        let spec = GenerateSpec {
            prompt: format!("{prompt} {place}"),
            seed: seed as u64,
            steps: 12,
            loras: loras.iter().map(|path| (path.clone(), 1.0.into())).collect(),
            ..STARTER.default_spec()
        };
        STARTER.generate(&spec, &mut |_| ControlFlow::Continue(())).unwrap().remove(0)
    };
    character::UNSEEN.iter().enumerate().map(of).collect()
}

#[test]
fn a_character_that_the_model_does_not_know_is_known_after_the_training() {
    let settings =
        LoraTraining { steps: 120, batch_size: 2, learning_rate: 4e-3, ..STARTER.default_training() };
    let trained = train(&settings);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zum.safetensors");
    std::fs::write(&path, file(&trained)).unwrap();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let far = |pictures: &[image::RgbImage]| mean(pictures.iter().map(character::distance).collect());
    let before = drawn(&format!("{}, {}", character::NAME, character::NAME), &[]);
    let after = drawn(&format!("{}, {}", character::NAME, character::NAME), std::slice::from_ref(&path));
    let (first, last) = (mean(trained.losses()[..20].to_vec()), mean(trained.losses()[100..].to_vec()));
    println!("distance {:.1} before, {:.1} after; loss {first:.4} to {last:.4}", far(&before), far(&after));
    assert!(last < first * 0.8, "the loss went from {first} to {last}");
    // Without the training its name means nothing: what is drawn is a place with another character.
    assert!(far(&after) < far(&before) * 0.8, "{} before, {} after", far(&before), far(&after));
}

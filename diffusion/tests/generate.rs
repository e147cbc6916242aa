//! What the render actor relies on: the same spec draws the same pixels, alone or in a batch.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::prompt::PromptSyntax;
use diffusion::{
    ControlSpec, DeviceChoice, DiffusionError, DiffusionModel, GenerateSpec, GuideSpec, LoadOptions,
    LoraScale, ModelSource, NoiseGenerator, StepReport,
};
use image::{GrayImage, Luma, RgbImage};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

fn load(source: ModelSource) -> DiffusionModel {
    DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).unwrap()
}

fn starter() -> &'static DiffusionModel {
    static MODEL: OnceLock<DiffusionModel> = OnceLock::new();
    MODEL.get_or_init(|| load(ModelSource::Starter))
}

fn go_on(_: &StepReport<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn spec(prompt: &str, seed: u64) -> GenerateSpec {
    GenerateSpec { prompt: prompt.into(), seed, steps: 4, ..starter().default_spec() }
}

fn draw(model: &DiffusionModel, spec: &GenerateSpec) -> RgbImage {
    model.generate(spec, &mut go_on).unwrap().remove(0)
}

fn distance(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

#[test]
fn the_starter_has_fitting_settings() {
    let spec = starter().default_spec();
    assert_eq!((spec.width, spec.height, spec.steps, spec.guidance_scale), (64, 64, 20, 4.0));
    assert!(starter().memory_bytes() > 30_000_000);
    assert_eq!(starter().weights_hash().len(), 64);
    assert!(diffusion::starter_model_card().contains("cc0"));
}

#[test]
fn networks_that_lead_are_counted_once_and_leave_when_they_are_not_needed() {
    let model = load(ModelSource::Folder(fixture("controlnet/sd15-base")));
    let plain = GenerateSpec { steps: 1, width: 64, height: 64, ..model.default_spec() };
    let control = ControlSpec {
        file: fixture("controlnet/sd15-controlnet-a"),
        picture: std::sync::Arc::new(RgbImage::new(8, 8)),
        finds_lines: false,
        scale: 1.0,
        start: 0.0,
        end: 1.0,
    };
    let guides = GuideSpec { controls: vec![control], ..GuideSpec::default() };
    let led = GenerateSpec { guides, ..plain.clone() };
    let (alone, unled) = (model.memory_bytes(), model.drawing_bytes(&plain));
    let network = model.drawing_bytes(&led) - unled;
    assert!(network > 0);
    draw(&model, &led);
    assert_eq!(model.memory_bytes(), alone + network, "it is in memory");
    assert_eq!(model.drawing_bytes(&led), unled, "and comes into it no second time");
    draw(&model, &plain);
    assert_eq!(model.memory_bytes(), alone + network);
    model.forget_guides_beside(&led);
    assert_eq!(model.memory_bytes(), alone + network, "what leads stays");
    model.forget_guides_beside(&plain);
    assert_eq!((model.memory_bytes(), model.drawing_bytes(&led)), (alone, unled + network));
}

#[test]
fn the_same_spec_draws_the_same_pixels() {
    let first = draw(starter(), &spec("a woman on a beach", 3));
    assert_eq!(first.dimensions(), (64, 64));
    assert_eq!(first, draw(starter(), &spec("a woman on a beach", 3)));
    assert!(distance(&first, &draw(starter(), &spec("a woman on a beach", 4))) > 1.0);
    assert!(distance(&first, &draw(starter(), &spec("a robot in a forest at night", 3))) > 1.0);
    let torch = GenerateSpec { noise: NoiseGenerator::TorchCpu, ..spec("a woman on a beach", 3) };
    assert!(distance(&first, &draw(starter(), &torch)) > 1.0);
}

#[test]
fn a_batch_changes_nothing() {
    let scheduler = |spec: GenerateSpec| GenerateSpec { scheduler: Some("Euler a".into()), ..spec };
    let long = "a red cat in the snow, ".repeat(20);
    let specs: Vec<GenerateSpec> = vec![
        scheduler(spec("a cat", 1)),
        scheduler(GenerateSpec { num_images: 2, ..spec("a robot in a desert", 2) }),
        scheduler(spec(&long, 5)),
    ];
    let together = starter().generate_batch(&specs, &mut go_on).unwrap();
    assert_eq!(together.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1]);
    for (spec, drawn) in specs.iter().zip(&together) {
        assert_eq!(*drawn, starter().generate(spec, &mut go_on).unwrap(), "{}", spec.prompt);
    }
    let second_alone = draw(starter(), &scheduler(spec("a robot in a desert", 3)));
    assert_eq!(together[1][1], second_alone);

    let other = GenerateSpec { steps: 5, ..spec("a cat", 1) };
    let error = starter().generate_batch(&[spec("a cat", 1), other], &mut go_on).unwrap_err();
    assert!(matches!(error, DiffusionError::Spec { field: "steps", .. }), "{error}");
}

#[test]
fn a_run_reports_and_stops_between_steps() {
    let mut steps = Vec::new();
    let error = starter()
        .generate(&spec("a cat", 1), &mut |report| {
            steps.push((report.step, report.steps));
            assert_eq!(report.preview().unwrap().dimensions(), (64, 64));
            if report.step == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap_err();
    assert_eq!(steps, [(1, 4), (2, 4)]);
    assert!(matches!(error, DiffusionError::Cancelled { step: 2 }), "{error}");
}

#[test]
fn previews_of_larger_pictures_resemble_them() {
    let large = GenerateSpec { width: 160, height: 136, steps: 3, ..spec("a mountain peak, day", 9) };
    let mut last = None;
    let picture = starter()
        .generate(&large, &mut |report| {
            last = Some(report.preview().unwrap());
            ControlFlow::Continue(())
        })
        .unwrap()
        .remove(0);
    let preview = last.unwrap();
    assert_eq!(preview.dimensions(), (40, 34));
    let small = image::imageops::resize(&picture, 40, 34, image::imageops::FilterType::Triangle);
    assert!(distance(&preview, &small) < 40.0, "{}", distance(&preview, &small));
}

#[test]
fn a_picture_to_begin_with_is_recognised_and_masks_keep_it() {
    let picture = draw(starter(), &GenerateSpec { steps: 12, ..spec("a woman on a beach, day", 3) });
    let from = |strength| GenerateSpec {
        init_image: Some(picture.clone()),
        strength,
        steps: 10,
        scheduler: Some("Euler".into()),
        ..spec("a forest at night", 8)
    };
    let (near, far) = (draw(starter(), &from(0.2)), draw(starter(), &from(0.9)));
    assert!(distance(&near, &picture) < distance(&far, &picture));

    let mask = GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { 255 } else { 0 }]));
    let inpainted = draw(starter(), &GenerateSpec { mask: Some(mask), ..from(1.0) });
    let half = |image: &RgbImage, x| image::imageops::crop_imm(image, x, 0, 20, 64).to_image();
    let kept = distance(&half(&inpainted, 44), &half(&picture, 44));
    let redrawn = distance(&half(&inpainted, 0), &half(&picture, 0));
    assert!(kept < 16.0 && kept * 2.0 < redrawn, "kept {kept}, redrawn {redrawn}");
}

#[test]
fn interpolation_meets_both_ends() {
    let (from, to) = (spec("a cat on a beach", 1), spec("a robot in a forest", 2));
    let between = |t| starter().generate_interpolated(&from, &to, t, &mut go_on).unwrap();
    assert!(distance(&between(0.0), &draw(starter(), &from)) < 0.05);
    assert!(distance(&between(1.0), &draw(starter(), &to)) < 0.05);
    let middle = between(0.5);
    assert!(distance(&middle, &between(0.0)) > 1.0 && distance(&middle, &between(1.0)) > 1.0);
    assert!(starter().generate_interpolated(&from, &to, 1.5, &mut go_on).is_err());
}

#[test]
fn every_scheduler_draws_with_every_family() {
    for name in ["sd15-tiny", "sd2-tiny", "sdxl-tiny"] {
        let model = load(ModelSource::Folder(fixture(name)));
        let base = GenerateSpec { prompt: "a cat".into(), steps: 5, ..model.default_spec() };
        assert_eq!((base.width, base.height), (32, 32));
        for (scheduler, _, _) in diffusion::schedulers::SCHEDULER_NAMES {
            let spec = GenerateSpec { scheduler: Some(scheduler.into()), ..base.clone() };
            let picture = draw(&model, &spec);
            let first = picture.as_raw()[0];
            assert!(picture.as_raw().iter().any(|&byte| byte != first), "{name} {scheduler} drew nothing");
        }
    }
}

#[test]
fn a_lora_changes_the_picture_as_far_as_its_scale() {
    let model = load(ModelSource::Folder(fixture("sd15-tiny")));
    let base = GenerateSpec { prompt: "a cat".into(), steps: 3, ..model.default_spec() };
    let lora = fixture("lora/kohya.safetensors");
    let with = |scale| {
        draw(&model, &GenerateSpec { loras: vec![(lora.clone(), LoraScale::from(scale))], ..base.clone() })
    };
    let plain = draw(&model, &base);
    assert_eq!(with(0.0), plain);
    assert_ne!(with(1.0), plain);
    assert_eq!(draw(&model, &base), plain);
    let missing =
        GenerateSpec { loras: vec![("/nonexistent.safetensors".into(), 1.0.into())], ..base.clone() };
    assert!(matches!(model.generate(&missing, &mut go_on), Err(DiffusionError::Io { .. })));
    let other = load(ModelSource::Folder(fixture("sdxl-tiny")));
    let error = other.generate(
        &GenerateSpec { loras: vec![(lora, 1.0.into())], steps: 3, ..other.default_spec() },
        &mut go_on,
    );
    assert!(matches!(error, Err(DiffusionError::Lora { .. })), "{error:?}");
}

#[test]
fn specs_that_do_not_fit_the_model_are_refused_by_field() {
    let refused = |spec: GenerateSpec, wanted: &str| {
        let error = starter().generate(&spec, &mut go_on).unwrap_err();
        assert!(matches!(error, DiffusionError::Spec { field, .. } if field == wanted), "{error}");
    };
    refused(GenerateSpec { width: 62, ..spec("x", 0) }, "width");
    refused(GenerateSpec { scheduler: Some("Nonesuch".into()), ..spec("x", 0) }, "scheduler");
    refused(GenerateSpec { scheduler: Some("LCM".into()), steps: 60, ..spec("x", 0) }, "steps");
    refused(spec(&"word ".repeat(3000), 0), "prompt");
    let weighted = |prompt: String| GenerateSpec { prompt_syntax: PromptSyntax::Compel, ..spec(&prompt, 0) };
    refused(weighted("red- hat ".repeat(65)), "prompt");
    refused(weighted(format!("({}\"x\").and()", "\"x\", ".repeat(16))), "prompt");
}

#[test]
fn a_break_begins_a_row_and_compel_pools_what_was_written() {
    let model = load(ModelSource::Folder(fixture("sdxl-tiny")));
    let encode = |prompt: &str, syntax| {
        let options = PromptOptions { syntax, ..PromptOptions::default() };
        let text = model.networks().encode_prompt(prompt, None, options).unwrap();
        let pooled = text.pooled.expect("SDXL pools").try_into_vec_as::<f32>().unwrap();
        (text.embeds.dims()[1], pooled)
    };
    for (prompt, syntax, rows) in [
        ("a cat at night", PromptSyntax::A1111, 1),
        ("a cat BREAK at night", PromptSyntax::A1111, 2),
        ("a cat BREAK at night BREAK", PromptSyntax::A1111Native, 2),
        ("a cat BREAK at night", PromptSyntax::Compel, 1),
    ] {
        let length = encode("a cat", PromptSyntax::Plain).0;
        assert_eq!(encode(prompt, syntax).0, rows * length, "{prompt} {syntax:?}");
    }
    let (_, pooled) = encode("a (red)1.4 cat++", PromptSyntax::Compel);
    assert!(pooled == encode("a (red)1.4 cat++", PromptSyntax::Plain).1);
    assert!(pooled != encode("a red cat", PromptSyntax::Plain).1);
}

#[test]
fn words_change_while_a_picture_is_drawn() {
    let model = starter();
    let with = |prompt: &str| {
        let spec = GenerateSpec {
            prompt: prompt.into(),
            prompt_syntax: PromptSyntax::A1111,
            steps: 4,
            ..model.default_spec()
        };
        draw(model, &spec)
    };
    let (circle, square) = (with("a red circle"), with("a blue square"));
    let changed = with("a [red circle:blue square:0.5]");
    assert!(changed != circle && changed != square);
    assert!(changed == with("a [red circle:blue square:2]"), "half of four steps are two");
    assert!(
        with("a [red circle:blue square:0.0]") == square && with("a [red circle:blue square:1.0]") == circle
    );
    let turns = with("a [red circle|blue square]");
    assert!(turns != circle && turns != square && turns != changed);
    assert!(with("a [red circle|red circle]") == circle);
    assert!(with("a red [circle::4]") == circle && with("a red [circle:0]") == circle);
    // Elsewhere brackets are words.
    let plain = GenerateSpec { prompt: "a [red:blue:0.5]".into(), steps: 4, ..model.default_spec() };
    assert!(draw(model, &plain) != draw(model, &GenerateSpec { prompt: "a red".into(), ..plain.clone() }));
}

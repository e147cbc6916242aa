//! How long does the starter model take from a spec to the bytes of a PNG? And do four pictures side by side take less
//! than four one after the other?
//!
//! `cargo bench -p diffusion --bench starter_picture`

use std::io::Cursor;
use std::ops::ControlFlow;
use std::time::Instant;

use diffusion::pipelines::encode_prompt::PromptOptions;
use diffusion::{DeviceChoice, DiffusionModel, GenerateSpec, LoadOptions, ModelSource};
use image::ImageFormat;

fn main() {
    let begin = Instant::now();
    let model = DiffusionModel::load(&ModelSource::Starter, DeviceChoice::Cpu, LoadOptions::default())
        .expect("the starter is part of the program");
    println!("starter_picture: loading {:.2} s", begin.elapsed().as_secs_f64());
    let networks = model.networks();
    let encode = |what: &str, run: &dyn Fn(usize)| {
        run(0);
        let begin = Instant::now();
        (1..=20).for_each(run);
        println!("starter_picture: {what} {:.2} ms", begin.elapsed().as_secs_f64() * 1000.0 / 20.0);
    };
    encode("tokens of a prompt", &|i| {
        let tokenizer = &networks.text_encoders[0].tokenizer;
        tokenizer.encode_row(&format!("a woman on a beach, {i}")).expect("tokens");
    });
    encode("meaning of a prompt", &|i| {
        let prompt = format!("a woman on a beach, {i}");
        networks.encode_prompt(&prompt, None, PromptOptions::default()).expect("a text");
    });
    for side in [64, 128] {
        let mut seconds: Vec<f64> = (0..5)
            .map(|seed| {
                let spec = GenerateSpec {
                    prompt: "a woman on a beach at night".into(),
                    seed,
                    width: side,
                    height: side,
                    ..model.default_spec()
                };
                let begin = Instant::now();
                let drawn = model.generate(&spec, &mut |_| ControlFlow::Continue(())).expect("a picture");
                let mut bytes = Cursor::new(Vec::new());
                drawn[0].write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
                begin.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let steps = model.default_spec().steps;
        println!("starter_picture: {side} × {side}, {steps} steps: median {:.2} s", seconds[2]);
    }
    for (side, count) in [(64, 2), (64, 4), (128, 4)] {
        let specs: Vec<GenerateSpec> = (0..count)
            .map(|seed| GenerateSpec {
                prompt: "a woman on a beach at night".into(),
                seed,
                width: side,
                height: side,
                steps: 10,
                ..model.default_spec()
            })
            .collect();
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        // By turns, so that whatever else the machine does meets both.
        for _ in 0..5 {
            let begin = Instant::now();
            for spec in &specs {
                model.generate(spec, &mut |_| ControlFlow::Continue(())).expect("a picture");
            }
            alone.push(begin.elapsed().as_secs_f64());
            let begin = Instant::now();
            model.generate_batch(&specs, &mut |_| ControlFlow::Continue(())).expect("pictures");
            together.push(begin.elapsed().as_secs_f64());
        }
        alone.sort_by(f64::total_cmp);
        together.sort_by(f64::total_cmp);
        println!(
            "starter_picture: {count} of {side} × {side}, 10 steps: one by one {:.3} s, together {:.3} s, ratio {:.2}",
            alone[2],
            together[2],
            alone[2] / together[2]
        );
    }
}

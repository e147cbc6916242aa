//! How long does the starter model take from a spec to the bytes of a PNG?
//!
//! `cargo bench -p diffusion --bench starter_picture`

use std::io::Cursor;
use std::ops::ControlFlow;
use std::time::Instant;

use diffusion::{DeviceChoice, DiffusionModel, GenerateSpec, LoadOptions, ModelSource};
use image::ImageFormat;

fn main() {
    let begin = Instant::now();
    let model = DiffusionModel::load(&ModelSource::Starter, DeviceChoice::Cpu, LoadOptions::default())
        .expect("the starter is part of the program");
    println!("starter_picture: loading {:.2} s", begin.elapsed().as_secs_f64());
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
}

//! How long do the two ends of a picture take on the processor: the text encoders of Stable Diffusion 1.5 and XL for one prompt,
//! and the decoder of a VAE for 512 × 512 pixels?
//!
//! `cargo bench -p diffusion --bench picture_ends`, with `picture_ends.py` beside it for comparison.

use std::time::Instant;

use burn::tensor::{Distribution, Tensor};
use diffusion::models::autoencoders::autoencoder_kl::AutoencoderKLConfig;
use diffusion::{ClipTextConfig, DeviceChoice};
use serde_json::json;

/// The server's.
#[path = "../../src/allocator.rs"]
mod allocator;

/// Times the work after one run that is not timed: it also draws the random weights.
fn measure(what: &str, runs: usize, work: &dyn Fn()) {
    work();
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("picture_ends: {what}: median {:.3} s, best {:.3} s", seconds[runs / 2], seconds[0]);
}

fn main() {
    allocator::keep_freed_memory();
    let device = DeviceChoice::Cpu.open().expect("every build has the processor");
    let text = |config| serde_json::from_value::<ClipTextConfig>(config).expect("a configuration");
    let encoders = [
        (
            "text encoder of 1.5",
            json!({ "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12 }),
        ),
        (
            "second text encoder of XL",
            json!({
                "hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20,
                "num_hidden_layers": 32, "hidden_act": "gelu"
            }),
        ),
    ];
    let ids: Vec<u32> = (0..77).map(|at| 49_406 - at * 7).collect();
    for (what, config) in encoders {
        let encoder = text(config).init("config.json", &device).expect("the shape of an encoder");
        measure(what, 9, &|| {
            let out = encoder.forward(std::slice::from_ref(&ids), None, &device);
            assert_eq!(out.last_hidden_state.into_data().num_elements(), 77 * encoder.hidden_size());
        });
    }
    let config: AutoencoderKLConfig = serde_json::from_value(json!({
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": vec!["DownEncoderBlock2D"; 4],
        "up_block_types": vec!["UpDecoderBlock2D"; 4],
        "layers_per_block": 2
    }))
    .expect("a configuration");
    let vae = config.init(&device).expect("the shape of a VAE");
    let latents = Tensor::<4>::random([1, 4, 64, 64], Distribution::Normal(0.0, 1.0), &device);
    measure("decoder, 512 × 512", 3, &|| {
        assert_eq!(vae.decode(latents.clone()).into_data().num_elements(), 3 * 512 * 512);
    });
    println!("picture_ends: {} threads", std::thread::available_parallelism().map_or(1, usize::from));
}

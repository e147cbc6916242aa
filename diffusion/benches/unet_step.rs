//! How long does the UNet of Stable Diffusion 1.5 take for one latent of 64 × 64 on the processor?
//!
//! `cargo bench --workspace --bench unet_step`, with `unet_step.py` beside it for comparison; `PLAYHOUSE_BENCH_WEIGHTS` is `f32`
//! unless it says `bf16`, `PLAYHOUSE_BENCH_STEPS` is how many forwards are timed.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Distribution, Tensor};
use diffusion::DeviceChoice;
use diffusion::models::unets::unet_2d_config::UNet2DConditionConfig;

/// The server's.
#[path = "../../src/allocator.rs"]
mod allocator;
#[path = "../tests/support/shorten.rs"]
mod shorten;

/// Forwards that are timed unless the environment says otherwise, after one that is not: it also draws the random weights.
const TIMED: usize = 5;

/// Seconds that all threads of this process worked, where the system tells: what others take from the
/// machine does not count.
fn worked() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() {
    allocator::keep_freed_memory();
    let device = DeviceChoice::Cpu.open().expect("every build has the processor");
    let config: UNet2DConditionConfig =
        serde_json::from_value(serde_json::json!({ "cross_attention_dim": 768 })).expect("a configuration");
    let mut unet = config.init(&device).expect("the shape of Stable Diffusion 1.5");
    let weights = std::env::var("PLAYHOUSE_BENCH_WEIGHTS").unwrap_or("f32".into());
    match weights.as_str() {
        "f32" => {}
        "bf16" => unet = unet.map(&mut shorten::Shorten::default()),
        other => panic!("PLAYHOUSE_BENCH_WEIGHTS is f32 or bf16, not {other}"),
    }
    let steps = std::env::var("PLAYHOUSE_BENCH_STEPS").ok().and_then(|steps| steps.parse().ok());
    let timed = steps.unwrap_or(TIMED);
    let normal = Distribution::Normal(0.0, 1.0);
    let sample = Tensor::<4>::random([1, 4, 64, 64], normal, &device);
    let context = Tensor::<3>::random([1, 77, 768], normal, &device);
    let mut work = 0.0;
    let mut seconds: Vec<f64> = (0..=timed)
        .map(|run| {
            if run == 1 {
                work = worked();
            }
            let (begin, before) = (Instant::now(), worked());
            let out = unet.forward(sample.clone(), 500.0, context.clone(), None);
            assert_eq!(out.into_data().num_elements(), 4 * 64 * 64);
            let seconds = begin.elapsed().as_secs_f64();
            println!("run {run}: {seconds:.2} s, {:.2} s of work", worked() - before);
            seconds
        })
        .skip(1)
        .collect();
    seconds.sort_by(f64::total_cmp);
    let work = (worked() - work) / timed as f64;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "unet_step: {weights}: median {:.2} s, best {:.2} s, {work:.2} s of work, {threads} threads",
        seconds[timed / 2],
        seconds[0]
    );
}

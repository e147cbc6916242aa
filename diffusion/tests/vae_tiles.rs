//! Pictures that are encoded and decoded in tiles are nearly those that are done whole.

use diffusion::{DiffusionModel, GenerateSpec, LoadOptions, ModelSource, Saving, VaeTiles};
use image::{Rgb, RgbImage};

#[path = "support/device.rs"]
mod device;

use device::device_choice;

fn load(vae_tiles: VaeTiles) -> DiffusionModel {
    let options = LoadOptions { vae_tiles, ..LoadOptions::default() };
    DiffusionModel::load(&ModelSource::Starter, device_choice(), options).unwrap()
}

/// A picture with surfaces and edges, in −1 to 1, channel by channel.
fn pixels(width: usize, height: usize) -> Vec<f64> {
    let picture = RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let inside = (x / 24 + y / 40) % 3 == 0;
        let shade = (x * 200 / width as u32 + 30) as u8;
        if inside { Rgb([200, shade, 60]) } else { Rgb([shade, 90, (y * 255 / height as u32) as u8]) }
    });
    let channel = |c: usize| picture.pixels().map(move |pixel| f64::from(pixel.0[c]) / 127.5 - 1.0);
    (0..3).flat_map(channel).collect()
}

fn mean_distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len() as f64
}

/// Of the range of 2 that pixels have: what a tile's own normalisation may change on average. That of the whole picture's
/// decoding against the picture itself is several times as much.
const DECODED: f64 = 0.05;
/// The same of latents, as a share of their size.
const ENCODED: f64 = 0.15;

#[test]
fn tiles_are_near_the_whole() {
    let (whole, tiled) = (load(VaeTiles::Never), load(VaeTiles::Side(128)));
    let (whole, tiled) = (whole.networks(), tiled.networks());
    let factor = whole.vae_config.scale_factor();
    let (height, width) = (160, 224);
    let picture = pixels(width, height);
    let shape = [1, 3, height, width];
    let (mean, deviation) = whole.encode(&picture, shape).unwrap();
    let (mean_tiled, deviation_tiled) = tiled.encode(&picture, shape).unwrap();
    let spread = mean.iter().map(|value| f64::from(value.abs())).sum::<f64>() / mean.len() as f64;
    let far = mean_distance(&mean, &mean_tiled) / spread;
    assert!(far < ENCODED, "latents differ by {far} of their size");
    assert_ne!(mean, mean_tiled);
    assert_eq!(deviation.len(), deviation_tiled.len());

    let latents: Vec<f64> =
        mean.iter().map(|value| f64::from(*value) * whole.vae_config.scaling_factor).collect();
    let shape = [1, whole.vae_config.latent_channels, height / factor, width / factor];
    let (decoded, decoded_tiled) =
        (whole.decode(&latents, shape).unwrap(), tiled.decode(&latents, shape).unwrap());
    let far = mean_distance(&decoded, &decoded_tiled);
    assert!(far < DECODED, "pictures differ by {far}");
    assert_ne!(decoded, decoded_tiled);
    // Two at once are each by itself.
    let twice = tiled.decode(&latents.repeat(2), [2, shape[1], shape[2], shape[3]]).unwrap();
    assert_eq!(twice[..decoded.len()], decoded_tiled[..]);
    assert_eq!(twice[decoded.len()..], decoded_tiled[..]);
}

/// Where a device has too little memory, pictures one after the other are the same, and small tiles those of the setting.
#[test]
fn saving_memory_changes_no_more_than_it_says() {
    let mut model = load(VaeTiles::Auto);
    let of = |model: &DiffusionModel, side: u32, num_images: usize| {
        let spec = GenerateSpec {
            width: side,
            height: side,
            num_images,
            steps: 1,
            prompt: "a robot".into(),
            ..model.default_spec()
        };
        model.generate(&spec, &mut |_| std::ops::ControlFlow::Continue(())).unwrap()
    };
    let (two, large) = (of(&model, 64, 2), of(&model, 288, 1));
    model.save_memory(Saving::OneByOne);
    assert!(of(&model, 64, 2) == two && of(&model, 288, 1) == large);
    model.save_memory(Saving::SmallTiles);
    let tiled = of(&model, 288, 1);
    assert!(tiled != large && tiled == of(&load(VaeTiles::Side(256)), 288, 1));
    model.save_memory(Saving::Nothing);
    assert!(of(&model, 288, 1) == large);
}

#[test]
fn large_pictures_take_tiles_and_little_memory_by_themselves() {
    let model = load(VaeTiles::Auto);
    let bytes = |side: u32| {
        // So that the VAE's part is what counts.
        let spec = GenerateSpec { width: side, height: side, guidance_scale: 1.0, ..model.default_spec() };
        let whole = load(VaeTiles::Never);
        (model.drawing_bytes(&spec), whole.drawing_bytes(&spec))
    };
    let (small, small_whole) = bytes(512);
    assert_eq!(small, small_whole);
    let (large, large_whole) = bytes(2048);
    assert!(large < large_whole, "{large} {large_whole}");
}

//! Pictures made larger by a network, tile by tile.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use crate::guarded::guarded;
use crate::pipelines::stable_diffusion::download;
use crate::tiles::{Tile, Tiling};
use crate::weights::upscaler_file::{UpscalerFile, UpscalerNetwork};
use crate::{DeviceChoice, DiffusionError};

/// Longest side of a tile that goes through the network at a time, in pixels; a multiple of every step.
const TILE_PX: usize = 192;
/// How far tiles overlap: what lies further away hardly bears on a pixel.
const OVERLAP_PX: usize = 24;
/// How often a picture goes through the network one time after another.
const PASSES_MAX: usize = 3;

/// What a file of an upscaler holds, from its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpscalerAbout {
    /// How many times longer the sides become.
    pub scale: usize,
    /// `RRDBNet` or `SRVGGNetCompact`.
    pub architecture: &'static str,
    /// Bytes of its weights in memory.
    pub memory_bytes: u64,
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilesDone {
    /// Tiles that are done, from 1.
    pub done: usize,
    /// Tiles in all.
    pub of: usize,
}

/// A network that makes pictures larger.
#[derive(Debug)]
pub struct Upscaler {
    network: UpscalerNetwork,
    about: UpscalerAbout,
    hash: String,
    step: usize,
    numbers_a_pixel: u64,
    device: Device,
}

impl Upscaler {
    /// What a file holds, without its weights; a refusal names the tensor.
    pub fn about(path: &Path) -> Result<UpscalerAbout, DiffusionError> {
        UpscalerFile::open(path).map(|file| about(&file))
    }

    /// Loads a safetensors file of the ESRGAN family onto a device. Its numbers are kept in single precision.
    pub fn load(path: &Path, device: DeviceChoice) -> Result<Self, DiffusionError> {
        let file = UpscalerFile::open(path)?;
        let device = device.open()?;
        let (about, hash) = (about(&file), file.hash()?);
        let (step, numbers_a_pixel) = (file.step(), file.numbers_a_pixel());
        let network = guarded(|| file.load(&device))?;
        Ok(Self { network, about, hash, step, numbers_a_pixel, device })
    }

    /// How many times longer the sides become by one pass.
    pub fn scale(&self) -> usize {
        self.about.scale
    }

    /// BLAKE3 of the file, hexadecimal.
    pub fn weights_hash(&self) -> &str {
        &self.hash
    }

    /// Bytes of weights in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.about.memory_bytes
    }

    /// About how many bytes making a picture of this size larger takes beyond the weights.
    pub fn working_bytes(&self, width: u32, height: u32) -> u64 {
        let tile = |side: u32| u64::from(side).min(TILE_PX as u64);
        let scale = self.about.scale as u64;
        let whole = u64::from(width) * u64::from(height) * scale * scale * 3;
        let band = u64::from(width) * TILE_PX as u64 * scale * scale * 12;
        tile(width) * tile(height) * self.numbers_a_pixel * 4 + whole + band
    }

    /// The picture at `width` × `height` pixels: through the network until it is as large, at most three times, then
    /// resampled where the sizes differ. `on_tile` is asked after every tile whether to go on.
    pub fn upscale(
        &self,
        picture: &RgbImage,
        [width, height]: [u32; 2],
        on_tile: &mut dyn FnMut(TilesDone) -> ControlFlow<()>,
    ) -> Result<RgbImage, DiffusionError> {
        guarded(|| {
            let mut sizes = vec![picture.dimensions()];
            let scale = self.about.scale as u32;
            loop {
                let (across, down) = sizes[sizes.len() - 1];
                let (across, down) = (across.saturating_mul(scale), down.saturating_mul(scale));
                sizes.push((across, down));
                if scale == 1 || sizes.len() > PASSES_MAX || (across >= width && down >= height) {
                    break;
                }
            }
            sizes.pop();
            let of =
                sizes.iter().map(|size| self.tiling().count(self.padded(size.1), self.padded(size.0))).sum();
            let (mut larger, mut done) = (picture.clone(), 0);
            for _ in &sizes {
                larger = self.pass(&larger, &mut || {
                    done += 1;
                    on_tile(TilesDone { done, of })
                })?;
            }
            Ok(match larger.dimensions() == (width, height) {
                true => larger,
                false => resize(&larger, width, height, FilterType::Lanczos3),
            })
        })
    }

    fn tiling(&self) -> Tiling {
        Tiling { side: TILE_PX / self.step, overlap: OVERLAP_PX / self.step }
    }

    /// A side in steps, filled up.
    fn padded(&self, side: u32) -> usize {
        (side as usize).div_ceil(self.step)
    }

    /// One time through the network.
    fn pass(
        &self,
        picture: &RgbImage,
        on_tile: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<RgbImage, DiffusionError> {
        let (width, height) = picture.dimensions();
        let (step, scale) = (self.step, self.about.scale);
        let mut larger = RgbImage::new(width * scale as u32, height * scale as u32);
        let mut tiles = 0;
        let mut work = |tile: Tile| {
            let (rows, columns) = (tile.height * step, tile.width * step);
            let mut values = Vec::with_capacity(3 * rows * columns);
            for channel in 0..3 {
                for y in 0..rows {
                    // What lies beyond the edge is like the edge.
                    let y = ((tile.top * step + y) as u32).min(height - 1);
                    values.extend((0..columns).map(|x| {
                        let x = ((tile.left * step + x) as u32).min(width - 1);
                        f32::from(picture.get_pixel(x, y).0[channel]) / 255.0
                    }));
                }
            }
            let data = TensorData::new(values, [1, 3, rows, columns]);
            let made = download(self.forward(Tensor::from_data(data, (&self.device, DType::F32))))?;
            if !made.iter().all(|value| value.is_finite()) {
                return Err(DiffusionError::NotFinite { what: "enlarged picture" });
            }
            tiles += 1;
            match on_tile() {
                ControlFlow::Continue(()) => Ok(made),
                ControlFlow::Break(()) => Err(DiffusionError::Cancelled { step: tiles }),
            }
        };
        let line = self.padded(width) * step * scale;
        let mut row = |y: usize, lines: &[f32]| {
            if y >= larger.height() as usize {
                return;
            }
            for x in 0..larger.width() {
                let value = |channel: usize| lines[channel * line + x as usize].clamp(0.0, 1.0) * 255.0;
                let pixel = [0, 1, 2].map(|channel| value(channel).round_ties_even() as u8);
                larger.put_pixel(x, y as u32, image::Rgb(pixel));
            }
        };
        let size = [self.padded(height), self.padded(width)];
        self.tiling().run(size, 3, step * scale, &mut work, &mut row)?;
        Ok(larger)
    }

    /// The network itself: `[1, 3, height, width]` in 0 to 1, sides multiples of what it unshuffles by.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.network {
            UpscalerNetwork::Rrdb(network) => network.forward(x),
            UpscalerNetwork::Compact(network) => network.forward(x),
        }
    }
}

fn about(file: &UpscalerFile) -> UpscalerAbout {
    UpscalerAbout {
        scale: file.scale(),
        architecture: file.architecture(),
        memory_bytes: file.memory_bytes(),
    }
}

//! Pictures made larger: by a network of the models folder, or by Lanczos' resampling.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use diffusion::{DeviceChoice, DiffusionError, GenerateSpec, TilesDone, Upscaler, read_init_image};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::free_memory::refuse_more_than_spare;
use super::model_cache::opened;
use super::picture_record::ComputedWith;
use super::png_texts::png_texts;
use super::progress::Step;
use super::progress_reporter::ProgressReporter;
use super::upscaler_choice::{LANCZOS, upscaler_named};
use super::work::{DrawError, Drawn, DrawnResult, Task, explained, unless_cancelled};

/// A file as it was when it was loaded.
type FileState = (PathBuf, u64, Option<SystemTime>);

/// The upscaler that was used last, in memory.
pub(super) struct UpscalerCache {
    device: DeviceChoice,
    loaded: Option<(FileState, Upscaler)>,
}

impl UpscalerCache {
    pub fn new(device: DeviceChoice) -> UpscalerCache {
        UpscalerCache { device, loaded: None }
    }

    /// Computes on the processor from now on.
    pub fn fall_back(&mut self) {
        *self = UpscalerCache::new(DeviceChoice::Cpu);
    }

    /// Forgets the upscaler.
    pub fn drop_all(&mut self) {
        self.loaded = None;
    }

    fn take(&mut self, path: &Path) -> Result<&Upscaler, DiffusionError> {
        let about = std::fs::metadata(path).ok();
        let state = (
            path.to_path_buf(),
            about.as_ref().map_or(0, |it| it.len()),
            about.and_then(|it| it.modified().ok()),
        );
        if self.loaded.as_ref().is_none_or(|(known, _)| *known != state) {
            // The old one leaves before the new one comes.
            self.loaded = None;
            opened(self.device)?;
            let upscaler = Upscaler::load(path, self.device)?;
            tracing::info!(file = %path.display(), bytes = upscaler.memory_bytes(), "loaded an upscaler");
            self.loaded = Some((state, upscaler));
        }
        match &self.loaded {
            Some((_, upscaler)) => Ok(upscaler),
            None => Err(DiffusionError::Backend("no upscaler is loaded".into())),
        }
    }

    /// The picture at a size in pixels. `path` is the network's file; Lanczos without one. `on_tile` is asked after every
    /// tile whether to go on.
    pub fn enlarge(
        &mut self,
        path: Option<&Path>,
        picture: &RgbImage,
        [width, height]: [u32; 2],
        on_tile: &mut dyn FnMut(TilesDone) -> ControlFlow<()>,
    ) -> Result<RgbImage, DiffusionError> {
        match path {
            Some(path) => self.take(path)?.upscale(picture, [width, height], on_tile),
            None => Ok(resize(picture, width, height, FilterType::Lanczos3)),
        }
    }

    /// BLAKE3 of the network's file, hexadecimal; empty for Lanczos.
    fn hash(&mut self, path: Option<&Path>) -> Result<String, DiffusionError> {
        path.map_or(Ok(String::new()), |path| Ok(self.take(path)?.weights_hash().into()))
    }

    /// About how many bytes the work takes beside the weights.
    fn working_bytes(&mut self, path: Option<&Path>, picture: &RgbImage) -> Result<u64, DiffusionError> {
        let (width, height) = picture.dimensions();
        path.map_or(Ok(0), |path| Ok(self.take(path)?.working_bytes(width, height)))
    }
}

/// Makes the picture of a job larger.
pub(super) fn upscale_picture(
    upscalers: &mut UpscalerCache,
    task: &Task,
    drawing_bytes_max: Option<u64>,
    reporter: &mut ProgressReporter<'_>,
) -> Result<Drawn, DrawError> {
    let started = Instant::now();
    let refused = DrawError::Refused;
    let asked = task.request.payload.config.upscale.clone().unwrap_or_default();
    let name = asked.upscaler.as_deref().unwrap_or(LANCZOS);
    let path = upscaler_named(&task.request.models_dir, name)
        .map_err(|reason| refused(format!("upscaler: {reason}")))?;
    let bytes =
        task.request.reference.as_ref().ok_or_else(|| refused("reference_image_url: missing".into()))?;
    let picture = read_init_image(bytes).map_err(|error| {
        // The reader calls it by its own name.
        refused(error.to_string().replacen("init_image", "reference_image_url", 1))
    })?;
    let [width, height] = asked.size_px(picture.width(), picture.height());
    if u64::from(width) * u64::from(height) > task.request.pixels_max {
        let most = task.request.pixels_max;
        return Err(refused(format!("upscale_scale: {width}×{height} is more than {most} pixels")));
    }
    let needed = upscalers.working_bytes(path.as_deref(), &picture).map_err(explained)?;
    refuse_more_than_spare(
        &format!("upscale_scale: making {width}×{height} of it"),
        needed,
        drawing_bytes_max,
    )
    .map_err(refused)?;
    let began = Instant::now();
    let mut on_tile = |tiles: TilesDone| {
        let step = Step { step: tiles.done, steps: tiles.of, image: 0, preview_png: None };
        reporter.done(tiles.done, tiles.of);
        reporter.step(std::iter::once((task.job, step)), &|_| None);
        unless_cancelled(&[task])
    };
    let larger =
        upscalers.enlarge(path.as_deref(), &picture, [width, height], &mut on_tile).map_err(explained)?;
    if task.is_cancelled() {
        return Err(DrawError::Cancelled);
    }
    let before = png_texts(bytes).unwrap_or_default();
    let before = before.into_iter().find_map(|(keyword, text)| (keyword == "parameters").then_some(text));
    let parameters = match before {
        Some(text) => {
            format!("{text}, Postprocess upscale by: {}, Postprocess upscaler: {name}", asked.scale)
        }
        None => format!("Postprocess upscale by: {}, Postprocess upscaler: {name}", asked.scale),
    };
    Ok(Drawn {
        warnings: Vec::new(),
        spec: GenerateSpec { width, height, seed: task.request.seed, ..GenerateSpec::default() },
        model: name.into(),
        weights_hash: upscalers.hash(path.as_deref()).map_err(explained)?,
        computed: ComputedWith::default(),
        sources: task.request.source_hashes(),
        hires: None,
        paste: None,
        refiner: None,
        result: DrawnResult::Upscaled { picture: larger, scale: asked.scale, parameters },
        took: started.elapsed(),
        taken: started,
        began,
        gap: None,
    })
}

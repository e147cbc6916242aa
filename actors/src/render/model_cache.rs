//! Models in memory, within a budget.

use std::time::Instant;

use diffusion::{DeviceChoice, DiffusionError, DiffusionModel, LoadOptions, Saving, VaeTiles, WeightType};

use super::RenderOptions;
use super::model_choice::ListedModel;
use super::vae_choice::preview_vae;

/// Fails where a device does not open, and as lost where its driver failed for good. Whether it does can change: another
/// attempt may help, and another device.
pub(super) fn opened(device: DeviceChoice) -> Result<(), DiffusionError> {
    if let Some(reason) = device.lost() {
        return Err(DiffusionError::DeviceLost(reason));
    }
    device.open().map(|_| ()).map_err(|error| DiffusionError::Backend(error.to_string()))
}

/// Loaded models, the one used longest ago first.
pub(super) struct ModelCache {
    options: RenderOptions,
    loaded: Vec<(ListedModel, DiffusionModel)>,
    /// How much of a drawing is in memory at a time.
    saving: Saving,
}

impl ModelCache {
    pub fn new(options: RenderOptions) -> ModelCache {
        ModelCache { options, loaded: Vec::new(), saving: Saving::default() }
    }

    /// Memory for weights and drawing, in bytes.
    pub fn bytes_max(&self) -> u64 {
        self.options.memory_bytes_max
    }

    /// Memory for one drawing beside the weights, where a setting says so.
    pub fn drawing_bytes_max(&self) -> Option<u64> {
        self.options.drawing_bytes_max
    }

    /// How many pictures of several jobs may be drawn side by side, where a setting says so.
    pub fn batch_max(&self) -> Option<usize> {
        self.options.batch_max
    }

    /// How much of a drawing is in memory at a time.
    pub fn saving(&self) -> Saving {
        self.saving
    }

    /// Draws with so much in memory at a time from now on.
    pub fn save_memory(&mut self, saving: Saving) {
        self.saving = saving;
        self.loaded.iter_mut().for_each(|(_, model)| model.save_memory(saving));
    }

    /// The model, loaded if need be; others leave first if memory would not suffice for all.
    pub fn take(&mut self, wanted: &ListedModel) -> Result<&DiffusionModel, DiffusionError> {
        // Of a model whose files were replaced the old weights go.
        self.loaded.retain(|(model, _)| model == wanted || model.source != wanted.source);
        if let Some(place) = self.loaded.iter().position(|(model, _)| model == wanted) {
            let found = self.loaded.remove(place);
            self.loaded.push(found);
        } else {
            opened(self.options.device)?;
            let (device, weight_type) = (self.options.device, self.options.weight_type);
            let needed = diffusion::weights::memory_bytes(&wanted.source, device, weight_type)?;
            while !self.loaded.is_empty()
                && self.bytes().saturating_add(needed) > self.options.memory_bytes_max
            {
                let (left, _) = self.loaded.remove(0);
                tracing::info!(model = left.name, "left memory for another model");
            }
            let started = Instant::now();
            let options = LoadOptions {
                weight_type: self.options.weight_type,
                vae_tiles: VaeTiles::of_side(self.options.vae_tile_px),
            };
            let mut model = DiffusionModel::load(&wanted.source, self.options.device, options)?;
            if let Some(path) = preview_vae(&self.options.models_dir, model.kind())
                && let Err(error) = model.preview_with(&path)
            {
                tracing::warn!(%error, "previews are drawn without TAESD");
            }
            model.save_memory(self.saving);
            let ms = started.elapsed().as_millis() as u64;
            tracing::info!(model = wanted.name, bytes = model.memory_bytes(), ms, "loaded a picture model");
            self.loaded.push((wanted.clone(), model));
        }
        match self.loaded.last() {
            Some((_, model)) => Ok(model),
            None => Err(DiffusionError::Backend("no model is loaded".into())),
        }
    }

    /// Two models at once, the second beside the first.
    pub fn take_both(
        &mut self,
        first: &ListedModel,
        second: &ListedModel,
    ) -> Result<(&DiffusionModel, &DiffusionModel), DiffusionError> {
        self.take(first)?;
        self.take(second)?;
        let of = |wanted: &ListedModel| self.loaded.iter().find(|(model, _)| model == wanted);
        match (of(first), of(second)) {
            (Some((_, first)), Some((_, second))) => Ok((first, second)),
            _ => {
                let most = self.options.memory_bytes_max;
                Err(DiffusionError::Device {
                    choice: "refiner".into(),
                    reason: format!(
                        "{} and {} do not fit into {most} bytes together",
                        first.name, second.name
                    ),
                })
            }
        }
    }

    /// What models are computed on.
    pub fn device(&self) -> DeviceChoice {
        self.options.device
    }

    /// The other devices that take jobs.
    pub fn other_devices(&self) -> &[DeviceChoice] {
        &self.options.more_devices
    }

    /// Computes on the processor from now on, with weights of a type that it takes: it has no f16.
    pub fn fall_back(&mut self) {
        self.drop_all();
        self.options.device = DeviceChoice::Cpu;
        if self.options.weight_type == WeightType::F16 {
            self.options.weight_type = WeightType::F32;
        }
    }

    /// Forgets all models.
    pub fn drop_all(&mut self) {
        self.loaded.clear();
    }

    /// Lets the device give back what nothing uses any more.
    pub fn release_memory(&self) {
        self.options.device.release_memory();
    }

    /// How weights are kept.
    pub fn weight_type(&self) -> WeightType {
        self.options.weight_type
    }

    /// Forgets a model that failed in a way that may have hurt it.
    pub fn drop_model(&mut self, failed: &ListedModel) {
        self.loaded.retain(|(model, _)| model != failed);
    }

    fn bytes(&self) -> u64 {
        self.loaded.iter().map(|(_, model)| model.memory_bytes()).sum()
    }
}

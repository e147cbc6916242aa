//! Another autoencoder in the place of a model's own: for the pictures of a spec, or for previews alone.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::guarded::guarded;
use crate::models::autoencoders::autoencoder_tiny::AutoencoderTiny;
use crate::pipelines::stable_diffusion::StableDiffusion;
use crate::weights::vae_file::{LoadedVae, load_vae};
use crate::{DiffusionError, DiffusionModel};

/// A file as it was when it was loaded.
pub(crate) type VaeKey = (PathBuf, u64, Option<SystemTime>);

impl StableDiffusion {
    /// These networks with another autoencoder.
    fn with_loaded(mut self, vae: &LoadedVae) -> Self {
        match vae {
            LoadedVae::Kl(vae) => {
                self.vae = (**vae).clone();
                self.tiny_vae = None;
            }
            LoadedVae::Tiny(tiny) => self.tiny_vae = Some(tiny.clone()),
        }
        self
    }
}

impl DiffusionModel {
    /// Networks with the autoencoder of a file; the last one is kept.
    pub(crate) fn with_vae(
        &self,
        networks: StableDiffusion,
        path: Option<&Path>,
    ) -> Result<StableDiffusion, DiffusionError> {
        let Some(path) = path else { return Ok(networks) };
        let metadata = std::fs::metadata(path).map_err(|source| DiffusionError::io(path, source))?;
        let key: VaeKey = (path.into(), metadata.len(), metadata.modified().ok());
        let mut kept = self.other_vae.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, vae)) = kept.as_ref().filter(|(known, _)| *known == key) {
            return Ok(networks.with_loaded(vae));
        }
        *kept = None;
        let loaded = load_vae(path, &networks.vae_config, &networks.device);
        let loaded = loaded.map_err(|error| DiffusionError::spec("vae", error.to_string()))?;
        let networks = networks.with_loaded(&loaded);
        *kept = Some((key, loaded));
        Ok(networks)
    }

    /// Draws previews with the TAESD of a file from now on; a refusal changes nothing.
    pub fn preview_with(&mut self, path: &Path) -> Result<(), DiffusionError> {
        let networks = self.networks();
        let loaded = guarded(|| load_vae(path, &networks.vae_config, &networks.device))?;
        let refuse = |reason: &str| Err(DiffusionError::weights(path.display().to_string(), reason));
        match loaded {
            LoadedVae::Tiny(AutoencoderTiny { decoder: None, .. }) => refuse("has no decoder"),
            LoadedVae::Tiny(tiny) => {
                self.preview_vae = Some(tiny);
                Ok(())
            }
            LoadedVae::Kl(_) => refuse("a whole VAE, too slow for previews; TAESD is for them"),
        }
    }
}

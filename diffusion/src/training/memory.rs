//! What a training takes of memory beside the weights, before it begins.

use super::factors::targets;
use super::settings::LoraTraining;
use crate::DiffusionModel;

/// Bytes of a number.
const NUMBER: u64 = 4;
/// What a residual block keeps for the way back, in pictures of its width: inputs of norms, activations, convolutions.
const OF_RESNET: u64 = 14;
/// What a transformer block keeps, in rows of its width: norms, projections, and the widened half with its gelu.
const OF_TRANSFORMER: u64 = 80;
/// Copies of the scores between all places that attention keeps.
const OF_SCORES: u64 = 4;
/// Copies of the corrected weights: the sum, what is added, and the gradient.
const OF_WEIGHTS: u64 = 3;

impl DiffusionModel {
    /// About how many bytes a training takes beyond the model's weights: what one picture leaves on its way through the
    /// networks for the way back, copies of the weights that are corrected, and of all weights in half precision.
    pub fn training_bytes(&self, settings: &LoraTraining) -> u64 {
        let model = self.networks();
        let side = u64::from(settings.resolution) / model.vae_config.scale_factor().max(1) as u64;
        let rows = model.text_encoders.first().map_or(77, |encoder| encoder.model.max_length()) as u64;
        let levels = model.unet_config.levels().unwrap_or_default();
        let mut numbers = 0u64;
        for (place, level) in levels.iter().enumerate() {
            let side = (side >> place).max(1);
            let (area, width) = (side * side, level.channels as u64);
            let last = u64::from(place + 1 == levels.len());
            let resnets = 2 * level.layers as u64 + 1 + 2 * last;
            let attending = |attends: bool, layers: usize| if attends { layers as u64 } else { 0 };
            let transformers = attending(level.down_attends, level.layers)
                + attending(level.up_attends, level.layers + 1)
                + last;
            let blocks = transformers * level.transformer_layers as u64;
            let scores = level.heads as u64 * area * (area + rows) * OF_SCORES;
            numbers += resnets * OF_RESNET * area * width + blocks * (OF_TRANSFORMER * area * width + scores);
        }
        if settings.train_text_encoder {
            for encoder in &model.text_encoders {
                let layers = encoder.model.layers() as u64;
                numbers += layers * OF_TRANSFORMER * rows * encoder.model.hidden_size() as u64;
            }
        }
        let corrected = targets(model, settings.train_text_encoder);
        let weights = corrected.iter().map(|(_, _, _, [out, inner])| (out * inner) as u64).sum::<u64>();
        let factors = corrected.iter().map(|(_, _, _, [out, inner])| (out + inner) as u64).sum::<u64>();
        // Values, two moments and a gradient.
        let factors = factors * settings.rank as u64 * 4;
        (numbers + weights * OF_WEIGHTS + factors) * NUMBER + self.widened_bytes()
    }
}

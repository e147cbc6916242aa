//! A refiner: another model that draws the last steps of a picture, as `StableDiffusionXLImg2ImgPipeline` does from
//! `denoising_start` on after a base model that ended at `denoising_end`.

use super::encode_prompt::TextConditions;
use super::stable_diffusion::StableDiffusion;

/// Steps of the training, of which the switch is a share.
const TRAIN_TIMESTEPS: f64 = 1000.0;
/// What a refiner is told of the beauty of what is wanted, and of what is not: the defaults of diffusers.
const AESTHETIC_SCORES: [f64; 2] = [6.0, 2.5];

/// A model that draws the last steps, with what the texts mean to it.
#[derive(Debug)]
pub struct Refine {
    /// Its networks.
    pub networks: StableDiffusion,
    /// From which share of the noise's way on it draws, 0 to 1: 0.8 leaves the last fifth to it.
    pub from: f64,
    /// One per sample.
    pub positive: Vec<TextConditions>,
    /// One per sample; empty without guidance.
    pub negative: Vec<TextConditions>,
}

impl Refine {
    /// Whether a step at this time is the refiner's.
    pub(crate) fn begins_at(&self, timestep: f64) -> bool {
        timestep < (TRAIN_TIMESTEPS * (1.0 - self.from)).round_ties_even()
    }
}

/// The sizes that a refiner takes: original size and crop, and the score in the place of the target; those of negative
/// texts first, where there are any.
pub(crate) fn refined_sizes(time_ids: &[Vec<f64>], without_negative: bool) -> Vec<Vec<f64>> {
    let scored = |score: f64| {
        time_ids.iter().map(move |sizes| sizes.iter().take(4).copied().chain([score]).collect::<Vec<f64>>())
    };
    let [wanted, unwanted] = AESTHETIC_SCORES;
    let negative = scored(unwanted).take(if without_negative { 0 } else { time_ids.len() });
    negative.chain(scored(wanted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_take_the_place_of_the_target() {
        let sizes = vec![vec![64.0, 32.0, 1.0, 2.0, 64.0, 32.0]];
        let wanted = vec![64.0, 32.0, 1.0, 2.0, 6.0];
        assert_eq!(refined_sizes(&sizes, true), std::slice::from_ref(&wanted));
        assert_eq!(refined_sizes(&sizes, false), [vec![64.0, 32.0, 1.0, 2.0, 2.5], wanted]);
    }
}

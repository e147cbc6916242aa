//! What leads a drawing beside its texts: ControlNets, pictures of IP-Adapters, and a reference picture whose states
//! self-attention looks at.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::denoise::Job;
use super::motion::Motion;
use super::stable_diffusion::StableDiffusion;
use crate::models::attention_context::{
    AttentionContext, ImageAttention, ImageKeys, ReferenceMode, ReferenceStates,
};
use crate::models::controlnet::{ControlNetModel, ControlResiduals};
use crate::models::unets::unet_2d_condition::AddedConditions;
use crate::noise::Noise;

/// All that leads a batch.
#[derive(Debug, Default)]
pub struct Guides {
    /// Their residuals are added up.
    pub controls: Vec<Control>,
    /// Rows of the keys: one, or with guidance the negative one before the positive.
    pub images: Vec<ImageAttention>,
    /// A picture that the drawing is to look like.
    pub reference: Option<Reference>,
    /// What makes the pictures of the batch frames of one video.
    pub motion: Option<Motion>,
}

/// A ControlNet with its picture.
#[derive(Debug, Clone)]
pub struct Control {
    /// The network.
    pub net: Arc<ControlNetModel>,
    /// [`ControlNetModel::embed_picture`] of the picture.
    pub hint: Tensor<4>,
    /// How much of it; 1 is all.
    pub scale: f64,
    /// The share of the run at which it begins, 0 to 1.
    pub start: f64,
    /// The share at which it ends.
    pub end: f64,
}

/// A reference picture.
#[derive(Debug)]
pub struct Reference {
    /// Its latents, for each sample of the batch.
    pub latents: Vec<f64>,
    /// `[batch, latent, height, width]` of them, which need not be those of the drawing.
    pub shape: [usize; 4],
    /// Where its noise comes from, one for each sample.
    pub noise: Vec<Noise>,
    /// See [`ReferenceStates::fidelity`].
    pub fidelity: f64,
    /// See [`ReferenceStates::emphasis`].
    pub emphasis: f64,
    /// 0 to 1: the share of the transformer blocks that take part, the widest first.
    pub share: f64,
}

impl Control {
    /// Whether it takes part in call `index` of `calls`: where diffusers' `controlnet_keep` is 1.
    pub fn takes_part(&self, index: usize, calls: usize) -> bool {
        let (index, calls) = (index as f64, calls.max(1) as f64);
        !(index / calls < self.start || (index + 1.0) / calls > self.end)
    }
}

impl Guides {
    /// Keys for as many rows as a call has.
    pub(super) fn widen(&mut self, batch: usize) {
        if batch < 2 {
            return;
        }
        let wide = |tensor: &Tensor<3>| {
            let rows = (0..tensor.dims()[0])
                .flat_map(|row| std::iter::repeat_n(tensor.clone().narrow(0, row, 1), batch));
            Tensor::cat(rows.collect(), 0)
        };
        for keys in self.images.iter_mut().flat_map(|image| image.blocks.iter_mut().flatten()) {
            *keys = ImageKeys { key: wide(&keys.key), value: wide(&keys.value), scale: keys.scale };
        }
    }
}

impl StableDiffusion {
    /// What ControlNets add in call `index` of the batch, counted from its first; none where none takes part.
    pub(super) fn residuals(
        &self,
        job: &Job,
        (index, calls): (usize, usize),
        input: &Tensor<4>,
        timestep: f64,
        text: &Tensor<3>,
        added: Option<&AddedConditions>,
    ) -> Option<ControlResiduals> {
        // A UNet for inpainting takes more channels than there are latents.
        let input = input.clone().narrow(1, 0, job.shape[1]);
        let part = job.guides.controls.iter().filter(|control| control.takes_part(index, calls));
        part.map(|control| {
            let text = AttentionContext::of(text.clone());
            let (net, hint) = (&control.net, &control.hint);
            net.forward(input.clone(), timestep, &text, added, hint, control.scale)
        })
        .reduce(ControlResiduals::plus)
    }

    /// What self-attention has to do with the reference in a call: its states at the same noise. With guidance `negative_rows`
    /// rows are the negative half.
    pub(super) fn reference_mode(
        &self,
        job: &mut Job,
        index: usize,
        timestep: f64,
        text: &Tensor<3>,
        added: Option<&AddedConditions>,
        negative_rows: usize,
    ) -> ReferenceMode {
        let Some(mut reference) = job.guides.reference.take() else { return ReferenceMode::None };
        let (signal, weight) = job.scheduler.signal_and_noise(index);
        let scale = job.scheduler.input_scale(index);
        let sample: usize = reference.shape[1..].iter().product();
        let noise: Vec<f64> = reference.noise.iter_mut().flat_map(|noise| noise.draw(sample)).collect();
        let latents = reference.latents.iter().zip(&noise);
        let noised: Vec<f64> =
            latents.map(|(latent, noise)| (signal * latent + weight * noise) * scale).collect();
        let input = self.upload(&noised, reference.shape);
        let input = if job.negative.is_empty() { input } else { Tensor::cat(vec![input.clone(), input], 0) };
        let writing =
            AttentionContext::of(text.clone()).with_reference(ReferenceMode::Write(Default::default()));
        let _ = self.unet.forward_guided(input, timestep, &writing, added, None, &mut |_, _| {});
        let states = ReferenceStates {
            states: writing.kept(),
            takes_part: self.blocks_taking_part(reference.share),
            fidelity: reference.fidelity,
            emphasis: reference.emphasis,
            negative_rows: if job.negative.is_empty() { 0 } else { negative_rows },
        };
        job.guides.reference = Some(reference);
        ReferenceMode::Read(states)
    }

    /// The blocks that look at a reference, in the order in which they run: of n blocks, the widest first and those of one
    /// width on the way down, up and at the bottom, the i-th takes part where i/n is less than `share`.
    fn blocks_taking_part(&self, share: f64) -> Vec<bool> {
        let channels = &self.unet_config.block_out_channels;
        let mut order: Vec<(u8, usize, usize)> = Vec::new();
        for place in self.unet.transformers() {
            let (rank, level) = place.rank_and_level(channels.len());
            let width = channels.get(level).copied().unwrap_or(0);
            for _ in 0..place.blocks {
                order.push((rank, width, order.len()));
            }
        }
        let mut takes_part = vec![false; order.len()];
        order.sort_by_key(|(rank, width, place)| (std::cmp::Reverse(*width), *rank, *place));
        let count = order.len() as f64;
        for (i, (.., place)) in order.into_iter().enumerate() {
            takes_part[place] = (i as f64) < share * count;
        }
        takes_part
    }

    /// The UNet's input: scaled latents, the mask of an inpainting model, and all of it twice with guidance.
    pub(super) fn input(&self, job: &Job, scaled: &[f64]) -> Tensor<4> {
        let mut input = self.upload(scaled, job.shape);
        let [batch, _, height, width] = job.shape;
        if let Some(extra) = &job.extra_channels {
            let channels = extra.len() / (batch * height * width);
            input = Tensor::cat(vec![input, self.upload(extra, [batch, channels, height, width])], 1);
        }
        match job.negative.is_empty() {
            true => input,
            false => Tensor::cat(vec![input.clone(), input], 0),
        }
    }
}

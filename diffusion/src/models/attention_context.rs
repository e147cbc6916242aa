//! What the transformer blocks of a UNet attend to beside the picture: the text, pictures of an IP-Adapter, the states of a
//! reference picture, and the other frames of a video. Diffusers does this by attention processors that it puts into each layer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use burn::tensor::Tensor;

use super::attention_processor::Attention;
use super::motion_adapter::MotionAdapter;

/// Keys and values of the image tokens of one IP-Adapter, for each transformer block of the UNet in the order in which
/// they run: down, mid, up.
#[derive(Debug, Clone, Default)]
pub struct ImageAttention {
    /// None where the scale is 0.
    pub blocks: Vec<Option<ImageKeys>>,
}

/// What one block attends to.
#[derive(Debug, Clone)]
pub struct ImageKeys {
    /// `[batch, tokens, width]`.
    pub key: Tensor<3>,
    /// `[batch, tokens, width]`.
    pub value: Tensor<3>,
    /// How much of it is added to what the text gives.
    pub scale: f64,
}

/// What self-attention has to do with a reference picture.
#[derive(Debug, Clone, Default)]
pub enum ReferenceMode {
    /// Nothing.
    #[default]
    None,
    /// The states that come by are kept, block by block.
    Write(RefCell<Vec<Tensor<3>>>),
    /// The picture attends to itself and to states that were kept.
    Read(ReferenceStates),
}

/// States of a reference picture, after the formula of diffusers' community pipeline `stable_diffusion_reference`
/// (<https://github.com/huggingface/diffusers/blob/main/examples/community/stable_diffusion_reference.py>), itself after
/// `reference_only` of sd-webui-controlnet; the reference alone, as `emphasis` takes it, after M. Cao et al., "MasaCtrl:
/// Tuning-Free Mutual Self-Attention Control", 2023.
#[derive(Debug, Clone)]
pub struct ReferenceStates {
    /// `[batch, n, width]` for each block in the order in which they run.
    pub states: Vec<Tensor<3>>,
    /// Which blocks take part.
    pub takes_part: Vec<bool>,
    /// 0 to 1: how far the rows without guidance keep to the picture itself, which makes guidance lead towards the
    /// reference.
    pub fidelity: f64,
    /// 0 to 1: how far the picture attends to the reference alone rather than to both.
    pub emphasis: f64,
    /// How many rows are the negative half, from the first.
    pub negative_rows: usize,
}

/// What one forward pass attends to. It counts the transformer blocks as they run.
#[derive(Debug, Default)]
pub struct AttentionContext {
    text: Option<Tensor<3>>,
    images: Vec<ImageAttention>,
    reference: ReferenceMode,
    block: Cell<usize>,
    motion: Option<Motion>,
}

/// How the rows of a pass are frames of videos, one video after another.
#[derive(Debug)]
struct Motion {
    adapter: Arc<MotionAdapter>,
    /// Frames of each video.
    frames: usize,
    /// Transformers that have run.
    ran: Cell<usize>,
}

impl AttentionContext {
    /// A text alone, `[batch, m, text]`.
    pub fn of(text: Tensor<3>) -> Self {
        Self { text: Some(text), ..Self::default() }
    }

    /// With the pictures of IP-Adapters.
    pub fn with_images(self, images: &[ImageAttention]) -> Self {
        Self { images: images.to_vec(), ..self }
    }

    /// With a part for a reference picture.
    pub fn with_reference(self, reference: ReferenceMode) -> Self {
        Self { reference, ..self }
    }

    /// With rows that are frames of videos, so many of each.
    pub fn with_motion(self, adapter: Arc<MotionAdapter>, frames: usize) -> Self {
        Self { motion: Some(Motion { adapter, frames, ran: Cell::new(0) }), ..self }
    }

    /// The states that were kept on the way.
    pub fn kept(self) -> Vec<Tensor<3>> {
        match self.reference {
            ReferenceMode::Write(states) => states.into_inner(),
            _ => Vec::new(),
        }
    }

    /// The place of the block that runs now.
    pub(super) fn next_block(&self) -> usize {
        self.block.replace(self.block.get() + 1)
    }

    /// What comes after each layer of a UNet: the frames of a video look at each other. `[batch, channels, height, width]`
    /// → the same.
    pub(super) fn across_frames(&self, hidden: Tensor<4>) -> Tensor<4> {
        let Some(motion) = &self.motion else { return hidden };
        match motion.adapter.at(motion.ran.replace(motion.ran.get() + 1)) {
            Some(transformer) => transformer.forward(hidden, motion.frames),
            None => hidden,
        }
    }

    /// Self-attention of a block, `[batch, n, width]` → the same.
    pub(super) fn attend_self(&self, layer: &Attention, hidden: Tensor<3>, block: usize) -> Tensor<3> {
        match &self.reference {
            ReferenceMode::None => layer.forward(hidden, None),
            ReferenceMode::Write(states) => {
                states.borrow_mut().push(hidden.clone());
                layer.forward(hidden, None)
            }
            ReferenceMode::Read(reference) => reference.attend(layer, hidden, block),
        }
    }

    /// Attention of a block to the text, and to the pictures of IP-Adapters.
    pub(super) fn attend_cross(&self, layer: &Attention, hidden: Tensor<3>, block: usize) -> Tensor<3> {
        let images = self.images.iter().filter_map(|image| image.blocks.get(block)?.as_ref());
        layer.forward_adding(hidden, self.text.clone(), images)
    }
}

impl ReferenceStates {
    /// With h the states of the picture and r those of the reference, a(q, k) the attention of q to k, e the emphasis and f
    /// the fidelity: w = (1 − e) · a(h, [h, r]) + e · a(h, r) where guidance leads to; (1 − f) · w + f · a(h, h) in the
    /// negative half.
    fn attend(&self, layer: &Attention, hidden: Tensor<3>, block: usize) -> Tensor<3> {
        let states = self.states.get(block).filter(|_| self.takes_part.get(block) == Some(&true));
        let Some(states) = states else { return layer.forward(hidden, None) };
        let both = || {
            let both = Tensor::cat(vec![hidden.clone(), states.clone()], 1);
            layer.forward(hidden.clone(), Some(both))
        };
        let alone = || layer.forward(hidden.clone(), Some(states.clone()));
        let with = match self.emphasis {
            e if e <= 0.0 => both(),
            e if e >= 1.0 => alone(),
            e => both() * (1.0 - e) + alone() * e,
        };
        let negative = self.negative_rows;
        if self.fidelity <= 0.0 || negative == 0 {
            return with;
        }
        let rows = hidden.dims()[0];
        let alone = layer.forward(hidden.narrow(0, 0, negative), None);
        let led = with.clone().narrow(0, 0, negative) * (1.0 - self.fidelity) + alone * self.fidelity;
        match rows > negative {
            true => Tensor::cat(vec![led, with.narrow(0, negative, rows - negative)], 0),
            false => led,
        }
    }
}

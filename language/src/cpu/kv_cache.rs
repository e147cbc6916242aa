//! What does a sequence remember of its tokens? Keys and values, per layer and head.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};

use super::kernels::widen;
use crate::models::configuration_llama::LlamaConfig;

/// Positions for which room is made at a time.
const GROWTH_POSITIONS: usize = 128;

/// How the numbers of a memory are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvNumbers {
    /// As they were computed.
    #[default]
    F32,
    /// Rounded to 11 significant bits, in half the memory.
    F16,
}

impl KvNumbers {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            KvNumbers::F32 => size_of::<f32>(),
            KvNumbers::F16 => size_of::<f16>(),
        }
    }
}

/// The numbers of one head.
#[derive(Debug, Clone)]
enum Slot {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Slot {
    fn new(numbers: KvNumbers) -> Slot {
        match numbers {
            KvNumbers::F32 => Slot::F32(Vec::new()),
            KvNumbers::F16 => Slot::F16(Vec::new()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Slot::F32(slot) => slot.capacity() * size_of::<f32>(),
            Slot::F16(slot) => slot.capacity() * size_of::<f16>(),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Slot::F32(slot) => slot.truncate(len),
            Slot::F16(slot) => slot.truncate(len),
        }
    }

    /// A copy of the first numbers.
    fn beginning(&self, len: usize) -> Slot {
        match self {
            Slot::F32(slot) => Slot::F32(slot[..len].to_vec()),
            Slot::F16(slot) => Slot::F16(slot[..len].to_vec()),
        }
    }

    /// Appends numbers of one position.
    fn push(&mut self, numbers: &[f32]) {
        match self {
            Slot::F32(slot) => {
                if slot.len() == slot.capacity() {
                    slot.reserve_exact(GROWTH_POSITIONS * numbers.len());
                }
                slot.extend_from_slice(numbers);
            }
            Slot::F16(slot) => {
                if slot.len() == slot.capacity() {
                    slot.reserve_exact(GROWTH_POSITIONS * numbers.len());
                }
                let start = slot.len();
                slot.resize(start + numbers.len(), f16::ZERO);
                slot[start..].convert_from_f32_slice(numbers);
            }
        }
    }

    /// A part of the numbers; `room` is where they are widened.
    fn part<'a>(&'a self, range: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Slot::F32(slot) => &slot[range],
            Slot::F16(slot) => {
                room.resize(range.len(), 0.0);
                widen(&slot[range], room);
                room
            }
        }
    }
}

/// Keys and values of one sequence; each head's positions lie next to each other.
#[derive(Debug, Clone)]
pub struct KvCache {
    /// Indexed by layer times heads plus head.
    keys: Vec<Slot>,
    values: Vec<Slot>,
    heads: usize,
    head_dim: usize,
    len: usize,
}

impl KvCache {
    /// An empty memory for a model of this shape.
    pub fn new(config: &LlamaConfig, numbers: KvNumbers) -> KvCache {
        let heads = config.num_key_value_heads;
        let slots = config.num_hidden_layers * heads;
        KvCache {
            keys: vec![Slot::new(numbers); slots],
            values: vec![Slot::new(numbers); slots],
            heads,
            head_dim: config.head_dim,
            len: 0,
        }
    }

    /// Positions remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.keys.iter().chain(&self.values).map(Slot::bytes).sum()
    }

    /// Forgets positions from `len` on, also half-written ones.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for slot in self.keys.iter_mut().chain(&mut self.values) {
            slot.truncate(self.len * self.head_dim);
        }
    }

    /// A copy of the first `len` positions.
    pub(super) fn beginning(&self, len: usize) -> KvCache {
        let len = len.min(self.len);
        let copy = |slots: &[Slot]| slots.iter().map(|slot| slot.beginning(len * self.head_dim)).collect();
        KvCache { keys: copy(&self.keys), values: copy(&self.values), len, ..*self }
    }

    /// Appends one position's keys and values (all heads) to a layer.
    pub(super) fn push(&mut self, layer: usize, key: &[f32], value: &[f32]) {
        for head in 0..self.heads {
            let range = head * self.head_dim..(head + 1) * self.head_dim;
            let slot = layer * self.heads + head;
            self.keys[slot].push(&key[range.clone()]);
            self.values[slot].push(&value[range]);
        }
    }

    /// Declares `count` positions complete, once every layer has pushed them.
    pub(super) fn advance(&mut self, count: usize) {
        self.len += count;
    }

    /// Keys of one head at some positions; `room` is where they are widened.
    pub(super) fn keys<'a>(
        &'a self,
        (layer, head): (usize, usize),
        positions: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        self.keys[layer * self.heads + head].part(self.numbers(positions), room)
    }

    /// The same of values.
    pub(super) fn values<'a>(
        &'a self,
        (layer, head): (usize, usize),
        positions: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        self.values[layer * self.heads + head].part(self.numbers(positions), room)
    }

    fn numbers(&self, positions: Range<usize>) -> Range<usize> {
        positions.start * self.head_dim..positions.end * self.head_dim
    }
}

//! What does a sequence remember of its tokens? Keys and values, per layer and head.

use crate::models::configuration_llama::LlamaConfig;

/// Positions for which room is made at a time.
const GROWTH_POSITIONS: usize = 128;

/// Keys and values of one sequence; each head's positions lie next to each other.
#[derive(Debug, Clone)]
pub struct KvCache {
    /// Indexed by layer times heads plus head.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    heads: usize,
    head_dim: usize,
    len: usize,
}

impl KvCache {
    /// An empty memory for a model of this shape.
    pub fn new(config: &LlamaConfig) -> KvCache {
        let heads = config.num_key_value_heads;
        let slots = config.num_hidden_layers * heads;
        KvCache {
            keys: vec![Vec::new(); slots],
            values: vec![Vec::new(); slots],
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
        self.keys.iter().chain(&self.values).map(|slot| slot.capacity() * size_of::<f32>()).sum()
    }

    /// Forgets positions from `len` on, also half-written ones.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for slot in self.keys.iter_mut().chain(&mut self.values) {
            slot.truncate(self.len * self.head_dim);
        }
    }

    /// Appends one position's keys and values (all heads) to a layer.
    pub(super) fn push(&mut self, layer: usize, key: &[f32], value: &[f32]) {
        for head in 0..self.heads {
            let range = head * self.head_dim..(head + 1) * self.head_dim;
            for (slots, numbers) in [(&mut self.keys, key), (&mut self.values, value)] {
                let slot = &mut slots[layer * self.heads + head];
                if slot.len() == slot.capacity() {
                    slot.reserve_exact(GROWTH_POSITIONS * self.head_dim);
                }
                slot.extend_from_slice(&numbers[range.clone()]);
            }
        }
    }

    /// Declares `count` positions complete, once every layer has pushed them.
    pub(super) fn advance(&mut self, count: usize) {
        self.len += count;
    }

    /// Keys and values of one head, for the first `positions` positions.
    pub(super) fn head(&self, layer: usize, head: usize, positions: usize) -> (&[f32], &[f32]) {
        let slot = layer * self.heads + head;
        let end = positions * self.head_dim;
        (&self.keys[slot][..end], &self.values[slot][..end])
    }
}

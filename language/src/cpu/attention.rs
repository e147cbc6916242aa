//! How much does each token look at the earlier ones?
//!
//! Keys and values are looked at in tiles. A single row's heads that share them look at one together, and all tiles at the
//! same time; what they gathered is scaled and put together at the end. Many rows of one sequence are taken in blocks, so
//! that a tile is read once for a whole block; what the rows have gathered so far is scaled down wherever a later tile
//! holds a larger score.

use std::ops::Range;

use rayon::prelude::*;

use super::KvCache;
use super::kernels::{LANES, column_exponentials, exponentials, largest, raise_to_largest, weighted_sums};
use super::linear::PROMPT_ROWS_MIN;
use super::matrix_product::{Matrix, multiply};
use super::tiles::plain_tiles;

/// Multiplications below which waking other threads costs more than it brings.
const PARALLEL_WORK_MIN: usize = 200_000;
/// Rows of a block.
const BLOCK_ROWS: usize = 32;
/// Keys of a tile: with a block's scores against them they stay in the second cache.
const TILE_KEYS: usize = 256;

/// The last positions of a sequence, which ask.
pub(super) struct Queries<'a> {
    pub(super) cache: &'a KvCache,
    /// Position of the first one; it may look at the earlier ones and at itself.
    pub(super) first: usize,
    pub(super) rows: usize,
}

/// What all tasks share.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) layer: usize,
    pub(super) head_dim: usize,
    /// Query heads in a row.
    pub(super) count: usize,
    /// Query heads that share a head of keys and values.
    pub(super) group: usize,
}

impl Heads {
    fn width(self) -> usize {
        self.count * self.head_dim
    }

    /// Heads of keys and values.
    fn shared(self) -> usize {
        self.count / self.group
    }

    fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// All heads of a block of rows, or those that share keys and values of a single row.
enum Task<'a> {
    Block {
        cache: &'a KvCache,
        /// Position of the first row.
        first: usize,
        queries: &'a [f32],
        out: &'a mut [f32],
    },
    Tile {
        cache: &'a KvCache,
        /// Which keys and values they share.
        shared: usize,
        positions: Range<usize>,
        queries: &'a [f32],
        /// What each head gathered from the tile: its largest score, its weight and its sums; see [`Gathered`].
        out: &'a mut [f32],
    },
}

/// Attention of all rows; `queries` and `out` are `[rows, heads * head_dim]`.
pub(super) fn attend(sequences: &[Queries<'_>], heads: Heads, mut queries: &[f32], mut out: &mut [f32]) {
    let width = heads.width();
    let mut tasks = Vec::new();
    let mut single = Vec::new();
    let mut work = 0;
    for sequence in sequences {
        let (own, rest) = queries.split_at(sequence.rows * width);
        queries = rest;
        let (own_out, rest) = out.split_at_mut(own.len());
        out = rest;
        work += own.len() * (sequence.first + sequence.rows) * 2;
        let (cache, first) = (sequence.cache, sequence.first);
        // A few rows get what each gets alone, bit by bit.
        if sequence.rows < PROMPT_ROWS_MIN {
            let rows = own.chunks_exact(width).zip(own_out.chunks_exact_mut(width));
            single
                .extend(rows.enumerate().map(|(row, (queries, out))| (cache, first + row + 1, queries, out)));
            continue;
        }
        let blocks = own.chunks(BLOCK_ROWS * width).zip(own_out.chunks_mut(BLOCK_ROWS * width));
        for (index, (queries, out)) in blocks.enumerate() {
            tasks.push(Task::Block { cache, first: first + index * BLOCK_ROWS, queries, out });
        }
    }
    let tiles = |positions: usize| positions.div_ceil(TILE_KEYS);
    let gathered_len = heads.count * (heads.head_dim + 2);
    let mut gathered = vec![0.0; single.iter().map(|row| tiles(row.1) * gathered_len).sum()];
    let mut rest = gathered.chunks_exact_mut(gathered_len / heads.shared());
    for (cache, positions, queries, _) in &single {
        for tile in (0..*positions).step_by(TILE_KEYS) {
            let positions = tile..(*positions).min(tile + TILE_KEYS);
            let queries = queries.chunks_exact(heads.group * heads.head_dim);
            for ((shared, queries), out) in queries.enumerate().zip(rest.by_ref()) {
                tasks.push(Task::Tile { cache, shared, positions: positions.clone(), queries, out });
            }
        }
    }
    let run = |task: Task<'_>| match task {
        Task::Block { cache, first, queries, out } => block(cache, first, queries, out, heads),
        Task::Tile { cache, shared, positions, queries, out } => {
            let room = &mut (Vec::new(), Vec::new());
            tile_of_row((cache, shared, positions), queries, out, heads, room);
        }
    };
    if work < PARALLEL_WORK_MIN {
        tasks.into_iter().for_each(run);
    } else {
        tasks.into_par_iter().for_each(run);
    }
    let mut rest = gathered.as_slice();
    for (_, positions, _, out) in single {
        let (own, after) = rest.split_at(tiles(positions) * gathered_len);
        rest = after;
        for (head, out) in out.chunks_exact_mut(heads.head_dim).enumerate() {
            join_tiles(own, head, heads, out);
        }
    }
}

/// What the heads of one row that share keys and values gather from a tile of them.
fn tile_of_row(
    (cache, shared, positions): (&KvCache, usize, Range<usize>),
    queries: &[f32],
    out: &mut [f32],
    heads: Heads,
    room: &mut (Vec<f32>, Vec<f32>),
) {
    let (count, at) = (positions.len(), (heads.layer, shared));
    let keys = cache.keys(at, positions.clone(), &mut room.0);
    let mut scores = vec![0.0; heads.group * count];
    plain_tiles(keys, queries, heads.head_dim, &mut scores.chunks_exact_mut(count).collect::<Vec<_>>());
    let (facts, sums) = out.split_at_mut(2 * heads.group);
    for (scores, facts) in scores.chunks_exact_mut(count).zip(facts.chunks_exact_mut(2)) {
        scores.iter_mut().for_each(|score| *score *= heads.scale());
        facts[0] = largest(scores);
        facts[1] = exponentials(scores, facts[0]);
    }
    let values = cache.values(at, positions, &mut room.1);
    weighted_sums(&scores, values, heads.head_dim, sums);
}

/// Puts together what one head gathered from all tiles, from the first to the last.
fn join_tiles(gathered: &[f32], head: usize, heads: Heads, out: &mut [f32]) {
    let (shared, place) = (head / heads.group, head % heads.group);
    let length = heads.group * (heads.head_dim + 2);
    let tiles = || gathered.chunks_exact(length).skip(shared).step_by(heads.shared());
    let top = tiles().map(|tile| tile[2 * place]).fold(f32::NEG_INFINITY, f32::max);
    let mut weight = 0.0;
    out.fill(0.0);
    for tile in tiles() {
        let share = (tile[2 * place] - top).exp();
        weight += share * tile[2 * place + 1];
        let sums = &tile[2 * heads.group + place * heads.head_dim..][..heads.head_dim];
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += share * sum);
    }
    out.iter_mut().for_each(|out| *out /= weight);
}

/// Attention of all heads of a block of rows: those that share keys and values are one matrix of queries.
fn block(cache: &KvCache, first: usize, queries: &[f32], out: &mut [f32], heads: Heads) {
    let (head_dim, group, width) = (heads.head_dim, heads.group, heads.width());
    let rows = queries.len() / width;
    let end = first + rows;
    let mut gathered = Gathered::new(rows * group, head_dim);
    let mut room = (Vec::new(), Vec::new());
    for shared in 0..heads.shared() {
        let own = shared * group * head_dim..(shared + 1) * group * head_dim;
        gathered.begin(queries.chunks_exact(width).flat_map(|row| row[own.clone()].chunks_exact(head_dim)));
        let at = (heads.layer, shared);
        for tile in (0..end).step_by(TILE_KEYS) {
            let positions = tile..end.min(tile + TILE_KEYS);
            let keys = cache.keys(at, positions.clone(), &mut room.0);
            let values = cache.values(at, positions, &mut room.1);
            let is_hidden = |key: usize, row: usize| tile + key > first + row / group;
            gathered.add_tile(keys, values, heads.scale(), is_hidden);
        }
        let heads_out = out.chunks_exact_mut(width);
        gathered.end(heads_out.flat_map(|row| row[own.clone()].chunks_exact_mut(head_dim)));
    }
}

/// What rows of queries have gathered from the tiles so far. All but the sums lie with the rows side by side, so that
/// vectors hold as many rows.
struct Gathered {
    /// How many rows, filled up to whole vectors.
    rows: usize,
    head_dim: usize,
    /// `[head_dim, rows]`
    queries: Vec<f32>,
    /// `[keys of a tile, rows]`
    scores: Vec<f32>,
    /// The largest score of each row.
    largest: Vec<f32>,
    /// Σ exp(score - largest) of each row.
    weights: Vec<f32>,
    /// Σ exp(score - largest) * value: `[rows, head_dim]`.
    sums: Vec<f32>,
}

impl Gathered {
    fn new(rows: usize, head_dim: usize) -> Gathered {
        let rows = rows.next_multiple_of(LANES);
        Gathered {
            rows,
            head_dim,
            queries: vec![0.0; rows * head_dim],
            scores: vec![0.0; rows * TILE_KEYS],
            largest: vec![0.0; rows],
            weights: vec![0.0; rows],
            sums: vec![0.0; rows * head_dim],
        }
    }

    /// Takes the next rows of queries.
    fn begin<'a>(&mut self, queries: impl Iterator<Item = &'a [f32]>) {
        for (row, query) in queries.enumerate() {
            for (to, from) in self.queries.iter_mut().skip(row).step_by(self.rows).zip(query) {
                *to = *from;
            }
        }
        self.largest.fill(f32::NEG_INFINITY);
        self.weights.fill(0.0);
        self.sums.fill(0.0);
    }

    /// Adds a tile of keys and values. Of the first one, every row sees some.
    fn add_tile(
        &mut self,
        keys: &[f32],
        values: &[f32],
        scale: f32,
        is_hidden: impl Fn(usize, usize) -> bool,
    ) {
        let (rows, head_dim) = (self.rows, self.head_dim);
        let count = keys.len() / head_dim;
        let keys = Matrix::new(keys, count, head_dim, head_dim);
        let values = Matrix::new(values, count, head_dim, head_dim);
        let queries = Matrix::new(self.queries.as_slice(), head_dim, rows, rows);
        let scores = &mut self.scores[..count * rows];
        multiply(Matrix::new(&mut *scores, count, rows, rows), 0.0, keys, queries, scale);
        if is_hidden(count - 1, 0) {
            for (key, scores) in scores.chunks_exact_mut(rows).enumerate() {
                for (_, score) in scores.iter_mut().enumerate().take_while(|(row, _)| is_hidden(key, *row)) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        let before = self.largest.clone();
        raise_to_largest(scores, &mut self.largest);
        let gathered = self.weights.iter_mut().zip(self.sums.chunks_exact_mut(head_dim));
        for ((weight, sums), (before, largest)) in gathered.zip(before.iter().zip(&self.largest)) {
            let kept = (before - largest).exp();
            if kept != 1.0 {
                *weight *= kept;
                sums.iter_mut().for_each(|sum| *sum *= kept);
            }
        }
        column_exponentials(scores, &self.largest, &mut self.weights);
        let scores = Matrix::new(&*scores, count, rows, rows);
        let sums = Matrix::new(self.sums.as_mut_slice(), rows, head_dim, head_dim);
        multiply(sums, 1.0, scores.transposed(), values, 1.0);
    }

    /// Gives back the rows' results.
    fn end<'a>(&self, out: impl Iterator<Item = &'a mut [f32]>) {
        for ((out, sums), weight) in out.zip(self.sums.chunks_exact(self.head_dim)).zip(&self.weights) {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cpu::KvNumbers;
    use crate::models::configuration_llama::LlamaConfig;

    /// A wave of its own for every number, with now and then a large one, so that the largest score moves.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 37 + seed * 101) as f32 * 0.7).sin() * (1.0 + (i % 91) as f32 / 20.0))
            .collect()
    }

    #[test]
    fn blocks_of_rows_see_what_each_row_alone_sees() {
        let heads = Heads { layer: 0, head_dim: 8, count: 6, group: 3 };
        let config = LlamaConfig::from_hugging_face(&json!({
            "model_type": "llama", "vocab_size": 8, "hidden_size": 48, "intermediate_size": 8, "head_dim": 8,
            "num_hidden_layers": 1, "num_attention_heads": 6, "num_key_value_heads": 2
        }))
        .unwrap();
        let mut exact = KvCache::new(&config, KvNumbers::F32);
        let mut halves = KvCache::new(&config, KvNumbers::F16);
        for cache in [&mut exact, &mut halves] {
            for position in 0..600 {
                cache.push(0, &numbers(16, position), &numbers(16, 7 * position + 3));
            }
        }
        assert_eq!(halves.bytes() * 2, exact.bytes());
        for cache in [&exact, &halves] {
            agree(cache, heads);
        }
        // Rounded keys move scores by a thousandth of their size; waves that cancel out leave some hundredths.
        let queries = numbers(heads.width(), 1);
        let [mut rounded, mut plain] = [vec![0.0; queries.len()], vec![0.0; queries.len()]];
        attend(&[Queries { cache: &halves, first: 599, rows: 1 }], heads, &queries, &mut rounded);
        attend(&[Queries { cache: &exact, first: 599, rows: 1 }], heads, &queries, &mut plain);
        for (rounded, plain) in rounded.iter().zip(&plain) {
            assert!((rounded - plain).abs() < 0.05, "{rounded} {plain}");
        }
        assert_ne!(rounded, plain);
    }

    /// Whether blocks of rows and single rows see the same.
    fn agree(cache: &KvCache, heads: Heads) {
        for (first, rows) in [(0, 4), (0, 600), (5, 33), (250, 8), (255, 300), (511, 32), (512, 65)] {
            let queries = numbers(rows * heads.width(), first + 1);
            let mut together = vec![f32::NAN; queries.len()];
            attend(&[Queries { cache, first, rows }], heads, &queries, &mut together);
            let alone: Vec<_> = (0..rows).map(|row| Queries { cache, first: first + row, rows: 1 }).collect();
            let mut each = vec![f32::NAN; queries.len()];
            attend(&alone, heads, &queries, &mut each);
            for (together, each) in together.iter().zip(&each) {
                assert!((together - each).abs() < 2e-5, "{first} {rows}: {together} {each}");
            }
        }
    }
}

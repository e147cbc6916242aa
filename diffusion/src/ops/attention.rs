//! Attention on the processor: a block of queries at a time against all keys. The memory that it takes grows with the keys, not
//! with the pairs of a query and a key.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use super::exponential::exp;
use super::host;
use super::products::{Add, AddRows, BLOCK, BLOCK_LANES, ROWS, Row};
use super::vectors::on_vectors;

/// Queries of a task: their scores against thousands of keys stay in the second cache.
const QUERIES: usize = 32;
/// How many sums run side by side.
const LANES: usize = 16;

/// Keys and values of one head of one sample in the order in which they are read.
struct Head {
    /// For each block of keys and each number of theirs a row: a number for each key.
    keys: Vec<Row>,
    /// For each key its values, and zeros up to whole vectors.
    values: Vec<f32>,
}

/// How the numbers of the heads lie.
#[derive(Clone, Copy)]
struct Heads {
    /// Numbers of a row, of all heads.
    width: usize,
    /// Numbers of one head.
    depth: usize,
    /// The same, up to whole vectors.
    padded: usize,
    /// Keys of a sample, and blocks of them.
    keys: usize,
    blocks: usize,
}

/// What a thread works with.
struct Scratch {
    /// Queries of a head, scaled: panel, number, query.
    queries: Vec<[f32; ROWS]>,
    /// Scores: block of keys, query.
    scores: Vec<Row>,
    /// Sums of the exponentials of each query's scores.
    sums: [f32; QUERIES],
    /// Sums of values: query, number.
    values: Vec<f32>,
}

/// As [`super::attention`]. A query's numbers depend on itself and the keys alone.
pub(super) fn on_host(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    let ([batch, queries, width], [_, keys, _]) = (query.dims(), key.dims());
    let depth = width / heads.max(1);
    let (query, key, value) = (host::values(query), host::values(key), host::values(value));
    let mut out = vec![0f32; query.len()];
    if out.is_empty() || keys == 0 {
        return host::tensor(out, [batch, queries, width]);
    }
    let (padded, blocks) = (depth.next_multiple_of(BLOCK_LANES), keys.div_ceil(BLOCK));
    let of = Heads { width, depth, padded, keys, blocks };
    let packed: Vec<Head> = (0..batch * heads)
        .into_par_iter()
        .map(|index| {
            let from = index / heads * keys * width + index % heads * depth;
            pack(&key[from..], &value[from..], of)
        })
        .collect();
    let scratch = || Scratch {
        queries: vec![[0.0; ROWS]; QUERIES / ROWS * depth],
        scores: vec![Row::ZERO; blocks * QUERIES],
        sums: [0.0; QUERIES],
        values: vec![0.0; QUERIES * padded],
    };
    // All heads of a block of queries are one task: their results lie side by side.
    let of_sample = queries * width;
    let tasks = out.par_chunks_mut(of_sample).zip(query.par_chunks(of_sample)).zip(packed.par_chunks(heads));
    tasks.for_each(|((out, query), packed)| {
        let blocks = out.par_chunks_mut(QUERIES * width).zip(query.par_chunks(QUERIES * width));
        blocks.for_each_init(scratch, |scratch, (out, query)| {
            for (head, packed) in packed.iter().enumerate() {
                attend(&mut out[head * depth..], &query[head * depth..], packed, of, scratch);
            }
        });
    });
    host::tensor(out, [batch, queries, width])
}

/// Lays out the keys and values of a head, whose first number of the first key begins the slices.
fn pack(key: &[f32], value: &[f32], of: Heads) -> Head {
    let mut keys = vec![Row::ZERO; of.blocks * of.depth];
    for (index, numbers) in key.chunks(of.width).take(of.keys).enumerate() {
        let rows = &mut keys[index / BLOCK * of.depth..][..of.depth];
        for (row, number) in rows.iter_mut().zip(numbers) {
            row.0[index % BLOCK] = *number;
        }
    }
    let mut values = vec![0f32; of.keys * of.padded];
    for (to, numbers) in values.chunks_exact_mut(of.padded).zip(value.chunks(of.width)) {
        to[..of.depth].copy_from_slice(&numbers[..of.depth]);
    }
    Head { keys, values }
}

/// What up to [`QUERIES`] queries of one head find. Their first number begins `query`, and so it is with `out`.
fn attend(out: &mut [f32], query: &[f32], head: &Head, of: Heads, scratch: &mut Scratch) {
    let arch = Arch::new();
    let scale = 1.0 / (of.depth as f32).sqrt();
    let count = query.chunks(of.width).len();
    let panels = count.div_ceil(ROWS);
    for (index, numbers) in query.chunks(of.width).enumerate() {
        let panel = &mut scratch.queries[index / ROWS * of.depth..][..of.depth];
        for (to, number) in panel.iter_mut().zip(numbers) {
            to[index % ROWS] = number * scale;
        }
    }
    let keys_of = |block: usize| (of.keys - block * BLOCK).min(BLOCK);
    for (index, block) in head.keys.chunks_exact(of.depth).enumerate() {
        for panel in 0..panels {
            arch.dispatch(Add {
                panel: &scratch.queries[panel * of.depth..][..of.depth],
                block,
                sums: &mut scratch.scores[index * QUERIES + panel * ROWS..][..ROWS],
                count: keys_of(index),
                first: true,
            });
        }
    }
    on_vectors(
        #[inline(always)]
        || {
            for query in 0..count {
                scratch.sums[query] = exponentials(&mut scratch.scores, query, of.keys);
            }
        },
    );
    scratch.values.fill(0.0);
    for (index, block) in head.values.chunks(BLOCK * of.padded).enumerate() {
        for panel in 0..panels {
            arch.dispatch(AddRows {
                rows: &scratch.scores[index * QUERIES + panel * ROWS..][..ROWS],
                block,
                sums: &mut scratch.values[panel * ROWS * of.padded..][..ROWS * of.padded],
                width: of.padded,
            });
        }
    }
    let found = scratch.values.chunks_exact(of.padded).zip(&scratch.sums);
    for (to, (values, sum)) in out.chunks_mut(of.width).zip(found) {
        to[..of.depth].iter_mut().zip(values).for_each(|(to, value)| *to = value / sum);
    }
}

/// Replaces the scores of a query by their exponentials, the largest of which is 1, and returns the sum.
#[inline(always)]
fn exponentials(scores: &mut [Row], query: usize, keys: usize) -> f32 {
    let (whole, rest) = (keys / BLOCK, keys % BLOCK);
    let mut largest = [f32::NEG_INFINITY; LANES];
    for block in 0..whole {
        for lanes in scores[block * QUERIES + query].0.as_chunks::<LANES>().0 {
            for i in 0..LANES {
                largest[i] = if lanes[i] > largest[i] { lanes[i] } else { largest[i] };
            }
        }
    }
    let mut most = largest.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    if rest > 0 {
        most = scores[whole * QUERIES + query].0[..rest].iter().fold(most, |a, &b| a.max(b));
    }
    let mut sums = [0f32; LANES];
    for block in 0..whole {
        for lanes in scores[block * QUERIES + query].0.as_chunks_mut::<LANES>().0 {
            for i in 0..LANES {
                lanes[i] = exp(lanes[i] - most);
                sums[i] += lanes[i];
            }
        }
    }
    let mut sum = 0.0;
    if rest > 0 {
        for score in &mut scores[whole * QUERIES + query].0[..rest] {
            *score = exp(*score - most);
            sum += *score;
        }
    }
    sum + sums.iter().sum::<f32>()
}

//! Attention with both products in bf16 and everything between them in f32.
//!
//! 32 queries meet 512 keys at a time; the largest score and the sum so far are carried along (M. Milakov and N. Gimelshein,
//! "Online normalizer calculation for softmax", 2018), so that no more scores than these are ever in memory.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::kernel::{Cells, Instructions, Offsets, Session, filled};
use super::pairs::{Pairs, Sums, across, along_tiles, pair, rounded};
use super::tiles::{BLOCK, Begin, DEPTH, PAIRS, Right, SIDE, TILE};
use crate::ops::exponential::exp2;

/// Blocks of keys that are met at a time.
const TOGETHER: usize = 16;
/// Blocks of queries in a task.
const QUERIES: usize = 8;
/// How many sums run side by side.
const LANES: usize = 16;
/// A score below all others: keys that are not there.
const NONE: f32 = -1.0e30;

/// How the numbers of one sample lie: `[n, heads · depth]`.
#[derive(Clone, Copy)]
struct Shape {
    keys: usize,
    heads: usize,
    /// Numbers of a head.
    depth: usize,
}

impl Shape {
    fn width(self) -> usize {
        self.heads * self.depth
    }

    fn steps(self) -> usize {
        self.depth.div_ceil(DEPTH)
    }

    fn key_blocks(self) -> usize {
        self.keys.div_ceil(BLOCK)
    }

    /// Pairs of the keys of one head, and as many of its values.
    fn head(self) -> usize {
        self.key_blocks() * self.steps() * 2 * TILE
    }
}

/// As [`crate::ops::attention`]: `query` is `[batch, queries, heads · depth]`, `key` and `value` are `[batch, keys, heads · depth]`.
pub(in crate::ops) fn attention(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    [batch, queries, keys, heads]: [usize; 4],
) -> Vec<f32> {
    attention_with(Instructions::best(), query, key, value, [batch, queries, keys, heads])
}

fn attention_with(
    with: Instructions,
    query: &[f32],
    key: &[f32],
    value: &[f32],
    [batch, queries, keys, heads]: [usize; 4],
) -> Vec<f32> {
    let depth = query.len() / (batch * queries * heads).max(1);
    let shape = Shape { keys, heads, depth };
    let width = shape.width();
    assert!(query.len() == batch * queries * width);
    assert!(key.len() == batch * keys * width && value.len() == key.len());
    if query.is_empty() || keys == 0 {
        return vec![0.0; query.len()];
    }
    let arch = Arch::new();
    let mut packed = Pairs::zeros(batch * heads * 2 * shape.head());
    packed.par_chunks_mut(2 * shape.head()).enumerate().for_each(|(index, packed)| {
        let (sample, head) = (index / heads, index % heads);
        let of_sample = sample * keys * width..(sample + 1) * keys * width;
        let (keys, values) = packed.split_at_mut(shape.head());
        arch.dispatch(PackHead {
            key: &key[of_sample.clone()],
            value: &value[of_sample],
            shape,
            head,
            keys,
            values,
        });
    });
    let tasks = queries.div_ceil(BLOCK * QUERIES);
    let fill = |cells: &Cells<'_>, index: usize| {
        let (sample, head, task) = (index / tasks / heads, index / tasks % heads, index % tasks);
        let packed = &packed[index / tasks * 2 * shape.head()..][..2 * shape.head()];
        let (keys, values) = packed.split_at(shape.head());
        let mut row = vec![0f32; depth];
        let mut block = QueryBlock::new(with, arch, shape, keys, values);
        let rows = &query[sample * queries * width..(sample + 1) * queries * width];
        for first in (task * QUERIES * BLOCK..queries.min((task + 1) * QUERIES * BLOCK)).step_by(BLOCK) {
            let rows = &rows[first * width..queries.min(first + BLOCK) * width];
            block.attend(rows, head);
            for r in 0..rows.len() / width {
                block.write_result(r, &mut row);
                // SAFETY: each head of each query is in one task and met once in it.
                #[allow(unsafe_code)]
                unsafe {
                    cells.write(sample * queries + first + r, head * depth, &row);
                }
            }
        }
    };
    // SAFETY: the tasks have all heads of all queries of all samples among them.
    #[allow(unsafe_code)]
    unsafe {
        filled(query.len(), width, |cells| {
            (0..batch * heads * tasks).into_par_iter().for_each(|index| fill(cells, index));
        })
    }
}

/// Keys and values of a head of one sample, for the processor's widest instructions.
struct PackHead<'a> {
    key: &'a [f32],
    value: &'a [f32],
    shape: Shape,
    head: usize,
    keys: &'a mut [u32],
    values: &'a mut [u32],
}

impl NullaryFnOnce for PackHead<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        pack_keys(self.key, self.shape, self.head, self.keys);
        pack_values(self.value, self.shape, self.head, self.values);
    }
}

/// [`QueryBlock::share_out`] for the processor's widest instructions.
struct ShareOut<'a, 'b> {
    block: &'a mut QueryBlock<'b>,
    columns: usize,
    there: usize,
}

impl NullaryFnOnce for ShareOut<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.block.share_out(self.columns, self.there);
    }
}

/// The right factor of the scores: `[keys / 32][depth / 32][2][16 pairs of the depth][16 keys]`.
#[inline(always)]
fn pack_keys(keys: &[f32], shape: Shape, head: usize, tiles: &mut [u32]) {
    for (k, row) in keys.chunks_exact(shape.width()).enumerate() {
        let row = &row[head * shape.depth..(head + 1) * shape.depth];
        for (p, two) in row.chunks(2).enumerate() {
            let step = k / BLOCK * shape.steps() + p / PAIRS;
            let at = (step * 2 + k % BLOCK / SIDE) * TILE + p % PAIRS * SIDE + k % SIDE;
            tiles[at] = pair(two[0], two.get(1).copied().unwrap_or(0.0));
        }
    }
}

/// The right factor of the results: `[depth / 32][keys / 32][2][16 pairs of keys][16 of the depth]`.
#[inline(always)]
fn pack_values(values: &[f32], shape: Shape, head: usize, tiles: &mut [u32]) {
    let zeros = [0f32; SIDE];
    for (p, rows) in values.chunks(2 * shape.width()).enumerate() {
        let (first, second) = rows.split_at(shape.width());
        let of_head = head * shape.depth..(head + 1) * shape.depth;
        let (first, second) = (&first[of_head.clone()], second.get(of_head));
        for (tile, first) in first.chunks(SIDE).enumerate() {
            let second = second.map_or(&zeros[..], |second| &second[tile * SIDE..]);
            let step = tile / 2 * shape.key_blocks() + p / PAIRS;
            let at = (step * 2 + tile % 2) * TILE + p % PAIRS * SIDE;
            across(first, second, &mut tiles[at..at + SIDE]);
        }
    }
}

/// 32 queries of a head on their way along the keys.
struct QueryBlock<'a> {
    session: Session,
    arch: Arch,
    shape: Shape,
    keys: &'a [u32],
    values: &'a [u32],
    /// Steps of the depth.
    depth: Offsets,
    zeros: [f32; BLOCK],
    query: Pairs,
    /// `[32][keys that are met at a time]`.
    scores: Sums,
    /// What the softmax makes of them, as a left factor.
    shares: Pairs,
    /// Results so far, `[depth / 32 columns][32][32]`.
    results: Sums,
    largest: [f32; BLOCK],
    sums: [f32; BLOCK],
}

impl<'a> QueryBlock<'a> {
    fn new(with: Instructions, arch: Arch, shape: Shape, keys: &'a [u32], values: &'a [u32]) -> Self {
        let together = TOGETHER.min(shape.key_blocks());
        Self {
            session: Session::new(with),
            arch,
            shape,
            keys,
            values,
            depth: Offsets::of_tiles(shape.steps()),
            zeros: [0.0; BLOCK],
            query: Pairs::zeros(shape.steps() * 2 * TILE),
            scores: Sums::zeros(BLOCK * together * BLOCK),
            shares: Pairs::zeros(together * 2 * TILE),
            results: Sums::zeros(shape.steps() * BLOCK * BLOCK),
            largest: [NONE; BLOCK],
            sums: [0.0; BLOCK],
        }
    }

    /// Attends with up to 32 rows of queries.
    fn attend(&mut self, rows: &[f32], head: usize) {
        let shape = self.shape;
        // Scores are powers of two from here on.
        let scale = std::f32::consts::LOG2_E / (shape.depth as f32).sqrt();
        self.query.fill(0);
        let mut scaled = vec![0f32; shape.depth];
        for (r, row) in rows.chunks_exact(shape.width()).enumerate() {
            let row = &row[head * shape.depth..(head + 1) * shape.depth];
            scaled.iter_mut().zip(row).for_each(|(scaled, x)| *scaled = x * scale);
            along_tiles(&scaled, &mut self.query, r / SIDE * TILE + r % SIDE * PAIRS, 2 * TILE);
        }
        self.results.fill(0.0);
        self.largest = [NONE; BLOCK];
        self.sums = [0.0; BLOCK];
        let blocks = shape.key_blocks();
        for first in (0..blocks).step_by(TOGETHER) {
            self.meet(first, TOGETHER.min(blocks - first));
        }
    }

    /// Meets `count` blocks of keys from the `first` on.
    fn meet(&mut self, first: usize, count: usize) {
        let (shape, per_block) = (self.shape, self.shape.steps() * 2 * TILE);
        let columns = count * BLOCK;
        for block in 0..count {
            let keys = &self.keys[(first + block) * per_block..(first + block + 1) * per_block];
            // SAFETY: cells of this block of queries alone.
            #[allow(unsafe_code)]
            unsafe {
                let place =
                    Cells::new(&mut self.scores[..BLOCK * columns], columns).block(0, block * BLOCK, 2);
                let begin = Begin::columns(&self.zeros);
                self.session.multiply(&self.query, Right::of_tiles(keys, 2), &self.depth, begin, place);
            }
        }
        let there = (shape.keys - first * BLOCK).min(columns);
        self.arch.dispatch(ShareOut { block: self, columns, there });
        let offsets = Offsets::of_tiles(count);
        let blocks = shape.key_blocks();
        for step in 0..shape.steps() {
            let tiles = (shape.depth - step * DEPTH).div_ceil(SIDE).min(2);
            let from = (step * blocks + first) * 2 * TILE;
            let right = Right::of_tiles(&self.values[from..from + count * 2 * TILE], tiles);
            let cells = step * BLOCK * BLOCK..(step + 1) * BLOCK * BLOCK;
            // SAFETY: cells of this block of queries alone.
            #[allow(unsafe_code)]
            unsafe {
                let place = Cells::new(&mut self.results[cells], BLOCK).block(0, 0, tiles);
                let shares = &self.shares[..count * 2 * TILE];
                self.session.multiply(shares, right, &offsets, Begin::there(), place);
            }
        }
    }

    /// Makes shares of the scores of so many keys, of which the first are there, and scales what was found before by what
    /// they leave of it.
    #[inline(always)]
    fn share_out(&mut self, columns: usize, there: usize) {
        for (r, scores) in self.scores[..BLOCK * columns].chunks_exact_mut(columns).enumerate() {
            scores[there..].fill(NONE);
            let top = largest_of(scores, self.largest[r]);
            // The first time this is zero times zero.
            let shrink = exp2(self.largest[r] - top);
            self.sums[r] = self.sums[r] * shrink + powers(scores, top);
            self.largest[r] = top;
            along_tiles(scores, &mut self.shares, r / SIDE * TILE + r % SIDE * PAIRS, 2 * TILE);
            for results in self.results.chunks_exact_mut(BLOCK * BLOCK) {
                results[r * BLOCK..(r + 1) * BLOCK].iter_mut().for_each(|x| *x *= shrink);
            }
        }
    }

    /// Writes what the `query`-th found.
    fn write_result(&self, query: usize, to: &mut [f32]) {
        let sum = self.sums[query];
        for (part, to) in self.results.chunks_exact(BLOCK * BLOCK).zip(to.chunks_mut(BLOCK)) {
            let found = &part[query * BLOCK..(query + 1) * BLOCK];
            to.iter_mut().zip(found).for_each(|(to, found)| *to = found / sum);
        }
    }
}

/// All lanes by pairs, so that a few steps do.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = of(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest of `from` and all scores.
#[inline(always)]
fn largest_of(scores: &[f32], from: f32) -> f32 {
    let mut largest = [from; LANES];
    for lane in scores.as_chunks::<LANES>().0 {
        for (largest, &score) in largest.iter_mut().zip(lane) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    fold(largest, |a, b| if a > b { a } else { b })
}

/// Replaces the scores by powers of two of what they lack to `top`; returns the sum. There are as many as fill all lanes.
#[inline(always)]
fn powers(scores: &mut [f32], top: f32) -> f32 {
    let mut sums = [0f32; LANES];
    for lane in scores.as_chunks_mut::<LANES>().0 {
        for (sum, score) in sums.iter_mut().zip(lane) {
            // The sum is that of what is multiplied.
            *score = rounded(exp2(*score - top));
            *sum += *score;
        }
    }
    fold(sums, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::super::kernel::numbers;
    use super::*;

    /// Softmax in double precision of numbers rounded as ours are.
    fn expected(
        query: &[f32],
        key: &[f32],
        value: &[f32],
        [batch, queries, keys, heads]: [usize; 4],
    ) -> Vec<f64> {
        let width = query.len() / (batch * queries);
        let depth = width / heads;
        let mut out = vec![0f64; query.len()];
        for sample in 0..batch {
            for head in 0..heads {
                for q in 0..queries {
                    let row = |numbers: &[f32], count: usize, i: usize| -> Vec<f64> {
                        let from = (sample * count + i) * width + head * depth;
                        numbers[from..from + depth].iter().map(|x| f64::from(bf16::from_f32(*x))).collect()
                    };
                    let query = row(query, queries, q);
                    let scores: Vec<f64> = (0..keys)
                        .map(|k| {
                            let dot: f64 = query.iter().zip(row(key, keys, k)).map(|(a, b)| a * b).sum();
                            (dot / (depth as f64).sqrt()).exp()
                        })
                        .collect();
                    let sum: f64 = scores.iter().sum();
                    for (k, score) in scores.iter().enumerate() {
                        for (d, value) in row(value, keys, k).iter().enumerate() {
                            out[(sample * queries + q) * width + head * depth + d] += score / sum * value;
                        }
                    }
                }
            }
        }
        out
    }

    #[test]
    fn attention_agrees_with_double_precision() {
        for (batch, queries, keys, heads, depth) in [
            (1, 1, 1, 1, 1),
            (2, 70, 77, 3, 40),
            (1, 40, 1100, 1, 64),
            (2, 33, 513, 2, 9),
            (1, 300, 32, 2, 80),
        ] {
            let width = heads * depth;
            let spread = |numbers: Vec<f32>, by: f32| numbers.into_iter().map(|x| x * by).collect::<Vec<_>>();
            let query = spread(numbers(batch * queries * width, 1), 3.0);
            let key = spread(numbers(batch * keys * width, 2), 3.0);
            let value = numbers(batch * keys * width, 3);
            let shape = [batch, queries, keys, heads];
            let expected = expected(&query, &key, &value, shape);
            for with in Instructions::all() {
                let found = attention_with(with, &query, &key, &value, shape);
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    // Scores of up to 30 whose queries are rounded after they are scaled.
                    let far = (f64::from(*found) - expected).abs();
                    assert!(far < 0.03, "{with:?} {shape:?} {i}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn equal_scores_give_the_mean_and_a_large_one_its_value() {
        let (keys, depth) = (600, 40);
        let mut key = vec![0f32; keys * depth];
        let value: Vec<f32> = (0..keys * depth).map(|i| (i / depth % 2) as f32).collect();
        let query = vec![1f32; depth];
        for with in Instructions::all() {
            let found = attention_with(with, &query, &key, &value, [1, 1, keys, 1]);
            assert!(found.iter().all(|x| (x - 0.5).abs() < 1e-5), "{with:?} {found:?}");
        }
        // Far into the second chunk of keys: all that went before shrinks to nothing.
        key[577 * depth..578 * depth].fill(20.0);
        for with in Instructions::all() {
            let found = attention_with(with, &query, &key, &value, [1, 1, keys, 1]);
            assert!(found.iter().all(|x| (x - 1.0).abs() < 1e-5), "{with:?} {found:?}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_byte() {
        let (query, key, value) = (numbers(300 * 80, 1), numbers(600 * 80, 2), numbers(600 * 80, 3));
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| attention(&query, &key, &value, [1, 300, 600, 2]))
        };
        assert_eq!(of(1), of(3));
    }
}

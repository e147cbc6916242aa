//! Convolutions of 3 × 3 by Winograd's F(2 × 2, 3 × 3): four pixels for 16 products where plain sums take 36.
//!
//! The pixels of a stretch of tiles are transformed once. Each task then takes the kernels of some outgoing channels, which are
//! transformed where they are used, since all of them would take nearly twice the memory of the model, and multiplies
//! them with some of the tiles: what it reads again and again stays in the second cache.

mod tiles;
mod transforms;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use super::host;
use super::products::{Add, BLOCK, ROWS, Row};
use super::shape::Shape;
use super::vectors::on_vectors;
use transforms::PLACES;

/// Incoming channels that are summed at a time: a place's pixels stay in the innermost cache.
const DEPTH: usize = 128;
/// Outgoing channels of a task.
const OUTS: usize = 64;
/// Blocks of tiles of a task at most.
const BLOCKS: usize = 4;
/// Transformed numbers that are kept at a time: 24 MB.
const TRANSFORMED_MAX: usize = 6 << 20;
/// Tiles and channels below which plain sums are as fast.
const TILES_MIN: usize = 48;
const CHANNELS_MIN: usize = 16;
/// Numbers of a kernel.
const KERNEL: usize = 9;

/// Whether it pays. The answer depends on one sample alone, for it must be the same alone and among others.
pub(super) fn pays(shape: Shape) -> bool {
    shape.of_sample() >= TILES_MIN && shape.channels.min(shape.channels_out) >= CHANNELS_MIN
}

/// How the sums are divided.
#[derive(Clone, Copy)]
struct Division {
    shape: Shape,
    /// Incoming channels of a part, and parts.
    depth: usize,
    parts: usize,
}

impl Division {
    fn of(shape: Shape) -> Self {
        let parts = shape.channels.div_ceil(DEPTH);
        let depth = shape.channels.div_ceil(parts);
        Self { shape, depth, parts: shape.channels.div_ceil(depth) }
    }

    /// Incoming channels of a part.
    fn channels(self, part: usize) -> Range<usize> {
        part * self.depth..self.shape.channels.min((part + 1) * self.depth)
    }

    /// Rows that a part of a block takes; one is spare for each place, so that the places lie in different sets of the caches.
    fn rows(self) -> usize {
        PLACES * (self.depth + 1)
    }
}

/// Two rows of pixels of an outgoing channel that come of a run of tiles.
struct Pixels<'a> {
    /// The channel within the task's.
    channel: usize,
    /// Of the task's blocks.
    block: usize,
    /// The first tile's place in the block.
    at: usize,
    upper: &'a mut [f32],
    /// Empty where the picture ends with the upper row.
    lower: &'a mut [f32],
}

/// Some outgoing channels of some blocks of tiles.
struct Task<'a> {
    outs: Range<usize>,
    blocks: Range<usize>,
    pixels: Vec<Pixels<'a>>,
}

/// What a thread works with.
struct Scratch {
    /// Transformed kernels: panel, place, incoming channel.
    kernels: Vec<[f32; ROWS]>,
    /// Sums: block, place, outgoing channel.
    sums: Vec<Row>,
}

/// Rows of sums of one place.
const SUMS: usize = OUTS + 1;

/// The convolution of `x` (`[batch, channels, height, width]`, row by row) with `weight` (`[out, channels, 3, 3]`):
/// `[batch, out, out_height, out_width]`.
pub(super) fn convolve(x: &[f32], weight: &Tensor<4>, bias: Option<&[f32]>, shape: Shape) -> Vec<f32> {
    let mut out = vec![0f32; shape.batch * shape.channels_out * shape.out_height * shape.out_width];
    if out.is_empty() {
        return out;
    }
    let division = Division::of(shape);
    let blocks = shape.tiles().div_ceil(BLOCK);
    let together = (TRANSFORMED_MAX / (division.parts * division.rows() * BLOCK)).clamp(1, blocks);
    // As even as they come.
    let together = blocks.div_ceil(blocks.div_ceil(together));
    let groups = tasks(&mut out, shape, together);
    let mut transformed = vec![Row::ZERO; together * division.parts * division.rows()];
    for (group, tasks) in groups.into_iter().enumerate() {
        let first = group * together;
        transform(x, division, first, &mut transformed);
        let tasks = Mutex::new(tasks.into_iter());
        let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
        (0..rayon::current_num_threads()).into_par_iter().for_each(|_| {
            let mut scratch = None;
            while let Some(task) = next() {
                let scratch = scratch.get_or_insert_with(|| Scratch {
                    kernels: vec![[0.0; ROWS]; OUTS.div_ceil(ROWS) * PLACES * division.depth],
                    sums: vec![Row::ZERO; BLOCKS * PLACES * SUMS],
                });
                work(task, weight, bias, division, (&transformed, first), scratch);
            }
        });
    }
    out
}

/// Divides what is to be written, `together` blocks at a time.
fn tasks(out: &mut [f32], shape: Shape, together: usize) -> Vec<Vec<Task<'_>>> {
    let blocks = shape.tiles().div_ceil(BLOCK);
    let of_outs = shape.channels_out.div_ceil(OUTS);
    let spans = together.div_ceil(BLOCKS);
    let span = together.div_ceil(spans);
    let mut groups: Vec<Vec<Task<'_>>> = (0..blocks)
        .step_by(together)
        .map(|first| {
            let end = blocks.min(first + together);
            let spans = (first..end).step_by(span).map(|from| from..end.min(from + span));
            let of_span = |blocks: Range<usize>| {
                (0..of_outs).map(move |at| Task {
                    outs: at * OUTS..shape.channels_out.min((at + 1) * OUTS),
                    blocks: blocks.clone(),
                    pixels: Vec::new(),
                })
            };
            spans.flat_map(of_span).collect()
        })
        .collect();
    let runs: Vec<_> = (0..blocks).map(|block| shape.runs(block).collect::<Vec<_>>()).collect();
    let mut planes: Vec<_> = out.chunks_mut(shape.out_height * shape.out_width).map(Some).collect();
    for out in 0..shape.channels_out {
        // The rows of this channel in all samples, as they are numbered with the tiles.
        let pairs = (0..shape.batch).flat_map(|sample| {
            let plane = planes[sample * shape.channels_out + out].take().unwrap_or_default();
            plane.chunks_mut(2 * shape.out_width)
        });
        let mut pairs: Vec<_> = pairs.map(|pair| pair.split_at_mut(shape.out_width)).collect();
        for (block, runs) in runs.iter().enumerate() {
            let (group, within) = (block / together, block % together);
            let task = &mut groups[group][within / span * of_outs + out / OUTS];
            for run in runs {
                let (upper, lower) = &mut pairs[run.sample * shape.down() + run.line];
                let (upper, lower) = (take(upper, 2 * run.count), take(lower, 2 * run.count));
                task.pixels.push(Pixels {
                    channel: out % OUTS,
                    block: within % span,
                    at: run.at,
                    upper,
                    lower,
                });
            }
        }
    }
    groups
}

/// Takes up to `count` numbers off the front.
fn take<'a>(row: &mut &'a mut [f32], count: usize) -> &'a mut [f32] {
    row.split_off_mut(..count.min(row.len())).unwrap_or_default()
}

/// Transforms the pixels of as many blocks as `to` has room for.
fn transform(x: &[f32], division: Division, first: usize, to: &mut [Row]) {
    let shape = division.shape;
    let plane = shape.height * shape.width;
    to.par_chunks_mut(division.rows()).enumerate().for_each(|(index, to)| {
        let (block, channels) = (first + index / division.parts, division.channels(index % division.parts));
        let mut places = to.chunks_exact_mut(division.depth + 1);
        let mut places: [&mut [Row]; PLACES] = std::array::from_fn(|_| places.next().unwrap_or_default());
        for run in shape.runs(block) {
            for (at, channel) in channels.clone().enumerate() {
                let plane = &x[(run.sample * shape.channels + channel) * plane..][..plane];
                on_vectors(
                    #[inline(always)]
                    || transforms::pixels(plane, shape, run, &mut places, at),
                );
            }
        }
    });
}

/// Does one task. `transformed` are the tiles from the given block on.
fn work(
    task: Task<'_>,
    weight: &Tensor<4>,
    bias: Option<&[f32]>,
    division: Division,
    (transformed, first): (&[Row], usize),
    scratch: &mut Scratch,
) {
    let (shape, arch) = (division.shape, Arch::new());
    let outs = task.outs.len();
    let panels = outs.div_ceil(ROWS);
    let kernels = host::values(weight.clone().narrow(0, task.outs.start, outs));
    for part in 0..division.parts {
        let channels = division.channels(part);
        let depth = channels.len();
        for (panel, to) in scratch.kernels.chunks_exact_mut(PLACES * division.depth).take(panels).enumerate()
        {
            let rows: Vec<&[f32]> = (panel * ROWS..outs.min((panel + 1) * ROWS))
                .map(|out| &kernels[(out * shape.channels + channels.start) * KERNEL..][..depth * KERNEL])
                .collect();
            on_vectors(
                #[inline(always)]
                || transforms::kernels(&rows, depth, to),
            );
        }
        for place in 0..PLACES {
            for (at, block) in task.blocks.clone().enumerate() {
                let of_block = ((block - first) * division.parts + part) * division.rows();
                let tiles = &transformed[of_block + place * (division.depth + 1)..][..depth];
                let sums = &mut scratch.sums[(at * PLACES + place) * SUMS..][..panels * ROWS];
                let count = (shape.tiles() - block * BLOCK).min(BLOCK);
                for (panel, sums) in sums.chunks_exact_mut(ROWS).enumerate() {
                    let panel = &scratch.kernels[panel * PLACES * division.depth + place * depth..][..depth];
                    arch.dispatch(Add { panel, block: tiles, sums, count, first: part == 0 });
                }
            }
        }
    }
    let mut of = None;
    let mut results = [Row::ZERO; 4];
    for pixels in task.pixels {
        if of != Some((pixels.channel, pixels.block)) {
            of = Some((pixels.channel, pixels.block));
            let sums: [&Row; PLACES] = std::array::from_fn(|place| {
                &scratch.sums[(pixels.block * PLACES + place) * SUMS + pixels.channel]
            });
            let bias = bias.map_or(0.0, |bias| bias[task.outs.start + pixels.channel]);
            results = on_vectors(
                #[inline(always)]
                || transforms::results(sums, bias),
            );
        }
        let [a, b, c, d] = &results;
        interleave(pixels.upper, &a.0[pixels.at..], &b.0[pixels.at..]);
        interleave(pixels.lower, &c.0[pixels.at..], &d.0[pixels.at..]);
    }
}

/// Numbers of `even` and `odd` by turns.
fn interleave(out: &mut [f32], even: &[f32], odd: &[f32]) {
    let (pairs, rest) = out.as_chunks_mut::<2>();
    for ((pair, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
        *pair = [*even, *odd];
    }
    if let ([last], Some(even)) = (rest, even.get(pairs.len())) {
        *last = *even;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{numbers, plain, shape};

    fn convolved(x: &[f32], weight: &[f32], bias: &[f32], shape: Shape) -> Vec<f32> {
        let weight = host::tensor(weight.to_vec(), [shape.channels_out, shape.channels, 3, 3]);
        convolve(x, &weight, Some(bias), shape)
    }

    /// Every number is within a few of the last bits of what it is made of.
    fn agrees(x: &[f32], weight: &[f32], bias: &[f32], shape: Shape) {
        let found = convolved(x, weight, bias, shape);
        assert_eq!(found.len(), shape.batch * shape.channels_out * shape.out_height * shape.out_width);
        for (place, found) in found.iter().enumerate().step_by(1 + found.len() / 5_000) {
            let (sum, size) = plain(weight, x, shape, place);
            let bias = f64::from(bias[place / (shape.out_height * shape.out_width) % shape.channels_out]);
            let far = (f64::from(*found) - sum - bias).abs();
            assert!(far < 4e-7 * (size + 1.0), "{shape:?}: {place}: {found} {sum} {bias}");
        }
    }

    #[test]
    fn the_sums_are_those_of_a_plain_convolution() {
        for shape in [
            shape(1, [3, 5], [1, 1], 1),
            shape(1, [4, 8], [3, 3], 0),
            shape(2, [7, 9], [5, 8], 1),
            shape(1, [2, 3], [8, 5], 2),
            // Several parts, and outgoing channels for two tasks.
            shape(1, [131, 70], [6, 7], 1),
            // Several blocks, whose lines end within them, in two samples.
            shape(2, [3, 4], [33, 39], 1),
            // Lines of more than one block.
            shape(1, [2, 3], [5, 275], 1),
            Shape { left: 0, top: 2, out_width: 9, ..shape(1, [3, 4], [9, 9], 1) },
        ] {
            let x = numbers(shape.batch * shape.channels * shape.height * shape.width, 1);
            let weight = numbers(shape.channels_out * shape.channels * KERNEL, 2);
            let bias = numbers(shape.channels_out, 3);
            agrees(&x, &weight, &bias, shape);
        }
    }

    #[test]
    fn more_tiles_than_are_kept_at_a_time_agree() {
        // 1,024 channels: fewer blocks are kept than there are.
        let shape = shape(1, [1024, 3], [46, 47], 1);
        let x = numbers(shape.channels * shape.height * shape.width, 4);
        let weight = numbers(shape.channels_out * shape.channels * KERNEL, 5);
        agrees(&x, &weight, &[0.5, -0.5, 0.0], shape);
    }

    #[test]
    fn a_sample_gives_the_same_bytes_alone_and_on_any_number_of_threads() {
        let one = shape(1, [40, 72], [13, 10], 1);
        let two = Shape { batch: 2, ..one };
        let x = numbers(2 * one.channels * one.height * one.width, 6);
        let weight = numbers(one.channels_out * one.channels * KERNEL, 7);
        let bias = numbers(one.channels_out, 8);
        let together = convolved(&x, &weight, &bias, two);
        let (first, second) = x.split_at(x.len() / 2);
        let alone = [first, second].map(|x| convolved(x, &weight, &bias, one)).concat();
        assert_eq!(together, alone);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| convolved(&x, &weight, &bias, two)), together);
        }
    }
}

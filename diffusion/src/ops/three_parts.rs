//! Products in single precision by a matrix unit that multiplies numbers of eight significant bits (AMX).
//!
//! Each number is the sum of three such numbers, and six of the nine products of parts are added, in single precision; what is
//! left out is as small as what single precision rounds away: G. Henry, P. T. P. Tang and A. Heinecke, "Leveraging the
//! bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019. The unit does sixteen times as many
//! products as vectors of single precision do.
//!
//! A convolution reads its pixels where they lie: the picture, with its margin, is one line of positions, and each place of the
//! kernel is the same line, begun elsewhere. A matrix is a picture of one row, whose kernel has one place. Sums run over the
//! incoming channels in their order, whatever stands beside them.

mod pack;
mod tiles;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::amx::{self, Tiles};
use super::host;
use super::shape::Shape;
use super::vectors::on_vectors;
use pack::{LINES, Line};
use tiles::{DEPTH, PAIRS, PARTS, Right, SIDE, STEPS};

/// Numbers of the right side that are packed at a time, in parts: 24 MB.
const PACKED_MAX: usize = 6 << 20;
/// Positions that a task has at least, if others have as many: what it packs of the left side serves for them.
const POSITIONS_MIN: usize = 512;
/// Numbers of a line of the cache.
const LINE: usize = 16;
/// Sums of a task: 1 MB, which stays in the second cache.
const SUMS_MAX: usize = 1 << 18;

/// Rows of numbers, which may be part of a model.
#[allow(clippy::large_enum_variant, reason = "two of them for a product")]
pub(super) enum Rows<'a> {
    /// At hand.
    Here(&'a [f32]),
    /// Others hold it too: what is wanted is copied.
    Held(Tensor<2>),
}

impl Rows<'_> {
    /// Some of the rows, of so many numbers each.
    fn get(&self, rows: Range<usize>, width: usize) -> Cow<'_, [f32]> {
        match self {
            Self::Here(numbers) => Cow::Borrowed(&numbers[rows.start * width..rows.end * width]),
            Self::Held(tensor) => Cow::Owned(host::values(tensor.clone().narrow(0, rows.start, rows.len()))),
        }
    }
}

/// What is added to the sums.
pub(super) enum Bias {
    /// Nothing.
    None,
    /// A number for each row of the left side.
    Rows(Vec<f32>),
    /// A number for each position.
    Positions(Vec<f32>),
}

impl Shape {
    /// Positions from one line of pixels to the next.
    fn pitch(self) -> usize {
        self.out_width + self.side - 1
    }

    /// Lines from one sample to the next.
    fn lines(self) -> usize {
        self.out_height + self.side - 1
    }

    /// Positions that sums are made for; those within the margins are dropped.
    fn positions(self) -> usize {
        (self.batch * self.lines() - (self.side - 1)) * self.pitch()
    }

    /// Groups of channels that one step takes.
    fn groups(self) -> usize {
        self.channels.div_ceil(DEPTH)
    }

    fn taps(self) -> usize {
        self.side * self.side
    }
}

/// Whether this processor has the unit, and enough is asked of it that packing pays.
pub(super) fn pays(shape: Shape) -> bool {
    shape.channels >= DEPTH
        && shape.channels_out >= SIDE
        && shape.out_height * shape.out_width >= 2 * SIDE
        && amx::is_there()
}

/// The right side of some positions: `[group of channels][part][pair of channels][position]`.
struct Packed {
    numbers: Vec<u32>,
    /// The first that counts: it begins a line of the cache, and so do those of all rows.
    begin: usize,
    /// Numbers of a pair of channels.
    width: usize,
}

/// Some rows of some positions.
struct Task<'o> {
    rows: Range<usize>,
    positions: Range<usize>,
    /// Row and position, within the task, that a piece of the output begins with.
    pieces: Vec<(usize, usize, &'o mut [f32])>,
}

/// The convolution of `right` (`[batch][channels]` rows of `height · width` numbers) with `left` (rows of `channels · side²`
/// numbers): `[batch, rows, out_height, out_width]`. Only where it [`pays`].
pub(super) fn convolve(left: &Rows<'_>, right: &Rows<'_>, bias: &Bias, shape: Shape) -> Vec<f32> {
    assert!(amx::is_there(), "there is no matrix unit");
    let mut out = vec![0f32; shape.batch * shape.channels_out * shape.out_height * shape.out_width];
    if out.is_empty() {
        return out;
    }
    let positions = shape.positions();
    let at_once = PACKED_MAX / (shape.groups() * PARTS * PAIRS);
    let strips = positions.div_ceil(at_once.next_multiple_of(SIDE));
    let strip = positions.div_ceil(strips).next_multiple_of(SIDE);
    for (index, tasks) in tasks(&mut out, shape, strip).into_iter().enumerate() {
        let from = index * strip;
        let packed = pack_right(right, shape, from..positions.min(from + strip));
        let tasks = Mutex::new(tasks.into_iter());
        let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
        (0..rayon::current_num_threads()).into_par_iter().for_each(|_| {
            while let Some(task) = next() {
                work(task, left, (&packed, from), bias, shape);
            }
        });
    }
    out
}

/// Divides what is to be written, strip by strip.
fn tasks(out: &mut [f32], shape: Shape, strip: usize) -> Vec<Vec<Task<'_>>> {
    let positions = shape.positions();
    let panels = shape.channels_out.div_ceil(SIDE);
    let together = if shape.side == 1 { 4 } else { 2 };
    let of_rows = panels.div_ceil(together).min(panels);
    let rows = panels.div_ceil(of_rows) * SIDE;
    let of_rows = shape.channels_out.div_ceil(rows);
    let wanted = (4 * rayon::current_num_threads()).div_ceil(of_rows);
    let spans = wanted.min(strip / POSITIONS_MIN).max(strip.div_ceil(SUMS_MAX / rows)).max(1);
    let span = strip.div_ceil(spans).next_multiple_of(SIDE);
    let spans = strip.div_ceil(span);
    let mut groups: Vec<Vec<Task<'_>>> = (0..positions)
        .step_by(strip)
        .map(|from| {
            let end = positions.min(from + strip);
            let all = (0..spans).flat_map(|at| (0..of_rows).map(move |of| (at, of)));
            let task = |(at, of): (usize, usize)| Task {
                rows: of * rows..shape.channels_out.min((of + 1) * rows),
                positions: end.min(from + at * span)..end.min(from + (at + 1) * span),
                pieces: Vec::new(),
            };
            all.map(task).collect()
        })
        .collect();
    let plane = shape.out_height * shape.out_width;
    for (index, plane) in out.chunks_mut(plane).enumerate() {
        let (sample, row) = (index / shape.channels_out, index % shape.channels_out);
        for (y, mut line) in plane.chunks_mut(shape.out_width).enumerate() {
            let mut at = (sample * shape.lines() + y) * shape.pitch();
            while !line.is_empty() {
                let (group, within) = (at / strip, at % strip);
                let ends = strip.min((within / span + 1) * span);
                let (piece, rest) = line.split_at_mut(line.len().min(ends - within));
                let length = piece.len();
                let task = &mut groups[group][within / span * of_rows + row / rows];
                task.pieces.push((row % rows, within % span, piece));
                (line, at) = (rest, at + length);
            }
        }
    }
    groups
}

/// Packs the right side of some positions, and of those that kernels reach from there.
fn pack_right(right: &Rows<'_>, shape: Shape, positions: Range<usize>) -> Packed {
    let reach = (shape.side - 1) * (shape.pitch() + 1);
    // An odd number of lines of the cache, so that rows lie in different sets.
    let width = ((positions.len().next_multiple_of(SIDE) + reach).div_ceil(LINE) | 1) * LINE;
    let plane = shape.height * shape.width;
    let count = shape.groups() * PARTS * PAIRS * width;
    let mut numbers = vec![0u32; count + LINE];
    let begin = numbers.as_ptr().align_offset(LINE * size_of::<u32>()).min(LINE);
    numbers[begin..begin + count].par_chunks_exact_mut(PARTS * PAIRS * width).enumerate().for_each(
        |(group, to)| {
            let channels = group * DEPTH..shape.channels.min((group + 1) * DEPTH);
            let samples: Vec<Cow<'_, [f32]>> = (0..shape.batch)
                .map(|sample| {
                    let first = sample * shape.channels;
                    right.get(first + channels.start..first + channels.end, plane)
                })
                .collect();
            let mut lines = [vec![0f32; width], vec![0f32; width]];
            let mut parts = to.chunks_exact_mut(PAIRS * width);
            let parts: [&mut [u32]; PARTS] = std::array::from_fn(|_| parts.next().unwrap_or_default());
            let [high, middle, low] = parts.map(|part| part.chunks_exact_mut(width));
            for (pair, ((high, middle), low)) in high.zip(middle).zip(low).enumerate() {
                for (line, channel) in lines.iter_mut().zip(2 * pair..) {
                    line.fill(0.0);
                    if channel < channels.len() {
                        let planes =
                            samples.iter().map(|sample| &sample[channel * plane..(channel + 1) * plane]);
                        lay_out(planes, shape, positions.start, line);
                    }
                }
                on_vectors(
                    #[inline(always)]
                    || pack::right(&lines[0], &lines[1], [high, middle, low]),
                );
            }
        },
    );
    Packed { numbers, begin, width }
}

/// One channel of all samples from a position on, with zeros in the margins, which `line` holds already.
fn lay_out<'a>(planes: impl Iterator<Item = &'a [f32]>, shape: Shape, from: usize, line: &mut [f32]) {
    let end = from + line.len();
    for (sample, plane) in planes.enumerate() {
        for (y, pixels) in plane.chunks_exact(shape.width).enumerate() {
            if y + shape.top >= shape.lines() {
                break;
            }
            let pixels = &pixels[..pixels.len().min(shape.pitch() - shape.left)];
            let first = (sample * shape.lines() + y + shape.top) * shape.pitch() + shape.left;
            let (begin, stop) = (first.max(from), (first + pixels.len()).min(end));
            if begin < stop {
                line[begin - from..stop - from].copy_from_slice(&pixels[begin - first..stop - first]);
            }
        }
    }
}

/// Does one task. `packed` begins with the position beside it.
fn work(task: Task<'_>, left: &Rows<'_>, (packed, from): (&Packed, usize), bias: &Bias, shape: Shape) {
    if task.positions.is_empty() {
        return;
    }
    let taps = shape.taps();
    let numbers = left.get(task.rows.clone(), shape.channels * taps);
    let panels = task.rows.len().div_ceil(SIDE);
    let width = task.positions.len().next_multiple_of(SIDE);
    let mut sums = vec![0f32; panels * SIDE * width];
    let groups_at_once = (STEPS / taps).max(1);
    let panel_lines = groups_at_once * taps * LINES;
    let mut lines = vec![Line::ZERO; panels * panel_lines];
    let right =
        Right { pairs: &packed.numbers[packed.begin..], row: packed.width, part: PAIRS * packed.width };
    let mut steps = Vec::with_capacity(groups_at_once * taps);
    // Set up here: nothing below waits for other work.
    let Some(tiles) = Tiles::new() else { unreachable!("who calls has asked") };
    let mut product = [0f32; SIDE * SIDE];
    for first in (0..shape.groups()).step_by(groups_at_once) {
        let groups = first..shape.groups().min(first + groups_at_once);
        for (panel, lines) in lines.chunks_exact_mut(panel_lines).enumerate() {
            let end = task.rows.len().min((panel + 1) * SIDE);
            let rows = &numbers[panel * SIDE * shape.channels * taps..end * shape.channels * taps];
            for (group, lines) in groups.clone().zip(lines.chunks_exact_mut(taps * LINES)) {
                on_vectors(
                    #[inline(always)]
                    || match taps {
                        1 => pack::left::<1>(rows, shape.channels, group * DEPTH, lines),
                        _ => pack::left::<9>(rows, shape.channels, group * DEPTH, lines),
                    },
                );
            }
        }
        for at in (0..width).step_by(SIDE) {
            steps.clear();
            for group in groups.clone() {
                for (y, x) in (0..shape.side).flat_map(|y| (0..shape.side).map(move |x| (y, x))) {
                    let position = task.positions.start - from + at + y * shape.pitch() + x;
                    steps.push(group * PARTS * PAIRS * packed.width + position);
                }
            }
            for (panel, lines) in lines.chunks_exact(panel_lines).enumerate() {
                tiles::multiply(&tiles, lines, right, &steps, &mut product);
                let sums = &mut sums[panel * SIDE * width..(panel + 1) * SIDE * width];
                on_vectors(
                    #[inline(always)]
                    || add(&product, sums, width, at),
                );
            }
        }
    }
    for (row, at, piece) in task.pieces {
        let sums = &sums[row * width + at..][..piece.len()];
        match bias {
            Bias::None => piece.copy_from_slice(sums),
            Bias::Rows(bias) => {
                let bias = bias[task.rows.start + row];
                piece.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum + bias);
            }
            Bias::Positions(bias) => {
                let bias = &bias[task.positions.start + at..];
                piece.iter_mut().zip(sums).zip(bias).for_each(|((out, sum), bias)| *out = sum + bias);
            }
        }
    }
}

/// Adds the tiles of a product to the sums of 32 rows, from a column on.
#[inline(always)]
fn add(product: &[f32; SIDE * SIDE], sums: &mut [f32], width: usize, at: usize) {
    let tiles = product.as_chunks::<16>().0;
    for (row, sums) in sums.chunks_exact_mut(width).enumerate() {
        let halves = sums[at..at + SIDE].as_chunks_mut::<16>().0;
        for (half, sums) in halves.iter_mut().enumerate() {
            let tile = &tiles[(row / 16 * 2 + half) * 16 + row % 16];
            for i in 0..16 {
                sums[i] += tile[i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference::{numbers, plain, shape};

    fn skipped() -> bool {
        let skipped = !amx::is_there();
        if skipped {
            eprintln!("skipped: this processor has no matrix unit");
        }
        skipped
    }

    #[test]
    fn the_sums_are_those_of_single_precision() {
        if skipped() {
            return;
        }
        for shape in [
            Shape::of_matrices(40, 33, 100),
            Shape::of_matrices(300, 320, 77),
            // Several strips of positions.
            Shape::of_matrices(33, 3200, 1300),
            shape(1, [32, 32], [8, 8], 1),
            shape(2, [35, 50], [9, 13], 1),
            shape(1, [64, 33], [10, 7], 0),
            shape(1, [33, 34], [5, 6], 2),
            shape(3, [70, 130], [20, 30], 1),
            Shape { left: 0, top: 2, out_width: 9, ..shape(1, [40, 40], [9, 9], 1) },
        ] {
            let left = numbers(shape.channels_out * shape.channels * shape.taps(), 1);
            let right = numbers(shape.batch * shape.channels * shape.height * shape.width, 2);
            let bias = numbers(shape.channels_out, 3);
            let sides = (Rows::Here(&left), Rows::Here(&right));
            let found = convolve(&sides.0, &sides.1, &Bias::Rows(bias.clone()), shape);
            assert_eq!(found.len(), shape.batch * shape.channels_out * shape.out_height * shape.out_width);
            for place in (0..found.len()).step_by(1 + found.len() / 5_000) {
                let (sum, size) = plain(&left, &right, shape, place);
                let bias = f64::from(bias[place / (shape.out_height * shape.out_width) % shape.channels_out]);
                let far = (f64::from(found[place]) - sum - bias).abs();
                // A few of the last bits of single precision.
                assert!(far < 3e-7 * (size + 1.0), "{shape:?}: {place}: {} {sum} {bias}", found[place]);
            }
        }
    }

    #[test]
    fn a_sample_gives_the_same_bytes_alone_and_on_any_number_of_threads() {
        if skipped() {
            return;
        }
        let one = shape(1, [50, 72], [13, 10], 1);
        let two = Shape { batch: 2, ..one };
        let left = numbers(one.channels_out * one.channels * one.taps(), 6);
        let right = numbers(2 * one.channels * one.height * one.width, 7);
        let of = |right: &[f32], shape| convolve(&Rows::Here(&left), &Rows::Here(right), &Bias::None, shape);
        let together = of(&right, two);
        let (first, second) = right.split_at(right.len() / 2);
        assert_eq!([of(first, one), of(second, one)].concat(), together);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| of(&right, two)), together);
        }
    }
}

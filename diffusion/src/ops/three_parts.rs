//! Products in single precision by a matrix unit that multiplies numbers of eight significant bits (AMX).
//!
//! Each number is the sum of three such numbers, and six of the nine products of parts are added, in single precision; what is
//! left out is as small as what single precision rounds away: G. Henry, P. T. P. Tang and A. Heinecke, "Leveraging the
//! bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019. The unit does sixteen times as many
//! products as vectors of single precision do.
//!
//! The pictures of a convolution are one line of positions, and each place of the kernel is such a line, begun elsewhere. A matrix is a
//! picture of one row, whose kernel has one place. Sums run over the incoming channels in their order, whatever stands beside
//! them.

mod layout;
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
use layout::Layout;
use pack::{LINES, Line};
use tiles::{COLUMNS, DEPTH, SIDE, STEPS};

/// Numbers of the right side that are packed at a time, in parts: 24 MB, without those that kernels reach beyond.
const PACKED_MAX: usize = 6 << 20;
/// Positions that a task has at least, if others have as many: what it packs of the left side serves for them.
const POSITIONS_MIN: usize = 512;
/// The same where threads would be without work otherwise.
const POSITIONS_FEW: usize = 128;
/// Numbers of a line of the cache.
const LINE: usize = 16;
/// Sums of a task: 512 KB, which stay in the second cache.
const SUMS_MAX: usize = 1 << 17;
/// Sums of one product.
const PRODUCT: usize = SIDE * SIDE;
/// Panels of 32 rows of a task at most: what is read of the right side serves for them.
const PANELS: usize = 4;
/// Tasks for each thread, if there are positions for as many.
const TASKS: usize = 3;
/// Tiles across that are packed at a time.
const TILES_PACKED: usize = 8;
/// Steps for which the left side is packed at a time: with that many panels, it stays in the second cache.
const STEPS_PACKED: usize = 2 * STEPS;

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

/// Whether this processor has the unit, and enough is asked of it that packing pays.
pub(super) fn pays(shape: Shape) -> bool {
    shape.channels >= DEPTH
        && shape.channels_out >= SIDE
        && shape.out_height * shape.out_width >= 2 * SIDE
        && amx::is_there()
}

/// The right side of some positions, with those that kernels reach from there.
struct Packed {
    numbers: Vec<u32>,
    /// The first that counts: it begins a line of the cache, and so do all tiles.
    begin: usize,
    /// Tiles across.
    blocks: usize,
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
    let layout = Layout::of(shape);
    let positions = layout.positions();
    let strips = positions.div_ceil((PACKED_MAX / layout.of_position()).next_multiple_of(SIDE));
    let strip = positions.div_ceil(strips).next_multiple_of(SIDE);
    for (index, tasks) in tasks(&mut out, layout, strip).into_iter().enumerate() {
        let from = index * strip;
        let packed = pack_right(right, layout, from..positions.min(from + strip));
        let tasks = Mutex::new(tasks.into_iter());
        let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
        (0..rayon::current_num_threads()).into_par_iter().for_each(|_| {
            while let Some(task) = next() {
                work(task, left, (&packed, from), bias, layout);
            }
        });
    }
    out
}

/// Divides what is to be written, strip by strip.
fn tasks(out: &mut [f32], layout: Layout, strip: usize) -> Vec<Vec<Task<'_>>> {
    let (shape, positions) = (layout.shape, layout.positions());
    let panels = shape.channels_out.div_ceil(SIDE);
    let wanted = TASKS * rayon::current_num_threads();
    let most = (strip / POSITIONS_MIN).max(1);
    let of_rows = panels.div_ceil((panels * most / wanted).clamp(1, PANELS));
    let rows = panels.div_ceil(of_rows) * SIDE;
    let of_rows = shape.channels_out.div_ceil(rows);
    let most = if of_rows * most < wanted { strip / POSITIONS_FEW } else { most };
    let spans = wanted.div_ceil(of_rows).min(most).max(strip.div_ceil(SUMS_MAX / rows)).max(1);
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
            let mut at = (sample * layout.lines() + y) * layout.pitch();
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

/// Packs the right side of some positions.
fn pack_right(right: &Rows<'_>, layout: Layout, positions: Range<usize>) -> Packed {
    let shape = layout.shape;
    let blocks = layout.blocks(positions.len());
    let plane = shape.height * shape.width;
    let count = layout.groups() * layout.of_group(blocks);
    let mut numbers = vec![0u32; count + LINE];
    let begin = numbers.as_ptr().align_offset(LINE * size_of::<u32>()).min(LINE);
    let groups = numbers[begin..begin + count].par_chunks_exact_mut(layout.of_group(blocks)).enumerate();
    groups.for_each(|(group, to)| {
        let rows = group * DEPTH..layout.depth().min((group + 1) * DEPTH);
        let channels = layout.channel(rows.start)..layout.channel(rows.end - 1) + 1;
        let samples: Vec<Cow<'_, [f32]>> = (0..shape.batch)
            .map(|sample| {
                let first = sample * shape.channels;
                right.get(first + channels.start..first + channels.end, plane)
            })
            .collect();
        let mut lines = vec![0f32; rows.len().next_multiple_of(2) * blocks * COLUMNS];
        for (copy, to) in to.chunks_exact_mut(layout.of_copy(blocks)).enumerate() {
            for (line, row) in lines.chunks_exact_mut(blocks * COLUMNS).zip(rows.clone()) {
                line.fill(0.0);
                let at = (layout.channel(row) - channels.start) * plane;
                let planes = samples.iter().map(|sample| &sample[at..at + plane]);
                layout.lay_out(planes, (row, copy), positions.start, line);
            }
            // All pairs of a few tiles at a time, which stay in the innermost cache.
            for (index, to) in to.chunks_mut(layout.of_copy(TILES_PACKED)).enumerate() {
                let columns =
                    index * TILES_PACKED * COLUMNS..blocks.min((index + 1) * TILES_PACKED) * COLUMNS;
                for (pair, lines) in lines.chunks_exact(2 * blocks * COLUMNS).enumerate() {
                    let (first, second) = lines.split_at(blocks * COLUMNS);
                    on_vectors(
                        #[inline(always)]
                        || pack::right(&first[columns.clone()], &second[columns.clone()], pair, to),
                    );
                }
            }
        }
    });
    Packed { numbers, begin, blocks }
}

/// Does one task. `packed` begins with the position beside it.
fn work(task: Task<'_>, left: &Rows<'_>, (packed, from): (&Packed, usize), bias: &Bias, layout: Layout) {
    if task.positions.is_empty() {
        return;
    }
    let (depth, taps) = (layout.depth(), layout.taps());
    let numbers = left.get(task.rows.clone(), depth * taps);
    let panels = task.rows.len().div_ceil(SIDE);
    // Tiles of a product lie together, products by positions and then by panels.
    let mut sums = vec![0f32; task.positions.len().div_ceil(SIDE) * panels * PRODUCT];
    let groups_at_once = (STEPS_PACKED / taps).max(1);
    let panel_lines = groups_at_once * taps * LINES;
    let mut lines = vec![Line::ZERO; panels * panel_lines];
    let right = &packed.numbers[packed.begin..];
    let mut steps = Vec::with_capacity(groups_at_once * taps);
    // Set up here: nothing below waits for other work.
    let Some(tiles) = Tiles::new() else { unreachable!("who calls has asked") };
    let mut product = [0f32; PRODUCT];
    for first in (0..layout.groups()).step_by(groups_at_once) {
        let groups = first..layout.groups().min(first + groups_at_once);
        for (panel, lines) in lines.chunks_exact_mut(panel_lines).enumerate() {
            let end = task.rows.len().min((panel + 1) * SIDE);
            let rows = &numbers[panel * SIDE * depth * taps..end * depth * taps];
            for (group, lines) in groups.clone().zip(lines.chunks_exact_mut(taps * LINES)) {
                on_vectors(
                    #[inline(always)]
                    || match taps {
                        1 => pack::left::<1>(rows, depth, group * DEPTH, lines),
                        _ => pack::left::<9>(rows, depth, group * DEPTH, lines),
                    },
                );
            }
        }
        for (at, sums) in sums.chunks_exact_mut(panels * PRODUCT).enumerate() {
            let block = (task.positions.start - from + at * SIDE) / COLUMNS;
            steps.clear();
            steps.extend(groups.clone().flat_map(|group| layout.steps(group, block, packed.blocks)));
            // As even as they come.
            let together = steps.len().div_ceil(steps.len().div_ceil(STEPS));
            for (part, steps) in steps.chunks(together).enumerate() {
                for (lines, sums) in lines.chunks_exact(panel_lines).zip(sums.chunks_exact_mut(PRODUCT)) {
                    tiles::multiply(&tiles, &lines[part * together * LINES..], right, steps, &mut product);
                    on_vectors(
                        #[inline(always)]
                        || {
                            for (sum, number) in sums.iter_mut().zip(&product) {
                                *sum += number;
                            }
                        },
                    );
                }
            }
        }
    }
    for (row, at, piece) in task.pieces {
        let bias_of_row = match bias {
            Bias::Rows(bias) => bias[task.rows.start + row],
            _ => 0.0,
        };
        let mut done = 0;
        while done < piece.len() {
            let at = at + done;
            let (tile, within) = (row % SIDE / 16 * 2 + at % SIDE / COLUMNS, at % COLUMNS);
            let product = at / SIDE * panels + row / SIDE;
            let count = (COLUMNS - within).min(piece.len() - done);
            let sums = &sums[product * PRODUCT + (tile * 16 + row % 16) * COLUMNS + within..][..count];
            let piece = &mut piece[done..done + count];
            match bias {
                Bias::Positions(bias) => {
                    let bias = &bias[task.positions.start + at..];
                    piece.iter_mut().zip(sums).zip(bias).for_each(|((out, sum), bias)| *out = sum + bias);
                }
                _ => piece.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum + bias_of_row),
            }
            done += count;
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
            Shape::of_matrices(33, 3200, 1400),
            shape(1, [32, 32], [8, 8], 1),
            shape(2, [35, 50], [9, 13], 1),
            shape(1, [64, 33], [10, 7], 0),
            shape(1, [33, 34], [5, 6], 2),
            shape(3, [70, 130], [20, 30], 1),
            // Lines that fill tiles, and nearly: a copy for each column of the kernel.
            shape(2, [40, 33], [18, 16], 1),
            shape(2, [33, 40], [9, 31], 1),
            shape(1, [33, 40], [12, 34], 0),
            Shape { left: 0, top: 2, out_width: 32, ..shape(1, [40, 40], [12, 32], 1) },
            // Several strips of them.
            shape(1, [300, 33], [100, 64], 1),
            Shape { left: 0, top: 2, out_width: 9, ..shape(1, [40, 40], [9, 9], 1) },
        ] {
            let left = numbers(shape.channels_out * shape.channels * shape.side.pow(2), 1);
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
        // Unrolled, in copies, and in several strips of copies.
        for one in [
            shape(1, [50, 72], [13, 10], 1),
            shape(1, [50, 72], [18, 31], 1),
            shape(1, [300, 40], [100, 64], 1),
        ] {
            let two = Shape { batch: 2, ..one };
            let left = numbers(one.channels_out * one.channels * one.side.pow(2), 6);
            let right = numbers(2 * one.channels * one.height * one.width, 7);
            let of =
                |right: &[f32], shape| convolve(&Rows::Here(&left), &Rows::Here(right), &Bias::None, shape);
            let together = of(&right, two);
            let (first, second) = right.split_at(right.len() / 2);
            assert!([of(first, one), of(second, one)].concat() == together, "{one:?}");
            for threads in [1, 3, 16] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| of(&right, two)) == together, "{one:?} on {threads} threads");
            }
        }
    }
}

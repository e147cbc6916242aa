//! Convolutions without columns: the picture is laid out once, padded, pixel beside pixel, and each place of the kernel
//! reads it from another pixel on.
//!
//! A strip of output rows is one long row of pixels, whose few pixels between two rows of the picture are computed along and
//! left out. With a stride every phase of the picture (each second pixel, say) lies by itself, so that a place of the
//! kernel reads neighbours there too.

use std::ops::Range;

use half::bf16;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::kernel::{Cells, Instructions, Offsets, Session, filled};
use super::pairs::{Pairs, Sums, across, pair};
use super::tiles::{BLOCK, Begin, DEPTH, PAIRS, Right, SIDE, TILE};

/// Pairs of a strip: 1 MB, of the second cache.
const STRIP_MAX: usize = 1 << 18;
/// Pairs that are laid out at a time: 32 MB.
const LAID_MAX: usize = 8 << 20;
/// Steps that are taken for all pixels of a strip before the next: their weights, 36 KB, stay in the innermost cache.
const STEPS: usize = 18;
/// Tasks for each thread, so that none waits long for the others.
const TASKS: usize = 8;
/// The widest kernel that is computed here.
pub(crate) const KERNEL_MAX: usize = 3;

/// Weights of a convolution in the order in which blocks are computed: 32 outputs after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedConvolution {
    outputs: usize,
    inputs: usize,
    /// Height and width of the kernel.
    kernel: [usize; 2],
    /// `[outputs / 32][inputs / 32][height · width][2][16 outputs][16 pairs of inputs]`, what is beyond zero.
    tiles: Pairs,
}

impl PackedConvolution {
    /// Of weights `[outputs, inputs, height, width]`.
    pub(crate) fn pack(values: &[bf16], [outputs, inputs, height, width]: [usize; 4]) -> Self {
        assert_eq!(values.len(), outputs * inputs * height * width);
        let mut packed = Self { outputs, inputs, kernel: [height, width], tiles: Pairs::zeros(0) };
        let panel = packed.steps() * 2 * TILE;
        let mut tiles = Pairs::zeros(outputs.div_ceil(BLOCK) * panel);
        tiles.par_chunks_mut(panel.max(1)).enumerate().for_each(|(block, panel)| {
            packed.each_place(block, |at, half, from| {
                panel[at] |= u32::from(values[from].to_bits()) << (16 * half);
            });
        });
        packed.tiles = tiles;
        packed
    }

    /// The weights `[outputs, inputs, height, width]`, as they were.
    pub(crate) fn unpack(&self) -> Vec<bf16> {
        let mut values = vec![bf16::ZERO; self.dims().iter().product()];
        let of_block = BLOCK * self.inputs * self.kernel[0] * self.kernel[1];
        let panel = self.steps() * 2 * TILE;
        values.par_chunks_mut(of_block.max(1)).enumerate().for_each(|(block, values)| {
            let panel = &self.tiles[block * panel..(block + 1) * panel];
            self.each_place(block, |at, half, from| {
                values[from - block * of_block] = bf16::from_bits((panel[at] >> (16 * half)) as u16);
            });
        });
        values
    }

    /// `[outputs, inputs, height, width]`.
    pub(crate) fn dims(&self) -> [usize; 4] {
        [self.outputs, self.inputs, self.kernel[0], self.kernel[1]]
    }

    fn steps(&self) -> usize {
        self.inputs.div_ceil(DEPTH) * self.kernel[0] * self.kernel[1]
    }

    /// Where in its panel each number of the `block`-th 32 outputs lies: index of the pair, half of it, index in the weights.
    fn each_place(&self, block: usize, mut place: impl FnMut(usize, usize, usize)) {
        let places = self.kernel[0] * self.kernel[1];
        for output in block * BLOCK..self.outputs.min((block + 1) * BLOCK) {
            let row = output % BLOCK;
            for input in 0..self.inputs {
                let (group, pair, half) = (input / DEPTH, input % DEPTH / 2, input % 2);
                for kernel in 0..places {
                    let step = group * places + kernel;
                    let at = (step * 2 + row / SIDE) * TILE + row % SIDE * PAIRS + pair;
                    place(at, half, (output * self.inputs + input) * places + kernel);
                }
            }
        }
    }
}

/// What surrounds the picture, and how far the kernel goes from one output to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) struct Surroundings {
    /// Zeros above, to the left, below, to the right.
    pub(in crate::ops) padding: [usize; 4],
    /// Pixels from one output to the next, in both directions.
    pub(in crate::ops) stride: usize,
}

/// How a picture is laid out.
#[derive(Debug, Clone, Copy)]
struct Layout {
    inputs: usize,
    /// Height and width of the picture.
    picture: [usize; 2],
    kernel: [usize; 2],
    around: Surroundings,
    /// Height and width of what comes out.
    out: [usize; 2],
    /// Pixels from one row to the next.
    pitch: usize,
    /// Rows of the output in a strip.
    rows: usize,
    /// Pixels of a phase of a strip, for one pair of channels.
    plane: usize,
}

impl Layout {
    fn new(weights: &PackedConvolution, picture: [usize; 2], around: Surroundings) -> Self {
        let [_, inputs, height, width] = weights.dims();
        let [top, left, bottom, right] = around.padding;
        let reach = |side: usize, kernel: usize| (side.saturating_sub(kernel)) / around.stride + 1;
        let out = [reach(picture[0] + top + bottom, height), reach(picture[1] + left + right, width)];
        // What is right of a row may be what is left of the next: both are zeros.
        let shared = if around.stride == 1 { left.min(right) } else { 0 };
        let pitch = (out[1] + (width - 1) / around.stride).saturating_sub(shared).max(out[1]);
        let of_rows = |rows: usize| (rows + height) * pitch + width + 2 * SIDE;
        let groups = inputs.div_ceil(DEPTH) * PAIRS * (around.stride * around.stride);
        let most = (STRIP_MAX / groups.max(1) / pitch).saturating_sub(height).clamp(1, out[0]);
        // Strips of nearly the same height; planes that do not all begin in the same set of the cache.
        let rows = out[0].div_ceil(out[0].div_ceil(most));
        let plane = of_rows(rows).next_multiple_of(SIDE);
        let plane = if (plane / SIDE).is_multiple_of(2) { plane + SIDE } else { plane };
        Self { inputs, picture, kernel: [height, width], around, out, pitch, rows, plane }
    }

    fn phases(&self) -> usize {
        self.around.stride * self.around.stride
    }

    fn groups(&self) -> usize {
        self.inputs.div_ceil(DEPTH)
    }

    /// Pairs in the strip of a sample: `[inputs / 32][phases][16 pairs of inputs][plane]`.
    fn strip(&self) -> usize {
        self.groups() * self.group()
    }

    fn group(&self) -> usize {
        self.phases() * PAIRS * self.plane
    }

    /// Where the steps of a block begin that begins at the strip's first pixel.
    fn offsets(&self) -> Offsets {
        let stride = self.around.stride;
        let mut at = Vec::new();
        for group in 0..self.groups() {
            for y in 0..self.kernel[0] {
                for x in 0..self.kernel[1] {
                    let phase = y % stride * stride + x % stride;
                    let first = (group * self.phases() + phase) * PAIRS * self.plane;
                    at.push(first + y / stride * self.pitch + x / stride);
                }
            }
        }
        Offsets::new(at)
    }

    /// Lays 32 channels of a strip out, whose pairs are zeros so far. `sample` is all channels of the picture.
    #[inline(always)]
    fn lay_out(self, sample: &[f32], group: usize, first_row: usize, pairs: &mut [u32]) {
        let ([height, width], stride) = (self.picture, self.around.stride);
        let [top, left, ..] = self.around.padding;
        let area = height * width;
        let rows = (self.rows - 1) + (self.kernel[0] - 1) / stride + 1;
        for (index, plane) in pairs.chunks_exact_mut(self.plane).enumerate() {
            let (phase, channel) = (index / PAIRS, group * DEPTH + index % PAIRS * 2);
            if channel >= self.inputs {
                continue;
            }
            let (down, beside) = (phase / stride, phase % stride);
            let low = &sample[channel * area..(channel + 1) * area];
            let high = sample.get((channel + 1) * area..(channel + 2) * area);
            // The first place of a row whose pixel is not left of the picture, and that pixel.
            let skipped = left.saturating_sub(beside).div_ceil(stride);
            let pixel = skipped * stride + beside - left;
            for row in 0..rows {
                let y = (first_row + row) * stride + down;
                let Some(y) = y.checked_sub(top).filter(|y| *y < height) else { continue };
                let low = &low[y * width..(y + 1) * width];
                let high = high.map(|high| &high[y * width..(y + 1) * width]);
                let to = &mut plane[row * self.pitch..];
                let to = &mut to[skipped..self.pitch.max(skipped)];
                if pixel >= width {
                    continue;
                }
                match (high, stride) {
                    (Some(high), 1) => across(&low[pixel..], &high[pixel..], to),
                    _ => {
                        for (i, to) in to.iter_mut().enumerate().take((width - pixel).div_ceil(stride)) {
                            let at = pixel + i * stride;
                            *to = pair(low[at], high.map_or(0.0, |high| high[at]));
                        }
                    }
                }
            }
        }
    }
}

/// [`Layout::lay_out`] for the processor's widest instructions.
struct LayOut<'a> {
    layout: Layout,
    sample: &'a [f32],
    group: usize,
    first_row: usize,
    pairs: &'a mut [u32],
}

impl NullaryFnOnce for LayOut<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.layout.lay_out(self.sample, self.group, self.first_row, self.pairs);
    }
}

/// `[batch, inputs, height, width]` → the numbers of `[batch, outputs, …]`, with what is behind the batch of the result.
pub(in crate::ops) fn convolve(
    weights: &PackedConvolution,
    bias: Option<&[f32]>,
    values: &[f32],
    picture: [usize; 2],
    around: Surroundings,
) -> (Vec<f32>, [usize; 3]) {
    convolve_with(Instructions::best(), weights, bias, values, picture, around)
}

fn convolve_with(
    with: Instructions,
    weights: &PackedConvolution,
    bias: Option<&[f32]>,
    values: &[f32],
    picture: [usize; 2],
    around: Surroundings,
) -> (Vec<f32>, [usize; 3]) {
    let layout = Layout::new(weights, picture, around);
    let [outputs, inputs, ..] = weights.dims();
    let ([out_height, out_width], sample) = (layout.out, inputs * picture[0] * picture[1]);
    let (area, samples) = (out_height * out_width, values.len() / sample.max(1));
    let shape = [outputs, out_height, out_width];
    if samples * outputs * inputs * area == 0 {
        return (Vec::new(), shape);
    }
    let strips = out_height.div_ceil(layout.rows);
    let arch = Arch::new();
    let lay_out = |taken: Range<usize>| {
        let mut laid = Pairs::zeros(taken.len() * layout.strip());
        laid.par_chunks_mut(layout.group()).enumerate().for_each(|(index, pairs)| {
            let (strip, group) = (taken.start + index / layout.groups(), index % layout.groups());
            let values = &values[strip / strips * sample..][..sample];
            let first_row = strip % strips * layout.rows;
            arch.dispatch(LayOut { layout, sample: values, group, first_row, pairs });
        });
        laid
    };

    let panel = weights.steps() * 2 * TILE;
    let blocks = outputs.div_ceil(BLOCK);
    let all = samples * strips;
    let at_once = (LAID_MAX / layout.strip().max(1)).clamp(1, all);
    // As even as they come.
    let at_once = all.div_ceil(all.div_ceil(at_once));
    // A task takes 32 outputs of as many strips as are laid out, unless there are too few tasks.
    let shares = (TASKS * rayon::current_num_threads()).div_ceil(blocks).clamp(1, at_once);
    let together = at_once.div_ceil(shares);
    let offsets = layout.offsets();
    let fill = |cells: &Cells<'_>, (laid, there): (&Pairs, &Range<usize>), task: usize| {
        let (block, share) = (task / shares, task % shares);
        let first = block * BLOCK;
        let tiles = &weights.tiles[block * panel..(block + 1) * panel];
        let rows = (outputs - first).min(BLOCK);
        let mut begins = Sums::zeros(BLOCK * SIDE);
        if let Some(bias) = bias {
            for (begins, bias) in begins.chunks_exact_mut(SIDE).zip(&bias[first..first + rows]) {
                begins.fill(*bias);
            }
        }
        let wide = ((layout.rows - 1) * layout.pitch + out_width).next_multiple_of(SIDE);
        let mut aside = Sums::zeros(BLOCK * wide);
        let session = Session::new(with);
        for within in share * together..there.len().min((share + 1) * together) {
            let pairs = &laid[within * layout.strip()..(within + 1) * layout.strip()];
            let strip = there.start + within;
            for from in (0..offsets.steps()).step_by(STEPS) {
                let taken = from..offsets.steps().min(from + STEPS);
                let begin = if from == 0 { Begin::rows(&begins) } else { Begin::there() };
                for column in (0..wide).step_by(BLOCK) {
                    let columns = if wide - column < BLOCK { 1 } else { 2 };
                    let right =
                        Right { pairs: &pairs[column..], row: layout.plane, tile: SIDE, tiles: columns };
                    // SAFETY: this task's own cells.
                    #[allow(unsafe_code)]
                    unsafe {
                        let place = Cells::new(&mut aside, wide).block(0, column, columns);
                        session.multiply_steps(tiles, right, &offsets, taken.clone(), begin, place);
                    }
                }
            }
            let (sample, first_row) = (strip / strips, strip % strips * layout.rows);
            for (r, from) in aside.chunks_exact(wide).take(rows).enumerate() {
                for y in first_row..out_height.min(first_row + layout.rows) {
                    let from = &from[(y - first_row) * layout.pitch..][..out_width];
                    // SAFETY: each output channel of each strip is in one task and met once in it.
                    #[allow(unsafe_code)]
                    unsafe {
                        cells.write(sample * outputs + first + r, y * out_width, from);
                    }
                }
            }
        }
    };
    // SAFETY: the rounds divide all strips, each in one of them, and the shares of a round all of its own, since together they are
    // no fewer than are laid out at a time; so each pair of 32 outputs and a strip of a sample is met once, in one task of one
    // round, and all rows of that strip are written for all those outputs.
    #[allow(unsafe_code)]
    let out = unsafe {
        filled(samples * outputs * area, area, |cells| {
            for first in (0..all).step_by(at_once) {
                let there = first..all.min(first + at_once);
                let laid = lay_out(there.clone());
                let tasks = (0..blocks * shares).into_par_iter();
                tasks.for_each(|task| fill(cells, (&laid, &there), task));
            }
        })
    };
    (out, shape)
}

#[cfg(test)]
#[path = "convolution_tests.rs"]
mod tests;

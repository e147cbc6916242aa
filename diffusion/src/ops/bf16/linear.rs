//! Rows times a matrix of weights.

use half::bf16;
use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::kernel::{Cells, Instructions, Offsets, Session, filled};
use super::pairs::{Pairs, Sums, along_tiles};
use super::tiles::{BLOCK, Begin, DEPTH, PAIRS, Right, SIDE, TILE};
use crate::ops::exponential::gelu;

/// Pairs of rows that stay in the second cache while columns of the matrix go by: 1 MB.
const LEFT_MAX: usize = 1 << 18;
/// Tasks for each thread, so that none waits long for the others.
const TASKS: usize = 8;

/// A matrix in the order in which blocks are computed: 32 outputs after another, of each all inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedMatrix {
    inputs: usize,
    outputs: usize,
    /// `[outputs / 32][inputs / 32][2][16 pairs of inputs][16 outputs]`, what is beyond the matrix zero.
    tiles: Pairs,
}

impl PackedMatrix {
    /// Of a matrix `[inputs, outputs]`.
    pub(crate) fn pack(values: &[bf16], inputs: usize, outputs: usize) -> Self {
        assert_eq!(values.len(), inputs * outputs);
        let panel = inputs.div_ceil(DEPTH) * 2 * TILE;
        let mut tiles = Pairs::zeros(outputs.div_ceil(BLOCK) * panel);
        tiles.par_chunks_mut(panel.max(1)).enumerate().for_each(|(block, panel)| {
            for input in 0..inputs {
                for output in block * BLOCK..outputs.min((block + 1) * BLOCK) {
                    let (at, half) = place(input, output % BLOCK);
                    panel[at] |= u32::from(values[input * outputs + output].to_bits()) << (16 * half);
                }
            }
        });
        Self { inputs, outputs, tiles }
    }

    /// The matrix `[inputs, outputs]`, as it was.
    pub(crate) fn unpack(&self) -> Vec<bf16> {
        let panel = self.inputs.div_ceil(DEPTH) * 2 * TILE;
        let mut values = vec![bf16::ZERO; self.inputs * self.outputs];
        values.par_chunks_mut(self.outputs.max(1)).enumerate().for_each(|(input, row)| {
            for (output, value) in row.iter_mut().enumerate() {
                let (at, half) = place(input, output % BLOCK);
                *value = bf16::from_bits((self.tiles[output / BLOCK * panel + at] >> (16 * half)) as u16);
            }
        });
        values
    }

    /// Whether [`multiply_gated`] takes it: both halves of the outputs are whole blocks.
    pub(in crate::ops) fn has_gate(&self) -> bool {
        self.outputs.is_multiple_of(2 * BLOCK)
    }

    /// Inputs and outputs.
    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.inputs, self.outputs]
    }
}

/// Where in its panel of 32 outputs a number lies: index of the pair, half of it.
fn place(input: usize, column: usize) -> (usize, usize) {
    let (step, pair) = (input / DEPTH, input % DEPTH / 2);
    ((step * 2 + column / SIDE) * TILE + pair * SIDE + column % SIDE, input % 2)
}

/// 32 rows, or the last few, as tiles of a left factor: `[depth / 32][2][16 rows][16 pairs]`; `tiles` is zero beyond them.
#[inline(always)]
pub(super) fn pack_rows(rows: &[f32], depth: usize, tiles: &mut [u32]) {
    for (r, row) in rows.chunks_exact(depth).enumerate() {
        along_tiles(row, tiles, r / SIDE * TILE + r % SIDE * PAIRS, 2 * TILE);
    }
}

/// [`pack_rows`] for the processor's widest instructions. A struct and not a closure, whose call would not be inlined into what
/// has these instructions.
struct PackRows<'a> {
    rows: &'a [f32],
    depth: usize,
    tiles: &'a mut [u32],
}

impl NullaryFnOnce for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        pack_rows(self.rows, self.depth, self.tiles);
    }
}

/// `rows · matrix + bias`: `[n, inputs]` → `[n, outputs]`.
pub(in crate::ops) fn multiply(matrix: &PackedMatrix, bias: Option<&[f32]>, rows: &[f32]) -> Vec<f32> {
    multiply_with(Instructions::best(), matrix, bias, rows, false)
}

/// The first half of every row of [`multiply`] times the gelu of the second: `[n, inputs]` → `[n, outputs / 2]`.
pub(in crate::ops) fn multiply_gated(matrix: &PackedMatrix, bias: Option<&[f32]>, rows: &[f32]) -> Vec<f32> {
    assert!(matrix.has_gate());
    multiply_with(Instructions::best(), matrix, bias, rows, true)
}

/// Each number of the first block times the gelu of its partner in the second.
struct Gate<'a> {
    hidden: &'a mut [f32],
    gate: &'a [f32],
}

impl NullaryFnOnce for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (hidden, gate) in self.hidden.iter_mut().zip(self.gate) {
            *hidden *= gelu(*gate);
        }
    }
}

fn multiply_with(
    with: Instructions,
    matrix: &PackedMatrix,
    bias: Option<&[f32]>,
    rows: &[f32],
    gated: bool,
) -> Vec<f32> {
    let [inputs, all_outputs] = matrix.dims();
    let outputs = if gated { all_outputs / 2 } else { all_outputs };
    let count = rows.len() / inputs.max(1);
    if count * outputs == 0 {
        return Vec::new();
    }
    let steps = inputs.div_ceil(DEPTH);
    let panel = steps * 2 * TILE;
    let arch = Arch::new();
    let mut left = Pairs::zeros(count.div_ceil(BLOCK) * panel);
    left.par_chunks_mut(panel).zip(rows.par_chunks(BLOCK * inputs)).for_each(|(tiles, rows)| {
        arch.dispatch(PackRows { rows, depth: inputs, tiles });
    });

    let mut begins = Sums::zeros(all_outputs.next_multiple_of(BLOCK));
    if let Some(bias) = bias {
        begins[..all_outputs].copy_from_slice(bias);
    }
    let of_columns = |block: usize| {
        let right = Right::of_tiles(&matrix.tiles[block * panel..(block + 1) * panel], 2);
        (right, Begin::columns(&begins[block * BLOCK..(block + 1) * BLOCK]))
    };
    let offsets = Offsets::of_tiles(steps);
    let (row_blocks, column_blocks) = (count.div_ceil(BLOCK), outputs.div_ceil(BLOCK));
    let rows_together = (LEFT_MAX / panel).clamp(1, row_blocks);
    let row_tasks = row_blocks.div_ceil(rows_together);
    let column_tasks = (TASKS * rayon::current_num_threads()).div_ceil(row_tasks).clamp(1, column_blocks);
    let columns_together = column_blocks.div_ceil(column_tasks);
    let fill = |cells: &Cells<'_>, task: usize| {
        let (first_row, first_column) =
            (task / column_tasks * rows_together, task % column_tasks * columns_together);
        let session = Session::new(with);
        let (mut aside, mut gate) = (Sums::zeros(BLOCK * BLOCK), Sums::zeros(BLOCK * BLOCK));
        for column in first_column..column_blocks.min(first_column + columns_together) {
            let (right, begin) = of_columns(column);
            for row in first_row..row_blocks.min(first_row + rows_together) {
                let left = &left[row * panel..(row + 1) * panel];
                let valid = [(count - row * BLOCK).min(BLOCK), (outputs - column * BLOCK).min(BLOCK)];
                // SAFETY: each pair of a row block and a column block is in one task and met once in it, so that its cells
                // are written by nothing else; a block that is not whole or not done goes by way of this task's own cells.
                #[allow(unsafe_code)]
                unsafe {
                    if valid == [BLOCK; 2] && !gated {
                        let place = cells.block(row * BLOCK, column * BLOCK, 2);
                        session.multiply(left, right, &offsets, begin, place);
                        continue;
                    }
                    let place = Cells::new(&mut aside, BLOCK).block(0, 0, 2);
                    session.multiply(left, right, &offsets, begin, place);
                    if gated {
                        let (right, begin) = of_columns(column_blocks + column);
                        let place = Cells::new(&mut gate, BLOCK).block(0, 0, 2);
                        session.multiply(left, right, &offsets, begin, place);
                        arch.dispatch(Gate { hidden: &mut aside, gate: &gate });
                    }
                    for (r, from) in aside.chunks_exact(BLOCK).take(valid[0]).enumerate() {
                        cells.write(row * BLOCK + r, column * BLOCK, &from[..valid[1]]);
                    }
                }
            }
        }
    };
    // SAFETY: the tasks have all pairs of a row block and a column block among them, and a pair writes all its valid cells.
    #[allow(unsafe_code)]
    unsafe {
        filled(count * outputs, outputs, |cells| {
            (0..row_tasks * column_tasks).into_par_iter().for_each(|task| fill(cells, task));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::numbers;
    use super::*;

    #[test]
    fn products_agree_with_double_precision() {
        for (count, inputs, outputs) in
            [(1, 1, 1), (33, 40, 31), (64, 64, 64), (77, 65, 130), (300, 7, 100), (31, 96, 33)]
        {
            let rows: Vec<f32> = numbers(count * inputs, 5);
            let values: Vec<bf16> = numbers(inputs * outputs, 6).into_iter().map(bf16::from_f32).collect();
            let bias = numbers(outputs, 7);
            let matrix = PackedMatrix::pack(&values, inputs, outputs);
            assert_eq!(matrix.unpack(), values);
            for with in Instructions::all() {
                let found = multiply_with(with, &matrix, Some(&bias), &rows, false);
                let bare = multiply_with(with, &matrix, None, &rows, false);
                for row in 0..count {
                    for column in 0..outputs {
                        let product: f64 = (0..inputs)
                            .map(|k| {
                                f64::from(bf16::from_f32(rows[row * inputs + k]))
                                    * f64::from(values[k * outputs + column])
                            })
                            .sum();
                        let (at, bias) = (row * outputs + column, f64::from(bias[column]));
                        assert!(
                            (f64::from(found[at]) - product - bias).abs() < 1e-5,
                            "{with:?} {row} {column}"
                        );
                        assert!((f64::from(bare[at]) - product).abs() < 1e-5, "{with:?} {row} {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_gate_is_applied_to_what_it_belongs_to() {
        let (count, inputs, half) = (45, 40, 64);
        let rows = numbers(count * inputs, 1);
        let values: Vec<bf16> = numbers(inputs * 2 * half, 2).into_iter().map(bf16::from_f32).collect();
        let bias = numbers(2 * half, 3);
        let matrix = PackedMatrix::pack(&values, inputs, 2 * half);
        let whole = multiply(&matrix, Some(&bias), &rows);
        let found = multiply_gated(&matrix, Some(&bias), &rows);
        assert_eq!(found.len(), count * half);
        for (found, whole) in found.chunks_exact(half).zip(whole.chunks_exact(2 * half)) {
            for i in 0..half {
                assert!((found[i] - whole[i] * gelu(whole[half + i])).abs() < 1e-5);
            }
        }
        assert!(!PackedMatrix::pack(&values[..inputs * 48], inputs, 48).has_gate());
    }

    #[test]
    fn the_number_of_threads_changes_no_byte() {
        let (rows, values) = (numbers(200 * 320, 1), numbers(320 * 96, 2));
        let values: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
        let matrix = PackedMatrix::pack(&values, 320, 96);
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| multiply(&matrix, None, &rows))
        };
        assert_eq!(of(1), of(3));
    }

    #[test]
    fn nothing_times_something_is_nothing() {
        let matrix = PackedMatrix::pack(&[bf16::ONE; 6], 2, 3);
        assert_eq!(multiply(&matrix, None, &[]), Vec::<f32>::new());
        assert_eq!(PackedMatrix::pack(&[], 0, 4).unpack(), Vec::<bf16>::new());
    }
}

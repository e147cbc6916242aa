//! How is a matrix of weights multiplied with few rows, and with many?

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::input_digits::InputDigits;
#[cfg(target_arch = "x86_64")]
use super::integer_products::integer_products;
#[cfg(target_arch = "x86_64")]
use super::interleaved::InterleavedRows;
#[cfg(target_arch = "x86_64")]
use super::interleaved_vectors::IntegerProducts;
use super::packed_products::packed_products;
use super::tiles::plain_tiles;
use crate::weights::{PackedRows, StoredType};

/// Weights that one task reads for up to so many input rows: few enough to share out evenly, enough to be worth a task.
const FEW_ROWS: usize = 16;
const FEW_ROWS_TASK: usize = 1 << 15;
/// The same for more input rows, which are worth a task with fewer weights; it stays in the second cache.
const MANY_ROWS_TASK: usize = 1 << 16;
/// Tasks are whole tiles and panels.
const TILE_ROWS: usize = 48;

/// A matrix `[out, in]`, in memory once.
pub(super) struct Linear {
    parts: Vec<Part>,
    bias: Option<Vec<f32>>,
    out_features: usize,
    in_features: usize,
}

/// Rows that are kept alike.
enum Part {
    /// Plain floats.
    Plain(Vec<f32>),
    /// As the file stores them, and unpacked where they are used: reading four bits and unpacking them is faster than
    /// reading the 32 bits that they mean, and nothing is rounded on the way.
    Packed(PackedRows),
    /// The same in another order, and multiplied as they are.
    #[cfg(target_arch = "x86_64")]
    Interleaved(IntegerProducts, InterleavedRows),
}

impl Part {
    fn new(rows: PackedRows) -> Part {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = IntegerProducts::try_new()
            && let Some(rows) = InterleavedRows::new(&rows)
        {
            return Part::Interleaved(simd, rows);
        }
        Part::Packed(rows)
    }

    /// How many rows it has, of `width` numbers.
    fn rows(&self, width: usize) -> usize {
        match self {
            Part::Plain(numbers) => numbers.len() / width,
            Part::Packed(rows) => rows.rows(),
            #[cfg(target_arch = "x86_64")]
            Part::Interleaved(_, rows) => rows.rows(),
        }
    }

    /// Writes a row's numbers to `out`.
    fn unpack(&self, row: usize, out: &mut [f32]) {
        match self {
            Part::Plain(numbers) => out.copy_from_slice(&numbers[row * out.len()..(row + 1) * out.len()]),
            Part::Packed(rows) => rows.unpack(row, out),
            #[cfg(target_arch = "x86_64")]
            Part::Interleaved(_, rows) => rows.unpack(row, out),
        }
    }
}

/// Rows of inputs, in the ways that parts need.
struct Inputs<'a> {
    plain: &'a [f32],
    #[cfg(target_arch = "x86_64")]
    digits: Option<InputDigits>,
}

impl<'a> Inputs<'a> {
    fn new(plain: &'a [f32], linear: &Linear) -> Inputs<'a> {
        #[cfg(target_arch = "x86_64")]
        let wants_digits = linear.parts.iter().any(|part| matches!(part, Part::Interleaved(..)));
        Inputs {
            plain,
            #[cfg(target_arch = "x86_64")]
            digits: wants_digits.then(|| InputDigits::new(plain, linear.in_features)),
        }
    }
}

impl Linear {
    /// A matrix whose rows are those of `parts`, all of the same width.
    pub(super) fn new(parts: Vec<PackedRows>, bias: Option<Vec<f32>>) -> Linear {
        let in_features = parts.first().map_or(1, |part| part.width);
        let out_features = parts.iter().map(PackedRows::rows).sum();
        let parts = if parts.iter().all(|part| part.stored == StoredType::F32) {
            let mut plain = vec![0.0; out_features * in_features];
            let mut rest = plain.as_mut_slice();
            for part in parts {
                let (own, after) = rest.split_at_mut(part.rows() * in_features);
                part.unpack(0, own);
                rest = after;
            }
            vec![Part::Plain(plain)]
        } else {
            parts.into_iter().map(Part::new).collect()
        };
        Linear { parts, bias, out_features, in_features }
    }

    pub(super) fn out_features(&self) -> usize {
        self.out_features
    }

    /// Appends one row of weights to `out`; false if there is no such row.
    pub(super) fn push_row(&self, mut row: usize, out: &mut Vec<f32>) -> bool {
        let width = self.in_features;
        for part in &self.parts {
            let rows = part.rows(width);
            if row < rows {
                let start = out.len();
                out.resize(start + width, 0.0);
                part.unpack(row, &mut out[start..]);
                return true;
            }
            row -= rows;
        }
        false
    }

    /// `x`: `[rows, in]` → `[rows, out]`. Each row is what it would be alone, bit by bit.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.in_features;
        let mut out = vec![0.0; rows * self.out_features];
        if rows == 0 {
            return out;
        }
        let mut rest: Vec<&mut [f32]> = out.chunks_exact_mut(self.out_features).collect();
        let task_weights = if rows > FEW_ROWS { MANY_ROWS_TASK } else { FEW_ROWS_TASK };
        let task_rows = (task_weights / self.in_features).max(1).next_multiple_of(TILE_ROWS);
        let mut tasks = Vec::new();
        let mut first = 0;
        for part in &self.parts {
            let part_rows = part.rows(self.in_features);
            for first_of_part in (0..part_rows).step_by(task_rows) {
                let count = task_rows.min(part_rows - first_of_part);
                let out: Vec<&mut [f32]> =
                    rest.iter_mut().map(|row| row.split_off_mut(..count).unwrap_or_default()).collect();
                let bias = self.bias.as_ref().map(|bias| &bias[first..first + count]);
                tasks.push(Task { part, first: first_of_part, out, bias });
                first += count;
            }
        }
        let inputs = Inputs::new(x, self);
        tasks.into_par_iter().for_each(|task| task.run(&inputs, self.in_features));
        out
    }
}

/// Some rows of weights, and where their products go.
struct Task<'a> {
    part: &'a Part,
    first: usize,
    out: Vec<&'a mut [f32]>,
    bias: Option<&'a [f32]>,
}

impl Task<'_> {
    fn run(mut self, inputs: &Inputs<'_>, width: usize) {
        match self.part {
            Part::Plain(weights) => {
                let end = self.first + self.out[0].len();
                plain_tiles(&weights[self.first * width..end * width], inputs.plain, width, &mut self.out);
            }
            Part::Packed(part) => packed_products(part, self.first, inputs.plain, &mut self.out),
            #[cfg(target_arch = "x86_64")]
            Part::Interleaved(simd, part) => {
                if let Some(digits) = &inputs.digits {
                    integer_products(*simd, part, self.first, digits, &mut self.out);
                }
            }
        }
        if let Some(bias) = self.bias {
            for row in self.out {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_wider_than_a_task_are_multiplied() {
        for width in [FEW_ROWS_TASK + 1, MANY_ROWS_TASK + 7] {
            let ones =
                |rows: usize| std::iter::repeat_n(1f32.to_le_bytes(), rows * width).flatten().collect();
            let part = PackedRows { stored: StoredType::F32, width, bytes: ones(3) };
            let linear = Linear::new(vec![part], None);
            for rows in [1, FEW_ROWS + 1] {
                assert_eq!(linear.forward(&vec![1.0; rows * width]), vec![width as f32; rows * 3]);
            }
        }
    }
}

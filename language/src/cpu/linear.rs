//! How is a matrix of weights multiplied with few rows, and with many?

use std::borrow::Cow;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::amx::MatrixTiles;
#[cfg(target_arch = "x86_64")]
use super::float_panels::float_products;
#[cfg(target_arch = "x86_64")]
use super::input_digits::InputDigits;
#[cfg(target_arch = "x86_64")]
use super::integer_products::integer_products;
#[cfg(target_arch = "x86_64")]
use super::interleaved::InterleavedRows;
#[cfg(target_arch = "x86_64")]
use super::interleaved_vectors::IntegerProducts;
use super::packed_products::packed_products;
#[cfg(target_arch = "x86_64")]
use super::split_floats::SplitInputs;
#[cfg(target_arch = "x86_64")]
use super::tile_products::tile_products;
use super::tiles::plain_tiles;
use super::weight_memory::WeightMemory;
use crate::weights::{PackedRows, StoredType};

/// Weights that one task reads for up to so many input rows: few enough to share out evenly, enough to be worth a task.
const FEW_ROWS: usize = 16;
const FEW_ROWS_TASK: usize = 1 << 15;
/// The same for more input rows, which are worth a task with fewer weights; it stays in the second cache.
const MANY_ROWS_TASK: usize = 1 << 16;
/// A step with as many tokens of one sequence reads a prompt.
pub(super) const PROMPT_ROWS_MIN: usize = 16;
/// Tasks are whole tiles and panels, or pairs of these.
const FEW_ROWS_TILE: usize = 48;
const MANY_ROWS_TILE: usize = 96;

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
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    fn new(rows: PackedRows, memory: &mut WeightMemory) -> Part {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = IntegerProducts::try_new()
            && let Some(rows) = InterleavedRows::new(&rows, memory)
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

/// Rows of inputs, in the ways that parts need: those of prompts last, where these are multiplied in a way of their own.
struct Inputs<'a> {
    plain: Cow<'a, [f32]>,
    #[cfg(target_arch = "x86_64")]
    digits: InputDigits,
    #[cfg(target_arch = "x86_64")]
    prompts: Option<(MatrixTiles, SplitInputs)>,
    /// Rows that are none of prompts, or all where these are multiplied alike.
    others: usize,
}

impl<'a> Inputs<'a> {
    #[cfg(target_arch = "x86_64")]
    fn new(x: &'a [f32], of_prompts: &[bool], linear: &Linear) -> Inputs<'a> {
        let width = linear.in_features;
        let is_interleaved = linear.parts.iter().any(|part| matches!(part, Part::Interleaved(..)));
        let mut inputs = Inputs {
            plain: x.into(),
            digits: InputDigits::default(),
            prompts: None,
            others: x.len() / width,
        };
        if is_interleaved && of_prompts.contains(&true) {
            inputs.others = of_prompts.iter().filter(|of_prompt| !**of_prompt).count();
            if inputs.others > 0 {
                let rows = x.chunks_exact(width).collect();
                inputs.plain = prompts_last(rows, of_prompts).concat().into();
            }
            let prompts = &inputs.plain[inputs.others * width..];
            inputs.prompts = MatrixTiles::try_new().map(|tiles| (tiles, SplitInputs::new(prompts, width)));
        }
        if is_interleaved {
            inputs.digits = InputDigits::new(&inputs.plain[..inputs.others * width], width);
        }
        inputs
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn new(x: &'a [f32], _: &[bool], linear: &Linear) -> Inputs<'a> {
        Inputs { plain: x.into(), others: x.len() / linear.in_features }
    }
}

/// The rows, those of prompts last.
fn prompts_last<T>(rows: Vec<T>, of_prompts: &[bool]) -> Vec<T> {
    let (prompts, others): (Vec<_>, Vec<_>) =
        rows.into_iter().zip(of_prompts).partition(|(_, of_prompt)| **of_prompt);
    others.into_iter().chain(prompts).map(|(row, _)| row).collect()
}

impl Linear {
    /// A matrix whose rows are those of `parts`, all of the same width, in the model's memory.
    pub(super) fn new(parts: Vec<PackedRows>, bias: Option<Vec<f32>>, memory: &mut WeightMemory) -> Linear {
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
            parts.into_iter().map(|part| Part::new(part, memory)).collect()
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

    /// `x`: `[rows, in]` → `[rows, out]`; says of each row whether it is one of many of a prompt, which may be multiplied
    /// in another way. Each row is what it would be alone, bit by bit.
    pub(super) fn forward(&self, x: &[f32], of_prompts: &[bool]) -> Vec<f32> {
        let rows = x.len() / self.in_features;
        assert_eq!(rows, of_prompts.len(), "each row is of a prompt or not");
        let mut out = vec![0.0; rows * self.out_features];
        if rows == 0 {
            return out;
        }
        let inputs = Inputs::new(x, of_prompts, self);
        let mut rest: Vec<&mut [f32]> = out.chunks_exact_mut(self.out_features).collect();
        if inputs.others < rows {
            rest = prompts_last(rest, of_prompts);
        }
        let task_weights = if rows > FEW_ROWS { MANY_ROWS_TASK } else { FEW_ROWS_TASK };
        let task_rows = (task_weights / self.in_features).max(1).next_multiple_of(if rows > FEW_ROWS {
            MANY_ROWS_TILE
        } else {
            FEW_ROWS_TILE
        });
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
                plain_tiles(&weights[self.first * width..end * width], &inputs.plain, width, &mut self.out);
            }
            Part::Packed(part) => packed_products(part, self.first, &inputs.plain, &mut self.out),
            #[cfg(target_arch = "x86_64")]
            Part::Interleaved(simd, part) => {
                let (others, prompts) = self.out.split_at_mut(inputs.others);
                integer_products(*simd, part, self.first, &inputs.digits, others);
                match &inputs.prompts {
                    Some((tiles, inputs)) => {
                        tile_products((*tiles, *simd), part, self.first, inputs, prompts)
                    }
                    None => {
                        let inputs = &inputs.plain[inputs.others * width..];
                        float_products(*simd, part, self.first, inputs, prompts);
                    }
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
    use crate::cpu::packed_products::tests::{bytes, matrix};

    #[test]
    fn rows_wider_than_a_task_are_multiplied() {
        for width in [FEW_ROWS_TASK + 1, MANY_ROWS_TASK + 7] {
            let ones =
                |rows: usize| std::iter::repeat_n(1f32.to_le_bytes(), rows * width).flatten().collect();
            let part = PackedRows { stored: StoredType::F32, width, bytes: ones(3) };
            let linear = Linear::new(vec![part], None, &mut WeightMemory::default());
            for rows in [1, FEW_ROWS + 1] {
                assert_eq!(
                    linear.forward(&vec![1.0; rows * width], &vec![false; rows]),
                    vec![width as f32; rows * 3]
                );
            }
        }
    }

    /// The numbers of `x` from row `first` on.
    fn rows(x: &[f32], width: usize, first: usize, count: usize) -> &[f32] {
        &x[first * width..(first + count) * width]
    }

    #[test]
    fn sequences_get_what_they_get_alone_on_any_number_of_threads() {
        let width = 512;
        let parts = [(StoredType::Q4K, 37), (StoredType::F16, 5), (StoredType::Q6K, 20)];
        let outs = 62;
        let parts: Vec<_> = parts.into_iter().map(|(stored, rows)| matrix(stored, width, rows)).collect();
        let bias: Vec<f32> = (0..outs).map(|i| i as f32 - 20.0).collect();
        let linear = Linear::new(parts.clone(), Some(bias.clone()), &mut WeightMemory::default());
        // A prompt, a reply's token, a prompt and a token.
        let sequences = [17, 1, 16, 1];
        let of_prompts: Vec<bool> =
            sequences.iter().flat_map(|rows| std::iter::repeat_n(*rows >= PROMPT_ROWS_MIN, *rows)).collect();
        let x: Vec<f32> =
            bytes(of_prompts.len() * width, 5).iter().map(|byte| f32::from(*byte) / 128.0 - 1.1).collect();
        let together = linear.forward(&x, &of_prompts);
        for threads in [1, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| linear.forward(&x, &of_prompts)), together);
        }
        let mut first = 0;
        for count in sequences {
            let alone = linear.forward(rows(&x, width, first, count), &of_prompts[first..first + count]);
            assert_eq!(alone, rows(&together, outs, first, count), "{count} rows");
            first += count;
        }
        let (mut numbers, mut row) = (Vec::new(), 0);
        for part in &parts {
            for own in 0..part.rows() {
                let mut expected = vec![0.0; width];
                part.unpack(own, &mut expected);
                numbers.clear();
                assert!(linear.push_row(row, &mut numbers));
                assert_eq!(numbers, expected, "row {row}");
                let x = rows(&x, width, 20, 1);
                let products = expected.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                let sum = products.sum::<f64>() + f64::from(bias[row]);
                assert!((f64::from(together[20 * outs + row]) - sum).abs() < 2e-2, "row {row}");
                row += 1;
            }
        }
        assert!(!linear.push_row(row, &mut numbers));
    }
}

//! Attention on the processor: a block of queries at a time against all keys, straight from the layout that
//! the projections leave behind.

use burn::tensor::Tensor;
use gemm::Parallelism;
use pulp::Arch;
use rayon::prelude::*;

use super::exponential::exp;
use super::host;

/// Queries per block: their scores against thousands of keys stay in the second cache.
const BLOCK: usize = 64;
/// How many sums run side by side.
const LANES: usize = 16;

/// A matrix within a slice: rows and columns, and how far apart they lie.
#[derive(Clone, Copy)]
struct Layout {
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl Layout {
    fn rows(rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { rows, columns, row_stride, column_stride: 1 }
    }

    fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// How long a slice must be to hold it.
    fn span(self) -> usize {
        match self.rows * self.columns {
            0 => 0,
            _ => (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1,
        }
    }
}

/// `out = left · right · by` on this thread.
fn multiply(out: (&mut [f32], Layout), left: (&[f32], Layout), right: (&[f32], Layout), by: f32) {
    let ((out, to), (left, l), (right, r)) = (out, left, right);
    assert!(l.columns == r.rows && to.rows == l.rows && to.columns == r.columns);
    assert!(to.span() <= out.len() && l.span() <= left.len() && r.span() <= right.len());
    // SAFETY: every matrix lies within its slice, as was just checked; `out` is borrowed mutably and so
    // overlaps neither of the others, and each of its cells has its own place.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            to.rows,
            to.columns,
            l.columns,
            out.as_mut_ptr(),
            to.column_stride as isize,
            to.row_stride as isize,
            false,
            left.as_ptr(),
            l.column_stride as isize,
            l.row_stride as isize,
            right.as_ptr(),
            r.column_stride as isize,
            r.row_stride as isize,
            0.0,
            by,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// As [`super::attention`]. A block's numbers depend on its own sample alone.
pub(super) fn on_host(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    let ([batch, queries, width], [_, keys, _]) = (query.dims(), key.dims());
    let depth = width / heads.max(1);
    let (query, key, value) = (host::values(query), host::values(key), host::values(value));
    let mut out = vec![0f32; query.len()];
    if out.is_empty() || keys == 0 {
        return host::tensor(out, [batch, queries, width]);
    }
    let scale = 1.0 / (depth as f32).sqrt();
    let arch = Arch::new();
    let scratch = || (vec![0f32; BLOCK * keys], vec![0f32; BLOCK]);
    // All heads of a block of queries are one task: their results lie side by side.
    out.par_chunks_mut(queries * width).enumerate().for_each(|(sample, out)| {
        let of_sample = sample * keys * width..(sample + 1) * keys * width;
        let (key, value) = (&key[of_sample.clone()], &value[of_sample]);
        let query = &query[sample * queries * width..(sample + 1) * queries * width];
        out.par_chunks_mut(BLOCK * width).zip(query.par_chunks(BLOCK * width)).for_each_init(
            scratch,
            |(scores, sums), (out, query)| {
                let rows = query.len() / width;
                let scored = Layout::rows(rows, keys, keys);
                let (wide, far) = (Layout::rows(rows, depth, width), Layout::rows(keys, depth, width));
                for head in (0..heads).map(|head| head * depth) {
                    multiply(
                        (scores, scored),
                        (&query[head..], wide),
                        (&key[head..], far.transposed()),
                        scale,
                    );
                    arch.dispatch(|| {
                        for (row, sum) in scores.chunks_exact_mut(keys).zip(sums.iter_mut()).take(rows) {
                            *sum = exponentials(row);
                        }
                    });
                    multiply((&mut out[head..], wide), (scores, scored), (&value[head..], far), 1.0);
                    for (row, sum) in out.chunks_mut(width).zip(sums.iter()) {
                        row[head..head + depth].iter_mut().for_each(|value| *value /= sum);
                    }
                }
            },
        );
    });
    host::tensor(out, [batch, queries, width])
}

/// Replaces scores by their exponentials, the largest of which is 1, and returns the sum.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> f32 {
    let (lanes, rest) = row.as_chunks_mut::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for lane in lanes.iter() {
        for (largest, &score) in largest.iter_mut().zip(lane) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    let largest = largest.iter().chain(rest.iter()).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let mut sums = [0f32; LANES];
    for lane in lanes {
        for (sum, score) in sums.iter_mut().zip(lane) {
            *score = exp(*score - largest);
            *sum += *score;
        }
    }
    let mut sum = 0.0;
    for score in rest {
        *score = exp(*score - largest);
        sum += *score;
    }
    sum + sums.iter().sum::<f32>()
}

//! How are two matrices multiplied on one thread? Threads are shared out by the callers, who know what is worth a task.

use gemm::Parallelism;

/// A matrix within a slice: its rows and columns, and how far apart they lie.
#[derive(Clone, Copy)]
pub(super) struct Matrix<S> {
    numbers: S,
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<S> Matrix<S> {
    /// A matrix of `rows` rows; each begins `stride` after the one before.
    pub(super) fn new(numbers: S, rows: usize, columns: usize, stride: usize) -> Matrix<S> {
        Matrix { numbers, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The same numbers, with rows for columns.
    pub(super) fn transposed(self) -> Matrix<S> {
        Matrix {
            numbers: self.numbers,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// How long a slice must be to hold it.
    fn span(&self) -> usize {
        match self.rows * self.columns {
            0 => 0,
            _ => (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1,
        }
    }
}

/// `out = before * out + by * (left · right)`.
pub(super) fn multiply(
    out: Matrix<&mut [f32]>,
    before: f32,
    left: Matrix<&[f32]>,
    right: Matrix<&[f32]>,
    by: f32,
) {
    assert!(left.columns == right.rows && out.rows == left.rows && out.columns == right.columns);
    assert!(out.span() <= out.numbers.len());
    assert!(left.span() <= left.numbers.len() && right.span() <= right.numbers.len());
    // SAFETY: every matrix lies within its slice, as was just checked; `out` is borrowed mutably and so overlaps
    // neither of the others, and its rows do not overlap each other, as every caller's stride is a row or more.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            left.columns,
            out.numbers.as_mut_ptr(),
            out.column_stride as isize,
            out.row_stride as isize,
            before != 0.0,
            left.numbers.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.numbers.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            before,
            by,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_plain_sums_whatever_the_strides() {
        let left: Vec<f32> = (0..7 * 20).map(|i| (i % 13) as f32 - 6.0).collect();
        let right: Vec<f32> = (0..50 * 20).map(|i| (i % 17) as f32 - 8.0).collect();
        for (rows, columns, depth) in [(1, 1, 1), (7, 50, 20), (3, 33, 16)] {
            let mut out = vec![1.0; rows * 60];
            multiply(
                Matrix::new(&mut out, rows, columns, 60),
                2.0,
                Matrix::new(left.as_slice(), rows, depth, 20),
                Matrix::new(right.as_slice(), columns, depth, 20).transposed(),
                0.5,
            );
            for row in 0..rows {
                for column in 0..60 {
                    let sum: f32 = (0..depth).map(|i| left[row * 20 + i] * right[column % 50 * 20 + i]).sum();
                    let expected = if column < columns { 2.0 + 0.5 * sum } else { 1.0 };
                    assert_eq!(out[row * 60 + column], expected, "{rows} {columns} {depth}");
                }
            }
        }
    }
}

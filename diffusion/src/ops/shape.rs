//! Sizes of a convolution.

/// Sizes of a convolution whose stride is 1, and of what is one: a matrix is a picture of one line, whose kernel has one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Samples.
    pub batch: usize,
    /// Channels that come in.
    pub channels: usize,
    /// Channels that come out.
    pub channels_out: usize,
    /// Side of the kernel.
    pub side: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Rows of zeros above the input.
    pub top: usize,
    /// Columns of zeros left of the input.
    pub left: usize,
    /// Rows of the output.
    pub out_height: usize,
    /// Columns of the output.
    pub out_width: usize,
}

impl Shape {
    /// Of a matrix of so many rows and channels times one of so many columns.
    pub fn of_matrices(rows: usize, channels: usize, columns: usize) -> Self {
        Self {
            batch: 1,
            channels,
            channels_out: rows,
            side: 1,
            height: 1,
            width: columns,
            top: 0,
            left: 0,
            out_height: 1,
            out_width: columns,
        }
    }
}

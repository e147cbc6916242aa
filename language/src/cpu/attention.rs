//! How much does each token look at the earlier ones?

use rayon::prelude::*;

use super::KvCache;
use super::kernels::{row_products, softmax, weighted_sum};

/// Multiplications below which waking other threads costs more than it brings.
const PARALLEL_WORK_MIN: usize = 200_000;

/// One query row: whose memory it reads and how far.
pub(super) struct QueryRow<'a> {
    pub(super) cache: &'a KvCache,
    /// Positions it may look at, its own included.
    pub(super) positions: usize,
}

/// Attention of every row and head: `queries` and `out` are `[rows, heads * head_dim]`.
pub(super) fn attend(
    rows: &[QueryRow<'_>],
    layer: usize,
    head_dim: usize,
    group: usize,
    queries: &[f32],
    out: &mut [f32],
) {
    let heads = queries.len() / head_dim / rows.len().max(1);
    let scale = 1.0 / (head_dim as f32).sqrt();
    let one = |(index, (query, out)): (usize, (&[f32], &mut [f32]))| {
        let row = &rows[index / heads];
        let (keys, values) = row.cache.head(layer, index % heads / group, row.positions);
        let mut shares = vec![0.0; row.positions];
        row_products(keys, query, head_dim, 1, &mut shares);
        for share in &mut shares {
            *share *= scale;
        }
        softmax(&mut shares);
        out.fill(0.0);
        weighted_sum(&shares, values, out);
    };
    let work: usize = rows.iter().map(|row| row.positions).sum::<usize>() * heads * head_dim * 2;
    if work < PARALLEL_WORK_MIN {
        queries.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)).enumerate().for_each(one);
    } else {
        queries.par_chunks_exact(head_dim).zip(out.par_chunks_exact_mut(head_dim)).enumerate().for_each(one);
    }
}

//! How much of its speed does a reply keep while pictures are drawn on the same processor?

use std::sync::atomic::{AtomicBool, Ordering};

use language::give_way_by;

/// Numbers of a matrix, in each direction: as large as those of a picture's layers, too large for the second cache.
const SIDE: usize = 1280;

/// Prints the speed of replies beside threads that multiply matrices all the while, one for each core, by how much these
/// give way. `reply` measures one.
pub fn replies_beside_pictures(reply: impl Fn() -> f64) {
    for niceness in [5, 10, 15] {
        let mut shares: Vec<f64> = (0..3)
            .map(|_| {
                let alone = reply();
                let done = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                        scope.spawn(|| {
                            give_way_by(niceness);
                            while !done.load(Ordering::Relaxed) {
                                multiply();
                            }
                        });
                    }
                    let beside = reply();
                    done.store(true, Ordering::Relaxed);
                    beside / alone
                })
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        println!("a reply beside threads of niceness {niceness:2} keeps {:.2} of its speed", shares[1]);
    }
}

/// A share of a product of matrices.
fn multiply() {
    let (left, right) = (vec![1.5f32; SIDE], vec![0.5f32; SIDE * SIDE]);
    let mut out = vec![0f32; SIDE];
    for (row, left) in right.chunks_exact(SIDE).zip(&left) {
        out.iter_mut().zip(row).for_each(|(out, right)| *out += left * right);
    }
    std::hint::black_box(out);
}

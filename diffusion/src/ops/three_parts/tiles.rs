//! One product in the matrix unit: 32 rows by 32 columns, of numbers in three parts.

use super::pack::{LINES, Line};
use crate::ops::amx::Tiles;

/// Rows and columns of what one product fills: two tiles each way.
pub(super) const SIDE: usize = 32;
/// Numbers of a row of the left side that one step takes.
pub(super) const DEPTH: usize = 32;
/// Pairs of them.
pub(super) const PAIRS: usize = DEPTH / 2;
/// Parts of a number.
pub(super) const PARTS: usize = 3;
/// Steps of one product at most.
pub(super) const STEPS: usize = 10;
/// Positions of a tile.
pub(super) const COLUMNS: usize = 16;
/// Numbers of the right side that one step reads: two tiles of each part.
const RIGHT: usize = 2 * PARTS * PAIRS * COLUMNS;

/// The sum over the steps of `left · right`, as four tiles of 16 × 16: upper left, upper right, lower left, lower right. A step
/// of the left side is [`LINES`] lines; one of the right side begins at its offset: a tile of each part, from the highest, then those of
/// the sixteen positions behind. Of each number's parts the products of
/// the highest with all, of the middle ones with each other and the highest, are taken: what is left out is 2⁻²⁴ of a product or
/// less. The small ones come first.
pub(super) fn multiply(
    tiles: &Tiles,
    left: &[Line],
    right: &[u32],
    offsets: &[usize],
    out: &mut [f32; SIDE * SIDE],
) {
    assert!((1..=STEPS).contains(&offsets.len()) && left.len() >= offsets.len() * LINES);
    let mut steps = [std::ptr::null(); STEPS];
    for (step, offset) in steps.iter_mut().zip(offsets) {
        *step = right[*offset..*offset + RIGHT].as_ptr();
    }
    // SAFETY: `steps` are as many as there are offsets; from each on, `right` holds what a step reads, as the slice shows, and `left` holds its lines, as was asserted. `tiles` are this thread's.
    #[allow(unsafe_code)]
    unsafe {
        sums(tiles, left.as_ptr(), &steps[..offsets.len()], out);
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[allow(unsafe_code)]
unsafe fn sums(_: &Tiles, _: *const Line, _: &[*const u32], _: &mut [f32; SIDE * SIDE]) {
    unreachable!("no thread of this system has tiles")
}

/// # Safety
/// There is a step. `left` points to [`LINES`] lines for each, each address of `steps` to [`RIGHT`] numbers.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code)]
unsafe fn sums(_: &Tiles, left: *const Line, steps: &[*const u32], out: &mut [f32; SIDE * SIDE]) {
    /// Bytes of a step of the left side: for each part, from the highest, two tiles of 1,024.
    const LEFT_STEP: usize = LINES * size_of::<Line>();
    const { assert!(LEFT_STEP == 6144 && RIGHT * size_of::<u32>() == 6144) };
    // SAFETY: the unit is set up, since the thread has tiles. It reads what the caller vouches for; the four stores of 1,024 bytes
    // fill `out`. Tile registers hold nothing else.
    unsafe {
        std::arch::asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "xor {i:e}, {i:e}",
            "mov {a}, {left}",
            "2:",
            "mov {b}, [{steps} + 8*{i}]",
            // Highest with lowest.
            "tileloadd tmm4, [{a} + {line}]",
            "tileloadd tmm6, [{b} + {line} + 2048]",
            "tileloadd tmm5, [{a} + {line} + 1024]",
            "tileloadd tmm7, [{b} + {line} + 5120]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // Highest with middle.
            "tileloadd tmm6, [{b} + {line} + 1024]",
            "tileloadd tmm7, [{b} + {line} + 4096]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // Middle with middle.
            "tileloadd tmm4, [{a} + {line} + 2048]",
            "tileloadd tmm5, [{a} + {line} + 3072]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // Middle with highest.
            "tileloadd tmm6, [{b} + {line}]",
            "tileloadd tmm7, [{b} + {line} + 3072]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // Lowest with highest.
            "tileloadd tmm4, [{a} + {line} + 4096]",
            "tileloadd tmm5, [{a} + {line} + 5120]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {left_step}",
            "inc {i}",
            "cmp {i}, {count}",
            "jb 2b",
            "xor {i:e}, {i:e}",
            "mov {a}, {left}",
            "3:",
            // Highest with highest.
            "mov {b}, [{steps} + 8*{i}]",
            "tileloadd tmm4, [{a} + {line}]",
            "tileloadd tmm6, [{b} + {line}]",
            "tileloadd tmm7, [{b} + {line} + 3072]",
            "tileloadd tmm5, [{a} + {line} + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {left_step}",
            "inc {i}",
            "cmp {i}, {count}",
            "jb 3b",
            "tilestored [{out} + {line}], tmm0",
            "tilestored [{out} + {line} + 1024], tmm1",
            "tilestored [{out} + {line} + 2048], tmm2",
            "tilestored [{out} + {line} + 3072], tmm3",
            left_step = const LEFT_STEP,
            i = out(reg) _,
            a = out(reg) _,
            b = out(reg) _,
            left = in(reg) left,
            steps = in(reg) steps.as_ptr(),
            count = in(reg) steps.len(),
            line = in(reg) size_of::<Line>(),
            out = in(reg) out.as_mut_ptr(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

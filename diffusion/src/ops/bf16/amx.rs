//! Blocks by the tiles of Intel's processors since Sapphire Rapids (Advanced Matrix Extensions).
//!
//! After the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, `TDPBF16PS`.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::arch::asm;

use super::tiles::{First, Place, Right, SIDE};

/// What the loops are told, all distances in bytes.
#[repr(C)]
struct Call {
    begin: *const f32,
    begin_row: usize,
    begin_down: usize,
    begin_across: usize,
    left: *const u32,
    right: *const u32,
    right_row: usize,
    right_tile: usize,
    offsets: *const usize,
    steps: usize,
    out: *mut f32,
    out_row: usize,
    out_down: usize,
}

/// As [`Session::multiply`](super::kernel::Session::multiply).
///
/// # Safety
/// The thread has [`Tiles`](crate::ops::amx::Tiles). `left` holds two tiles for each offset; from each offset `right` holds
/// its tiles, `begin` holds all that it names; `place` is 32 rows of so many columns.
#[allow(unsafe_code)]
pub(super) unsafe fn block(left: &[u32], right: Right<'_>, offsets: &[usize], begin: First, place: Place) {
    let call = Call {
        begin: begin.first,
        begin_row: begin.row * 4,
        begin_down: begin.down * 4,
        begin_across: begin.across * 4,
        left: left.as_ptr(),
        right: right.pairs.as_ptr(),
        right_row: right.row * 4,
        right_tile: right.tile * 4,
        offsets: offsets.as_ptr(),
        steps: offsets.len(),
        out: place.first,
        out_row: place.stride * 4,
        out_down: place.stride * 4 * SIDE,
    };
    match right.tiles {
        // SAFETY: what is asked of the caller.
        1 => unsafe { one(&call) },
        // SAFETY: what is asked of the caller.
        _ => unsafe { two(&call) },
    }
}

/// 32 rows by 32 columns: sums in tiles 0 to 3.
///
/// # Safety
/// As of [`block`].
#[allow(unsafe_code)]
unsafe fn two(call: &Call) {
    // SAFETY: reads and writes what `call` names and nothing else; the tiles are set up and used by nothing else.
    unsafe {
        asm!(
            "mov {x}, [{c}]",
            "mov {s}, [{c} + 8]",
            "mov {t}, [{c} + 16]",
            "mov {a}, [{c} + 24]",
            "tileloadd tmm0, [{x} + {s}*1]",
            "add {x}, {a}",
            "tileloadd tmm1, [{x} + {s}*1]",
            "add {x}, {t}",
            "tileloadd tmm3, [{x} + {s}*1]",
            "sub {x}, {a}",
            "tileloadd tmm2, [{x} + {s}*1]",
            "mov {a}, [{c} + 32]",
            "mov {r}, [{c} + 40]",
            "mov {s}, [{c} + 48]",
            "mov {t}, [{c} + 56]",
            "mov {o}, [{c} + 64]",
            "mov {n}, [{c} + 72]",
            "mov {k}, 64",
            "2:",
            "mov {x}, [{o}]",
            "lea {x}, [{r} + {x}*4]",
            "tileloadd tmm4, [{a} + {k}*1]",
            "tileloadd tmm6, [{x} + {s}*1]",
            "add {x}, {t}",
            "tileloadd tmm5, [{a} + {k}*1 + 1024]",
            "tileloadd tmm7, [{x} + {s}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 2048",
            "add {o}, 8",
            "dec {n}",
            "jnz 2b",
            "mov {x}, [{c} + 80]",
            "mov {s}, [{c} + 88]",
            "mov {t}, [{c} + 96]",
            "tilestored [{x} + {s}*1], tmm0",
            "tilestored [{x} + {s}*1 + 64], tmm1",
            "add {x}, {t}",
            "tilestored [{x} + {s}*1], tmm2",
            "tilestored [{x} + {s}*1 + 64], tmm3",
            c = in(reg) call,
            x = out(reg) _, s = out(reg) _, t = out(reg) _, a = out(reg) _,
            r = out(reg) _, o = out(reg) _, n = out(reg) _, k = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// 32 rows by 16 columns: sums in tiles 0 and 2.
///
/// # Safety
/// As of [`block`].
#[allow(unsafe_code)]
unsafe fn one(call: &Call) {
    // SAFETY: as in `two`.
    unsafe {
        asm!(
            "mov {x}, [{c}]",
            "mov {s}, [{c} + 8]",
            "mov {t}, [{c} + 16]",
            "tileloadd tmm0, [{x} + {s}*1]",
            "add {x}, {t}",
            "tileloadd tmm2, [{x} + {s}*1]",
            "mov {a}, [{c} + 32]",
            "mov {r}, [{c} + 40]",
            "mov {s}, [{c} + 48]",
            "mov {o}, [{c} + 64]",
            "mov {n}, [{c} + 72]",
            "mov {k}, 64",
            "2:",
            "mov {x}, [{o}]",
            "lea {x}, [{r} + {x}*4]",
            "tileloadd tmm4, [{a} + {k}*1]",
            "tileloadd tmm6, [{x} + {s}*1]",
            "tileloadd tmm5, [{a} + {k}*1 + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "add {a}, 2048",
            "add {o}, 8",
            "dec {n}",
            "jnz 2b",
            "mov {x}, [{c} + 80]",
            "mov {s}, [{c} + 88]",
            "mov {t}, [{c} + 96]",
            "tilestored [{x} + {s}*1], tmm0",
            "add {x}, {t}",
            "tilestored [{x} + {s}*1], tmm2",
            c = in(reg) call,
            x = out(reg) _, s = out(reg) _, t = out(reg) _, a = out(reg) _,
            r = out(reg) _, o = out(reg) _, n = out(reg) _, k = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

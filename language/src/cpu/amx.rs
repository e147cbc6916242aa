//! How are small matrices multiplied where the processor has instructions for them?
//!
//! Intel's advanced matrix extensions: eight registers hold tiles of sixteen rows of 64 bytes, and one instruction adds the
//! products of two tiles of half-length floats (bf16) to one of floats. Facts are from Intel's "Architecture Instruction
//! Set Extensions and Future Features", chapter 3; a process on Linux asks the kernel before it may use them.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::LazyLock;

/// Rows of a tile, and floats of a row.
pub(super) const TILE: usize = 16;
/// Half-length floats of a row on the left, and of a column on the right.
pub(super) const STEP: usize = 32;

/// Sixteen rows of sixteen pairs of half-length floats, of which the first is the lower half of a word. On the left of a
/// product a row holds [`STEP`] neighbouring numbers, on the right two neighbouring numbers of each of sixteen columns.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [[u32; TILE]; TILE]);

/// Numbers in two tiles: each is the sum of its two parts.
pub(super) type Halves = [Tile; 2];

/// A tile of zeros.
pub(super) const ZEROS: Halves = [Tile([[0; TILE]; TILE]); 2];

/// Sixteen rows of floats.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[f32; TILE]; TILE]);

/// Shapes of the eight tiles: the first palette, from row 0 on, 64 bytes and 16 rows each.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

static SHAPES: Shapes = Shapes(shapes());

const fn shapes() -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = TILE as u8;
        tile += 1;
    }
    bytes
}

static ALLOWED: LazyLock<bool> = LazyLock::new(|| {
    let allowed = has_instructions() && kernel_allows();
    tracing::info!(allowed, "instructions for products of matrices");
    allowed
});

/// Whether the processor has tiles and products of half-length floats in them.
fn has_instructions() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & BF16_AND_TILES == BF16_AND_TILES
}

/// Asks for the registers, for all threads of the process.
#[cfg(target_os = "linux")]
fn kernel_allows() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the system call `arch_prctl` with these arguments reads and writes no memory of the process; a kernel that
    // does not know them returns an error. It changes the registers that are named.
    #[allow(unsafe_code)]
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn kernel_allows() -> bool {
    false
}

/// Proof that this process may use the instructions.
#[derive(Clone, Copy)]
pub(super) struct MatrixTiles(());

impl MatrixTiles {
    /// `None` where the processor has no such instructions or the kernel refuses them.
    pub(super) fn try_new() -> Option<MatrixTiles> {
        ALLOWED.then_some(MatrixTiles(()))
    }

    /// The products of two times sixteen rows with two times sixteen columns: of each pair the sum over all steps. Of the
    /// four products of the parts of two numbers the smallest, of both lesser ones, is left out.
    pub(super) fn multiply(self, left: [&[Halves]; 2], right: [&[Halves]; 2], out: &mut [[Sums; 2]; 2]) {
        let steps = left[0].len();
        assert!(steps > 0 && left[1].len() == steps && right.iter().all(|right| right.len() == steps));
        // SAFETY: a value of this type is proof that the instructions may be used. The pointers run over `steps` elements
        // of 2048 bytes each of slices that are that long, as was just checked; each load reads 16 rows, 64 bytes apart,
        // of one tile in them, and the four stores write the 4096 bytes of `out`. `SHAPES` is 64 bytes long. The tiles'
        // registers are used by nothing else and are given back in the end.
        #[allow(unsafe_code)]
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{left0} + 1*{stride}]",
                "tileloadd tmm6, [{right0} + 1*{stride}]",
                "tileloadd tmm7, [{right1} + 1*{stride}]",
                "tileloadd tmm5, [{left1} + 1*{stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm6, [{right0} + 1*{stride} + 1024]",
                "tileloadd tmm7, [{right1} + 1*{stride} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm4, [{left0} + 1*{stride} + 1024]",
                "tileloadd tmm6, [{right0} + 1*{stride}]",
                "tileloadd tmm7, [{right1} + 1*{stride}]",
                "tileloadd tmm5, [{left1} + 1*{stride} + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {left0}, 2048",
                "add {left1}, 2048",
                "add {right0}, 2048",
                "add {right1}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + 1*{stride}], tmm0",
                "tilestored [{out} + 1*{stride} + 1024], tmm1",
                "tilestored [{out} + 1*{stride} + 2048], tmm2",
                "tilestored [{out} + 1*{stride} + 3072], tmm3",
                "tilerelease",
                shapes = in(reg) SHAPES.0.as_ptr(),
                left0 = inout(reg) left[0].as_ptr() => _,
                left1 = inout(reg) left[1].as_ptr() => _,
                right0 = inout(reg) right[0].as_ptr() => _,
                right1 = inout(reg) right[1].as_ptr() => _,
                steps = inout(reg) steps => _,
                stride = in(reg) 64usize,
                out = in(reg) out.as_mut_ptr(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

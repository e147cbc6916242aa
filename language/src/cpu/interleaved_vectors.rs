//! What do vectors of interleaved weights hold?
//!
//! Four numbers of each of sixteen rows, as bytes without signs, and scales of as many rows; see [`super::interleaved`].

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::{__m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_dpbusd_epi32};

use pulp::cast;

use super::interleaved::{GROUP, HALVES, HALVES_WITH_MINIMA, Layout, PANEL, SIGNED, SIX_BITS, VECTOR};

/// How far ahead weights are brought near, in bytes: what memory gives in the time that it takes to answer, and as much again.
/// The processor does so by itself only up to the end of a page of 4 KiB.
const AHEAD: usize = 2048;

pulp::simd_type! {
    /// Processors with vectors of 512 bits and products of bytes in them.
    pub(super) struct IntegerProducts {
        pub(super) sse: "sse",
        pub(super) sse2: "sse2",
        pub(super) fxsr: "fxsr",
        pub(super) sse3: "sse3",
        pub(super) ssse3: "ssse3",
        pub(super) sse4_1: "sse4.1",
        pub(super) sse4_2: "sse4.2",
        pub(super) popcnt: "popcnt",
        pub(super) avx: "avx",
        pub(super) avx2: "avx2",
        pub(super) bmi1: "bmi1",
        pub(super) bmi2: "bmi2",
        pub(super) fma: "fma",
        pub(super) lzcnt: "lzcnt",
        pub(super) avx512f: "avx512f",
        pub(super) avx512bw: "avx512bw",
        pub(super) avx512cd: "avx512cd",
        pub(super) avx512dq: "avx512dq",
        pub(super) avx512vl: "avx512vl",
        pub(super) avx512vnni: "avx512vnni",
    }
}

impl IntegerProducts {
    /// Adds to each lane of `sums` the products of its four bytes of `weights`, without signs, with those of `inputs`.
    #[inline(always)]
    pub(super) fn add_products(self, sums: __m512i, weights: __m512i, inputs: i32) -> __m512i {
        let inputs = self.avx512f._mm512_set1_epi32(inputs);
        // SAFETY: a value of this type is proof that the processor has these instructions.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_dpbusd_epi32(sums, weights, inputs)
        }
    }

    /// Has what lies [`AHEAD`] of some bytes brought near.
    #[inline(always)]
    pub(super) fn prefetch(self, bytes: &[u8]) {
        for line in bytes.chunks_exact(VECTOR) {
            let ahead = line.as_ptr().wrapping_add(AHEAD);
            // SAFETY: whatever the address, bringing it near reads nothing that the program sees and stops nowhere.
            #[allow(unsafe_code)]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
            }
        }
    }

    #[inline(always)]
    fn load(self, bytes: &[u8], vector: usize) -> __m512i {
        match bytes.get(vector * VECTOR..).and_then(|rest| rest.first_chunk::<VECTOR>()) {
            Some(bytes) => cast(*bytes),
            None => self.avx512f._mm512_setzero_si512(),
        }
    }

    /// Bits of all bytes.
    #[inline(always)]
    fn bits(self, bits: u8) -> __m512i {
        self.avx512f._mm512_set1_epi32(i32::from_ne_bytes([bits; 4]))
    }

    /// Half-precision numbers, one for each row, from byte `at` on.
    #[inline(always)]
    fn halves(self, bytes: &[u8], at: usize) -> __m512 {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk::<32>()).unwrap_or(&[0; 32]);
        self.avx512f._mm512_cvtph_ps(cast(*bytes))
    }
}

/// Sixteen bytes, one for each row.
#[inline(always)]
fn line(lines: &[u8], line: usize) -> &[u8; PANEL] {
    lines.get(line * PANEL..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; PANEL])
}

/// A type by its [`Layout`], and the instructions.
#[derive(Clone, Copy)]
pub(super) struct Kind<const BITS: usize, const SCALES: usize, const OFFSET: i32> {
    pub(super) simd: IntegerProducts,
}

/// The scales of either half of a group of each row, and its minima.
pub(super) struct Scales {
    pub(super) factors: [__m512; 2],
    pub(super) minima: __m512,
}

impl<const BITS: usize, const SCALES: usize, const OFFSET: i32> Kind<BITS, SCALES, OFFSET> {
    pub(super) const LAYOUT: Layout = Layout { bits: BITS, scales: SCALES, offset: OFFSET };
    /// Whether a group has one scale for each half.
    pub(super) const SPLIT: bool = SCALES == SIGNED;
    pub(super) const HAS_MINIMA: bool = matches!(SCALES, HALVES_WITH_MINIMA | SIX_BITS);

    /// The numbers of a group, four of each row at a time.
    #[inline(always)]
    pub(super) fn numbers(self, group: &[u8]) -> [__m512i; GROUP / 4] {
        let (simd, wide) = (self.simd, self.simd.avx512f);
        let mut numbers = [wide._mm512_setzero_si512(); GROUP / 4];
        if BITS == 8 {
            for word in 0..GROUP / 4 {
                numbers[word] = simd.load(group, word);
            }
            return numbers;
        }
        let low = simd.bits(15);
        for vector in 0..GROUP / 8 {
            let both = simd.load(group, vector);
            numbers[2 * vector] = wide._mm512_and_si512(both, low);
            numbers[2 * vector + 1] = wide._mm512_and_si512(wide._mm512_srli_epi32::<4>(both), low);
        }
        if BITS > 4 {
            let (bits, words) = (BITS - 4, 8 / (BITS - 4));
            let mask = simd.bits(((1 << bits) - 1) << 4);
            for word in 0..GROUP / 4 {
                let high = simd.load(group, 4 + word / words);
                let at = word % words * bits;
                let high = if at < 4 {
                    wide._mm512_sllv_epi32(high, wide._mm512_set1_epi32(4 - at as i32))
                } else {
                    wide._mm512_srlv_epi32(high, wide._mm512_set1_epi32(at as i32 - 4))
                };
                numbers[word] = wide._mm512_or_si512(numbers[word], wide._mm512_and_si512(high, mask));
            }
        }
        numbers
    }

    /// Byte `byte` of each lane, as what it stands for without its scale.
    #[inline(always)]
    pub(super) fn number(self, words: __m512i, byte: usize) -> __m512 {
        let wide = self.simd.avx512f;
        let word = wide._mm512_srlv_epi32(words, wide._mm512_set1_epi32(8 * byte as i32));
        let number = wide._mm512_and_si512(word, wide._mm512_set1_epi32(255));
        wide._mm512_cvtepi32_ps(wide._mm512_sub_epi32(number, wide._mm512_set1_epi32(OFFSET)))
    }

    /// The half-precision numbers of a block.
    #[inline(always)]
    pub(super) fn block_scales(self, scales: &[u8]) -> [__m512; 2] {
        match SCALES {
            HALVES | SIGNED => [self.simd.halves(scales, 0), self.simd.avx512f._mm512_setzero_ps()],
            _ => [self.simd.halves(scales, 0), self.simd.halves(scales, 32)],
        }
    }

    /// Scales of a group of a block, of which `of_block` are the half-precision numbers.
    #[inline(always)]
    pub(super) fn scales(self, of_block: [__m512; 2], scales: &[u8], group: usize) -> Scales {
        let wide = self.simd.avx512f;
        let [scale, minima] = of_block;
        match SCALES {
            SIX_BITS => {
                let lines = &scales[64..];
                let both = wide._mm512_cvtepu8_epi32(cast(*line(lines, group)));
                let rest = wide._mm512_cvtepu8_epi32(cast(*line(lines, 8 + group / 2)));
                let rest = wide._mm512_srlv_epi32(rest, wide._mm512_set1_epi32(group as i32 % 2 * 4));
                let rest = wide._mm512_and_si512(rest, wide._mm512_set1_epi32(15));
                let minimum = wide
                    ._mm512_or_si512(wide._mm512_srli_epi32::<6>(both), wide._mm512_slli_epi32::<2>(rest));
                let factor = wide._mm512_and_si512(both, wide._mm512_set1_epi32(63));
                let factor = wide._mm512_mul_ps(scale, wide._mm512_cvtepi32_ps(factor));
                let minimum = wide._mm512_mul_ps(minima, wide._mm512_cvtepi32_ps(minimum));
                let minima = wide._mm512_sub_ps(wide._mm512_setzero_ps(), minimum);
                Scales { factors: [factor; 2], minima }
            }
            SIGNED => {
                let lines = &scales[32..];
                let mut factors = [scale; 2];
                for half in 0..2 {
                    let factor = wide._mm512_cvtepi8_epi32(cast(*line(lines, 2 * group + half)));
                    factors[half] = wide._mm512_mul_ps(scale, wide._mm512_cvtepi32_ps(factor));
                }
                Scales { factors, minima }
            }
            _ => Scales { factors: [scale; 2], minima },
        }
    }
}

/// Calls a function with the [`Kind`] of a type of weights and more.
macro_rules! with_kind {
    ($simd:expr, $stored:expr, $call:ident($($argument:expr),*)) => {
        match $stored {
            StoredType::Q4_0 => $call(Kind::<4, HALVES, 8> { simd: $simd }, $($argument),*),
            StoredType::Q4_1 => $call(Kind::<4, HALVES_WITH_MINIMA, 0> { simd: $simd }, $($argument),*),
            StoredType::Q5_0 => $call(Kind::<5, HALVES, 16> { simd: $simd }, $($argument),*),
            StoredType::Q5_1 => $call(Kind::<5, HALVES_WITH_MINIMA, 0> { simd: $simd }, $($argument),*),
            StoredType::Q8_0 => $call(Kind::<8, HALVES, 128> { simd: $simd }, $($argument),*),
            StoredType::Q4K => $call(Kind::<4, SIX_BITS, 0> { simd: $simd }, $($argument),*),
            StoredType::Q5K => $call(Kind::<5, SIX_BITS, 0> { simd: $simd }, $($argument),*),
            StoredType::Q6K => $call(Kind::<6, SIGNED, 32> { simd: $simd }, $($argument),*),
            // No other type is interleaved.
            _ => {}
        }
    };
}
pub(super) use with_kind;

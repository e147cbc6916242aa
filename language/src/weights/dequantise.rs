//! How is a block of a stored tensor turned into 32-bit floats?

use half::{bf16, f16};
use pulp::Arch;

use super::few_bits;

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredType {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// 32 four-bit numbers with one scale, centred on 8.
    Q4_0,
    /// 32 four-bit numbers with a scale and a minimum.
    Q4_1,
    /// 32 five-bit numbers with one scale, centred on 16.
    Q5_0,
    /// 32 five-bit numbers with a scale and a minimum.
    Q5_1,
    /// 32 eight-bit numbers with one scale.
    Q8_0,
    /// 256 four-bit numbers in eight groups with six-bit scales and minima.
    Q4K,
    /// 256 five-bit numbers in eight groups with six-bit scales and minima.
    Q5K,
    /// 256 six-bit numbers in sixteen groups with eight-bit scales.
    Q6K,
    /// 256 two-bit numbers in sixteen groups with four-bit scales and minima.
    Q2K,
    /// 256 three-bit numbers in sixteen groups with six-bit scales.
    Q3K,
    /// 256 numbers of 2.06 bits: rows of eight from a table, with signs.
    Iq2Xxs,
    /// 256 numbers of 2.3 bits.
    Iq2Xs,
    /// 256 numbers of 2.6 bits.
    Iq2S,
    /// 256 numbers of 3.06 bits: rows of four from a table, with signs.
    Iq3Xxs,
    /// 256 numbers of 3.4 bits.
    Iq3S,
    /// 256 numbers of 1.6 bits: rows of eight of −1, 0 and 1, moved by an eighth.
    Iq1S,
    /// 256 numbers of 1.75 bits.
    Iq1M,
    /// 32 four-bit numbers that mean steps of unlike size.
    Iq4Nl,
    /// 256 of them in eight groups with six-bit scales.
    Iq4Xs,
}

impl StoredType {
    /// The GGUF number of this type, or `None` where we cannot read it.
    pub fn from_gguf(number: u32) -> Option<StoredType> {
        Some(match number {
            0 => StoredType::F32,
            1 => StoredType::F16,
            2 => StoredType::Q4_0,
            3 => StoredType::Q4_1,
            6 => StoredType::Q5_0,
            7 => StoredType::Q5_1,
            8 => StoredType::Q8_0,
            10 => StoredType::Q2K,
            11 => StoredType::Q3K,
            12 => StoredType::Q4K,
            13 => StoredType::Q5K,
            14 => StoredType::Q6K,
            16 => StoredType::Iq2Xxs,
            17 => StoredType::Iq2Xs,
            18 => StoredType::Iq3Xxs,
            19 => StoredType::Iq1S,
            20 => StoredType::Iq4Nl,
            21 => StoredType::Iq3S,
            22 => StoredType::Iq2S,
            23 => StoredType::Iq4Xs,
            29 => StoredType::Iq1M,
            30 => StoredType::Bf16,
            _ => return None,
        })
    }

    /// Numbers in one block.
    pub fn block_len(self) -> usize {
        match self {
            StoredType::F32 | StoredType::F16 | StoredType::Bf16 => 1,
            StoredType::Q4_0
            | StoredType::Q4_1
            | StoredType::Q5_0
            | StoredType::Q5_1
            | StoredType::Q8_0
            | StoredType::Iq4Nl => 32,
            _ => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            StoredType::F32 => 4,
            StoredType::F16 | StoredType::Bf16 => 2,
            StoredType::Q4_0 => 18,
            StoredType::Q4_1 => 20,
            StoredType::Q5_0 => 22,
            StoredType::Q5_1 => 24,
            StoredType::Q8_0 => 34,
            StoredType::Q4K => 144,
            StoredType::Q5K => 176,
            StoredType::Q6K => 210,
            StoredType::Q2K => 84,
            StoredType::Q3K => 110,
            StoredType::Iq2Xxs => 66,
            StoredType::Iq2Xs => 74,
            StoredType::Iq2S => 82,
            StoredType::Iq3Xxs => 98,
            StoredType::Iq3S => 110,
            StoredType::Iq1S => 50,
            StoredType::Iq1M => 56,
            StoredType::Iq4Nl => 18,
            StoredType::Iq4Xs => 136,
        }
    }

    /// Bytes of a row of `width` numbers, which are whole blocks.
    pub fn row_bytes(self, width: usize) -> usize {
        width / self.block_len() * self.block_bytes()
    }

    /// Writes the numbers of `bytes`, which holds whole blocks, to `out`.
    pub fn dequantise(self, bytes: &[u8], out: &mut [f32]) {
        Arch::new().dispatch(
            #[inline(always)]
            || match self {
                StoredType::F32 => each_block::<4, 1>(bytes, out, |b, out| out[0] = f32::from_le_bytes(*b)),
                StoredType::F16 => each_block::<2, 1>(bytes, out, |b, out| out[0] = half(b)),
                StoredType::Bf16 => {
                    each_block::<2, 1>(bytes, out, |b, out| out[0] = bf16::from_le_bytes(*b).to_f32());
                }
                StoredType::Q4_0 => each_block(bytes, out, q4_0),
                StoredType::Q4_1 => each_block(bytes, out, q4_1),
                StoredType::Q5_0 => each_block(bytes, out, q5_0),
                StoredType::Q5_1 => each_block(bytes, out, q5_1),
                StoredType::Q8_0 => each_block(bytes, out, q8_0),
                StoredType::Q4K => each_block(bytes, out, q4_k),
                StoredType::Q5K => each_block(bytes, out, q5_k),
                StoredType::Q6K => each_block(bytes, out, q6_k),
                StoredType::Q2K => each_block(bytes, out, few_bits::q2_k),
                StoredType::Q3K => each_block(bytes, out, few_bits::q3_k),
                StoredType::Iq2Xxs => each_block(bytes, out, few_bits::iq2_xxs),
                StoredType::Iq2Xs => each_block(bytes, out, few_bits::iq2_xs),
                StoredType::Iq2S => each_block(bytes, out, few_bits::iq2_s),
                StoredType::Iq3Xxs => each_block(bytes, out, few_bits::iq3_xxs),
                StoredType::Iq3S => each_block(bytes, out, few_bits::iq3_s),
                StoredType::Iq1S => each_block(bytes, out, few_bits::iq1_s),
                StoredType::Iq1M => each_block(bytes, out, few_bits::iq1_m),
                StoredType::Iq4Nl => each_block(bytes, out, few_bits::iq4_nl),
                StoredType::Iq4Xs => each_block(bytes, out, few_bits::iq4_xs),
            },
        );
    }
}

/// Calls `block` for each block with fixed sizes, so that its loops can be unrolled and vectorised.
#[inline(always)]
fn each_block<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (bytes, out) in bytes.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0) {
        block(bytes, out);
    }
}

/// The half-precision number at the start of `bytes`.
#[inline(always)]
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

#[inline(always)]
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half(block);
    for i in 0..16 {
        out[i] = (f32::from(block[2 + i] & 15) - 8.0) * scale;
        out[i + 16] = (f32::from(block[2 + i] >> 4) - 8.0) * scale;
    }
}

#[inline(always)]
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    for i in 0..16 {
        out[i] = f32::from(block[4 + i] & 15) * scale + minimum;
        out[i + 16] = f32::from(block[4 + i] >> 4) * scale + minimum;
    }
}

/// Number `i` of 32: its low four bits with its fifth bit, which lies in a word of its own.
#[inline(always)]
fn five_bits(fifths: u32, packed: &[u8], i: usize) -> f32 {
    let low = if i < 16 { packed[i] & 15 } else { packed[i - 16] >> 4 };
    f32::from(low | (((fifths >> i) & 1) << 4) as u8)
}

#[inline(always)]
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let scale = half(block);
    let fifths = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = (five_bits(fifths, &block[6..22], i) - 16.0) * scale;
    }
}

#[inline(always)]
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    let fifths = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = five_bits(fifths, &block[8..24], i) * scale + minimum;
    }
}

#[inline(always)]
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half(block);
    for i in 0..32 {
        out[i] = f32::from(block[2 + i].cast_signed()) * scale;
    }
}

/// The six-bit scale and minimum of group `group` of eight, out of twelve packed bytes.
#[inline(always)]
pub(crate) fn scale_and_minimum(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, minimum) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        (
            (packed[group + 4] & 15) | ((packed[group - 4] >> 6) << 4),
            (packed[group + 4] >> 4) | ((packed[group] >> 6) << 4),
        )
    };
    (f32::from(scale), f32::from(minimum))
}

#[inline(always)]
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    for group in 0..8 {
        let (group_scale, group_minimum) = scale_and_minimum(&block[4..16], group);
        let (d, m) = (scale * group_scale, minimum * group_minimum);
        let (packed, shift) = (&block[16 + group / 2 * 32..][..32], group % 2 * 4);
        for (out, byte) in out[32 * group..][..32].iter_mut().zip(packed) {
            *out = d * f32::from((byte >> shift) & 15) - m;
        }
    }
}

#[inline(always)]
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    for group in 0..8 {
        let (group_scale, group_minimum) = scale_and_minimum(&block[4..16], group);
        let (d, m) = (scale * group_scale, minimum * group_minimum);
        let (packed, shift) = (&block[48 + group / 2 * 32..][..32], group % 2 * 4);
        for ((out, byte), fifth) in out[32 * group..][..32].iter_mut().zip(packed).zip(&block[16..48]) {
            let number = ((byte >> shift) & 15) | (((fifth >> group) & 1) << 4);
            *out = d * f32::from(number) - m;
        }
    }
}

#[inline(always)]
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let scale = half(&block[208..]);
    for side in 0..2 {
        for quarter in 0..4 {
            let low = &block[64 * side + 32 * (quarter % 2)..][..32];
            let high = &block[128 + 32 * side..][..32];
            for i in 0..32 {
                let nibble = (low[i] >> (4 * (quarter / 2))) & 15;
                let number = nibble | (((high[i] >> (2 * quarter)) & 3) << 4);
                let group_scale = f32::from(block[192 + 8 * side + 2 * quarter + i / 16].cast_signed());
                out[128 * side + 32 * quarter + i] = scale * group_scale * (f32::from(number) - 32.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(stored: StoredType, bytes: &[u8]) -> Vec<f32> {
        let mut out = vec![f32::NAN; bytes.len() / stored.block_bytes() * stored.block_len()];
        stored.dequantise(bytes, &mut out);
        out
    }

    fn half_bytes(value: f32) -> [u8; 2] {
        f16::from_f32(value).to_le_bytes()
    }

    #[test]
    fn plain_floats_are_read_as_they_are() {
        assert_eq!(numbers(StoredType::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(numbers(StoredType::F16, &half_bytes(-0.25)), [-0.25]);
        assert_eq!(numbers(StoredType::Bf16, &bf16::from_f32(3.0).to_le_bytes()), [3.0]);
    }

    #[test]
    fn four_bit_blocks_put_low_nibbles_first() {
        let mut block = half_bytes(0.5).to_vec();
        block.extend([0x90; 16]);
        let out = numbers(StoredType::Q4_0, &block);
        assert_eq!((out[0], out[15], out[16], out[31]), (-4.0, -4.0, 0.5, 0.5));

        let mut block = half_bytes(0.5).to_vec();
        block.extend(half_bytes(-1.0));
        block.extend([0x3f; 16]);
        let out = numbers(StoredType::Q4_1, &block);
        assert_eq!((out[0], out[16], out.len()), (6.5, 0.5, 32));
    }

    #[test]
    fn five_bit_blocks_take_their_fifth_bits_from_one_word() {
        let mut block = half_bytes(0.5).to_vec();
        block.extend(0x8001_0002u32.to_le_bytes());
        block.extend([0x90; 16]);
        let out = numbers(StoredType::Q5_0, &block);
        assert_eq!((out[0], out[1], out[16], out[17], out[31]), (-8.0, 0.0, 4.5, -3.5, 4.5));
        let mut block = half_bytes(0.5).to_vec();
        block.extend(half_bytes(-1.0));
        block.extend(0x8001_0002u32.to_le_bytes());
        block.extend([0x90; 16]);
        let out = numbers(StoredType::Q5_1, &block);
        assert_eq!((out[0], out[1], out[16], out[17], out[31]), (-1.0, 7.0, 11.5, 3.5, 11.5));
    }

    #[test]
    fn eight_bit_blocks_are_signed() {
        let mut block = half_bytes(0.25).to_vec();
        block.extend([0xff; 32]);
        assert_eq!(numbers(StoredType::Q8_0, &block), [-0.25; 32]);
    }

    /// Scales 1..=8 and minima 8..=1, in the packing that the K formats share.
    fn packed_scales() -> [u8; 12] {
        let mut packed = [0u8; 12];
        for group in 0..8 {
            let (scale, minimum) = (33 + group as u8, 48 - group as u8);
            if group < 4 {
                packed[group] |= scale;
                packed[group + 4] |= minimum;
            } else {
                packed[group + 4] |= (scale & 15) | ((minimum & 15) << 4);
                packed[group - 4] |= (scale >> 4) << 6;
                packed[group] |= (minimum >> 4) << 6;
            }
        }
        packed
    }

    #[test]
    fn k_blocks_scale_each_group_of_thirty_two() {
        let mut block = half_bytes(1.0).to_vec();
        block.extend(half_bytes(2.0));
        block.extend(packed_scales());
        block.extend([0x52; 128]);
        let out = numbers(StoredType::Q4K, &block);
        assert_eq!(out.len(), 256);
        for group in 0..8 {
            let number = if group % 2 == 0 { 2.0 } else { 5.0 };
            let expected = (33 + group) as f32 * number - 2.0 * (48 - group) as f32;
            assert!(out[32 * group..32 * group + 32].iter().all(|value| *value == expected), "group {group}");
        }

        let mut block = half_bytes(1.0).to_vec();
        block.extend(half_bytes(0.0));
        block.extend(packed_scales());
        block.extend([0b1000_0010; 32]);
        block.extend([0x52; 128]);
        let out = numbers(StoredType::Q5K, &block);
        for group in 0..8 {
            let number = if group % 2 == 0 { 2.0 } else { 5.0 };
            let fifth = if group == 1 || group == 7 { 16.0 } else { 0.0 };
            assert_eq!(out[32 * group], (33 + group) as f32 * (number + fifth), "group {group}");
        }
    }

    #[test]
    fn six_bit_blocks_join_nibbles_and_pairs() {
        let mut block = vec![0x52; 128];
        block.extend([0b11_10_01_00; 64]);
        block.extend((0..16).map(|group| group + 1));
        block.extend(half_bytes(0.5));
        let out = numbers(StoredType::Q6K, &block);
        assert_eq!(out.len(), 256);
        // Quarter 0: nibble 2, pair 0; quarter 3: nibble 5, pair 3.
        assert_eq!(out[0], 0.5 * 1.0 * (2.0 - 32.0));
        assert_eq!(out[127], 0.5 * 8.0 * (53.0 - 32.0));
        assert_eq!(out[128], 0.5 * 9.0 * (2.0 - 32.0));
    }
}

//! How is a block of a stored tensor turned into 32-bit floats?

use half::{bf16, f16};

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
    /// 32 eight-bit numbers with one scale.
    Q8_0,
    /// 256 four-bit numbers in eight groups with six-bit scales and minima.
    Q4K,
    /// 256 five-bit numbers in eight groups with six-bit scales and minima.
    Q5K,
    /// 256 six-bit numbers in sixteen groups with eight-bit scales.
    Q6K,
}

impl StoredType {
    /// The GGUF number of this type, or `None` where we cannot read it.
    pub fn from_gguf(number: u32) -> Option<StoredType> {
        Some(match number {
            0 => StoredType::F32,
            1 => StoredType::F16,
            2 => StoredType::Q4_0,
            3 => StoredType::Q4_1,
            8 => StoredType::Q8_0,
            12 => StoredType::Q4K,
            13 => StoredType::Q5K,
            14 => StoredType::Q6K,
            30 => StoredType::Bf16,
            _ => return None,
        })
    }

    /// Numbers in one block.
    pub fn block_len(self) -> usize {
        match self {
            StoredType::F32 | StoredType::F16 | StoredType::Bf16 => 1,
            StoredType::Q4_0 | StoredType::Q4_1 | StoredType::Q8_0 => 32,
            StoredType::Q4K | StoredType::Q5K | StoredType::Q6K => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            StoredType::F32 => 4,
            StoredType::F16 | StoredType::Bf16 => 2,
            StoredType::Q4_0 => 18,
            StoredType::Q4_1 => 20,
            StoredType::Q8_0 => 34,
            StoredType::Q4K => 144,
            StoredType::Q5K => 176,
            StoredType::Q6K => 210,
        }
    }

    /// Appends the numbers of `bytes`, which holds whole blocks, to `out`.
    pub fn dequantise(self, bytes: &[u8], out: &mut Vec<f32>) {
        let blocks = bytes.chunks_exact(self.block_bytes());
        match self {
            StoredType::F32 => out.extend(blocks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
            StoredType::F16 => out.extend(blocks.map(half)),
            StoredType::Bf16 => out.extend(blocks.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())),
            StoredType::Q4_0 => blocks.for_each(|b| q4_0(b, out)),
            StoredType::Q4_1 => blocks.for_each(|b| q4_1(b, out)),
            StoredType::Q8_0 => blocks.for_each(|b| q8_0(b, out)),
            StoredType::Q4K => blocks.for_each(|b| q4_k(b, out)),
            StoredType::Q5K => blocks.for_each(|b| q5_k(b, out)),
            StoredType::Q6K => blocks.for_each(|b| q6_k(b, out)),
        }
    }
}

/// The half-precision number at the start of `bytes`.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

fn q4_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block);
    let packed = &block[2..18];
    out.extend(packed.iter().map(|byte| (f32::from(byte & 15) - 8.0) * scale));
    out.extend(packed.iter().map(|byte| (f32::from(byte >> 4) - 8.0) * scale));
}

fn q4_1(block: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    let packed = &block[4..20];
    out.extend(packed.iter().map(|byte| f32::from(byte & 15) * scale + minimum));
    out.extend(packed.iter().map(|byte| f32::from(byte >> 4) * scale + minimum));
}

fn q8_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block);
    out.extend(block[2..34].iter().map(|byte| f32::from(byte.cast_signed()) * scale));
}

/// The six-bit scale and minimum of group `group` of eight, out of twelve packed bytes.
fn scale_and_minimum(packed: &[u8], group: usize) -> (f32, f32) {
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

fn q4_k(block: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    let (scales, packed) = (&block[4..16], &block[16..144]);
    for (pair, bytes) in packed.chunks_exact(32).enumerate() {
        for (group, shift) in [(2 * pair, 0), (2 * pair + 1, 4)] {
            let (group_scale, group_minimum) = scale_and_minimum(scales, group);
            let (d, m) = (scale * group_scale, minimum * group_minimum);
            out.extend(bytes.iter().map(|byte| d * f32::from((byte >> shift) & 15) - m));
        }
    }
}

fn q5_k(block: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum) = (half(block), half(&block[2..]));
    let (scales, high, packed) = (&block[4..16], &block[16..48], &block[48..176]);
    for (pair, bytes) in packed.chunks_exact(32).enumerate() {
        for (group, shift) in [(2 * pair, 0), (2 * pair + 1, 4)] {
            let (group_scale, group_minimum) = scale_and_minimum(scales, group);
            let (d, m) = (scale * group_scale, minimum * group_minimum);
            out.extend(bytes.iter().zip(high).map(|(byte, fifth)| {
                let number = ((byte >> shift) & 15) | (((fifth >> group) & 1) << 4);
                d * f32::from(number) - m
            }));
        }
    }
}

fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(&block[208..]);
    for side in 0..2 {
        let low = &low[64 * side..64 * side + 64];
        let high = &high[32 * side..32 * side + 32];
        let scales = &scales[8 * side..8 * side + 8];
        for quarter in 0..4 {
            for i in 0..32 {
                let nibble = low[32 * (quarter % 2) + i] >> (4 * (quarter / 2)) & 15;
                let number = nibble | (((high[i] >> (2 * quarter)) & 3) << 4);
                let group_scale = f32::from(scales[2 * quarter + i / 16].cast_signed());
                out.push(scale * group_scale * (f32::from(number) - 32.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(stored: StoredType, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
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

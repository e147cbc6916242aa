//! Blocks of one to four bits a number, with tables: the types of GGUF that begin with Q2, Q3 and IQ.
//!
//! Layouts and tables are facts of the format (`ggml-common.h` and `ggml-quants.c` of llama.cpp).

use half::f16;

/// Rows of the tables, packed: eight numbers of two bits (of IQ2 and IQ1), or four of four bits (of IQ3).
static GRIDS: &[u8; 9216] = include_bytes!("grids.bin");
const IQ2_XXS_AT: usize = 0;
const IQ2_XS_AT: usize = 512;
const IQ2_S_AT: usize = 1536;
const IQ3_XXS_AT: usize = 3584;
const IQ3_S_AT: usize = 4096;
const IQ1_AT: usize = 5120;
/// What the two bits of IQ2 mean.
const IQ2: [f32; 4] = [8.0, 25.0, 43.0, 0.0];
/// What the two bits of IQ1 mean.
const IQ1: [f32; 4] = [-1.0, 0.0, 1.0, 0.0];
const IQ1_DELTA: f32 = 0.125;
/// What the bits of IQ3's two types mean.
const IQ3_XXS: [f32; 8] = [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0];
const IQ3_S: [f32; 8] = [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0];
/// What the four bits of IQ4 mean.
const IQ4: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[4 * at], bytes[4 * at + 1], bytes[4 * at + 2], bytes[4 * at + 3]])
}

/// The nibble of a group of scales, two in a byte.
fn nibble(bytes: &[u8], at: usize) -> f32 {
    f32::from((bytes[at / 2] >> (4 * (at % 2))) & 15)
}

/// Eight numbers of a row of a table, each with the sign that its bit says.
fn eight(table: usize, row: usize, values: &[f32; 4], scale: f32, signs: u8, out: &mut [f32]) {
    for (e, out) in out[..8].iter_mut().enumerate() {
        let packed = GRIDS[table + 2 * row + e / 4] >> (2 * (e % 4)) & 3;
        let value = scale * values[usize::from(packed)];
        *out = if (signs >> e) & 1 == 0 { value } else { -value };
    }
}

/// Four numbers of a row of IQ3's tables.
fn four(table: usize, row: usize, values: &[f32; 8], scale: f32, signs: u8, out: &mut [f32]) {
    for (e, out) in out[..4].iter_mut().enumerate() {
        let packed = GRIDS[table + 2 * row + e / 2] >> (4 * (e % 2)) & 7;
        let value = scale * values[usize::from(packed)];
        *out = if (signs >> e) & 1 == 0 { value } else { -value };
    }
}

/// Eight signs of seven bits: the last makes their count even.
fn even_signs(seven: u32) -> u8 {
    let seven = (seven & 127) as u8;
    seven | ((seven.count_ones() as u8 & 1) << 7)
}

pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scale, minimum) = (half(&block[80..]), half(&block[82..]));
    for (place, out) in out.iter_mut().enumerate() {
        let (side, shift, i) = (place / 128, place / 32 % 4, place % 32);
        let packed = block[place / 16];
        let number = (block[16 + 32 * side + i] >> (2 * shift)) & 3;
        *out = scale * f32::from(packed & 15) * f32::from(number) - minimum * f32::from(packed >> 4);
    }
}

pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let scale = half(&block[108..]);
    let scales = &block[96..108];
    for (place, out) in out.iter_mut().enumerate() {
        let (side, shift, i, group) = (place / 128, place / 32 % 4, place % 32, place / 16);
        let low = if group < 8 { scales[group] & 15 } else { scales[group - 8] >> 4 };
        let high = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
        let number = f32::from((block[32 + 32 * side + i] >> (2 * shift)) & 3);
        let offset = if (block[i] >> (4 * side + shift)) & 1 == 0 { 4.0 } else { 0.0 };
        *out = scale * (f32::from(low | (high << 4)) - 32.0) * (number - offset);
    }
}

pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut [f32; 256]) {
    let scale = half(block);
    for group in 0..8 {
        let (rows, rest) = (&block[2 + 8 * group..][..4], long(&block[2..], 2 * group + 1));
        let scale = scale * (0.5 + (rest >> 28) as f32) * 0.25;
        for (l, row) in rows.iter().enumerate() {
            let signs = even_signs(rest >> (7 * l));
            eight(IQ2_XXS_AT, usize::from(*row), &IQ2, scale, signs, &mut out[32 * group + 8 * l..]);
        }
    }
}

pub(super) fn iq2_xs(block: &[u8; 74], out: &mut [f32; 256]) {
    let scale = half(block);
    for i in 0..32 {
        let packed = word(&block[2..], i);
        let scale = scale * (0.5 + nibble(&block[66..], i / 2)) * 0.25;
        let signs = even_signs(u32::from(packed >> 9));
        eight(IQ2_XS_AT, usize::from(packed & 511), &IQ2, scale, signs, &mut out[8 * i..]);
    }
}

pub(super) fn iq2_s(block: &[u8; 82], out: &mut [f32; 256]) {
    let scale = half(block);
    for i in 0..32 {
        let high = usize::from((block[66 + i / 4] >> (2 * (i % 4))) & 3);
        let scale = scale * (0.5 + nibble(&block[74..], i / 2)) * 0.25;
        let row = usize::from(block[2 + i]) | (high << 8);
        eight(IQ2_S_AT, row, &IQ2, scale, block[34 + i], &mut out[8 * i..]);
    }
}

pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut [f32; 256]) {
    let scale = half(block);
    for i in 0..64 {
        let rest = long(&block[66..], i / 8);
        let scale = scale * (0.5 + (rest >> 28) as f32) * 0.5;
        let signs = even_signs(rest >> (7 * (i % 8 / 2))) >> (4 * (i % 2));
        four(IQ3_XXS_AT, usize::from(block[2 + i]), &IQ3_XXS, scale, signs, &mut out[4 * i..]);
    }
}

pub(super) fn iq3_s(block: &[u8; 110], out: &mut [f32; 256]) {
    let scale = half(block);
    for i in 0..64 {
        let high = usize::from((block[66 + i / 8] >> (i % 8)) & 1);
        let scale = scale * (1.0 + 2.0 * nibble(&block[106..], i / 8));
        let signs = block[74 + i / 2] >> (4 * (i % 2));
        four(IQ3_S_AT, usize::from(block[2 + i]) | (high << 8), &IQ3_S, scale, signs, &mut out[4 * i..]);
    }
}

pub(super) fn iq1_s(block: &[u8; 50], out: &mut [f32; 256]) {
    let scale = half(block);
    for i in 0..32 {
        let high = word(&block[34..], i / 4);
        let scale = scale * f32::from(2 * ((high >> 12) & 7) + 1);
        let delta = if high & 0x8000 == 0 { IQ1_DELTA } else { -IQ1_DELTA };
        let row = usize::from(block[2 + i]) | (usize::from((high >> (3 * (i % 4))) & 7) << 8);
        iq1(row, scale, delta, &mut out[8 * i..]);
    }
}

pub(super) fn iq1_m(block: &[u8; 56], out: &mut [f32; 256]) {
    let scales = &block[48..];
    // The scale of the whole block lies in the upper bits of four words.
    let bits = (0..4).fold(0, |bits, at| bits | ((word(scales, at) >> 12) << (4 * at)));
    let scale = f16::from_bits(bits).to_f32();
    for i in 0..32 {
        let group = i / 2;
        let scale = scale * f32::from(2 * ((word(scales, group / 4) >> (3 * (group % 4))) & 7) + 1);
        let high = block[32 + i / 2] >> (4 * (i % 2));
        let delta = if high & 8 == 0 { IQ1_DELTA } else { -IQ1_DELTA };
        iq1(usize::from(block[i]) | (usize::from(high & 7) << 8), scale, delta, &mut out[8 * i..]);
    }
}

fn iq1(row: usize, scale: f32, delta: f32, out: &mut [f32]) {
    eight(IQ1_AT, row, &IQ1, 1.0, 0, out);
    out[..8].iter_mut().for_each(|value| *value = scale * (*value + delta));
}

pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    iq4(half(block), &block[2..], out);
}

pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let (scale, high) = (half(block), word(&block[2..], 0));
    for group in 0..8 {
        let six = nibble(&block[4..], group) + 16.0 * f32::from((high >> (2 * group)) & 3);
        iq4(scale * (six - 32.0), &block[8 + 16 * group..], &mut out[32 * group..]);
    }
}

fn iq4(scale: f32, packed: &[u8], out: &mut [f32]) {
    for (i, byte) in packed[..16].iter().enumerate() {
        out[i] = scale * IQ4[usize::from(byte & 15)];
        out[i + 16] = scale * IQ4[usize::from(byte >> 4)];
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::super::StoredType;

    /// Numbers of random blocks, as the format's own library for Python reads them (`gguf` 0.19).
    #[test]
    fn blocks_are_read_as_the_reference_reads_them() {
        let bytes = include_bytes!("../../tests/fixtures/gguf_blocks.safetensors");
        let file = SafeTensors::deserialize(bytes).unwrap();
        for (number, name) in [
            (10, "Q2_K"),
            (11, "Q3_K"),
            (16, "IQ2_XXS"),
            (17, "IQ2_XS"),
            (18, "IQ3_XXS"),
            (19, "IQ1_S"),
            (20, "IQ4_NL"),
            (21, "IQ3_S"),
            (22, "IQ2_S"),
            (23, "IQ4_XS"),
            (29, "IQ1_M"),
        ] {
            let stored = StoredType::from_gguf(number).unwrap();
            let packed = file.tensor(&format!("{name}.bytes")).unwrap();
            let expected = file.tensor(&format!("{name}.values")).unwrap();
            assert_eq!(packed.shape()[1], stored.block_bytes(), "{name}");
            let expected: Vec<f32> =
                expected.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
            let mut found = vec![f32::NAN; expected.len()];
            stored.dequantise(packed.data(), &mut found);
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let near = (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3);
                assert!(near, "{name}[{place}]: {found} for {expected}");
            }
        }
    }
}

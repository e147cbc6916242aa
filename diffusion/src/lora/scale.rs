//! How much of a LoRA: of text encoders and UNet alike or each its own, and of each block of the UNet.

use serde::{Deserialize, Serialize};

/// Blocks of the UNet that lists of weights name, the first of all being the text encoders: `IN00`–`IN11`, `MID` and
/// `OUT00`–`OUT11` of the original code, in the lengths that the extension `sd-webui-lora-block-weight` of A1111 takes: those
/// with attention of Stable Diffusion 1.x (17) and XL (12), and all of either (26 and 20).
const LAYOUTS: [(&[usize], &[usize]); 4] = [
    (&[1, 2, 4, 5, 7, 8], &[3, 4, 5, 6, 7, 8, 9, 10, 11]),
    (&[4, 5, 7, 8], &[0, 1, 2, 3, 4, 5]),
    (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    (&[0, 1, 2, 3, 4, 5, 6, 7, 8], &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
];

/// How much of a LoRA is merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraScale {
    /// Of what it does to the UNet; 1 is all.
    pub unet: f64,
    /// Of what it does to the text encoders.
    pub text: f64,
    /// A weight for the text encoders and for each block of the UNet, times the above; empty is 1 everywhere. 12, 17, 20 or
    /// 26 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<f64>,
}

impl From<f64> for LoraScale {
    fn from(scale: f64) -> LoraScale {
        LoraScale { unet: scale, text: scale, blocks: Vec::new() }
    }
}

impl LoraScale {
    /// Lengths that [`LoraScale::blocks`] may have.
    pub const BLOCKS: [usize; 4] = [12, 17, 20, 26];

    /// All numbers of it.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        [self.unet, self.text].into_iter().chain(self.blocks.iter().copied())
    }

    /// Of the text encoders.
    pub(super) fn of_text(&self) -> f64 {
        self.text * self.blocks.first().copied().unwrap_or(1.0)
    }

    /// Of a weight of the UNet by its original name; what lies in no block counts whole.
    pub(super) fn of_unet(&self, original: Option<&str>) -> f64 {
        let place = original.and_then(|name| self.place(name));
        self.unet * place.and_then(|place| self.blocks.get(place)).copied().unwrap_or(1.0)
    }

    /// Where the weight of a block stands in the list.
    fn place(&self, original: &str) -> Option<usize> {
        let length = |(ins, outs): &&(&[usize], &[usize])| 2 + ins.len() + outs.len() == self.blocks.len();
        let (ins, outs) = LAYOUTS.iter().find(length)?;
        let number = |prefix: &str| -> Option<usize> {
            original.strip_prefix(prefix)?.split('.').next()?.parse().ok()
        };
        if let Some(block) = number("input_blocks.") {
            return ins.iter().position(|known| *known == block).map(|place| 1 + place);
        }
        if original.starts_with("middle_block.") {
            return Some(1 + ins.len());
        }
        let block = number("output_blocks.")?;
        outs.iter().position(|known| *known == block).map(|place| 2 + ins.len() + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_every_length_of_list() {
        for length in LoraScale::BLOCKS {
            let blocks: Vec<f64> = (0..length).map(|place| place as f64).collect();
            let scale = LoraScale { unet: 2.0, text: 3.0, blocks };
            assert_eq!(scale.of_text(), 0.0);
            let of = |name: &str| scale.of_unet(Some(name)) / 2.0;
            let (first_in, last_out) = match length {
                12 => ("input_blocks.4.1.x", "output_blocks.5.1.x"),
                17 => ("input_blocks.1.1.x", "output_blocks.11.1.x"),
                20 => ("input_blocks.0.0.x", "output_blocks.8.1.x"),
                _ => ("input_blocks.0.0.x", "output_blocks.11.1.x"),
            };
            assert_eq!((of(first_in), of(last_out)), (1.0, (length - 1) as f64), "{length}");
            assert_eq!(of("time_embed.0.weight"), 1.0);
        }
        let plain = LoraScale::from(0.5);
        assert_eq!((plain.of_text(), plain.of_unet(Some("middle_block.1.x"))), (0.5, 0.5));
        let of_17 = LoraScale { unet: 1.0, text: 1.0, blocks: (0..17).map(f64::from).collect() };
        assert_eq!(of_17.of_unet(Some("middle_block.1.x")), 7.0);
        assert_eq!(of_17.of_unet(Some("input_blocks.3.0.op")), 1.0, "a block without a weight counts whole");
    }
}

//! What a model takes: of the disk, of memory, and whether a machine has that.

use std::path::Path;

use diffusion::weights::ComponentWeights;
use diffusion::weights::safetensors::WeightFile;
use serde_json::{Value as Json, json};

use crate::language::weight_bytes;

/// What a chat takes beside the weights: the cache of what was said, and the program.
const CHAT_BYTES: u64 = 512 << 20;
/// What the program and one drawing of the usual size take beside the weights.
const DRAWING_BYTES: u64 = 1536 << 20;

/// Says of a chat model of which family it is, what its files take, and about how much memory a chat with it.
pub(super) fn note_chat(about: &mut Json, path: &Path) {
    let file_bytes = weight_bytes(path);
    about["family"] = about["architecture"].clone();
    about["file_bytes"] = json!(file_bytes);
    about["memory_bytes"] = json!(file_bytes + CHAT_BYTES);
}

/// Says the same of a picture model, of which the header told how many weights it has: `memory_bytes` is that of the weights.
pub(super) fn note_picture(about: &mut Json) {
    if about["kind"].is_string() {
        about["family"] = about["kind"].clone();
        about["file_bytes"] = about["stored_bytes"].clone();
    }
}

/// Says the same of a ControlNet, an IP-Adapter, a picture encoder or a VAE: of which family it is, as far as the width of the
/// texts that it meets tells, and what its weights take in single precision. Reads headers only.
pub(super) fn note_part(about: &mut Json, path: &Path) {
    let shapes: Vec<(String, Vec<usize>)> = if path.is_dir() {
        let Ok(weights) = ComponentWeights::open(path, "") else { return };
        weights.tensors.iter().map(|(name, view)| (name.clone(), view.shape())).collect()
    } else {
        let Ok(file) = WeightFile::open(path) else { return };
        file.tensors.iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect()
    };
    let numbers: u64 = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
    about["memory_bytes"] = json!(numbers.saturating_mul(4));
    let meets_texts = |name: &str| TEXT_KEYS.iter().any(|ending| name.ends_with(ending));
    let width = shapes.iter().find(|(name, shape)| meets_texts(name) && shape.len() == 2);
    let family = width.and_then(|(_, shape)| TEXT_WIDTHS.iter().find(|(width, _)| *width == shape[1]));
    if let Some((_, family)) = family {
        about["family"] = json!(family);
    }
}

/// Tensors whose second size is the width of the texts that a network meets.
const TEXT_KEYS: [&str; 2] = ["attn2.to_k.weight", "to_k_ip.weight"];
/// That width in each family.
const TEXT_WIDTHS: [(usize, &str); 3] = [(768, "sd1"), (1024, "sd2"), (2048, "sdxl")];

/// Memory that models may take, in bytes; what is not known fits neither way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// That of the machine.
    pub machine_bytes: Option<u64>,
    /// That of the card that draws, where one does.
    pub card_bytes: Option<u64>,
}

/// Says of a model whether it fits into the memory of what computes it: `fits`, absent where one of both is not known. What
/// draws lies in the memory of the card, where one draws.
pub fn note_fit(about: &mut Json, memory: Memory) {
    let draws = about["type"] != "chat";
    let beside = if about["type"] == "image" { DRAWING_BYTES } else { 0 };
    let room = memory.card_bytes.filter(|_| draws).or(memory.machine_bytes);
    if let (Some(needed), Some(room)) = (about["memory_bytes"].as_u64(), room) {
        about["fits"] = json!(needed + beside <= room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_fits_where_its_weights_and_its_work_do() {
        let fit = |kind: &str, memory: Option<u64>, machine: Option<u64>| {
            let mut about = json!({"type": kind, "memory_bytes": memory});
            note_fit(&mut about, Memory { machine_bytes: machine, card_bytes: None });
            about["fits"].as_bool()
        };
        let on_card = |kind: &str, needed: u64| {
            let mut about = json!({"type": kind, "memory_bytes": needed});
            note_fit(&mut about, Memory { machine_bytes: Some(64 << 30), card_bytes: Some(8 << 30) });
            about["fits"].as_bool()
        };
        assert_eq!((on_card("image", 7 << 30), on_card("image", 6 << 30)), (Some(false), Some(true)));
        assert_eq!((on_card("controlnet", 9 << 30), on_card("chat", 9 << 30)), (Some(false), Some(true)));
        assert_eq!(fit("chat", Some(2 << 30), Some(2 << 30)), Some(true));
        assert_eq!(
            fit("image", Some(2 << 30), Some(2 << 30)),
            Some(false),
            "a drawing needs more than the weights"
        );
        assert_eq!(fit("image", Some(2 << 30), Some(4 << 30)), Some(true));
        assert_eq!((fit("lora", None, Some(1)), fit("chat", Some(1), None)), (None, None));
    }
}

//! What a model takes: of the disk, of memory, and whether a machine has that.

use std::path::Path;

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

/// Says of a model whether a machine with so much memory can use it: `fits`, absent where one of both is not known.
pub fn note_fit(about: &mut Json, machine_bytes: Option<u64>) {
    let beside = if about["type"] == "image" { DRAWING_BYTES } else { 0 };
    if let (Some(needed), Some(machine)) = (about["memory_bytes"].as_u64(), machine_bytes) {
        about["fits"] = json!(needed + beside <= machine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_fits_where_its_weights_and_its_work_do() {
        let fit = |kind: &str, memory: Option<u64>, machine: Option<u64>| {
            let mut about = json!({"type": kind, "memory_bytes": memory});
            note_fit(&mut about, machine);
            about["fits"].as_bool()
        };
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

//! CLIP's own vocabulary, which Stable Diffusion 1.x, 2.x and XL were trained with.

use serde_json::{Map, Value, json};

use crate::DiffusionError;
use crate::clip_tokenizer::{ClipTokenizer, TokenizerFiles};

static MERGES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/clip/merges.txt"));

/// The tokenizer of a published model that fills its rows with `pad_token`.
pub(crate) fn clip_tokenizer(name: &str, pad_token: &str) -> Result<ClipTokenizer, DiffusionError> {
    let config = json!({
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
        "pad_token": pad_token, "model_max_length": 77,
    });
    ClipTokenizer::from_files(
        name,
        TokenizerFiles {
            vocab: &vocabulary().to_string(),
            merges: MERGES,
            config: Some(&config.to_string()),
            special_tokens: None,
        },
    )
}

/// `vocab.json` as it follows from the merges: the bytes, the bytes at the end of a word, the merges in their order, and
/// the two special tokens.
fn vocabulary() -> Value {
    let bytes = byte_characters();
    let ends = bytes.iter().map(|byte| format!("{byte}</w>"));
    let merges = MERGES.lines().skip(1).map(|line| line.replacen(' ', "", 1));
    let special = ["<|startoftext|>", "<|endoftext|>"].map(str::to_string);
    let tokens = bytes.iter().map(char::to_string).chain(ends).chain(merges).chain(special);
    Value::Object(tokens.zip(0u32..).map(|(token, id)| (token, Value::from(id))).collect::<Map<_, _>>())
}

/// GPT-2's characters for the bytes: those that print stand for themselves, the others for the characters from 256 on.
fn byte_characters() -> Vec<char> {
    let prints = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..256).filter(|byte| !prints(byte)).count() as u32;
    (0..256).filter(prints).chain(256..256 + others).filter_map(char::from_u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids as the tokenizer that OpenAI published with CLIP gives them.
    #[test]
    fn published_ids_come_out() {
        assert_eq!(vocabulary().as_object().map(Map::len), Some(49_408));
        let tokenizer = clip_tokenizer("tokenizer", "<|endoftext|>").expect("a tokenizer");
        assert_eq!((tokenizer.bos, tokenizer.eos, tokenizer.pad), (49406, 49407, 49407));
        for (text, ids) in [
            ("a photo of a cat", vec![320, 1125, 539, 320, 2368]),
            ("a diagram", vec![320, 22697]),
            ("a dog", vec![320, 1929]),
            ("hello world!", vec![3306, 1002, 256]),
            (
                "Ünïcode — naïve café, 1girl's 3D (art:1.2)",
                vec![
                    6522, 77, 35689, 3217, 2005, 1097, 35689, 563, 15304, 267, 272, 1611, 568, 274, 323, 263,
                    794, 281, 272, 269, 273, 264,
                ],
            ),
        ] {
            assert_eq!(tokenizer.encode(text).expect("it reads"), ids, "{text}");
        }
        assert_eq!(clip_tokenizer("tokenizer_2", "!").expect("a tokenizer").pad, 0);
    }
}

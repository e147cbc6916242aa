//! Are GGUF files read as people have them: split over several, with marks of odd types, beside what is no model?

mod gguf_builder;

use std::path::Path;

use gguf_builder::{Gguf, split, tiny, vocabulary};
use language::tokenizer::Tokenizer;
use language::weights::gguf;
use language::{LanguageError, ModelFiles};

fn tokenizer_of(file: &Gguf) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    Tokenizer::from_gguf(&gguf::open(&path).unwrap().0).unwrap()
}

/// A vocabulary with these tokens after the letters, of their types; the first of them has the number 27.
fn with_tokens(tokens: &[(&str, i32)]) -> Gguf {
    let mut all = vocabulary();
    all.truncate(27);
    all.extend(tokens.iter().map(|(text, _)| text.to_string()));
    let types: Vec<i32> = (0..27).map(|_| 1).chain(tokens.iter().map(|(_, kind)| *kind)).collect();
    Gguf::default()
        .key_text("general.architecture", "llama")
        .key_text("tokenizer.ggml.model", "gpt2")
        .key_texts("tokenizer.ggml.tokens", &all)
        .key_texts("tokenizer.ggml.merges", &[])
        .key_integers("tokenizer.ggml.token_type", &types)
}

#[test]
fn the_end_of_a_text_is_the_files_own_and_what_looks_like_an_end_is_one() {
    let file = with_tokens(&[("<|im_end|>", 1), ("<end_of_turn>", 3), ("</s>", 3), ("<|other|>", 1)])
        .key_number("tokenizer.ggml.eos_token_id", 29);
    let tokenizer = tokenizer_of(&file);
    assert_eq!(tokenizer.eos(), Some(29));
    assert!([27, 28, 29].into_iter().all(|id| tokenizer.is_end(id) && tokenizer.is_special(id)));
    assert!(!tokenizer.is_end(30) && !tokenizer.is_special(30));
    // What was taken for a word is one token now.
    assert_eq!(tokenizer.encode("a<|im_end|>").unwrap(), [0, 27]);
}

#[test]
fn a_number_that_no_token_has_is_none() {
    let file = with_tokens(&[("<|im_end|>", 3), ("x", 1)]);
    for bytes in [99_u32.to_le_bytes(), (-1_i32).to_le_bytes()] {
        for kind in [4, 5] {
            let odd = file.clone().raw_key("tokenizer.ggml.eos_token_id", kind, &bytes);
            let tokenizer = tokenizer_of(&odd.raw_key("tokenizer.ggml.bos_token_id", kind, &bytes));
            assert_eq!((tokenizer.eos(), tokenizer.bos()), (None, None));
            assert!(tokenizer.is_end(27) && !tokenizer.is_end(28));
        }
    }
}

#[test]
fn the_beginning_of_a_text_is_there_once_where_the_file_asks_for_it() {
    let file = |pre: &str, says: Option<bool>| {
        let file = with_tokens(&[("<s>", 3)])
            .key_text("tokenizer.ggml.pre", pre)
            .key_number("tokenizer.ggml.bos_token_id", 27);
        tokenizer_of(&match says {
            Some(says) => file.raw_key("tokenizer.ggml.add_bos_token", 7, &[u8::from(says)]),
            None => file,
        })
    };
    for (pre, says, expected) in [
        ("llama-bpe", None, vec![27, 0]),
        ("tekken", None, vec![27, 0]),
        ("llama-bpe", Some(false), vec![0]),
        ("qwen2", None, vec![0]),
        ("qwen2", Some(true), vec![27, 0]),
    ] {
        let tokenizer = file(pre, says);
        let begun = |text: &str| tokenizer.with_bos(tokenizer.encode(text).unwrap());
        assert_eq!(begun("a"), expected, "{pre} {says:?}");
        assert_eq!(begun("<s>a"), [27, 0], "{pre} {says:?}: a template's own is not doubled");
        if expected.len() == 2 {
            assert_eq!(begun("<s><s>a"), [27, 0], "{pre} {says:?}");
        }
    }
}

fn open(path: &Path) -> Result<usize, LanguageError> {
    ModelFiles::open(path)?.load_cpu()?;
    Ok(ModelFiles::open(path)?.checkpoint().paths().len())
}

#[test]
fn a_model_may_be_split() {
    let folder = tempfile::tempdir().unwrap();
    let part = |number: usize| folder.path().join(format!("big-{number:05}-of-00002.gguf"));
    let write = |files: &[Gguf]| {
        for (place, file) in files.iter().enumerate() {
            std::fs::write(part(place + 1), file.bytes()).unwrap();
        }
    };
    write(&split());
    assert_eq!(open(&part(1)).unwrap(), 2);
    let description = language::describe_model(&part(1)).unwrap();
    assert_eq!(description.name, "big");
    let bytes: u64 = [1, 2].iter().map(|number| std::fs::metadata(part(*number)).unwrap().len()).sum();
    assert_eq!(description.file_bytes, bytes);

    // Another part is not the model, and one that is missing, foreign or of another place is named.
    assert!(open(&part(2)).unwrap_err().to_string().contains("first part"));
    std::fs::copy(part(1), part(2)).unwrap();
    assert!(open(&part(1)).unwrap_err().to_string().contains("is not part 2"));
    std::fs::remove_file(part(2)).unwrap();
    assert!(open(&part(1)).unwrap_err().to_string().contains("00002-of-00002.gguf is missing"));
    let renamed = folder.path().join("renamed.gguf");
    std::fs::rename(part(1), &renamed).unwrap();
    assert!(open(&renamed).unwrap_err().to_string().contains("00001-of-00002"));
}

#[test]
fn a_picture_encoder_is_no_chat_model() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, file: Gguf| {
        let path = folder.path().join(name);
        std::fs::write(&path, file.bytes()).unwrap();
        path
    };
    let clip = Gguf::default().key_text("general.architecture", "clip");
    for path in [write("vision.gguf", clip.clone()), write("mmproj-x.gguf", Gguf::default())] {
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("mmproj"), "{error}");
    }
    assert!(open(&write("good.gguf", tiny(""))).is_ok());
}

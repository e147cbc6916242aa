//! Do broken and malicious model files end in errors, without panics, hangs or huge allocations?

mod gguf_builder;

use std::path::{Path, PathBuf};

use gguf_builder::tiny;

use language::{
    ChatEngine, ChatMessage, ChatRequest, EngineLimits, LanguageError, LocalDevice, LocalEngine, ModelFiles,
    Role,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn write(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn load(path: &Path) -> Result<(), LanguageError> {
    ModelFiles::open(path)?.load_cpu().map(drop)
}

fn refused(bytes: &[u8], what: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let result = load(&write(&folder, bytes));
    result.expect_err(what).to_string()
}

#[test]
fn the_tiny_model_itself_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    load(&write(&folder, &tiny("").bytes())).unwrap();
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = tiny("").bytes();
    for len in 0..bytes.len() - 64 {
        refused(&bytes[..len], "cut");
    }
}

#[test]
fn a_file_with_any_byte_changed_never_panics() {
    let bytes = tiny("").bytes();
    let header = bytes.len() - tiny("").data.len();
    let folder = tempfile::tempdir().unwrap();
    for at in 0..header {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            // Some changes are harmless; what counts is that the call returns.
            let _ = load(&write(&folder, &changed));
        }
    }
}

#[test]
fn missing_parts_are_named() {
    for part in
        ["llama.block_count", "llama.attention.head_count", "blk.0.ffn_up.weight", "token_embd.weight"]
    {
        let error = refused(&tiny(part).bytes(), part);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn impossible_values_are_refused() {
    let huge = u64::MAX.to_le_bytes();
    let mut array_of_many = 4u32.to_le_bytes().to_vec();
    array_of_many.extend(huge);
    let mut nested = 9u32.to_le_bytes().to_vec();
    nested.extend(1u64.to_le_bytes());
    for (what, file) in [
        ("a text without end", tiny("").raw_key("x", 8, &huge)),
        ("an array without end", tiny("").raw_key("x", 9, &array_of_many)),
        ("a nested array", tiny("").raw_key("x", 9, &nested)),
        ("an unknown type", tiny("").raw_key("x", 99, &[])),
        ("no heads", tiny("llama.attention.head_count").key_number("llama.attention.head_count", 0)),
        ("a billion layers", tiny("llama.block_count").key_number("llama.block_count", 1_000_000_000)),
        ("a text as number", tiny("llama.block_count").key_text("llama.block_count", "one")),
        (
            "heads that do not fit",
            tiny("llama.attention.head_count_kv").key_number("llama.attention.head_count_kv", 3),
        ),
        ("an odd alignment", tiny("").key_number("general.alignment", 7)),
        ("another architecture", tiny("").key_text("general.architecture", "mamba")),
        ("a huge tensor", tiny("").tensor("x", &[u64::MAX / 2, 4], 0, Some(0))),
        ("an empty tensor", tiny("").tensor("x", &[0, 4], 0, Some(0))),
        ("a tensor beyond the end", tiny("").tensor("x", &[4, 4], 0, Some(1 << 40))),
        ("an unreadable tensor type", tiny("").tensor("x", &[4, 4], 77, Some(0))),
        ("half a block", tiny("").tensor("x", &[4, 8], 3, Some(0))),
        ("a tensor twice", tiny("").tensor("token_embd.weight", &[28, 8], 0, Some(0))),
        ("a wrong shape", tiny("output_norm.weight").tensor("output_norm.weight", &[9], 0, None)),
        ("a huge template", tiny("").key_text("tokenizer.chat_template", &"x".repeat(1 << 20))),
        ("a broken template", tiny("").key_text("tokenizer.chat_template", "{% for %}")),
        ("a vocabulary larger than the matrix", {
            let tokens: Vec<String> = (0..40).map(|i| format!("token{i}")).collect();
            tiny("").key_texts("tokenizer.ggml.tokens", &tokens)
        }),
        ("merges of unknown tokens", tiny("").key_texts("tokenizer.ggml.merges", &["xx yy".to_string()])),
        ("merges that are not pairs", tiny("").key_texts("tokenizer.ggml.merges", &["xx".to_string()])),
    ] {
        refused(&file.bytes(), what);
    }
    let mut lies = tiny("").bytes();
    lies[8..16].copy_from_slice(&huge);
    refused(&lies, "tensors without end");
}

/// A Hugging Face folder made of llama-tiny, with one file replaced.
fn folder_with(name: &str, contents: &[u8]) -> TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/language/llama-tiny");
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::remove_file(folder.path().join(name)).ok();
    std::fs::write(folder.path().join(name), contents).unwrap();
    folder
}

fn safetensors(header: &Value, data: usize) -> Vec<u8> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn hostile_folders_are_refused() {
    let entry = |shape: Value, offsets: Value| json!({"x": {"dtype": "F32", "shape": shape, "data_offsets": offsets}});
    for (name, contents) in [
        ("model.safetensors", b"short".to_vec()),
        ("model.safetensors", u64::MAX.to_le_bytes().to_vec()),
        ("model.safetensors", [&8u64.to_le_bytes()[..], b"not json"].concat()),
        ("model.safetensors", safetensors(&json!({}), 0)),
        ("model.safetensors", safetensors(&entry(json!([4]), json!([0, 16])), 8)),
        ("model.safetensors", safetensors(&entry(json!([4]), json!([16, 0])), 64)),
        ("model.safetensors", safetensors(&entry(json!([4]), json!([u64::MAX, 3])), 64)),
        ("model.safetensors", safetensors(&entry(json!([u64::MAX, 2]), json!([0, 16])), 64)),
        (
            "model.safetensors",
            safetensors(&json!({"x": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}), 8),
        ),
        ("config.json", b"{}".to_vec()),
        ("config.json", b"[".repeat(100_000)),
        ("tokenizer.json", b"{}".to_vec()),
        ("tokenizer_config.json", b"nonsense".to_vec()),
        ("chat_template.jinja", b"{{ messages[ }}".to_vec()),
    ] {
        let folder = folder_with(name, &contents);
        assert!(load(folder.path()).is_err(), "{name} of {} bytes", contents.len());
    }
}

#[test]
fn shards_are_joined_and_stay_within_their_folder() {
    let folder = folder_with("unrelated", b"");
    let single = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&single).unwrap();
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    let data = &bytes[8 + header_len..];
    let mut shards = [(json!({}), Vec::new()), (json!({}), Vec::new())];
    let mut map = json!({});
    for (i, (name, info)) in header.iter().filter(|(name, _)| *name != "__metadata__").enumerate() {
        let range = |k: usize| info["data_offsets"][k].as_u64().unwrap() as usize;
        let (shard_header, shard) = &mut shards[i % 2];
        let first = shard.len();
        shard.extend(&data[range(0)..range(1)]);
        shard_header[name] = info.clone();
        shard_header[name]["data_offsets"] = json!([first, shard.len()]);
        map[name] = json!(format!("model-{}.safetensors", i % 2));
    }
    for (i, (header, data)) in shards.iter().enumerate() {
        let mut bytes = safetensors(header, 0);
        bytes.extend(data);
        std::fs::write(folder.path().join(format!("model-{i}.safetensors")), bytes).unwrap();
    }
    std::fs::remove_file(single).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
    load(folder.path()).unwrap();

    map["model.norm.weight"] = json!("../model-0.safetensors");
    std::fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("plain file name"));
}

/// A tiny model with a real vocabulary.
fn talker() -> LocalEngine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/language/llama-tiny");
    LocalEngine::open(&path, &LocalDevice::Cpu, EngineLimits::default()).expect("it opens")
}

/// A schema whose definitions lead from one to the next.
fn chain(links: usize) -> Value {
    let link = |number: usize| {
        let next =
            json!({"type": "object", "properties": {"n": {"$ref": format!("#/$defs/d{}", number + 1)}}});
        (format!("d{number}"), next)
    };
    let mut definitions: serde_json::Map<String, Value> = (0..links).map(link).collect();
    definitions.insert(format!("d{links}"), json!({"type": "integer"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

fn with_properties(count: usize) -> Value {
    let property = |number: usize| (format!("p{number}"), json!({"type": "string"}));
    json!({"type": "object", "properties": (0..count).map(property).collect::<serde_json::Map<String, Value>>()})
}

#[test]
fn schemas_cost_a_bounded_amount_of_work() {
    let engine = talker();
    let ask = |schema: Value| {
        let mut request = ChatRequest::new(vec![ChatMessage::new(Role::User, "a")]);
        request.json_schema = Some(schema);
        request.max_tokens = 8;
        engine.submit(request).and_then(|stream| stream.blocking_collect())
    };
    // Each of these took minutes, or the whole process with it.
    for (schema, reason) in [
        (chain(2000), "2001 references"),
        (with_properties(5000), "5000 properties"),
        (json!({"anyOf": (0..100).map(|_| with_properties(40)).collect::<Value>()}), "4000 properties"),
        (json!({"type": "integer", "multipleOf": 99_999_999}), "multipleOf"),
        (json!({"items": {"type": "number", "multipleOf": 1e-10}}), "multipleOf"),
        (json!({"description": "x".repeat(300_000)}), "larger than"),
        (
            json!({"allOf": (0..20).map(|_| json!({"anyOf": (0..8).map(with_properties).collect::<Value>()})).collect::<Value>()}),
            "",
        ),
    ] {
        match ask(schema) {
            Err(LanguageError::Schema(said)) => {
                assert!(said.contains(reason) && said.len() < 400 && !said.contains("backtrace"), "{said}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    // Large ones within the limits are followed or refused, and the next request is answered.
    let deep =
        |wrap: &dyn Fn(Value) -> Value| (0..110).fold(json!({"type": "integer"}), |inner, _| wrap(inner));
    for schema in [
        chain(900),
        json!({"type": "string", "maxLength": 4_000_000_000u64}),
        json!({"type": "array", "items": {"type": "string", "maxLength": 100_000}, "minItems": 100_000}),
        json!({"type": "string", "pattern": "^((a{1000}){1000}){1000}$"}),
        json!({"type": "string", "pattern": "^(a|aa|b)*c(a|b){200}$", "maxLength": 5000}),
        json!({"type": "string", "pattern": format!("^{}a$", "(a?".repeat(2000) + &")".repeat(2000))}),
        deep(&|inner| json!({"type": "object", "properties": {"a": inner}})),
        deep(&|inner| json!({"anyOf": [inner, {"type": "string"}]})),
        json!({"enum": (0..20_000).collect::<Vec<u32>>()}),
        with_properties(450),
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
    ] {
        let _ = ask(schema);
    }
    let (text, _) = ask(json!({"enum": ["yes"]})).expect("a reply");
    assert_eq!(text, "\"yes\"");
}

#[test]
fn prompts_that_are_far_too_long_are_not_taken_apart() {
    let engine = talker();
    for text in ["a".repeat(4 << 20), "ab cd ".repeat(700_000), " ".repeat(4 << 20), "😀".repeat(1 << 20)] {
        let at_least = engine.tokenizer().at_least(&text);
        assert!(at_least > engine.context_tokens(), "{at_least}");
        let refused = engine.submit(ChatRequest::new(vec![ChatMessage::new(Role::User, text)]));
        let counted = match refused {
            Err(LanguageError::ContextFull { prompt_tokens, context_tokens: 512 }) => prompt_tokens,
            other => panic!("{:?}", other.map(|_| "a reply")),
        };
        // What was counted is the least that it can be, so the text was not looked at.
        assert!((at_least..at_least + 100).contains(&counted), "{counted} {at_least}");
    }
    for text in ["a b c", "<|im_end|> x", "wörter 😀"] {
        let tokens = engine.tokenizer().encode(text).expect("tokens").len();
        assert!(engine.tokenizer().at_least(text) <= tokens, "{text}");
    }
}

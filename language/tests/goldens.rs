//! Do the models give the numbers that PyTorch gives?

use std::path::{Path, PathBuf};

use language::causal_lm::{CausalLm, Scores, Step};
use language::chat_template::TemplateMessage;
use language::fetch::fetch_default_chat_model;
use language::{ModelFiles, weights::Checkpoint};
use safetensors::SafeTensors;
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/language").join(name)
}

/// The golden numbers of one model: tensors, and facts about them.
struct Goldens {
    bytes: Vec<u8>,
    facts: Value,
}

impl Goldens {
    fn read(folder: &Path) -> Goldens {
        let facts = std::fs::read(folder.join("goldens.json")).unwrap();
        Goldens {
            bytes: std::fs::read(folder.join("goldens.safetensors")).unwrap(),
            facts: serde_json::from_slice(&facts).unwrap(),
        }
    }

    fn words(&self, name: &str) -> Vec<[u8; 4]> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        view.data().chunks_exact(4).map(|word| word.try_into().unwrap()).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name).into_iter().map(f32::from_le_bytes).collect()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.words(name).into_iter().map(u32::from_le_bytes).collect()
    }

    /// Compares with a stored tensor, by the rule of the goldens: 20 times the error of float32 itself.
    fn check(&self, name: &str, found: &[f32]) {
        let own_error = self.facts["tensors"][name]["f64_max_abs_err"].as_f64().unwrap();
        check_close(name, &self.floats(name), found, 2e-5f64.max(20.0 * own_error));
    }
}

fn check_close(name: &str, expected: &[f32], found: &[f32], limit: f64) {
    assert_eq!(expected.len(), found.len(), "{name}");
    let error = expected.iter().zip(found).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    println!("{name}: error {error:.2e}, limit {limit:.2e}");
    assert!(error <= limit, "{name}: error {error:.2e} exceeds {limit:.2e}");
}

fn ids_in(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn scores<M: CausalLm>(model: &mut M, cache: &mut M::Cache, tokens: &[u32], scores: Scores) -> Vec<f32> {
    model.forward(&mut [Step { tokens, cache, scores }]).unwrap().remove(0)
}

fn best(scores: &[f32]) -> u32 {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32
}

fn greedy<M: CausalLm>(model: &mut M, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut cache = model.new_cache();
    let mut tokens = vec![best(&scores(model, &mut cache, prompt, Scores::Last))];
    while tokens.len() < count {
        let last = tokens[tokens.len() - 1..].to_vec();
        tokens.push(best(&scores(model, &mut cache, &last, Scores::Last)));
    }
    tokens
}

/// Every golden of llama-tiny that any implementation of the model can be held to.
fn check_llama_tiny<M: CausalLm>(model: &mut M, goldens: &Goldens, exact: bool) {
    for (i, sequence) in goldens.facts["sequences"].as_array().unwrap().iter().enumerate() {
        let ids = goldens.ids(&format!("{i}.ids"));
        assert_eq!(ids, ids_in(&sequence["ids"]));
        let mut cache = model.new_cache();
        let logits = scores(model, &mut cache, &ids, Scores::All);
        if exact {
            goldens.check(&format!("{i}.logits"), &logits);
        } else {
            check_close(&format!("{i}.logits"), &goldens.floats(&format!("{i}.logits")), &logits, 0.05);
        }
        assert_eq!(greedy(model, &ids, 20), goldens.ids(&format!("{i}.greedy")), "greedy tokens of {i}");

        // Token by token, and after forgetting and reading again, the scores must be the same.
        let mut cache = model.new_cache();
        let mut stepwise = Vec::new();
        for id in &ids {
            stepwise.extend(scores(model, &mut cache, &[*id], Scores::Last));
        }
        check_close("one token at a time", &logits, &stepwise, if exact { 2e-4 } else { 0.05 });
        model.truncate(&mut cache, 2);
        assert_eq!(model.cache_len(&cache), 2);
        let again = scores(model, &mut cache, &ids[2..], Scores::All);
        let vocab = model.vocab_size();
        check_close("after truncation", &logits[2 * vocab..], &again, if exact { 2e-4 } else { 0.05 });
    }
}

#[test]
fn llama_tiny_agrees_on_the_processor() {
    let folder = fixture("llama-tiny");
    let goldens = Goldens::read(&folder);
    let mut model = ModelFiles::open(&folder).unwrap().load_cpu().unwrap();
    goldens.check("rope.inv_freq", model.rope().inv_freq());
    check_llama_tiny(&mut model, &goldens, true);
    for i in 0..goldens.facts["sequences"].as_array().unwrap().len() {
        let states = model.hidden_states(&goldens.ids(&format!("{i}.ids"))).unwrap();
        for (j, state) in states.iter().enumerate() {
            goldens.check(&format!("{i}.hidden.{j}"), state);
        }
    }
}

#[test]
fn llama_tiny_agrees_in_burn() {
    let folder = fixture("llama-tiny");
    let goldens = Goldens::read(&folder);
    let device = burn::tensor::Device::flex();
    let mut model = ModelFiles::open(&folder).unwrap().load_on(&device).unwrap();
    check_llama_tiny(&mut model, &goldens, true);
}

/// The device that `PLAYHOUSE_GOLDENS_DEVICE` names, of the kinds that this build has; the first of its kind.
fn device_of_the_environment() -> Option<burn::tensor::Device> {
    let name = std::env::var("PLAYHOUSE_GOLDENS_DEVICE").ok()?;
    match name.split(':').next() {
        #[cfg(feature = "vulkan")]
        Some("vulkan") => Some(burn::tensor::Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(any(feature = "vulkan", feature = "wgpu"))]
        Some("wgpu") => Some(burn::tensor::Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        Some("cuda") => Some(burn::tensor::Device::cuda(0)),
        Some("cpu") => None,
        _ => panic!("PLAYHOUSE_GOLDENS_DEVICE: this build has no {name}"),
    }
}

/// A graphics card rounds differently, but must choose the same tokens.
#[test]
fn llama_tiny_agrees_on_the_device_of_the_environment() {
    let Some(device) = device_of_the_environment() else {
        println!("skipped: PLAYHOUSE_GOLDENS_DEVICE names no device");
        return;
    };
    let folder = fixture("llama-tiny");
    let goldens = Goldens::read(&folder);
    let mut model = ModelFiles::open(&folder).unwrap().load_on(&device).unwrap();
    check_llama_tiny(&mut model, &goldens, false);
}

#[test]
fn several_sequences_at_once_score_like_each_alone() {
    let folder = fixture("llama-tiny");
    let goldens = Goldens::read(&folder);
    let mut model = ModelFiles::open(&folder).unwrap().load_cpu().unwrap();
    let ids: Vec<Vec<u32>> = (0..3).map(|i| goldens.ids(&format!("{i}.ids"))).collect();
    let mut caches: Vec<_> = ids.iter().map(|_| model.new_cache()).collect();
    let mut steps: Vec<_> = ids
        .iter()
        .zip(&mut caches)
        .map(|(tokens, cache)| Step { tokens, cache, scores: Scores::Last })
        .collect();
    let together = model.forward(&mut steps).unwrap();
    for (i, found) in together.iter().enumerate() {
        let all = goldens.floats(&format!("{i}.logits"));
        check_close("together", &all[all.len() - found.len()..], found, 5e-4);
        let mut cache = model.new_cache();
        let alone = scores(&mut model, &mut cache, &ids[i], Scores::Last);
        assert!(alone == *found, "what else is in a step changes no bit");
    }
}

#[test]
fn llama_tiny_tokens_agree() {
    let folder = fixture("llama-tiny");
    let goldens = Goldens::read(&folder);
    let files = ModelFiles::open(&folder).unwrap();
    for text in goldens.facts["tokenizer_texts"].as_array().unwrap() {
        let ids = files.tokenizer.encode(text["text"].as_str().unwrap()).unwrap();
        assert_eq!(ids, ids_in(&text["ids"]), "{}", text["text"]);
        assert_eq!(files.tokenizer.decode(&ids, true), text["decoded"].as_str().unwrap());
    }
}

/// The model file: named by the environment, or in the models folder, or fetched as a user would fetch it.
fn smollm2() -> PathBuf {
    if let Some(path) = std::env::var_os("PLAYHOUSE_SMOLLM2") {
        return path.into();
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models_dir");
    fetch_default_chat_model(&models, &mut |_| {}).unwrap()
}

#[test]
fn smollm2_agrees() {
    let goldens = Goldens::read(&fixture("smollm2"));
    let files = ModelFiles::open(&smollm2()).unwrap();
    check_tokens(&files, &goldens.facts);
    check_chat(&files, &goldens.facts);
    check_weights(files.checkpoint(), &goldens.facts["dequantised_samples"]);

    let mut model = files.load_cpu().unwrap();
    for (i, prompt) in goldens.facts["prompts"].as_array().unwrap().iter().enumerate() {
        let ids = files.tokenizer.encode(prompt["text"].as_str().unwrap()).unwrap();
        assert_eq!(ids, ids_in(&prompt["ids"]), "{}", prompt["text"]);
        let mut cache = model.new_cache();
        let found = scores(&mut model, &mut cache, &ids, Scores::Last);
        check_close("smollm2 logits", &goldens.floats(&format!("{i}.last_logits")), &found, 2e-3);
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|a, b| found[*b].total_cmp(&found[*a]));
        for (rank, stored) in prompt["top10_logits"].as_array().unwrap().iter().enumerate() {
            assert!((f64::from(found[order[rank]]) - stored.as_f64().unwrap()).abs() < 2e-3);
        }
        let margins = prompt["greedy_top2_margins"].as_array().unwrap();
        let sure = margins.iter().take_while(|margin| margin.as_f64().unwrap() > 1e-2).count();
        let greedy = greedy(&mut model, &ids, 32);
        let stored = ids_in(&prompt["greedy32"]);
        assert_eq!(greedy[..sure], stored[..sure], "greedy tokens of {}", prompt["text"]);
        println!("{i}: {sure} greedy tokens must agree, all 32 do: {}", greedy == stored);
    }
}

fn check_tokens(files: &ModelFiles, facts: &Value) {
    for text in facts["tokenizer"].as_array().unwrap() {
        let ids = files.tokenizer.encode(text["text"].as_str().unwrap()).unwrap();
        assert_eq!(ids, ids_in(&text["ids"]), "{}", text["text"]);
        assert_eq!(files.tokenizer.decode(&ids, false), text["decoded"].as_str().unwrap());
    }
}

fn check_chat(files: &ModelFiles, facts: &Value) {
    for chat in facts["chat"].as_array().unwrap() {
        let messages: Vec<TemplateMessage<'_>> = chat["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| {
                TemplateMessage::new(message["role"].as_str().unwrap(), message["content"].as_str().unwrap())
            })
            .collect();
        assert_eq!(files.template.render(&messages, false).unwrap(), chat["rendered"].as_str().unwrap());
        let prompt = files.template.render(&messages, true).unwrap();
        assert_eq!(prompt, chat["rendered_with_generation_prompt"].as_str().unwrap());
        assert_eq!(files.tokenizer.encode(&prompt).unwrap(), ids_in(&chat["ids_with_generation_prompt"]));
    }
}

fn check_weights(checkpoint: &Checkpoint, samples: &Value) {
    for (name, sample) in samples.as_object().unwrap() {
        let shape: Vec<usize> = sample["shape_rows_cols"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap() as usize)
            .collect();
        let numbers = checkpoint.read(name, &shape).unwrap();
        let listed = |key: &str| -> Vec<f32> {
            sample[key].as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect()
        };
        assert_eq!(numbers[..8], listed("first8"), "{name}");
        assert_eq!(numbers[numbers.len() - 8..], listed("last8"), "{name}");
        for (key, sum) in [
            ("sum", numbers.iter().map(|n| f64::from(*n)).sum::<f64>()),
            ("abs_sum", numbers.iter().map(|n| f64::from(n.abs())).sum::<f64>()),
        ] {
            assert!((sum - sample[key].as_f64().unwrap()).abs() < 1e-2, "{name} {key} {sum}");
        }
    }
}

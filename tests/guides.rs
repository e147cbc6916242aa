//! What leads a drawing beside its prompts: learned words.

mod common;

use std::path::{Path, PathBuf};

use common::Server;
use common::jobs::{drawn, queue, result_of, wait_for};
use image::RgbImage;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(name)
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(from, to).expect("a file");
        return;
    }
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// A server with a folder of models, and an account.
struct Studio {
    server: Server,
    models: TempDir,
    _data: TempDir,
    token: String,
}

impl Studio {
    /// With these fixtures at these places of the models folder.
    fn with(files: &[(&str, &str)]) -> Studio {
        let (models, data) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        for (from, to) in files {
            copy(&fixture(from), &models.path().join(to));
        }
        let models_dir = models.path().to_string_lossy().into_owned();
        let settings = [("PLAYHOUSE_MODELS_DIR", &*models_dir), ("PLAYHOUSE_CHARGE_CREDITS", "false")];
        let server = Server::start(data.path(), &settings);
        let (_, token) = server.sign_up("painter@example.com");
        Studio { server, models, _data: data, token }
    }

    fn drawn(&self, body: &Json) -> RgbImage {
        drawn(&self.server, &self.token, body)
    }

    /// What the file of a job says of how it was drawn.
    fn record(&self, body: &Json) -> Json {
        let job = queue(&self.server, &self.token, body);
        let bytes = result_of(&self.server, &self.token, &job);
        let text = String::from_utf8_lossy(&bytes);
        let begin = text.find(r#"{"generator""#).expect("a record");
        let mut records = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<Json>();
        records.next().expect("a record").expect("it reads")["spec"].take()
    }

    /// Why a job failed.
    fn failed(&self, body: &Json) -> String {
        let job = queue(&self.server, &self.token, body);
        let row = wait_for(&self.server, &self.token, &job, &["failed", "completed"]);
        let message = row["error_message"].as_str().unwrap_or_else(|| panic!("{body}: {row}")).to_string();
        assert!(!message.contains(&*self.models.path().to_string_lossy()), "{message}");
        message
    }
}

fn job(changes: Json) -> Json {
    let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "a red car", "seed": 7, "steps": 3, "model": "tiny"});
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn learned_words_stand_for_their_vectors() {
    let studio = Studio::with(&[
        ("sd15-tiny", "tiny"),
        ("sdxl-tiny", "xl"),
        ("textual-inversion/zebrahat.safetensors", "embeddings/hats/zebrahat.safetensors"),
        ("textual-inversion/swampglow.safetensors", "embeddings/swampglow.safetensors"),
        ("textual-inversion/learned_embeds.safetensors", "embeddings/striped.safetensors"),
    ]);
    let prompt = |prompt: &str| job(json!({"prompt": prompt}));
    let named = studio.drawn(&prompt("a photo of zebrahat, fog"));
    // In brackets, after ComfyUI's word, in other letters; and the same vector under another file's name.
    for other in ["<zebrahat>", "embedding:zebrahat", "ZebraHat", "striped"] {
        assert_eq!(named, studio.drawn(&prompt(&format!("a photo of {other}, fog"))), "{other}");
    }
    assert_ne!(named, studio.drawn(&prompt("a photo of zebrahats, fog")), "another word");
    let weighted = |syntax: &str, prompt: &str| {
        studio.drawn(&job(json!({"prompt": prompt, "prompt_syntax": syntax})))
    };
    assert_eq!(weighted("a1111", "a (zebrahat:1.4)"), weighted("compel", "a (zebrahat)1.4"));
    assert_ne!(weighted("a1111", "a (zebrahat:1.4)"), weighted("a1111", "a zebrahat"));
    let negative = job(json!({"negative_prompt": "zebrahat"}));
    assert_ne!(studio.drawn(&negative), studio.drawn(&job(json!({}))));
    let record = studio.record(&prompt("a zebrahat"));
    let bytes = std::fs::read(fixture("textual-inversion/zebrahat.safetensors")).expect("a file");
    let hash = format!("blake3:{}", blake3::hash(&bytes).to_hex());
    assert_eq!(record["embeddings"], json!([{"name": "zebrahat", "hash": hash}]), "{record}");
    assert!(studio.record(&prompt("a cat"))["embeddings"].is_null());
    // Both encoders of SDXL have vectors of their own.
    let xl = |prompt: &str| studio.drawn(&job(json!({"model": "xl", "prompt": prompt})));
    assert_ne!(xl("a castle, swampglow"), xl("a castle, swampglows"));

    for (body, words) in [
        (job(json!({"prompt": "swampglow"})), "clip_l and clip_g are for SDXL"),
        (job(json!({"prompt": "zebrahat", "model": "xl"})), "lacks clip_l and clip_g"),
        (job(json!({"prompt": "a woman with zebrahat", "model": "starter"})), "emb_params has shape [1, 32]"),
    ] {
        let message = studio.failed(&body);
        assert!(message.contains(words) && message.contains("embeddings/"), "{message}");
    }
    std::fs::write(studio.models.path().join("embeddings/broken.safetensors"), b"no tensors").expect("a file");
    assert!(studio.failed(&prompt("a broken car")).contains("embeddings/broken.safetensors"));
    assert_eq!(named, studio.drawn(&prompt("a photo of zebrahat, fog")), "the next one is drawn");
}

//! Parts of models beside the models: VAEs of their own, TAESD for previews, and a refiner for the last steps.

mod common;

use std::path::{Path, PathBuf};

use common::Server;
use common::jobs::{drawn, queue, refused, result_of};
use serde_json::{Value as Json, json};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a file")),
        }
    }
}

fn place(from: &Path, to: PathBuf) {
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    std::fs::copy(from, to).expect("a file");
}

fn request(changes: Json) -> Json {
    let mut body = json!({"job_type": "image_fast", "prompt": "a lighthouse", "seed": 7, "steps": 2, "model": "tiny",
        "width": 32, "height": 32});
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn verified(server: &Server, token: &str, file: &[u8]) -> Json {
    let url = format!("{}/functions/v1/verify-picture", server.url);
    let bearer = common::files::bearer(token);
    let headers = [("authorization", bearer.as_str()), ("apikey", server.anon.as_str())];
    common::files::send(&url, "POST", &headers, file).expect("an answer").json()
}

#[test]
fn a_vae_takes_the_place_of_a_models_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    copy(&fixture("tests/fixtures/goldens/sd15-tiny"), &models.join("tiny"));
    copy(&fixture("tests/fixtures/goldens/sd15-tiny"), &models.join("twin"));
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let own = drawn(&server, &token, &request(json!({})));
    refused(&server, &token, &request(json!({"vae": "other"})), 400, "vae: there is no");

    let other = fixture("tests/fixtures/goldens/sd2-tiny/vae/diffusion_pytorch_model.safetensors");
    place(&other, models.join("vae/other.safetensors"));
    place(
        &fixture("diffusion/tests/fixtures/vae/taesd_of_two.safetensors"),
        models.join("vae/taesd.safetensors"),
    );
    place(&fixture("diffusion/tests/fixtures/vae/kl.safetensors"), models.join("vae/unfit.safetensors"));
    let job = queue(&server, &token, &request(json!({"vae": "other"})));
    let file = result_of(&server, &token, &job);
    let with_other = image::load_from_memory(&file).expect("a picture").to_rgb8();
    assert_ne!(with_other, own);
    assert!(String::from_utf8_lossy(&file).contains("VAE: other"));
    let answer = verified(&server, &token, &file);
    assert_eq!(answer["result"], "equal", "{answer}");
    assert_ne!(drawn(&server, &token, &request(json!({"vae": "taesd"}))), own);
    assert_eq!(drawn(&server, &token, &request(json!({"vae": "none"}))), own);
    let job = queue(&server, &token, &request(json!({"vae": "unfit"})));
    let row = common::jobs::wait_for(&server, &token, &job, &["completed", "failed"]);
    assert!(row["error_message"].to_string().contains("has shape"), "{row}");

    // One that is called as a model is that model's, and of no other.
    place(&other, models.join("vae/twin.safetensors"));
    assert_eq!(drawn(&server, &token, &request(json!({"model": "twin"}))), with_other);
    assert_eq!(drawn(&server, &token, &request(json!({"model": "twin", "vae": "none"}))), own);
    assert_eq!(drawn(&server, &token, &request(json!({}))), own);
}

#[test]
fn a_refiner_draws_the_last_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    let base = fixture("tests/fixtures/goldens/sdxl-tiny");
    copy(&base, &models.join("tiny"));
    for part in ["vae", "text_encoder_2", "tokenizer_2", "scheduler"] {
        copy(&base.join(part), &models.join("refiner").join(part));
    }
    let own = |name: &str| fixture("diffusion/tests/fixtures/refiner").join(name);
    place(&own("model_index.json"), models.join("refiner/model_index.json"));
    place(&own("unet.json"), models.join("refiner/unet/config.json"));
    place(&own("unet.safetensors"), models.join("refiner/unet/diffusion_pytorch_model.safetensors"));
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let asked = |changes: Json| {
        let mut body = request(changes);
        body["steps"] = 5.into();
        body
    };
    let plain = drawn(&server, &token, &asked(json!({})));
    let job = queue(&server, &token, &asked(json!({"refiner": "refiner", "refiner_switch_at": 0.5})));
    let file = result_of(&server, &token, &job);
    let refined = image::load_from_memory(&file).expect("a picture").to_rgb8();
    assert_ne!(refined, plain);
    assert!(String::from_utf8_lossy(&file).contains("Refiner: refiner, Refiner switch at: 0.5"));
    let answer = verified(&server, &token, &file);
    assert_eq!(answer["result"], "equal", "{answer}");
    let never = asked(json!({"refiner": "refiner", "refiner_switch_at": 1.0}));
    assert_eq!(drawn(&server, &token, &never), plain);
    refused(&server, &token, &asked(json!({"refiner": "x"})), 400, "refiner: there is no");
    refused(
        &server,
        &token,
        &asked(json!({"refiner": "refiner", "refiner_switch_at": 2})),
        400,
        "refiner_switch_at",
    );
    // Other latents.
    let job = queue(&server, &token, &asked(json!({"refiner": "starter"})));
    let row = common::jobs::wait_for(&server, &token, &job, &["completed", "failed"]);
    assert!(row["error_message"].to_string().contains("refiner: its latents"), "{row}");
}

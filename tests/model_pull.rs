//! `playhouse models pull`: from hubs and addresses, over lines that break, with hashes, tokens and terms.

mod common;
mod model_hub;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::binary;
use model_hub::{Behaviour, Hub, sha256};
use serde_json::{Value as Json, json};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(name))
        .expect("a fixture")
}

fn lora() -> Vec<u8> {
    fixture("lora/kohya.safetensors")
}

fn command(models: &Path, hub: &Hub, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["models", "pull"]).args(arguments).arg("--models-dir").arg(models);
    command.env("HF_ENDPOINT", &hub.url).env("CIVITAI_ENDPOINT", &hub.url);
    command.env_remove("HF_TOKEN").env_remove("CIVITAI_TOKEN").env("PLAYHOUSE_LOG", "warn");
    command
}

fn pull(models: &Path, hub: &Hub, arguments: &[&str]) -> Output {
    command(models, hub, arguments).output().expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn answer(output: &Output) -> Json {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A repository with one LoRA and a licence.
fn repository(hub: &Hub, bytes: &[u8], hash: &str) {
    hub.say(
        "/api/models/ada/ink?blobs=true",
        &json!({
            "sha": "abc123", "cardData": {"license": "other", "license_name": "ink-licence"},
            "siblings": [
                {"rfilename": "LICENSE", "size": 20},
                {"rfilename": "old.ckpt", "size": 5},
                {"rfilename": "ink.safetensors", "size": 1, "lfs": {"sha256": hash, "size": bytes.len()}},
            ],
        }),
    );
    hub.give("/ada/ink/resolve/abc123/LICENSE", b"Draw what you like.\n", Behaviour::Whole);
    // The bytes are on another host, as those of the hub are.
    hub.lead("/ada/ink/resolve/abc123/ink.safetensors", "/store/ink");
}

#[test]
fn a_model_of_a_hub_arrives_over_lines_that_break_and_its_terms_are_shown() {
    let (folder, hub, bytes) = (tempfile::tempdir().expect("a folder"), Hub::start(), lora());
    repository(&hub, &bytes, &sha256(&bytes));
    hub.give("/store/ink", &bytes, Behaviour::Breaks { times: 3 });
    let mut command = command(folder.path(), &hub, &["hf:ada/ink"]);
    let output = command.env("HF_TOKEN", "hf_secret").output().expect("it runs");
    let added = answer(&output);
    assert_eq!((&added["added"], &added["type"]), (&json!("ink"), &json!("lora")), "{added}");
    assert_eq!(added["licence"]["name"], "ink-licence");
    let said = said(&output);
    assert!(said.contains("Draw what you like.") && said.contains("ink-licence"), "{said}");
    assert!(said.contains("100 %"), "{said}");
    assert_eq!(std::fs::read(folder.path().join("loras/ink.safetensors")).expect("it is there"), bytes);
    let asked = hub.asked("/store/ink");
    assert_eq!(asked.len(), 4, "three lines broke: {asked:?}");
    assert!(
        asked[1..].iter().all(|one| one.range.as_deref().is_some_and(|range| range != "bytes=0-")),
        "{asked:?}"
    );
    assert!(asked.iter().all(|one| one.authorization.is_none()), "the token is for the hub alone: {asked:?}");
    let about = hub.asked("/api/models/ada/ink?blobs=true");
    assert_eq!(about[0].authorization.as_deref(), Some("Bearer hf_secret"));
    assert_eq!(names(folder.path()), ["loras"], "nothing else is left");
    // Once more: it is there already, and stays.
    let again = pull(folder.path(), &hub, &["hf:ada/ink"]);
    assert!(!again.status.success() && crate::said(&again).contains("already"), "{}", crate::said(&again));
}

#[test]
fn a_file_with_another_hash_or_length_is_thrown_away() {
    let (folder, hub, bytes) = (tempfile::tempdir().expect("a folder"), Hub::start(), lora());
    repository(&hub, &bytes, &"0".repeat(64));
    hub.give("/store/ink", &bytes, Behaviour::Whole);
    let refused = pull(folder.path(), &hub, &["hf:ada/ink"]);
    let reason = said(&refused);
    assert!(
        !refused.status.success() && reason.contains(&sha256(&bytes)) && reason.contains("thrown away"),
        "{reason}"
    );
    repository(&hub, &bytes[1..], &sha256(&bytes));
    let reason = said(&pull(folder.path(), &hub, &["hf:ada/ink"]));
    assert!(reason.contains("were expected"), "{reason}");
    assert_eq!(names(folder.path()), Vec::<String>::new(), "nothing is left of it");
    // A hash that the caller names.
    let url = format!("{}/store/ink.safetensors", hub.url);
    hub.give("/store/ink.safetensors", &bytes, Behaviour::Whole);
    let reason = said(&pull(folder.path(), &hub, &[&url, "--sha256", &"1".repeat(64)]));
    assert!(reason.contains("thrown away"), "{reason}");
    answer(&pull(folder.path(), &hub, &[&url, "--sha256", &sha256(&bytes).to_uppercase()]));
}

#[test]
fn what_was_cut_short_goes_on_and_what_changed_meanwhile_begins_anew() {
    let (folder, hub, bytes) = (tempfile::tempdir().expect("a folder"), Hub::start(), lora());
    let url = format!("{}/store/ink.safetensors", hub.url);
    let cut = |content: &[u8]| {
        hub.give("/store/ink.safetensors", content, Behaviour::Stalls);
        let mut child = command(folder.path(), &hub, &[&url]).stderr(Stdio::null()).spawn().expect("it runs");
        let partial = || {
            let found = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
            let partial = found.map(|entry| entry.path().join("ink.safetensors.partial"));
            partial.filter_map(|path| path.metadata().ok()).map(|about| about.len()).next().unwrap_or(0)
        };
        let begun = std::time::Instant::now();
        while partial() < content.len() as u64 / 2 {
            assert!(begun.elapsed().as_secs() < 60, "half of it arrives");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        child.kill().and_then(|()| child.wait()).expect("it is killed");
    };
    cut(&bytes);
    hub.give("/store/ink.safetensors", &bytes, Behaviour::Whole);
    answer(&pull(folder.path(), &hub, &[&url]));
    let last = hub.asked("/store/ink.safetensors").pop().expect("it was asked");
    assert_eq!(last.range.as_deref(), Some(format!("bytes={}-", bytes.len() / 2).as_str()));
    assert_eq!(std::fs::read(folder.path().join("loras/ink.safetensors")).expect("it is there"), bytes);
    std::fs::remove_dir_all(folder.path().join("loras")).expect("it goes");
    // All of it had arrived when it was cut short: nothing is fetched anew.
    cut(&bytes);
    hub.give("/store/ink.safetensors", &bytes, Behaviour::Whole);
    let work = std::fs::read_dir(folder.path()).expect("a folder").flatten();
    let partial = work.map(|entry| entry.path().join("ink.safetensors.partial")).find(|path| path.exists());
    std::fs::write(partial.expect("what arrived"), &bytes).expect("a file");
    answer(&pull(folder.path(), &hub, &[&url]));
    let last = hub.asked("/store/ink.safetensors").pop().expect("it was asked");
    assert_eq!(last.range.as_deref(), Some(format!("bytes={}-", bytes.len()).as_str()));
    assert_eq!(std::fs::read(folder.path().join("loras/ink.safetensors")).expect("it is there"), bytes);
    std::fs::remove_dir_all(folder.path().join("loras")).expect("it goes");
    // Half of another file lies there; the validator tells them apart.
    cut(&vec![7; bytes.len()]);
    hub.give("/store/ink.safetensors", &bytes, Behaviour::Whole);
    answer(&pull(folder.path(), &hub, &[&url]));
    assert_eq!(std::fs::read(folder.path().join("loras/ink.safetensors")).expect("it is there"), bytes);
}

#[test]
fn a_folder_of_several_files_and_a_model_of_civitai_are_taken_whole() {
    let (folder, hub) = (tempfile::tempdir().expect("a folder"), Hub::start());
    let files = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ];
    let mut siblings = vec![json!({"rfilename": "unet/diffusion_pytorch_model.bin", "size": 3})];
    for name in files {
        let bytes = fixture(&format!("sd15-tiny/{name}"));
        siblings.push(json!({"rfilename": name, "size": bytes.len()}));
        hub.give(&format!("/ada/small/resolve/v1/{name}"), &bytes, Behaviour::Breaks { times: 1 });
    }
    hub.say(
        "/api/models/ada/small/revision/v1?blobs=true",
        &json!({"tags": ["license:mit"], "siblings": siblings}),
    );
    let added = answer(&pull(folder.path(), &hub, &["hf:ada/small@v1"]));
    assert_eq!((&added["added"], &added["licence"]["name"]), (&json!("small"), &json!("mit")), "{added}");
    assert!(folder.path().join("small/unet/diffusion_pytorch_model.safetensors").is_file());

    let bytes = lora();
    hub.say(
        "/api/v1/models/42",
        &json!({
            "name": "Ink", "allowCommercialUse": ["Image"], "allowNoCredit": false,
            "modelVersions": [
                {"id": 7, "baseModel": "SD 1.5", "files": [
                    {"name": "ink.zip", "downloadUrl": format!("{}/x", hub.url)},
                    {"name": "ink-v2.safetensors", "primary": true, "downloadUrl": format!("{}/download/7", hub.url),
                     "sizeKB": bytes.len() as f64 / 1024.0,
                     "hashes": {"SHA256": sha256(&bytes).to_uppercase()}},
                ]},
                {"id": 6, "files": []},
            ],
        }),
    );
    hub.give("/download/7", &bytes, Behaviour::Breaks { times: 1 });
    let mut command = command(folder.path(), &hub, &["civitai:42"]);
    let output = command.env("CIVITAI_TOKEN", "c_secret").output().expect("it runs");
    assert_eq!(answer(&output)["added"], "ink-v2");
    assert!(said(&output).contains("SD 1.5"), "{}", said(&output));
    assert!(!said(&output).contains("size not known"), "{}", said(&output));
    assert_eq!(hub.asked("/download/7")[0].authorization.as_deref(), Some("Bearer c_secret"));
    for (source, reason) in [("civitai:42@6", "none of its files"), ("civitai:42@9", "7, 6")] {
        let said = said(&pull(folder.path(), &hub, &[source]));
        assert!(said.contains(reason), "{source}: {said}");
    }

    let listed = Command::new(binary()).args(["models", "list", "--models-dir"]).arg(folder.path()).output();
    let listed: Json = serde_json::from_slice(&listed.expect("it runs").stdout).expect("JSON");
    let small = listed
        .as_array()
        .expect("a list")
        .iter()
        .find(|model| model["name"] == "small")
        .expect("it is there");
    let is_told = small["family"].is_string() && small["file_bytes"].as_u64() > Some(1_000_000);
    assert!(is_told && small["memory_bytes"].as_u64() > Some(0) && small["fits"] == true, "{small}");
}

/// A repository of files of the fixtures, each under its name there.
fn files_of(hub: &Hub, repository: &str, files: &[(&str, &str)]) {
    let mut siblings = vec![json!({"rfilename": "models/image_encoder/pytorch_model.bin", "size": 3})];
    for (name, from) in files {
        let bytes = fixture(from);
        siblings.push(json!({"rfilename": name, "lfs": {"sha256": sha256(&bytes), "size": bytes.len()}}));
        hub.give(&format!("/{repository}/resolve/c0ffee/{name}"), &bytes, Behaviour::Breaks { times: 1 });
    }
    hub.say(
        &format!("/api/models/{repository}?blobs=true"),
        &json!({"sha": "c0ffee", "tags": ["license:apache-2.0"], "siblings": siblings}),
    );
}

#[test]
fn what_leads_a_drawing_is_pulled_with_its_folders_and_under_names_of_its_own() {
    let (folder, hub) = (tempfile::tempdir().expect("a folder"), Hub::start());
    files_of(
        &hub,
        "ada/looks",
        &[
            ("models/adapter_sd15.safetensors", "ip-adapter/ip-adapter_sd15.safetensors"),
            ("models/image_encoder/config.json", "ip-adapter/image_encoder/config.json"),
            ("models/image_encoder/model.safetensors", "ip-adapter/image_encoder/model.safetensors"),
        ],
    );
    let control = "controlnet/sd15-controlnet-a";
    for repository in ["ada/pose", "ada/depth"] {
        let file = |name: &str| format!("{control}/{name}");
        let weights = "diffusion_pytorch_model.safetensors";
        files_of(
            &hub,
            repository,
            &[
                ("config.json", &file("config.json")),
                (weights, &file(weights)),
                ("half/config.json", "sd15-tiny/vae/config.json"),
            ],
        );
    }
    files_of(
        &hub,
        "ada/vae",
        &[
            ("config.json", "sd15-tiny/vae/config.json"),
            ("diffusion_pytorch_model.fp16.safetensors", "sd15-tiny/vae/diffusion_pytorch_model.safetensors"),
        ],
    );
    for (arguments, name, kind) in [
        (&["hf:ada/looks/models/adapter_sd15.safetensors"][..], "adapter_sd15", "ip_adapter"),
        (&["hf:ada/looks/models/image_encoder"], "looks-models-image_encoder", "ip_adapter"),
        (&["hf:ada/pose"], "pose", "controlnet"),
        (&["hf:ada/depth"], "depth", "controlnet"),
        (&["hf:ada/depth", "--file-name", "far"], "far", "controlnet"),
        (&["hf:ada/vae"], "vae", "vae"),
        (
            &["hf:ada/vae/diffusion_pytorch_model.fp16.safetensors", "--file-name", "soft.safetensors"],
            "soft",
            "vae",
        ),
    ] {
        let added = answer(&pull(folder.path(), &hub, arguments));
        assert_eq!((&added["added"], &added["type"]), (&json!(name), &json!(kind)), "{arguments:?}");
    }
    // A single file of that name is called after its repository: as the folder that is there already.
    answer(&pull(folder.path(), &hub, &["hf:ada/pose/diffusion_pytorch_model.safetensors"]));
    for place in [
        "ip_adapter/adapter_sd15.safetensors",
        "ip_adapter/looks-models-image_encoder/config.json",
        "ip_adapter/looks-models-image_encoder/model.safetensors",
        "controlnet/pose/diffusion_pytorch_model.safetensors",
        "controlnet/pose.safetensors",
        "controlnet/depth/config.json",
        "controlnet/far/config.json",
        "vae/vae.safetensors",
        "vae/soft.safetensors",
    ] {
        assert!(folder.path().join(place).is_file(), "{place}");
    }
    for (arguments, reason) in [
        (&["hf:ada/looks/models/none"][..], "there is no file models/none"),
        (&["hf:ada/pose", "--file-name", "../up"], "names no folder"),
        (&["hf:ada/vae/diffusion_pytorch_model.fp16.safetensors", "--file-name", "a.gguf"], ".safetensors"),
        (&["hf:ada/pose"], "is there already"),
    ] {
        let refused = pull(folder.path(), &hub, arguments);
        assert!(!refused.status.success() && said(&refused).contains(reason), "{}", said(&refused));
    }
}

#[test]
fn what_cannot_be_fetched_says_why() {
    let (folder, hub) = (tempfile::tempdir().expect("a folder"), Hub::start());
    hub.say("/api/models/ada/pickles?blobs=true", &json!({"siblings": [{"rfilename": "model.ckpt"}]}));
    hub.say(
        "/api/models/ada/many?blobs=true",
        &json!({"siblings": [{"rfilename": "a.gguf"}, {"rfilename": "b.gguf"}]}),
    );
    hub.lead("/loop.gguf", "/loop.gguf");
    hub.give("/page.gguf", b"<html>sign in</html>", Behaviour::Whole);
    hub.give("/broken.gguf", &[7; 1000], Behaviour::Breaks { times: usize::MAX });
    hub.refuse("/api/models/ada/gated?blobs=true", 401);
    let at = |path: &str| format!("{}{path}", hub.url);
    for (source, reason) in [
        ("hf:ada/pickles", "run programs"),
        ("hf:ada/many", "a.gguf, b.gguf"),
        ("hf:ada/many/c.gguf", "there is no file c.gguf"),
        ("hf:ada/many/x.ckpt", "there is no file"),
        ("hf:ada/none", "404"),
        ("hf:ada/gated", "HF_TOKEN"),
        ("hf:ada", "hf:OWNER/NAME"),
        ("ftp://h/x.gguf", "what is accepted"),
        (&at("/loop.gguf"), "redirects"),
        (&at("/page.gguf"), "page.gguf"),
        (&at("/model.pt"), ".gguf or .safetensors"),
        (&at("/broken.gguf"), "broke off"),
        ("http://127.0.0.1:1/x.gguf", "cannot be reached"),
    ] {
        let refused = pull(folder.path(), &hub, &[source]);
        assert!(!refused.status.success(), "{source}");
        assert!(said(&refused).contains(reason), "{source}: {}", said(&refused));
    }
    let all =
        Command::new(binary()).args(["models", "recommended", "--models-dir"]).arg(folder.path()).output();
    let all: Json = serde_json::from_slice(&all.expect("it runs").stdout).expect("JSON");
    for kind in ["chat", "image", "vae", "ip_adapter", "controlnet", "upscaler", "motion"] {
        assert!(all.as_array().is_some_and(|all| all.iter().any(|model| model["type"] == kind)), "{kind}");
    }
    for model in all.as_array().expect("a list") {
        assert!(
            model["licence"].is_string() && model["source"].is_string() && model["fits"].is_boolean(),
            "{model}"
        );
    }
}

/// What lies in a folder, in order, without what is hidden.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

//! The command line as a newcomer uses it: pipes, names instead of numbers, mistyped settings, models, accounts.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::Server;
use serde_json::{Value as Json, json};

fn playhouse(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    playhouse(data, arguments).env("PLAYHOUSE_LOG", "warn").output().expect("the binary runs")
}

fn answer(data: &Path, arguments: &[&str]) -> Json {
    let output = run(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn refusal(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).to_string()
}

/// A server with arguments of its own, and what it logs.
struct Logged {
    child: Child,
    log: PathBuf,
    url: String,
}

impl Logged {
    fn start(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Logged {
        let log = data.with_extension("log");
        let file = std::fs::File::create(&log).expect("a file");
        let mut command = playhouse(data, &["serve"]);
        command.args(arguments).env("PLAYHOUSE_FETCH_CHAT_MODEL", "false");
        let child = command.envs(environment.iter().copied()).stderr(file).spawn().expect("the binary runs");
        let started = Instant::now();
        let url = loop {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "the server did not start: {log}");
            if let Some(url) = playhouse::running_at(data)
                && common::get(&format!("{url}/health"), &[]).is_ok()
            {
                break url;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Logged { child, log, url }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "set -o pipefail; \"$0\" schema --data \"$1\" | head -1";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_playhouse")])
        .arg(folder.path())
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("panicked"), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[");
    // Neither does one that reads no complaints.
    let script = "\"$0\" check --data \"$1\" 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}";
    let status = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_playhouse")])
        .arg(folder.path().join("nothing"))
        .status()
        .expect("a shell");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn accounts_are_listed_at_rest_and_while_serving() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    Server::start(&data, &[]).stop();
    let create =
        ["user", "create", "--email", "ada@example.com", "--password", "correct horse", "--role", "admin"];
    answer(&data, &create);
    let listed = answer(&data, &["user", "list"]);
    assert_eq!(listed[0]["email"], "ada@example.com");
    assert_eq!(listed[0]["roles"], json!(["admin", "basic_user"]));
    let server = Server::start(&data, &[]);
    let (id, _) = server.sign_up("bob@example.com");
    let listed = answer(&data, &["user", "list"]);
    assert_eq!((listed.as_array().map(Vec::len), &listed[1]["id"]), (Some(2), &json!(id)));
}

#[test]
fn the_start_sums_up_what_is_there_and_names_what_cannot_be_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("models")).expect("a folder");
    let wrong = folder.path().join("modles");
    let chat = folder.path().join("chat.guff");
    std::fs::write(folder.path().join("chat.gguf"), b"x").expect("a file");
    let environment = [
        ("PLAYHOUSE_MODELS_DIR", &*wrong.to_string_lossy()),
        ("PLAYHOUSE_CHAT_MODEL", &*chat.to_string_lossy()),
        ("PLAYHOUSE_IMAGE_MODEL", "startr"),
        ("PLAYHOUSE_ROW_MAX", "5"),
        ("PLAYHOUSE_PUBLIC_URL", "https://studio.example.com/"),
    ];
    let data = folder.path().join("data");
    let server = Logged::start(&data, &["--listen", "localhost:0"], &environment);
    assert!(
        server.url.starts_with("http://127.0.0.1:") || server.url.starts_with("http://[::1]:"),
        "{}",
        server.url
    );
    let log = server.log();
    for said in [
        "PLAYHOUSE_ROW_MAX in the environment sets nothing; did you mean PLAYHOUSE_ROWS_MAX?",
        "modles is no folder; did you mean models?",
        "chat.guff does not exist; did you mean chat.gguf?",
        "image_model: there is no \"startr\", there is starter; did you mean starter?",
        "pictures=\"starter\"",
        "chats=\"none\"",
        "device=\"cpu",
        "url=\"https://studio.example.com\"",
        "sign_up=\"on, for everybody who reaches the address",
        "credits=\"charged\"",
    ] {
        assert!(log.contains(said), "{said} is not in: {log}");
    }
    // What the log says about the settings, health says too; it serves all the same.
    let keys = answer(&data, &["keys"]);
    let key = keys["service_role_key"].as_str().expect("a key");
    let health = common::get(&format!("{}/health", server.url), &[("apikey", key)]);
    let (status, health) = health.expect("it answers");
    let wrong = health["settings"].as_array().expect("a list");
    assert_eq!((status, wrong.len()), (200, 3), "{health}");
    assert!(wrong[2].as_str().is_some_and(|said| said.contains("did you mean starter")), "{health}");
    // `keys` prints the address that clients use, though only the server was given it.
    assert_eq!(answer(&data, &["keys"])["url"], "https://studio.example.com");
    drop(server);
    let said = refusal(&folder.path().join("other"), &["serve", "--listen", "localhost"]);
    assert!(said.contains("localhost:54321"), "{said}");
}

#[test]
fn a_start_is_refused_where_a_flag_names_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    for (flag, value, said) in [
        (
            "--image-model",
            "startr",
            "--image-model: there is no \"startr\", there is starter; did you mean starter?",
        ),
        ("--chat-model", "chat.guff", "--chat-model: chat.guff does not exist"),
        ("--models-dir", "/nothing/there", "--models-dir: /nothing/there is no folder"),
        ("--jwt-algorithm", "none", "--jwt-algorithm: none is neither HS256 nor ES256"),
        ("--mailbox-capacity", "0", "--mailbox-capacity: 0 is less than 1"),
    ] {
        let refused = refusal(&data, &["serve", flag, value]);
        assert!(refused.contains(said), "{refused}");
    }
    assert!(!data.exists(), "a refused start makes nothing");
}

#[test]
fn a_mistyped_data_folder_is_said_and_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, empty) = (folder.path().join("dta"), folder.path().join("empty"));
    std::fs::create_dir(&empty).expect("a folder");
    let target = folder.path().join("target").to_string_lossy().to_string();
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/goldens");
    let model = format!("{fixtures}/lora/kohya.safetensors");
    let create = ["user", "create", "--email", "ada@example.com", "--password", "correct horse"];
    for arguments in [
        &["keys"][..],
        &["user", "list"],
        &create,
        &["backup", &target],
        &["check"],
        &["models", "list"],
        &["models", "verify", "starter"],
        &["models", "add", &model],
        &["models", "remove", "ink"],
    ] {
        let said = refusal(&data, arguments);
        assert!(said.contains("no data folder at") && said.contains("dta"), "{arguments:?}: {said}");
        if arguments[0] != "models" {
            let said = refusal(&empty, arguments);
            assert!(said.contains("holds no store"), "{arguments:?}: {said}");
        }
    }
    assert!(refusal(&empty, &["restore", &target]).contains("is no backup: it has no manifest.json"));
    let lost = data.to_string_lossy().to_string();
    assert!(refusal(&empty, &["salvage", &lost, &target]).contains("no data folder at"));
    let note = folder.path().join("note.txt");
    std::fs::write(&note, "hello").expect("a file");
    for arguments in [["keys"], ["serve"], ["check"]] {
        assert!(refusal(&note, &arguments).contains("is a file, not a data folder"), "{arguments:?}");
    }
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    left.sort_by_key(std::fs::DirEntry::file_name);
    let names: Vec<_> = left.iter().map(|entry| entry.file_name().to_string_lossy().to_string()).collect();
    assert_eq!(names, ["empty", "note.txt"]);
    assert_eq!(std::fs::read_dir(&empty).expect("a folder").count(), 0, "nothing is made in it either");
}

#[test]
fn help_names_what_a_command_uses_and_an_example() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_playhouse"))
            .args(arguments)
            .arg("--help")
            .output()
            .expect("the binary runs");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8_lossy(&output.stdout).to_string()
    };
    for arguments in [
        &["keys"][..],
        &["schema"],
        &["user"],
        &["user", "list"],
        &["user", "create"],
        &["backup"],
        &["restore"],
        &["salvage"],
        &["check"],
        &["compact"],
        &["demo"],
        &["models"],
        &["models", "list"],
        &["models", "verify"],
        &["models", "add"],
        &["models", "remove"],
    ] {
        let said = help(arguments);
        assert!(said.contains("Example") && said.contains("\n  playhouse "), "{said}");
        assert!(said.contains("--data"), "{said}");
        assert_eq!(said.contains("--models-dir"), arguments[0] == "models", "{said}");
        for flag in ["--listen", "--mailbox-capacity", "--chat-model", "--salvage", "--accept-data-loss"] {
            assert!(!said.contains(flag), "{arguments:?}: {flag} is the server's: {said}");
        }
    }
    for arguments in [&[][..], &["serve"]] {
        let said = help(arguments);
        assert!(
            said.contains("--listen") && said.contains("--image-model") && said.contains("Example"),
            "{said}"
        );
    }
    // A command line that cannot be read ends with 2, a refusal with 1.
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["keys", "--listen", "localhost:80"][..], &["--salvage", "check"], &["play"]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(run(folder.path(), &["keys"]).status.code(), Some(1));
}

#[test]
fn a_setting_that_cannot_be_read_is_named_with_where_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("playhouse.json");
    let told = |text: &str| {
        std::fs::write(&settings, text).expect("a file");
        refusal(folder.path(), &["check"])
    };
    let path = settings.display();
    assert!(told("{").contains(&format!("{path}: not JSON: ")));
    let said = told(r#"{"redirect_urls": "https://a.example"}"#);
    assert!(
        said.contains(&format!("{path}: redirect_urls: ")) && said.contains("a list, such as ["),
        "{said}"
    );
    std::fs::remove_file(&settings).expect("it is there");
    let output = playhouse(folder.path(), &["check"])
        .env("PLAYHOUSE_CACHE_BYTES", "lots")
        .env("PLAYHOUSE-ROWS-MAX", "5")
        .env("OTHER", <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff"))
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let named =
        "PLAYHOUSE_CACHE_BYTES in the environment: cache_bytes: \"lots\" is not a number of bytes, such as";
    assert!(output.status.code() == Some(1) && said.contains(named), "{said}");
    assert!(said.contains("PLAYHOUSE-ROWS-MAX in the environment sets nothing; did you mean"), "{said}");
}

#[test]
fn a_setting_that_stops_the_start_is_named_with_where_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let serve = |environment: &[(&str, &str)], arguments: &[&str]| {
        let mut command = playhouse(&data, &["serve"]);
        let output =
            command.args(arguments).envs(environment.iter().copied()).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).to_string()
    };
    for (name, value, said) in [
        (
            "PLAYHOUSE_IMAGE_DEVICE",
            "gpu",
            "image_device: device gpu: not one of auto, cpu, vulkan:N, wgpu:N, cuda:N",
        ),
        #[cfg(not(feature = "cuda"))]
        (
            "PLAYHOUSE_CHAT_DEVICE",
            "cuda:1",
            "chat_device: device cuda:1: this build has no CUDA and takes auto, cpu",
        ),
        ("PLAYHOUSE_IMAGE_WEIGHTS", "f8", "image_weights: \"f8\" is not one of f32, f16, bf16"),
        ("PLAYHOUSE_JWT_ALGORITHM", "none", "jwt_algorithm: none is neither HS256 nor ES256"),
        ("PLAYHOUSE_PUBLIC_URL", "here", "public_url: \"here\" does not begin with http:// or https://"),
    ] {
        let output = serve(&[(name, value)], &[]);
        assert!(output.contains(&format!("playhouse: {name} in the environment: {said}")), "{output}");
    }
    assert!(!data.exists(), "a refused start makes nothing");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let said = serve(&[], &["--listen", &address]);
    assert!(said.contains(&format!("--listen: cannot listen on {address}: ")), "{said}");
    let said = serve(&[("PLAYHOUSE_LISTEN", &address)], &[]);
    assert!(said.contains("PLAYHOUSE_LISTEN in the environment: listen: cannot listen on"), "{said}");
    assert!(said.contains("another program listens there"), "{said}");
    // What names something that is not there is said with its place, and what is there is served.
    std::fs::create_dir_all(&data).expect("a folder");
    let settings = data.join("playhouse.json");
    std::fs::write(&settings, r#"{"image_model": "dream"}"#).expect("a file");
    let server = Logged::start(&data, &["--listen", "127.0.0.1:0"], &[("PLAYHOUSE_CHAT_MODEL", "none.gguf")]);
    let log = server.log();
    let place = format!("{}: image_model: there is no \"dream\"", settings.display());
    assert!(
        log.contains(&place) && log.contains("PLAYHOUSE_CHAT_MODEL in the environment: chat_model: "),
        "{log}"
    );
}

#[test]
fn a_backup_is_no_data_folder_and_the_commands_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, backup) = (folder.path().join("data"), folder.path().join("monday"));
    Server::start(&data, &[]).stop();
    let path = |path: &Path| path.to_string_lossy().to_string();
    answer(&data, &["backup", &path(&backup)]);
    let before = std::fs::read_dir(&backup).expect("a folder").count();
    let target = path(&folder.path().join("new"));
    for said in [
        refusal(&data, &["salvage", &path(&backup), &target]),
        refusal(&backup, &["check"]),
        refusal(&backup, &["serve", "--listen", "127.0.0.1:0"]),
        refusal(&backup, &["keys"]),
        refusal(&backup, &["compact"]),
        refusal(&backup, &["restore", &path(&backup)]),
    ] {
        let advice = format!("is a backup, not a data folder; `playhouse restore {}", backup.display());
        assert!(said.contains(&advice), "{said}");
    }
    assert_eq!(std::fs::read_dir(&backup).expect("a folder").count(), before, "nothing is written into it");
    let said = refusal(Path::new(&target), &["restore", &path(&data)]);
    assert!(said.contains("is a data folder, not a backup"), "{said}");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let said = refusal(&data, &["salvage", &path(&empty), &target]);
    assert!(said.contains("empty holds no store, so there is nothing to salvage"), "{said}");
    assert!(!Path::new(&target).exists());
    answer(Path::new(&target), &["restore", &path(&backup)]);
}

#[test]
fn a_file_that_is_no_model_is_refused_with_what_it_is_and_what_helps() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let lora = std::fs::read(format!("{fixtures}/goldens/lora/kohya.safetensors")).expect("a LoRA");
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &[0; 4]].concat();
    let tensor =
        |name: &str| header(&format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#));
    for (name, bytes, said) in [
        ("cut.safetensors", lora[..lora.len() / 2].to_vec(), "truncated"),
        ("header.safetensors", lora[..20].to_vec(), "fetch the file again"),
        ("words.safetensors", b"hello, this is not a model".to_vec(), "no safetensors file"),
        ("page.safetensors", b"<!doctype html><p>Sign in".to_vec(), "is a web page, not a model"),
        ("pointer.gguf", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git lfs pull"),
        ("chat.gguf", b"GGUF\x03\0\0\0\x01\0\0\0".to_vec(), "truncated; fetch it again"),
        ("other.gguf", b"hello, this is not a model".to_vec(), "does not begin with GGUF"),
        (
            "wrong.safetensors",
            b"GGUF\x03\0\0\0\x01\0\0\0".to_vec(),
            "is a GGUF file: give it a name that ends",
        ),
        ("thing.safetensors", tensor("weight"), "neither a picture model nor a LoRA"),
        ("hada.safetensors", tensor("lora_unet_x.hada_w1_a"), "lora_unet_x lacks its other half"),
        ("none.safetensors", header("{}"), "without any tensors"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        let refused = refusal(&data, &["models", "add", &path.to_string_lossy()]);
        assert!(refused.contains(name) && refused.contains(said), "{name}: {refused}");
        assert_eq!(refused.matches(name).count(), 1, "it is named once: {refused}");
    }
    assert!(!data.join("models").exists(), "nothing is added");
}

#[test]
fn a_server_for_this_machine_says_so_and_charges_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Logged::start(&data, &["--listen", "127.0.0.1:0"], &[]);
    let log = server.log();
    for said in ["sign_up=\"on, from this machine\"", "credits=\"not charged\""] {
        assert!(log.contains(said), "{said} is not in: {log}");
    }
}

#[test]
fn models_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let names = || {
        let listed = answer(&data, &["models", "list"]);
        let name = |model: &Json| {
            format!("{} {}", model["type"].as_str().expect("a type"), model["name"].as_str().expect("a name"))
        };
        listed.as_array().expect("a list").iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["image starter"]);
    let starter = &answer(&data, &["models", "list"])[0];
    assert_eq!((&starter["trained_px"], &starter["sound"]), (&json!(64), &json!(true)));
    assert!(
        starter["words"]["place"].as_array().is_some_and(|words| words.contains(&json!("beach"))),
        "{starter}"
    );
    for (path, kind) in [
        ("goldens/lora/kohya.safetensors", "lora"),
        ("goldens/sd15-tiny", "image"),
        ("language/llama-tiny", "chat"),
        ("goldens/textual-inversion/zebrahat.safetensors", "embedding"),
        ("goldens/ip-adapter/ip-adapter_sd15.safetensors", "ip_adapter"),
    ] {
        let added = answer(&data, &["models", "add", &format!("{fixtures}/{path}")]);
        assert_eq!(added["type"], kind, "{added}");
    }
    assert!(data.join("models/loras/kohya.safetensors").is_file());
    assert!(data.join("models/ip_adapter/ip-adapter_sd15.safetensors").is_file());
    let parts = ["lora kohya", "embedding zebrahat", "ip_adapter ip-adapter_sd15"];
    assert_eq!(names(), [&["image starter", "image sd15-tiny"], &parts[..], &["chat llama-tiny"]].concat());
    let unet = format!("{fixtures}/goldens/sd15-tiny/unet/diffusion_pytorch_model.safetensors");
    let said = refusal(&data, &["models", "add", &unet]);
    assert!(said.contains("conv_in.bias") && said.contains("none of lora, embedding"), "{said}");
    assert!(refusal(&data, &["models", "add", &unet, "--kind", "vae"]).contains("no tensors of a vae"));
    let vae = unet.replace("/unet/", "/vae/");
    let added = answer(&data, &["models", "add", &vae, "--kind", "vae"]);
    assert_eq!(
        (&added["type"], &added["added"]),
        (&json!("vae"), &json!("diffusion_pytorch_model")),
        "{added}"
    );
    for name in
        ["kohya", "sd15-tiny", "llama-tiny", "zebrahat", "ip-adapter_sd15", "vae/diffusion_pytorch_model"]
    {
        assert_eq!(answer(&data, &["models", "remove", name])["removed"], name);
        assert!(refusal(&data, &["models", "remove", name]).contains("no model"));
    }
    let other = folder.path().join("other").to_string_lossy().to_string();
    for arguments in [["models", "list", "--models-dir", &other], ["--models-dir", &other, "models", "list"]]
    {
        let said = refusal(&data, &arguments);
        assert!(said.contains("no models folder at") && said.contains("other"), "{said}");
    }
    std::fs::write(data.join("models/note.txt"), "hello").expect("a file");
    assert_eq!(names(), ["image starter", "file note.txt"]);
    assert!(refusal(&data, &["models", "remove", "starter"]).contains("part of the program"));
}

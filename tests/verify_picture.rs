//! Verifying pictures: a file that was drawn here is drawn again from its own record, and what was changed shows.

mod common;

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use actors::render::png_texts;
use common::Server;
use common::files;
use common::jobs::{queue, result_of};
use image::RgbImage;
use serde_json::{Value as Json, json};

fn verify(server: &Server, token: &str, options: &str, file: &[u8]) -> (u16, Json) {
    let url = format!("{}/functions/v1/verify-picture{options}", server.url);
    let bearer = files::bearer(token);
    let headers = [("authorization", bearer.as_str()), ("apikey", server.anon.as_str())];
    let answer = files::send(&url, "POST", &headers, file).expect("an answer");
    (answer.status, answer.json())
}

fn pixels(file: &[u8]) -> RgbImage {
    image::load_from_memory(file).expect("a picture").to_rgb8()
}

/// Copies a fixture to a place of the models folder.
fn install(models: &Path, from: &str, to: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(from);
    let to = models.join(to);
    if from.is_file() {
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(from, to).expect("a file");
        return;
    }
    for entry in std::fs::read_dir(&from).expect("a folder").flatten() {
        install(models, &entry.path().to_string_lossy(), &to.join(entry.file_name()).to_string_lossy());
    }
}

/// Draws a file again by the command line.
fn by_hand(models: &Path, file: &[u8], options: &[&str]) -> (bool, Json, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("drawn.png");
    std::fs::write(&path, file).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.arg("verify-picture").arg(&path).arg("--models-dir").arg(models).args(options);
    let output = command.output().expect("the binary runs");
    let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.success(), said, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn differing(answer: &Json) -> Vec<&str> {
    let all = answer["differences"].as_array().into_iter().flatten();
    all.filter_map(|difference| difference["field"].as_str()).collect()
}

/// A picture of one colour, or of two where one is given.
fn square(colour: [u8; 3], inner: Option<[u8; 3]>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(64, 64, |x, y| {
        let is_inner = (16..48).contains(&x) && (16..48).contains(&y);
        image::Rgb(inner.filter(|_| is_inner).unwrap_or(colour))
    });
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

#[test]
fn a_picture_that_others_led_is_verified_with_them() {
    let (folder, models) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for (from, to) in [
        ("sd15-tiny", "tiny"),
        ("controlnet/sd15-base", "lined"),
        ("controlnet/sd15-controlnet-a", "controlnet/lines"),
        ("ip-adapter/ip-adapter_sd15.safetensors", "ip_adapter/looks.safetensors"),
        ("ip-adapter/image_encoder", "ip_adapter/encoder"),
    ] {
        install(models.path(), from, to);
    }
    let models_dir = models.path().to_string_lossy().into_owned();
    let settings = [("PLAYHOUSE_MODELS_DIR", &*models_dir), ("PLAYHOUSE_CHARGE_CREDITS", "false")];
    let server = Server::start(folder.path(), &settings);
    let (user, token) = server.sign_up("painter@example.com");
    let of = |name: &str| format!("reference_images/{user}/{name}.png");
    let pictures = [
        ("lines", square([240; 3], Some([10; 3]))),
        ("face", square([200, 30, 30], None)),
        ("hat", square([30, 30, 200], None)),
        ("other", square([30, 200, 30], None)),
    ];
    for (name, bytes) in &pictures {
        let answer = files::put(&server, &token, &of(name), "image/png", bytes);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let with = |file: &[u8], names: &[&str]| {
        let options: Vec<String> = names.iter().map(|name| format!("guide_image_url={}", of(name))).collect();
        verify(&server, &token, &format!("?{}", options.join("&")), file)
    };
    let asked = json!({"job_type": "sdxl_image_fast", "prompt": "a red car", "seed": 7, "steps": 3, "model": "lined",
        "controls": [{"model": "lines", "image_url": of("lines"), "preprocess": "canny", "scale": 0.8, "end": 0.9}]});
    let file = result_of(&server, &token, &queue(&server, &token, &asked));
    let (status, answer) = with(&file, &["lines"]);
    assert_eq!((status, &answer["result"]), (200, &json!("equal")), "{answer}");
    let control = &answer["record"]["spec"]["guides"]["controls"][0];
    assert!(control["hash"].is_string(), "of a folder too: {control}");
    // A record that does not say which picture led what.
    let old = changed(&file, &pixels(&file), |record| {
        record["spec"]["guides"]["controls"][0].as_object_mut().expect("one").remove("picture");
    });
    let (status, answer) = with(&old, &["lines"]);
    assert_eq!((status, &answer["code"]), (400, &json!("LED_BY_PICTURES")), "{answer}");

    let asked = json!({"job_type": "sdxl_image_fast", "prompt": "a red car", "seed": 7, "steps": 3, "model": "tiny",
        "ip_adapters": [{"model": "looks", "image_urls": [of("face"), of("hat")], "scale": 0.7}]});
    let file = result_of(&server, &token, &queue(&server, &token, &asked));
    for names in [&["face"][..], &[], &["face", "hat", "other"]] {
        let (status, answer) = with(&file, names);
        assert_eq!(
            (status, &answer["details"]["field"]),
            (400, &json!("guide_image_url")),
            "{names:?}: {answer}"
        );
    }
    // In any order: each is known by its hash.
    let (status, answer) = with(&file, &["hat", "face"]);
    assert_eq!((status, &answer["result"]), (200, &json!("equal")), "{answer}");
    assert_eq!(answer["differences"], json!([]));
    let adapter = &answer["record"]["spec"]["guides"]["ip_adapters"][0];
    assert!(adapter["hash"].is_string() && adapter["encoder"]["hash"].is_string(), "{adapter}");

    // The command line takes files.
    let mut options = Vec::new();
    for (name, bytes) in &pictures {
        let path = models.path().join(format!("{name}.png"));
        std::fs::write(&path, bytes).expect("a file");
        options.push(format!("--guide={}", path.display()));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let (is_same, said, error) = by_hand(models.path(), &file, &options[1..3]);
    assert!(is_same && said["result"] == "equal", "{said} {error}");
    assert!(by_hand(models.path(), &file, &options[1..2]).2.contains("--guide is missing"));
    assert!(by_hand(models.path(), &file, &options).2.contains("did not lead"));

    // The looks of a reference lead by self-attention where no adapter is there.
    std::fs::remove_file(models.path().join("ip_adapter/looks.safetensors")).expect("it goes");
    let mira =
        json!({"user_id": user, "name": "Mira", "description": "a girl", "reference_image_url": of("face")});
    let (status, rows) = server.call("POST", "/rest/v1/characters", &token, Some(&mira));
    assert_eq!(status, 201, "{rows}");
    let asked = json!({"job_type": "sdxl_image_fast", "prompt": "a girl", "seed": 7, "steps": 3, "model": "tiny",
        "consistency_settings": {"method": "ip_adapter"}, "metadata": {"character_id": rows[0]["id"]}});
    let file = result_of(&server, &token, &queue(&server, &token, &asked));
    let (status, answer) = verify(&server, &token, &format!("?guide_image_url={}", of("face")), &file);
    assert_eq!((status, &answer["result"]), (200, &json!("equal")), "{answer}");
    assert!(answer["record"]["spec"]["guides"]["reference"]["picture"].is_string(), "{answer}");
}

#[test]
fn what_was_replaced_or_rounds_otherwise_is_named() {
    let (folder, models) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for (from, to) in [
        ("sd15-tiny", "tiny"),
        ("sd15-tiny/vae/diffusion_pytorch_model.safetensors", "vae/soft.safetensors"),
        ("textual-inversion/zebrahat.safetensors", "embeddings/zebrahat.safetensors"),
    ] {
        install(models.path(), from, to);
    }
    let models_dir = models.path().to_string_lossy().into_owned();
    let settings = [("PLAYHOUSE_MODELS_DIR", &*models_dir), ("PLAYHOUSE_IMAGE_WEIGHTS", "bf16")];
    let server = Server::start(folder.path(), &settings);
    let (_, token) = server.sign_up("painter@example.com");
    let asked = json!({"job_type": "sdxl_image_fast", "prompt": "a zebrahat", "seed": 7, "steps": 3, "model": "tiny",
                       "vae": "soft"});
    let file = result_of(&server, &token, &queue(&server, &token, &asked));
    let (status, answer) = verify(&server, &token, "", &file);
    assert_eq!((status, &answer["result"]), (200, &json!("equal")), "{answer}");
    assert_eq!(answer["record"]["computed"], json!({"weights": "bf16", "device": "cpu"}), "{answer}");
    let (_, said, _) = by_hand(models.path(), &file, &[]);
    assert_ne!(said["result"], "equal");
    assert_eq!(differing(&said), ["weights"], "f32 rounds otherwise: {said}");

    // Another VAE and another embedding under the same names.
    let vae = models.path().join("vae/soft.safetensors");
    let mut bytes = std::fs::read(&vae).expect("a file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&vae, bytes).expect("a file");
    install(models.path(), "textual-inversion/learned_embeds.safetensors", "embeddings/zebrahat.safetensors");
    let (_, answer) = verify(&server, &token, "", &file);
    assert_eq!(differing(&answer), ["embeddings", "vae"], "{answer}");
}

/// The file with other pixels, or with another record.
fn changed(file: &[u8], pixels: &RgbImage, record: impl FnOnce(&mut Json)) -> Vec<u8> {
    let texts = png_texts(file).expect("texts");
    let text = &texts.iter().find(|(keyword, _)| keyword == "playhouse").expect("a record").1;
    let mut about: Json = serde_json::from_str(text).expect("JSON");
    record(&mut about);
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.add_itxt_chunk("playhouse".into(), about.to_string()).expect("a text");
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(pixels.as_raw()).expect("pixels");
    writer.finish().expect("an end");
    bytes.into_inner()
}

#[test]
fn a_picture_is_drawn_again_from_its_record_and_what_was_changed_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let (_, token) = server.sign_up("painter@example.com");
    let asked = json!({"job_type": "sdxl_image_fast", "prompt": "a (red:1.2) circle", "negative_prompt": "blue", "seed": 9,
                       "steps": 3, "scheduler": "Euler a", "width": 48, "height": 64, "prompt_syntax": "a1111",
                       "clip_skip": 1, "image_count": 2});
    let job = queue(&server, &token, &asked);
    let file = result_of(&server, &token, &job);
    let (status, answer) = verify(&server, &token, "", &file);
    assert_eq!((status, &answer["result"]), (200, &json!("equal")), "{answer}");
    assert_eq!(answer["differences"], json!([]));
    assert_eq!(answer["distance"], json!({"mean": 0.0, "max": 0, "pixels_share": 0.0, "psnr_db": null}));
    let spec = &answer["record"]["spec"];
    assert_eq!((&spec["seed"], &spec["clip_skip"]), (&json!(9), &json!(1)));

    // The same job answers for another file, and for its own account alone.
    let again = format!("?jobId={}", answer["jobId"].as_str().expect("an id"));
    let mut spotted = pixels(&file);
    spotted.put_pixel(0, 0, image::Rgb(spotted.get_pixel(0, 0).0.map(|value| value ^ 4)));
    let (status, answer) = verify(&server, &token, &again, &changed(&file, &spotted, |_| {}));
    assert_eq!(
        (status, &answer["result"], &answer["distance"]["max"]),
        (200, &json!("close"), &json!(4)),
        "{answer}"
    );
    let mut painted = pixels(&file);
    painted.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(|value| 255 - value));
    let other_weights = changed(&file, &painted, |record| record["weights_hash"] = json!("blake3:ab"));
    let (status, answer) = verify(&server, &token, &again, &other_weights);
    assert_eq!((status, &answer["result"]), (200, &json!("different")), "{answer}");
    assert_eq!(answer["differences"][0]["field"], "weights_hash");
    // A second pass belongs to the picture.
    let large = json!({"job_type": "sdxl_image_fast", "prompt": "a tree", "seed": 4, "steps": 4, "width": 64, "height": 48,
                       "hires_scale": 1.5, "hires_denoise_strength": 0.5});
    let job = queue(&server, &token, &large);
    let enlarged = result_of(&server, &token, &job);
    assert_eq!(pixels(&enlarged).dimensions(), (96, 72));
    let (status, answer) = verify(&server, &token, "", &enlarged);
    assert_eq!((status, &answer["result"]), (200, &json!("equal")), "{answer}");
    let (_, stranger) = server.sign_up("stranger@example.com");
    let (status, answer) = verify(&server, &stranger, &again, &file);
    assert_eq!((status, &answer["details"]["field"]), (404, &json!("jobId")), "{answer}");

    // Another seed is another picture; what cannot be drawn again says why.
    let (status, answer) = verify(
        &server,
        &token,
        "",
        &changed(&file, &pixels(&file), |record| record["spec"]["seed"] = json!(10)),
    );
    assert_eq!((status, &answer["result"]), (200, &json!("different")), "{answer}");
    let small = image::imageops::thumbnail(&pixels(&file), 24, 32);
    let refused: [(Vec<u8>, &str); 5] = [
        (b"GIF89a".to_vec(), "NO_RECORD"),
        (changed(&file, &small, |_| {}), "CHANGED_SIZE"),
        (changed(&file, &pixels(&file), |record| record["model"] = json!("absent")), "MODEL_MISSING"),
        (changed(&file, &pixels(&file), |record| record["spec"]["reference_hash"] = json!("blake3:ab")), ""),
        (changed(&file, &pixels(&file), |record| record["spec"]["steps"] = json!(100_000)), ""),
    ];
    for (file, code) in refused {
        let (status, answer) = verify(&server, &token, "", &file);
        assert_eq!(status, 400, "{code}: {answer}");
        assert!(code.is_empty() || answer["code"] == code, "{code}: {answer}");
    }
    // The words of a record are judged like those of any request.
    let minors = changed(&file, &pixels(&file), |record| {
        record["spec"]["prompt"] = json!("explicit nude, a 12 year old child");
    });
    assert_eq!(verify(&server, &token, "", &minors).0, 422);

    // The command line needs no server.
    let path = folder.path().join("drawn.png");
    std::fs::write(&path, &file).expect("a file");
    let run = |path: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
        command.arg("verify-picture").arg(path).arg("--keep").arg(folder.path().join("again.png"));
        command.arg("--data").arg(folder.path().join("none")).output().expect("the binary runs")
    };
    let output = run(&path);
    let said: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success() && said["result"] == "equal", "{said}");
    assert!(pixels(&std::fs::read(folder.path().join("again.png")).expect("a file")) == pixels(&file));
    std::fs::write(&path, &other_weights).expect("a file");
    let output = run(&path);
    let error = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(!output.status.success() && error.contains("weights_hash"), "{error}");
}

#[test]
fn a_picture_over_a_reference_is_verified_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("painter@example.com");
    let reference = |colour: [u8; 3]| {
        let mut bytes = Cursor::new(Vec::new());
        let picture = RgbImage::from_pixel(64, 64, image::Rgb(colour));
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
        bytes.into_inner()
    };
    for (name, colour) in [("own.png", [200, 30, 30]), ("other.png", [30, 30, 200])] {
        let answer = files::put(
            &server,
            &token,
            &format!("reference_images/{user}/{name}"),
            "image/png",
            &reference(colour),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let of = |name: &str| format!("reference_images/{user}/{name}");
    let asked = json!({"job_type": "sdxl_image_fast", "prompt": "a tree", "seed": 3, "steps": 4, "denoise_strength": 0.6,
                       "reference_image_url": of("own.png"), "metadata": {"reference_mode": "modify"}});
    let job = queue(&server, &token, &asked);
    let file = result_of(&server, &token, &job);
    let (status, answer) = verify(&server, &token, "", &file);
    assert_eq!((status, &answer["details"]["field"]), (400, &json!("reference_image_url")), "{answer}");
    let with = |name: &str| verify(&server, &token, &format!("?reference_image_url={}", of(name)), &file);
    let (status, answer) = with("own.png");
    assert_eq!((status, &answer["result"]), (200, &json!("equal")), "{answer}");
    let (status, answer) = with("other.png");
    assert_eq!((status, &answer["differences"][0]["field"]), (200, &json!("reference_hash")), "{answer}");
    assert_ne!(answer["result"], "equal");
}

//! What leads a drawing beside its prompts: learned words, ControlNets, IP-Adapters, and the looks of a character.

mod common;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Server;
use common::files;
use common::jobs::{drawn, queue, refused, result_of, wait_for};
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
    user: String,
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
        let (user, token) = server.sign_up("painter@example.com");
        Studio { server, models, _data: data, user, token }
    }

    /// Uploads a picture; its `bucket/path`.
    fn upload(&self, name: &str, picture: RgbImage) -> String {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
        let path = format!("user-library/{}/{name}.png", self.user);
        let answer = files::put(&self.server, &self.token, &path, "image/png", &bytes.into_inner());
        assert_eq!(answer.status, 200, "{}", answer.text());
        path
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

    fn refused(&self, body: &Json, words: &str) {
        refused(&self.server, &self.token, body, 400, words);
    }
}

fn square() -> RgbImage {
    RgbImage::from_fn(64, 64, |x, y| {
        let inside = (16..48).contains(&x) && (16..48).contains(&y);
        image::Rgb(if inside { [240, 80, 30] } else { [10, 20, 90] })
    })
}

fn job(changes: Json) -> Json {
    let mut body =
        json!({"job_type": "sdxl_image_fast", "prompt": "a red car", "seed": 7, "steps": 3, "model": "tiny"});
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
    let weighted =
        |syntax: &str, prompt: &str| studio.drawn(&job(json!({"prompt": prompt, "prompt_syntax": syntax})));
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
    std::fs::write(studio.models.path().join("embeddings/broken.safetensors"), b"no tensors")
        .expect("a file");
    assert!(studio.failed(&prompt("a broken car")).contains("embeddings/broken.safetensors"));
    assert_eq!(named, studio.drawn(&prompt("a photo of zebrahat, fog")), "the next one is drawn");
}

#[test]
fn controlnets_lead_by_their_pictures() {
    let studio = Studio::with(&[
        ("controlnet/sd15-base", "tiny"),
        ("controlnet/sd15-controlnet-a", "controlnet/depth"),
        ("controlnet/sd15-controlnet-a-original.safetensors", "controlnet/original.safetensors"),
        ("controlnet/sd15-controlnet-b", "controlnet/poses/pose"),
        ("controlnet/sdxl-controlnet-a", "controlnet/xl"),
    ]);
    let address = studio.upload("square", square());
    let sized = |changes: Json| {
        let mut body = job(changes);
        (body["width"], body["height"]) = (json!(64), json!(64));
        body
    };
    let control = |changes: Json| {
        let mut control = json!({"model": "depth", "image_url": address});
        for (name, value) in changes.as_object().expect("an object") {
            control[name] = value.clone();
        }
        control
    };
    let led = |controls: Json| studio.drawn(&sized(json!({"controls": controls})));
    let plain = studio.drawn(&sized(json!({})));
    let whole = led(json!([control(json!({}))]));
    assert_ne!(plain, whole);
    assert_eq!(plain, led(json!([control(json!({"scale": 0}))])), "nothing of it");
    assert_eq!(whole, led(json!([control(json!({"model": "original"}))])), "the original names");
    let late = led(json!([control(json!({"start": 0.5}))]));
    assert!(late != plain && late != whole, "only a share of the run");
    let lines = led(json!([control(json!({"preprocess": "canny"}))]));
    assert!(lines != plain && lines != whole, "its lines");
    let two = led(json!([control(json!({"scale": 0.7})), control(json!({"model": "pose", "scale": 0.4}))]));
    assert!(two != whole && two != plain);
    let record = studio.record(&sized(json!({"controls": [control(json!({"end": 0.8}))]})));
    let guide = &record["guides"]["controls"][0];
    assert_eq!((&guide["model"], &guide["end"]), (&json!("depth"), &json!(0.8)), "{record}");
    assert!(record["guides"]["pictures"][0].as_str().is_some_and(|it| it.starts_with("blake3:")), "{record}");

    for (controls, words) in [
        (json!([control(json!({"model": "edges"}))]), "controls[0].model: there is no \"edges\" here"),
        (json!([{"model": "depth"}]), "controls[0].image_url: missing"),
        (json!([control(json!({"scale": 9}))]), "controls[0].scale: 9 is not within 0 to 2"),
        (json!([control(json!({"start": 0.8, "end": 0.2}))]), "controls[0].start"),
        (json!([control(json!({"preprocess": "depth"}))]), "controls[0].preprocess"),
        (json!({"model": "depth"}), "controls: an object is not a list"),
        (json!(vec![control(json!({})); 5]), "controls: 5 are given"),
    ] {
        studio.refused(&sized(json!({"controls": controls})), words);
    }
    let path = format!("user-library/{}/large.png", studio.user);
    let large = vec![0; (20 << 20) + 1];
    assert_eq!(files::put(&studio.server, &studio.token, &path, "image/png", &large).status, 200);
    let body = sized(json!({"controls": [control(json!({"image_url": path}))]}));
    studio.refused(&body, "controls[0].image_url: larger than 20971520 bytes");
    let (_, stranger) = studio.server.sign_up("other@example.com");
    let body = sized(json!({"controls": [control(json!({}))]}));
    refused(&studio.server, &stranger, &body, 403, "no such file that this account may read");
    let other = studio.failed(&sized(json!({"controls": [control(json!({"model": "xl"}))]})));
    assert!(other.contains("addition_embed_type") && other.contains("SDXL"), "{other}");
    // A file that lacks a tensor is refused by its name.
    let mut bytes =
        std::fs::read(fixture("controlnet/sd15-controlnet-a-original.safetensors")).expect("a file");
    let at = bytes.windows(18).position(|it| it == b"middle_block_out.0").expect("a name");
    bytes[at..at + 18].copy_from_slice(b"middle_block_oxt.0");
    std::fs::write(studio.models.path().join("controlnet/odd.safetensors"), bytes).expect("a file");
    let odd = studio.failed(&sized(json!({"controls": [control(json!({"model": "odd"}))]})));
    assert!(odd.contains("controlnet_mid_block"), "{odd}");
    // So is one whose numbers are no floating point.
    let whole_numbers = in_whole_numbers("controlnet/sd15-controlnet-a-original.safetensors");
    std::fs::write(studio.models.path().join("controlnet/whole.safetensors"), whole_numbers).expect("a file");
    let refused = studio.failed(&sized(json!({"controls": [control(json!({"model": "whole"}))]})));
    assert!(refused.contains("not floating point"), "{refused}");
    assert_eq!(whole, led(json!([control(json!({}))])), "the next one is drawn");
    assert_eq!(studio.server.check()["faults"], 0);
}

#[test]
fn ip_adapters_lead_by_pictures() {
    let studio = Studio::with(&[
        ("sd15-tiny", "tiny"),
        ("ip-adapter/ip-adapter_sd15.safetensors", "ip_adapter/standard.safetensors"),
        ("ip-adapter/ip-adapter-plus_sd15.safetensors", "ip_adapter/plus.safetensors"),
        ("ip-adapter/ip-adapter_sdxl.safetensors", "ip_adapter/xl.safetensors"),
        ("ip-adapter/image_encoder", "ip_adapter/image_encoder"),
    ]);
    let (first, second) = (studio.upload("square", square()), studio.upload("black", RgbImage::new(40, 60)));
    let adapter = |changes: Json| {
        let mut adapter = json!({"model": "standard", "image_url": first});
        for (name, value) in changes.as_object().expect("an object") {
            adapter[name] = value.clone();
        }
        adapter
    };
    let led = |adapters: Json| studio.drawn(&job(json!({"ip_adapters": adapters})));
    let plain = studio.drawn(&job(json!({})));
    let standard = led(json!([adapter(json!({}))]));
    assert_ne!(plain, standard);
    assert_eq!(plain, led(json!([adapter(json!({"scale": 0}))])), "nothing of it");
    assert_eq!(standard, led(json!([adapter(json!({"scale": 0.6}))])), "what it is without a word");
    let plus = led(json!([adapter(json!({"model": "plus"}))]));
    assert!(plus != plain && plus != standard);
    assert_ne!(standard, led(json!([adapter(json!({"image_url": second}))])), "another picture");
    assert_ne!(standard, led(json!([adapter(json!({"image_urls": [second]}))])), "two pictures");
    let style = json!({"up": {"block_1": [0.0, 1.0, 0.0]}});
    assert_ne!(plain, led(json!([adapter(json!({"scale": style}))])));
    assert_ne!(plus, led(json!([adapter(json!({})), adapter(json!({"model": "plus"}))])), "both");

    for (adapters, words) in [
        (json!([adapter(json!({"model": "face"}))]), "ip_adapters[0].model: there is no \"face\" here"),
        (json!([{"model": "plus"}]), "ip_adapters[0].image_url: missing"),
        (json!([adapter(json!({"scale": -1}))]), "ip_adapters[0].scale"),
        (json!([adapter(json!({"image_urls": [7]}))]), "ip_adapters[0].image_urls[0]"),
    ] {
        studio.refused(&job(json!({"ip_adapters": adapters})), words);
    }
    let foreign =
        job(json!({"ip_adapters": [adapter(json!({"image_urls": [second, "user-library/none.png"]}))]}));
    refused(&studio.server, &studio.token, &foreign, 403, "ip_adapters[0].image_urls[1]");
    let layers =
        studio.failed(&job(json!({"ip_adapters": [adapter(json!({"scale": {"up": {"block_0": 1}}}))]})));
    assert!(layers.contains("up.block_0") && layers.contains("0 layers"), "{layers}");
    let other = studio.failed(&job(json!({"ip_adapters": [adapter(json!({"model": "xl"}))]})));
    assert!(other.contains("image_proj") || other.contains("ip_adapter."), "{other}");

    let place = studio.models.path().join("ip_adapter/whole.safetensors");
    std::fs::write(&place, in_whole_numbers("ip-adapter/ip-adapter_sd15.safetensors")).expect("a file");
    let refused = studio.failed(&job(json!({"ip_adapters": [adapter(json!({"model": "whole"}))]})));
    assert!(refused.contains("not floating point"), "{refused}");
    std::fs::remove_file(place).expect("it goes");

    // The looks of a character lead by the adapter that fits; the first by name does.
    let columns = json!({"user_id": studio.user, "name": "Mira", "description": "x",
        "reference_image_url": first, "consistency_method": "ip_adapter"});
    let (status, rows) = studio.server.call("POST", "/rest/v1/characters", &studio.token, Some(&columns));
    assert_eq!(status, 201, "{rows}");
    let record = studio.record(&job(json!({"character_id": rows[0]["id"]})));
    assert_eq!(record["guides"]["ip_adapters"][0]["model"], "plus", "{record}");
    assert_eq!(record["guides"]["ip_adapters"][0]["scale"], 0.6, "{record}");
    // Another model has none that fits, and looks at the reference itself.
    let record = studio.record(&job(json!({"character_id": rows[0]["id"], "model": "starter"})));
    assert_eq!(record["guides"]["ip_adapters"], json!([]), "{record}");
    assert_eq!(record["guides"]["reference"]["share"], 1.0, "{record}");
    // The job says why each of them was passed over.
    let latest = "/rest/v1/jobs?select=metadata&order=created_at.desc&limit=1";
    let (_, rows) = studio.server.call("GET", latest, &studio.token, None);
    let warnings = rows[0]["metadata"]["warnings"].as_array().cloned().unwrap_or_default();
    let of = |name: &str| format!("ip_adapter \"{name}\": passed over: ");
    for name in ["plus", "standard", "xl"] {
        let is_named = |it: &Json| it.as_str().is_some_and(|it| it.starts_with(&of(name)));
        assert!(warnings.iter().any(is_named), "{name}: {warnings:?}");
    }
    assert_eq!(studio.server.check()["faults"], 0);
}

/// A fixture with its first tensor in integers of eight bytes.
fn in_whole_numbers(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(fixture(name)).expect("a fixture");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    let mut header: Json = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    let mut data = bytes[8 + length..].to_vec();
    let members = header.as_object_mut().expect("tensors");
    let (_, tensor) = members.iter_mut().find(|(name, _)| *name != "__metadata__").expect("a tensor");
    let sizes = tensor["shape"].as_array().expect("a shape").iter().filter_map(Json::as_u64);
    let (begin, count) = (data.len(), sizes.product::<u64>() as usize);
    data.extend(vec![0; count * 8]);
    (tensor["dtype"], tensor["data_offsets"]) = (json!("I64"), json!([begin, data.len()]));
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// The bytes of a picture as programs send them.
fn encoded(picture: &RgbImage) -> String {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    STANDARD.encode(bytes.into_inner())
}

#[test]
fn programs_of_either_dialect_name_what_leads() {
    let studio = Studio::with(&[
        ("controlnet/sd15-base", "tiny"),
        ("controlnet/sd15-controlnet-a", "controlnet/depth"),
        ("ip-adapter/ip-adapter_sd15.safetensors", "ip_adapter/standard.safetensors"),
    ]);
    let address = studio.upload("square", square());
    let mut asked =
        job(json!({"controls": [{"model": "depth", "image_url": address, "scale": 0.7, "end": 0.5}]}));
    (asked["width"], asked["height"]) = (json!(64), json!(64));
    let led = studio.drawn(&asked);

    // OpenAI's: an address of the account's own, a picture in the request, and a file of a form.
    let openai = |path: &str, body: &Json| studio.server.call("POST", path, &studio.token, Some(body));
    let request = |control: Json| {
        json!({"model": "tiny", "prompt": "a red car", "seed": 7, "steps": 3, "size": "64x64",
            "response_format": "b64_json", "controls": [control]})
    };
    let data = format!("data:image/png;base64,{}", encoded(&square()));
    for url in [&address, &data] {
        let control = json!({"model": "depth", "image_url": url, "scale": 0.7, "end": 0.5, "mood": 1});
        let (status, answer) = openai("/v1/images/generations", &request(control));
        assert_eq!(status, 200, "{answer}");
        let drawn = answer["data"][0]["b64_json"].as_str().expect("a picture");
        let drawn =
            image::load_from_memory(&STANDARD.decode(drawn).expect("base64")).expect("a picture").to_rgb8();
        assert!(drawn == led, "as by queue-job: {url:.40}");
        assert!(answer["warnings"].to_string().contains("controls[0].mood"), "{answer}");
    }
    for (control, param) in [
        (json!({"model": "edges", "image_url": address}), "controls[0].model"),
        (json!({"model": "depth", "image_url": "data:image/png;base64,AAAA"}), "controls[0].image_url"),
        (json!({"model": "depth", "image_url": "data:,x"}), "controls[0].image_url"),
        (json!({"model": "depth", "image_url": address, "scale": 9}), "controls[0].scale"),
    ] {
        let (status, answer) = openai("/v1/images/generations", &request(control));
        assert_eq!(status, 400, "{answer}");
        let error = answer["error"].to_string();
        assert!(error.contains(param), "{error}");
    }
    // What is refused keeps nothing.
    let kept = || {
        let list = json!({"prefix": format!("{}/edits", studio.user), "limit": 1000});
        let (status, listed) = studio.server.call(
            "POST",
            "/storage/v1/object/list/reference_images",
            &studio.token,
            Some(&list),
        );
        assert_eq!(status, 200, "{listed}");
        listed.as_array().map_or(0, Vec::len)
    };
    let before = kept();
    let other = |grey: u8| {
        let picture = RgbImage::from_pixel(8, 8, image::Rgb([grey; 3]));
        json!({"model": "depth", "image_url": format!("data:image/png;base64,{}", encoded(&picture))})
    };
    let mut many = request(other(0));
    many["controls"] = (0..5).map(other).collect();
    let (status, answer) = openai("/v1/images/generations", &many);
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("controls")), "{answer}");
    assert_eq!(kept(), before);
    let (status, answer) =
        edited(&studio, &[("controls", r#"[{"model": "depth"}]"#)], "controls[0].image_url");
    assert_eq!(status, 200, "{answer}");
    let job = answer["job_id"].as_str().expect("a job");
    let record = String::from_utf8_lossy(&result_of(&studio.server, &studio.token, job)).into_owned();
    assert!(record.contains(r#""model":"depth""#), "{record:.2000}");
    for (file, reason) in
        [("controls[1].image_url", "no such object"), ("ip_adapters[0].image_url", "no such object")]
    {
        let (status, answer) = edited(&studio, &[("controls", r#"[{"model": "depth"}]"#)], file);
        assert_eq!((status, &answer["error"]["param"]), (400, &json!(file)), "{answer}");
        assert!(answer.to_string().contains(reason), "{answer}");
    }

    // A1111's: the units of its extension.
    let sd = |unit: Json| {
        let body = json!({"prompt": "a red car", "seed": 7, "steps": 3, "width": 64, "height": 64,
            "override_settings": {"sd_model_checkpoint": "tiny"},
            "alwayson_scripts": {"ControlNet": {"args": [unit]}, "refiner": {"args": ["x"]}}});
        studio.server.call("POST", "/sdapi/v1/txt2img", &studio.token, Some(&body))
    };
    let picture_of = |answer: &Json| {
        let drawn = answer["images"][0].as_str().unwrap_or_else(|| panic!("{answer}"));
        image::load_from_memory(&STANDARD.decode(drawn).expect("base64")).expect("a picture").to_rgb8()
    };
    let unit = json!({"image": encoded(&square()), "module": "none", "model": "depth [1234]", "weight": 0.7,
        "guidance_start": 0.0, "guidance_end": 0.5, "control_mode": 1, "pixel_perfect": true});
    let (status, answer) = sd(unit.clone());
    assert_eq!(status, 200, "{answer}");
    let warnings = answer["warnings"].to_string();
    for words in ["alwayson_scripts.ControlNet.args[0].control_mode: not", "alwayson_scripts.refiner: not"] {
        assert!(warnings.contains(words), "{words}: {warnings}");
    }
    assert_eq!(answer["parameters"]["alwayson_scripts"]["ControlNet"]["args"][0]["image"], Json::Null);
    let whole = picture_of(&answer);
    let mut lines = unit.clone();
    lines["module"] = json!("canny");
    assert_ne!(picture_of(&sd(lines).1), whole);
    let mut off = unit.clone();
    off["enabled"] = json!(false);
    assert_ne!(picture_of(&sd(off).1), whole);
    for (member, value, field) in [
        ("model", json!("edges"), "args[0].model: there is no ControlNet"),
        ("module", json!("ip-adapter_clip_sd15"), "args[0].model: there is no IP-Adapter"),
        ("module", json!("openpose"), "args[0].module"),
        ("image", Json::Null, "args[0].image: missing"),
    ] {
        let mut wrong = unit.clone();
        wrong[member] = value;
        let (status, answer) = sd(wrong);
        assert_eq!(status, 422, "{answer}");
        assert!(answer["detail"].as_str().is_some_and(|it| it.contains(field)), "{field}: {answer}");
    }
    assert_eq!(studio.server.check()["faults"], 0);
}

/// Asks for an edit of the square by a form, with the square once more as a file of this name.
fn edited(studio: &Studio, fields: &[(&str, &str)], file: &str) -> (u16, Json) {
    let mut png = Cursor::new(Vec::new());
    square().write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    let mut body = Vec::new();
    for name in ["image", file] {
        let head = format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f.png\"\r\nContent-Type: image/png\r\n\r\n"
        );
        body.extend([head.as_bytes(), png.get_ref(), b"\r\n"].concat());
    }
    let common = [("model", "tiny"), ("prompt", "a red car"), ("size", "64x64"), ("steps", "3")];
    for (name, value) in common.iter().chain(fields) {
        let part = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.bytes());
    }
    body.extend(b"--b--\r\n");
    let authorization = format!("Bearer {}", studio.token);
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "multipart/form-data; boundary=b")];
    let url = format!("{}/v1/images/edits", studio.server.url);
    let answer = files::send(&url, "POST", &headers, &body).expect("an answer");
    (answer.status, answer.json())
}

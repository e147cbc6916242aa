//! The dialect of A1111's web UI: what SillyTavern and Open WebUI ask one after the other, pictures over pictures,
//! progress, and an end that reaches no other account.

mod common;

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Server;
use common::files::{Answer, send};
use common::jobs::wait_for;
use image::{ImageFormat, RgbImage};
use serde_json::{Value as Json, json};

/// A program of an account: its token, as the password of Basic.
struct Program<'s> {
    server: &'s Server,
    access: String,
    authorization: String,
}

impl<'s> Program<'s> {
    fn of(server: &'s Server, email: &str) -> Program<'s> {
        let (_, access) = server.sign_up(email);
        let body = json!({"name": "a program", "scopes": ["images"]});
        let (status, made) = server.call("POST", "/functions/v1/create-api-token", &access, Some(&body));
        assert_eq!(status, 200, "{made}");
        let token = made["token"].as_str().expect("a token");
        let authorization = format!("Basic {}", STANDARD.encode(format!("{email}:{token}")));
        Program { server, access, authorization }
    }

    fn ask(&self, method: &str, path: &str, body: &Json) -> Answer {
        let headers = [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(&format!("{}/sdapi/v1/{path}", self.server.url), method, &headers, body.as_bytes())
            .expect("an answer")
    }

    fn get(&self, path: &str) -> Json {
        let answer = self.ask("GET", path, &Json::Null);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    fn post(&self, path: &str, body: &Json) -> Json {
        let answer = self.ask("POST", path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The status and the message of a refusal, which has this dialect's form.
    fn refused(&self, path: &str, body: &Json) -> (u16, String) {
        let answer = self.ask("POST", path, body);
        let said = answer.json();
        assert!(said["error"].is_string() && said["detail"] == said["errors"], "{said}");
        (answer.status, said["detail"].as_str().expect("words").to_string())
    }

    /// Waits as clients do until nothing is drawn.
    fn wait_until_idle(&self) {
        loop {
            let progress = self.get("progress");
            if progress["progress"] == 0.0 && progress["state"]["job_count"] == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn start(data: &Path) -> Server {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sd15-tiny");
    copy(&fixture, &data.join("models/tiny"));
    Server::start(data, &[])
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

/// The first picture of an answer.
fn picture(answer: &Json) -> (Vec<u8>, RgbImage) {
    let bytes = STANDARD.decode(answer["images"][0].as_str().expect("a picture")).expect("base64");
    let picture = image::load_from_memory(&bytes).expect("a picture").to_rgb8();
    (bytes, picture)
}

fn png(picture: &RgbImage) -> String {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
    STANDARD.encode(bytes.into_inner())
}

fn info(answer: &Json) -> Json {
    serde_json::from_str(answer["info"].as_str().expect("a text")).expect("JSON in a text")
}

/// As SillyTavern's extension for pictures asks: ping, what there is, the model, wait, draw.
#[test]
fn sillytaverns_requests_are_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let program = Program::of(&server, "ada@example.com");
    assert_eq!(program.get("options")["sd_model_checkpoint"], "starter");
    let names = |list: Json, name: &str| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|it| it[name].as_str().expect("a name").to_string()).collect()
    };
    assert_eq!(names(program.get("upscalers"), "name"), ["Lanczos"]);
    assert_eq!(program.get("latent-upscale-modes"), json!([{"name": "Latent"}]));
    assert_eq!(program.get("sd-vae"), json!([]));
    assert_eq!(program.get("loras"), json!([]));
    let samplers = names(program.get("samplers"), "name");
    assert!(samplers.contains(&"Euler a".into()) && !samplers.contains(&"Euler Karras".into()));
    assert_eq!(names(program.get("schedulers"), "name"), ["automatic", "normal", "karras"]);
    assert_eq!(names(program.get("sd-models"), "title"), ["starter", "tiny"]);
    assert_eq!(program.post("options", &json!({"sd_model_checkpoint": "tiny"})), Json::Null);
    program.wait_until_idle();
    assert_eq!(program.get("options")["sd_model_checkpoint"], "tiny");
    let asked = json!({"prompt": "a (small:1.2) lighthouse", "negative_prompt": "people", "sampler_name": "Euler",
        "scheduler": "karras", "steps": 3, "cfg_scale": 5.5, "width": 64, "height": 32, "restore_faces": false,
        "enable_hr": false, "hr_upscaler": "Latent", "hr_scale": 2, "denoising_strength": 0.7, "clip_skip": 1,
        "seed": 11, "override_settings": {"CLIP_stop_at_last_layers": 2}, "save_images": true, "send_images": true,
        "override_settings_restore_afterwards": true, "do_not_save_grid": false, "do_not_save_samples": false});
    let answer = program.post("txt2img", &asked);
    assert_eq!(
        (&answer["parameters"]["prompt"], answer.get("warnings")),
        (&asked["prompt"], None),
        "{answer}"
    );
    let (bytes, drawn) = picture(&answer);
    assert_eq!(drawn.dimensions(), (64, 32));
    let said = info(&answer);
    assert_eq!(
        (&said["seed"], &said["steps"], &said["width"], &said["clip_skip"]),
        (&json!(11), &json!(3), &json!(64), &json!(2)),
        "{said}"
    );
    assert_eq!((&said["sd_model_name"], &said["sampler_name"]), (&json!("tiny"), &json!("Euler")), "{said}");
    // The same once more is the same picture, and its file says how it was made.
    assert_eq!(picture(&program.post("txt2img", &asked)).0, bytes);
    let read = program
        .post("png-info", &json!({"image": format!("data:image/png;base64,{}", STANDARD.encode(&bytes))}));
    assert_eq!(read["info"], said["infotexts"][0]);
    let parameters = &read["parameters"];
    assert_eq!(parameters["Prompt"], asked["prompt"]);
    // What the catalogue keeps out of pictures comes before what the client does.
    let negative = parameters["Negative prompt"].as_str().expect("words");
    assert!(negative.ends_with("people"), "{negative}");
    assert_eq!(
        (&parameters["Schedule type"], &parameters["Size-1"]),
        (&json!("Karras"), &json!("64")),
        "{read}"
    );
    assert!(read["items"]["playhouse"].is_string(), "{read}");
}

/// As Open WebUI asks: options, all of them back with another model, draw. It sends a Bearer where it has no user name.
#[test]
fn open_webuis_requests_are_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let program = Program::of(&server, "ada@example.com");
    let mut options = program.get("options/");
    options["sd_model_checkpoint"] = json!("tiny.safetensors [0123456789]");
    let set = program.ask("POST", "options/", &options);
    assert_eq!((set.status, set.header("x-warnings")), (200, ""), "{}", set.text());
    let asked = json!({"prompt": "a lighthouse", "batch_size": 2, "width": 32, "height": 32, "steps": 1});
    let answer = program.post("txt2img/", &asked);
    assert_eq!(answer["images"].as_array().map(Vec::len), Some(2), "{answer}");
    let said = info(&answer);
    assert_eq!(
        (said["all_seeds"].as_array().map(Vec::len), &said["sd_model_name"]),
        (Some(2), &json!("tiny"))
    );
    // It is a job like any other.
    let (_, jobs) = server.call("GET", "/rest/v1/jobs?select=metadata,status", &program.access, None);
    assert_eq!((&jobs[0]["metadata"]["source"], &jobs[0]["status"]), (&json!("a1111"), &json!("completed")));
    // What one account has chosen is nothing to another.
    assert_eq!(Program::of(&server, "bob@example.com").get("options")["sd_model_checkpoint"], "starter");

    for (authorization, status) in [
        (String::new(), 401),
        (format!("Basic {}", STANDARD.encode("ada:wrong")), 401),
        (format!("Bearer {}", server.service), 401),
        (format!("Bearer {}", program.access), 200),
    ] {
        let headers: Vec<(&str, &str)> =
            [("authorization", authorization.as_str())].into_iter().filter(|it| !it.1.is_empty()).collect();
        let answer =
            send(&format!("{}/sdapi/v1/options", server.url), "GET", &headers, b"").expect("an answer");
        assert_eq!(answer.status, status, "{authorization}: {}", answer.text());
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), "Basic");
        }
    }
    let chat = json!({"name": "chat", "scopes": ["chat"]});
    let (_, chat) = server.call("POST", "/functions/v1/create-api-token", &program.access, Some(&chat));
    let authorization = format!("Bearer {}", chat["token"].as_str().expect("a token"));
    let headers = [("authorization", authorization.as_str())];
    let answer = send(&format!("{}/sdapi/v1/progress", server.url), "GET", &headers, b"").expect("an answer");
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[test]
fn a_picture_is_drawn_over_where_the_mask_is_white() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let program = Program::of(&server, "ada@example.com");
    let begins = RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * 4) as u8, (y * 4) as u8, 128]));
    // White on the left half; smaller than the picture, as clients may send it.
    let mask = RgbImage::from_fn(32, 32, |x, _| image::Rgb([if x < 16 { 255 } else { 0 }; 3]));
    let asked = |changes: Json| {
        let mut asked = json!({"prompt": "a red square", "steps": 4, "seed": 3, "width": 64, "height": 64,
            "init_images": [png(&begins)], "denoising_strength": 1.0,
            "override_settings": {"sd_model_checkpoint": "starter"}});
        for (name, value) in changes.as_object().expect("an object") {
            asked[name] = value.clone();
        }
        asked
    };
    let changed = |drawn: &RgbImage, columns: std::ops::Range<u32>| {
        let pixels = columns.flat_map(|x| (0..64).map(move |y| (x, y)));
        let far: u64 = pixels
            .map(|(x, y)| {
                let (a, b) = (begins.get_pixel(x, y).0, drawn.get_pixel(x, y).0);
                a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>()
            })
            .sum();
        far / (64 * 24)
    };
    let left = picture(&program.post("img2img", &asked(json!({"mask": png(&mask)})))).1;
    let right =
        picture(&program.post("img2img", &asked(json!({"mask": png(&mask), "inpainting_mask_invert": 1})))).1;
    let whole = picture(&program.post("img2img", &asked(json!({})))).1;
    assert_eq!(whole.dimensions(), (64, 64));
    let (stays, goes) = (changed(&left, 40..64), changed(&left, 0..24));
    assert!(goes > 2 * stays, "the left is drawn anew: {goes} and {stays}");
    let (stays, goes) = (changed(&right, 0..24), changed(&right, 40..64));
    assert!(goes > 2 * stays, "the right is drawn anew: {goes} and {stays}");

    let refused = |path: &str, body: Json| program.refused(path, &body);
    assert_eq!(refused("img2img", json!({"prompt": "x"})).0, 404);
    assert_eq!(refused("img2img", asked(json!({"init_images": ["no picture"]}))).0, 422);
    assert!(refused("img2img", asked(json!({"mask": "no picture"}))).1.starts_with("mask: "));
    for (body, field) in [
        (json!({}), "prompt: "),
        (json!({"prompt": "x", "steps": 900}), "steps: "),
        (json!({"prompt": "x", "width": 64}), "width"),
        (json!({"prompt": "x", "width": 63, "height": 64}), "width"),
        (json!({"prompt": "x", "cfg_scale": 900}), "cfg_scale: "),
        (json!({"prompt": "x", "sampler_name": "Nonesuch"}), "sampler_name: "),
        (json!({"prompt": "x", "override_settings": {"sd_model_checkpoint": "none"}}), "override_settings."),
        (json!({"prompt": "a naked man"}), "prompt"),
    ] {
        let (status, message) = refused("txt2img", body.clone());
        assert!(status == 422 && message.contains(field), "{body}: {status} {message}");
    }
    assert_eq!(refused("options", json!({"sd_model_checkpoint": "none"})).0, 422);
    assert_eq!(refused("png-info", json!({"image": "AAAA"})).0, 422);
    assert_eq!(refused("nothing", json!({})).0, 404);
    // What is not followed is said.
    let answer = program.post(
        "txt2img",
        &json!({"prompt": "x", "steps": 1, "width": 32, "height": 32,
        "restore_faces": true, "override_settings": {"sd_model_checkpoint": "tiny"}}),
    );
    assert_eq!(answer["warnings"], json!(["restore_faces: not followed here"]));
    // A second pass, over the enlarged picture.
    let answer = program.post(
        "txt2img",
        &json!({"prompt": "x", "steps": 4, "width": 32, "height": 48, "seed": 5, "enable_hr": true, "hr_scale": 1.5,
        "hr_upscaler": "Lanczos", "denoising_strength": 0.5, "override_settings": {"sd_model_checkpoint": "tiny"}}),
    );
    let (_, drawn) = picture(&answer);
    assert_eq!((drawn.dimensions(), answer.get("warnings")), ((48, 72), None), "{answer}");
    let said = info(&answer);
    assert_eq!((&said["width"], &said["denoising_strength"]), (&json!(32), &json!(0.5)), "{said}");
    // The same, enlarged before it is decoded.
    let answer = program.post(
        "txt2img",
        &json!({"prompt": "x", "steps": 4, "width": 32, "height": 48, "seed": 5, "enable_hr": true, "hr_scale": 1.5,
        "hr_upscaler": "Latent", "denoising_strength": 0.5, "override_settings": {"sd_model_checkpoint": "tiny"}}),
    );
    let (_, latent) = picture(&answer);
    assert_eq!((latent.dimensions(), answer.get("warnings")), ((48, 72), None), "{answer}");
    assert!(latent != drawn);
}

#[test]
fn an_account_sees_and_ends_its_own_pictures_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let (ada, bob) = (Program::of(&server, "ada@example.com"), Program::of(&server, "bob@example.com"));
    let long = json!({"prompt": "a lighthouse", "steps": 200, "width": 256, "height": 256,
        "override_settings": {"sd_model_checkpoint": "starter"}});
    let job_of = |program: &Program<'_>| {
        let path = "/rest/v1/jobs?order=created_at.desc&limit=1";
        server.call("GET", path, &program.access, None).1[0].clone()
    };
    std::thread::scope(|scope| {
        let drawn = scope.spawn(|| ada.ask("POST", "txt2img", &long));
        // Steps and a preview are there while it is drawn, for its account.
        let preview = loop {
            let progress = ada.get("progress");
            if progress["state"]["sampling_step"].as_u64().is_some_and(|step| step > 0) {
                assert!(progress["progress"].as_f64().is_some_and(|share| share > 0.0 && share <= 1.0));
                assert_eq!(progress["state"]["job_count"], 1, "{progress}");
                if let Some(preview) = progress["current_image"].as_str() {
                    break STANDARD.decode(preview).expect("base64");
                }
            }
            assert!(!drawn.is_finished(), "it was drawn before it was seen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert!(image::load_from_memory(&preview).is_ok());
        assert!(ada.get("progress?skip_current_image=true")["current_image"].is_null());
        let idle = bob.get("progress");
        assert_eq!((&idle["progress"], &idle["state"]["job_count"]), (&json!(0.0), &json!(0)));
        assert_eq!(idle["current_image"], Json::Null);
        // Another account's interrupt is nothing to it.
        bob.post("interrupt", &Json::Null);
        let job = job_of(&ada);
        assert_eq!(job["status"], "processing", "{job}");
        ada.post("interrupt", &Json::Null);
        let ended = drawn.join().expect("an answer");
        assert_eq!((ended.status, &ended.json()["error"]), (409, &json!("INTERRUPTED")), "{}", ended.text());
        let id = job["id"].as_str().expect("an id");
        wait_for(&server, &ada.access, id, &["cancelled"]);
    });
    ada.wait_until_idle();
    ada.post("interrupt", &Json::Null);
    let short = json!({"prompt": "x", "steps": 1, "width": 32, "height": 32,
        "override_settings": {"sd_model_checkpoint": "tiny"}});
    assert!(ada.post("txt2img", &short)["images"][0].is_string(), "what comes later is drawn");
}

//! Pictures that become larger: by `queue-job` and by A1111's dialect, with a network of the models folder or by Lanczos,
//! and between the two passes of a drawing.

mod common;

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Server;
use common::files::{self, send};
use common::jobs::{distance, drawn, one, queue, refused, result_of, wait_for};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde_json::{Value as Json, json};

fn install(data: &Path, names: &[&str]) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("diffusion/tests/fixtures/upscalers");
    let folder = data.join("models/upscalers");
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in names {
        let file = format!("{name}.safetensors");
        std::fs::copy(fixtures.join(&file), folder.join(&file)).expect("a file");
    }
}

fn picture() -> RgbImage {
    RgbImage::from_fn(40, 24, |x, y| image::Rgb([(x * 6) as u8, (y * 10) as u8, 90]))
}

fn png_of(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

/// Keeps a picture for an account; its `bucket/path`.
fn kept(server: &Server, user: &str, token: &str) -> String {
    let path = format!("reference_images/{user}/small.png");
    let answer = files::put(server, token, &path, "image/png", &png_of(&picture()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    path
}

fn larger(reference: &str, changes: Json) -> Json {
    let mut body = json!({"job_type": "image_fast", "reference_image_url": reference, "upscale_scale": 2.0});
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_picture_becomes_larger_by_a_network_or_by_lanczos() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let reference = kept(&server, &user, &token);
    let by_lanczos = resize(&picture(), 80, 48, FilterType::Lanczos3);

    // Without a file Lanczos does it, and the answer says so.
    let (status, answer) =
        server.call("POST", "/functions/v1/queue-job", &token, Some(&larger(&reference, json!({}))));
    assert_eq!(status, 200, "{answer}");
    assert!(answer["warnings"].to_string().contains("Lanczos makes the picture larger"), "{answer}");
    let job = answer["jobId"].as_str().expect("an id");
    let made = image::load_from_memory(&result_of(&server, &token, job)).expect("a picture").to_rgb8();
    assert_eq!(made, by_lanczos);

    // Files are seen without a restart. The first by name is taken where none is named.
    install(folder.path(), &["x4_compact", "x2_old"]);
    let job = queue(&server, &token, &larger(&reference, json!({})));
    let bytes = result_of(&server, &token, &job);
    let made = image::load_from_memory(&bytes).expect("a picture").to_rgb8();
    assert!(made.dimensions() == (80, 48) && distance(&made, &by_lanczos) > 5.0);
    assert!(String::from_utf8_lossy(&bytes).contains("Postprocess upscaler: x2_old"));
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    assert_eq!(asset["model_used"], "x2_old", "{asset}");
    assert_eq!(asset["generation_settings"]["upscale_scale"], 2.0, "{asset}");
    // Another one and another scale; the same bytes each time.
    let other = larger(&reference, json!({"upscaler": "x4_compact", "upscale_scale": 2.5}));
    let made = drawn(&server, &token, &other);
    assert_eq!(made.dimensions(), (100, 60));
    assert_eq!(made, drawn(&server, &token, &other));
    let plain = drawn(&server, &token, &larger(&reference, json!({"upscaler": "lanczos"})));
    assert_eq!(plain, by_lanczos);

    refused(
        &server,
        &token,
        &larger(&reference, json!({"upscaler": "x9"})),
        400,
        "Lanczos, x2_old, x4_compact",
    );
    refused(&server, &token, &larger(&reference, json!({"upscale_scale": 9})), 400, "upscale_scale");
    refused(&server, &token, &larger(&reference, json!({"job_type": "video_fast"})), 400, "upscale_scale");
    refused(
        &server,
        &token,
        &json!({"job_type": "image_fast", "upscale_scale": 2, "prompt": "x"}),
        400,
        "reference_image_url: missing",
    );
    let (_, other) = server.sign_up("other@example.com");
    refused(&server, &other, &larger(&reference, json!({})), 403, "reference_image_url");

    // What is no upscaler fails its job by the tensor's name, and the next runs.
    let broken = folder.path().join("models/upscalers/broken.safetensors");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sd15-tiny/vae");
    std::fs::copy(fixtures.join("diffusion_pytorch_model.safetensors"), broken).expect("a file");
    let job = queue(&server, &token, &larger(&reference, json!({"upscaler": "broken"})));
    let row = wait_for(&server, &token, &job, &["completed", "failed"]);
    assert!(row["error_message"].to_string().contains("no upscaler that is read here"), "{row}");
    assert_eq!(drawn(&server, &token, &larger(&reference, json!({"upscaler": "Lanczos"}))), by_lanczos);

    // What does nothing beside it is said.
    let odd = larger(&reference, json!({"steps": 9, "width": 64, "height": 64, "upscaler": "x2_old"}));
    let (_, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&odd));
    for field in ["steps: nothing is drawn", "width, height: nothing is drawn"] {
        assert!(answer["warnings"].to_string().contains(field), "{answer}");
    }
}

#[test]
fn a_second_pass_begins_with_what_an_upscaler_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let hires = |upscaler: Json| {
        json!({"job_type": "image_fast", "prompt": "a robot in a forest", "seed": 7, "steps": 3, "hires_scale": 1.5,
            "hires_denoise_strength": 0.3, "hires_upscaler": upscaler})
    };
    refused(&server, &token, &hires(json!("x2_old")), 400, "hires_upscaler: there is no");
    install(folder.path(), &["x2_old"]);
    let plain = drawn(&server, &token, &hires(Json::Null));
    assert_eq!(plain, drawn(&server, &token, &hires(json!("Lanczos"))));
    let job = queue(&server, &token, &hires(json!("x2_old")));
    let bytes = result_of(&server, &token, &job);
    let made = image::load_from_memory(&bytes).expect("a picture").to_rgb8();
    assert_eq!(made.dimensions(), plain.dimensions());
    assert!(distance(&made, &plain) > 1.0);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("Hires upscaler: x2_old") && text.contains(r#""upscaler":"x2_old""#));
    // What is not decoded yet becomes larger too, which is another picture, and is verified as such.
    let latent = json!({"job_type": "image_fast", "prompt": "a robot in a forest", "seed": 7, "steps": 6,
        "hires_scale": 1.5, "hires_denoise_strength": 0.7, "hires_upscaler": "latent", "image_count": 2});
    let job = queue(&server, &token, &latent);
    let bytes = result_of(&server, &token, &job);
    let made = image::load_from_memory(&bytes).expect("a picture").to_rgb8();
    assert_eq!(made.dimensions(), plain.dimensions());
    assert!(String::from_utf8_lossy(&bytes).contains("Hires upscaler: Latent"));
    let bearer = files::bearer(&token);
    let headers = [("authorization", bearer.as_str()), ("apikey", server.anon.as_str())];
    let url = format!("{}/functions/v1/verify-picture", server.url);
    let verified = files::send(&url, "POST", &headers, &bytes).expect("an answer").json();
    assert_eq!(verified["result"], "equal", "{verified}");
    let mut by_picture = latent.clone();
    by_picture["hires_upscaler"] = json!("Lanczos");
    let other = drawn(&server, &token, &by_picture);
    assert!(distance(&made, &other) > 1.0 && distance(&made, &other) < 60.0, "{}", distance(&made, &other));
    let alone = json!({"job_type": "image_fast", "upscale_scale": 2, "upscaler": "Latent", "reference_image_url":
        "user-library/x.png"});
    let (status, _) = server.call("POST", "/functions/v1/queue-job", &token, Some(&alone));
    assert_eq!(status, 400, "there is nothing that is not decoded");
}

#[test]
fn a1111s_dialect_makes_pictures_larger() {
    let folder = tempfile::tempdir().expect("a folder");
    install(folder.path(), &["x2_old"]);
    let server = Server::start(folder.path(), &[]);
    let (_, access) = server.sign_up("ada@example.com");
    let body = json!({"name": "a program", "scopes": ["images"]});
    let (_, made) = server.call("POST", "/functions/v1/create-api-token", &access, Some(&body));
    let authorization = format!("Bearer {}", made["token"].as_str().expect("a token"));
    let ask = |method: &str, path: &str, body: &Json| {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(&format!("{}/sdapi/v1/{path}", server.url), method, &headers, body.as_bytes())
            .expect("an answer")
    };
    let known = ask("GET", "upscalers", &Json::Null).json();
    let names: Vec<&str> =
        known.as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["Lanczos", "x2_old"]);
    let image = STANDARD.encode(png_of(&picture()));
    let size = |answer: &Json| {
        let bytes = STANDARD.decode(answer["image"].as_str().expect("a picture")).expect("base64");
        image::load_from_memory(&bytes).expect("a picture").to_rgb8().dimensions()
    };
    let asked = json!({"image": image, "upscaling_resize": 3, "upscaler_1": "x2_old", "resize_mode": 0,
        "show_extras_results": true, "gfpgan_visibility": 0.5});
    let answer = ask("POST", "extra-single-image", &asked);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(size(&answer.json()), (120, 72));
    assert!(answer.json()["warnings"].to_string().contains("gfpgan_visibility"), "{}", answer.text());
    let sized = json!({"image": image, "resize_mode": 1, "upscaling_resize_w": 60, "upscaling_resize_h": 12,
        "upscaler_1": "Lanczos"});
    assert_eq!(size(&ask("POST", "extra-single-image", &sized).json()), (60, 36));
    for (body, field) in [
        (json!({"image": image, "upscaler_1": "x9"}), "upscaler_1: "),
        (json!({"image": image, "upscaling_resize": 100}), "upscaling_resize: "),
        (json!({"image": image, "resize_mode": 1}), "upscaling_resize_w: "),
        (json!({"image": "no picture"}), "image: "),
    ] {
        let answer = ask("POST", "extra-single-image", &body);
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(
            answer.json()["detail"].as_str().is_some_and(|it| it.starts_with(field)),
            "{}",
            answer.text()
        );
    }
}

//! A job is drawn of the files that it was judged by: one that was written anew meanwhile is refused, here and by workers
//! elsewhere.

mod common;

use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::Server;
use common::files;
use common::jobs::{one, queue, refused, result_of, wait_for};
use common::webhooks::signed;
use serde_json::{Value as Json, json};

const SECRET: &str = "between us";

fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(32, 32, image::Rgb(colour));
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

/// Writes a file, also over one that is there.
fn write(server: &Server, token: &str, path: &str, colour: [u8; 3]) {
    let (path, bearer) = (format!("/object/{path}"), files::bearer(token));
    let headers = [("authorization", &*bearer), ("content-type", "image/png"), ("x-upsert", "true")];
    let answer = files::ask(server, "POST", &path, &headers, &png(colour));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn job(reference: &str) -> Json {
    json!({"job_type": "sdxl_image_fast", "prompt": "a tree", "seed": 3, "steps": 3, "width": 32, "height": 32,
        "reference_image_url": reference, "metadata": {"reference_mode": "modify"}})
}

fn assert_refused(server: &Server, token: &str, job: &str, (field, path): (&str, &str)) {
    let row = wait_for(server, token, job, &["completed", "failed"]);
    let message = row["error_message"].as_str().unwrap_or_default();
    assert!(row["status"] == "failed", "{row}");
    assert!(message.starts_with(&format!("{field}: {path} was changed after the job was queued")), "{row}");
}

/// The device is busy until this job is cancelled.
fn busy(server: &Server, token: &str) -> String {
    let long = json!({"job_type": "sdxl_image_fast", "prompt": "a blue square", "steps": 200});
    let long = queue(server, token, &long);
    wait_for(server, token, &long, &["processing"]);
    long
}

fn cancel(server: &Server, token: &str, job: &str) {
    let cancelled = json!({"status": "cancelled"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{job}"), token, Some(&cancelled)).0, 200);
}

#[test]
fn what_is_drawn_here_is_what_was_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("painter@example.com");
    let [kept, changed, again] =
        ["kept", "changed", "again"].map(|name| format!("user-library/{user}/{name}.png"));
    for path in [&kept, &changed, &again] {
        write(&server, &token, path, [200, 30, 30]);
    }
    // While the device is busy one file becomes another, and one the same again.
    let long = busy(&server, &token);
    let jobs = [&kept, &changed, &again].map(|path| queue(&server, &token, &job(path)));
    write(&server, &token, &changed, [30, 200, 30]);
    write(&server, &token, &again, [200, 30, 30]);
    cancel(&server, &token, &long);
    assert_refused(&server, &token, &jobs[1], ("reference_image_url", &changed));
    assert!(result_of(&server, &token, &jobs[0]) == result_of(&server, &token, &jobs[2]));
}

#[test]
fn no_picture_of_a_minor_takes_the_place_of_what_was_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let (user, token) = server.sign_up("painter@example.com");
    let born = json!({"birth_date": "1980-01-01"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/profiles?id=eq.{user}"), &token, Some(&born)).0, 200);
    let girl = json!({"job_type": "sdxl_image_fast", "prompt": "a 12 year old girl", "steps": 2, "seed": 5});
    let girl = result_of(&server, &token, &queue(&server, &token, &girl));
    let put = |path: &str, bytes: &[u8]| {
        let (path, bearer) = (format!("/object/{path}"), files::bearer(&token));
        let headers = [("authorization", &*bearer), ("content-type", "image/png"), ("x-upsert", "true")];
        assert_eq!(files::ask(&server, "POST", &path, &headers, bytes).status, 200);
    };
    let [later, begun, moved] =
        ["later", "begun", "moved"].map(|name| format!("user-library/{user}/{name}.png"));
    let nsfw = |mut body: Json| {
        body["metadata"]["contentType"] = json!("nsfw");
        body["prompt"] = json!("on a beach");
        body
    };
    let video = |path: &str| {
        json!({"job_type": "wan_video_fast", "prompt": "waves", "num_frames": 2, "width": 32, "height": 32,
            "metadata": {"start_reference_url": path}})
    };
    // What is not there yet is not harmless.
    for (body, field) in
        [(job(&later), "reference_image_url"), (video(&later), "metadata.start_reference_url")]
    {
        for body in [body.clone(), nsfw(body)] {
            refused(&server, &token, &body, 400, &format!("{field}: there is no such file"));
        }
    }
    for path in [&begun, &moved] {
        put(path, &png([200, 30, 30]));
    }
    let long = busy(&server, &token);
    let jobs = [nsfw(job(&begun)), nsfw(video(&moved))].map(|body| queue(&server, &token, &body));
    for path in [&begun, &moved] {
        put(path, &girl);
    }
    cancel(&server, &token, &long);
    assert_refused(&server, &token, &jobs[0], ("reference_image_url", &begun));
    assert_refused(&server, &token, &jobs[1], ("metadata.start_reference_url", &moved));
}

#[test]
fn what_a_worker_elsewhere_draws_is_what_was_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(folder.path(), &environment);
    let (user, token) = server.sign_up("painter@example.com");
    let [kept, changed] = ["kept", "changed"].map(|name| format!("user-library/{user}/{name}.png"));
    for path in [&kept, &changed] {
        write(&server, &token, path, [200, 30, 30]);
    }
    let jobs = [&changed, &kept].map(|path| queue(&server, &token, &job(path)));
    write(&server, &token, &changed, [30, 200, 30]);
    let (status, answer) = signed(&server, SECRET, "claim-job", &json!({"queue": "sdxl_queue"}));
    assert_eq!((status, &answer["job"]["job_id"]), (200, &json!(jobs[1])), "{answer}");
    assert_refused(&server, &token, &jobs[0], ("reference_image_url", &changed));
    // The link that a worker was given opens those bytes, under any program, and no others.
    let link = answer["job"]["config"]["image"].as_str().expect("a link").to_string();
    let opened = || files::send(&link, "GET", &[], b"").expect("the server answers");
    assert_eq!((opened().status, opened().bytes), (200, png([200, 30, 30])));
    write(&server, &token, &kept, [30, 200, 30]);
    let refused = opened();
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("FileChanged")), "{}", refused.text());
    write(&server, &token, &kept, [200, 30, 30]);
    assert_eq!(opened().status, 200);
    let profile = one(&server, &token, "/rest/v1/profiles?select=token_balance");
    assert_eq!(profile["token_balance"], 99, "what failed costs nothing");
    assert_eq!(server.check()["faults"], 0);
}

fn copied(from: &str, models: &Path, to: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(from);
    let to = models.join(to);
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    let status = Command::new("cp").arg("-r").args([&from, &to]).status();
    assert!(status.is_ok_and(|status| status.success()), "{}", to.display());
}

#[test]
fn what_leads_a_drawing_is_what_was_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    for (from, to) in [
        ("controlnet/sd15-base", "tiny"),
        ("sd15-tiny", "faces"),
        ("controlnet/sd15-controlnet-a", "controlnet/depth"),
        ("ip-adapter/ip-adapter_sd15.safetensors", "ip_adapter/standard.safetensors"),
        ("ip-adapter/image_encoder", "ip_adapter/image_encoder"),
    ] {
        copied(from, &models, to);
    }
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("painter@example.com");
    let [depth, face, second] =
        ["depth", "face", "second"].map(|name| format!("user-library/{user}/{name}.png"));
    let led = |field: &str, members: Json| {
        // Each was trained beside another of the tiny models.
        let model = if field == "controls" { "tiny" } else { "faces" };
        let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "a tree", "seed": 3, "steps": 3,
            "model": model, "width": 64, "height": 64});
        body[field] = json!([members]);
        body
    };
    let bodies = [
        led("controls", json!({"model": "depth", "image_url": depth})),
        led("ip_adapters", json!({"model": "standard", "image_url": face})),
        led("ip_adapters", json!({"model": "standard", "image_urls": [face, second]})),
    ];
    for (changed, failing) in [(&depth, vec![0]), (&face, vec![1, 2]), (&second, vec![2])] {
        for path in [&depth, &face, &second] {
            write(&server, &token, path, [200, 30, 30]);
        }
        let long = busy(&server, &token);
        let jobs: Vec<String> = bodies.iter().map(|body| queue(&server, &token, body)).collect();
        write(&server, &token, changed, [30, 200, 30]);
        cancel(&server, &token, &long);
        for (place, job) in jobs.iter().enumerate() {
            let row = wait_for(&server, &token, job, &["completed", "failed"]);
            let message = row["error_message"].as_str().unwrap_or_default();
            match failing.contains(&place) {
                true => {
                    let said = format!("{changed} was changed after the job was queued");
                    let field = ["controls[0]", "ip_adapters[0]", "ip_adapters[0]"][place];
                    assert!(message.starts_with(field) && message.contains(&said), "{place}: {row}");
                }
                false => assert_eq!(row["status"], "completed", "{place}: {row}"),
            }
        }
    }
}

/// A server before another one: it hands everything on, but files under signed links have these bytes.
fn tampering(server: &str, bytes: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = server.to_string();
    let hand_on = async move |request: Request| -> Response {
        let (head, body) = request.into_parts();
        if head.method == "GET" && head.uri.path().starts_with("/storage/v1/object/sign/") {
            return bytes.into_response();
        }
        let body: Bytes = axum::body::to_bytes(body, 1 << 24).await.expect("a body");
        let client = language::http_client().build().expect("a client");
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut asked = client.request(head.method, format!("{server}{path}")).body(body);
        for (name, value) in &head.headers {
            if name != "host" && name != "content-length" {
                asked = asked.header(name, value);
            }
        }
        let answer = asked.send().await.expect("an answer");
        let status = StatusCode::from_u16(answer.status().as_u16()).expect("a status");
        (status, answer.bytes().await.expect("a body")).into_response()
    };
    let routes = Router::new().fallback(hand_on);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, routes).await
        })
    });
    url
}

#[test]
fn a_worker_looks_itself_whether_a_file_is_what_was_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(&folder.path().join("data"), &environment);
    let (user, token) = server.sign_up("painter@example.com");
    let path = format!("user-library/{user}/kept.png");
    write(&server, &token, &path, [200, 30, 30]);
    let between = tampering(&server.url, png([30, 200, 30]));
    let mut worker = Command::new(common::binary());
    worker
        .args(["worker", "--server", &between, "--name", "studio", "--data"])
        .arg(folder.path().join("own"));
    worker.env("PLAYHOUSE_CALLBACK_SECRET", SECRET).stdin(Stdio::null()).stdout(Stdio::null());
    let mut worker = worker.stderr(Stdio::null()).spawn().expect("the binary starts");
    let job = queue(&server, &token, &job(&path));
    let row = wait_for(&server, &token, &job, &["completed", "failed"]);
    let _ = worker.kill();
    let _ = worker.wait();
    let message = row["error_message"].as_str().unwrap_or_default();
    assert!(row["status"] == "failed" && row["attempts"] == 1, "{row}");
    assert!(message.starts_with(&format!("image: {path} was changed after the job was queued")), "{row}");
}

//! A job is drawn of the files that it was judged by: one that was written anew meanwhile is refused, here and by workers
//! elsewhere.

mod common;

use std::io::Cursor;

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

fn assert_refused(server: &Server, token: &str, job: &str, path: &str) {
    let row = wait_for(server, token, job, &["completed", "failed"]);
    let message = row["error_message"].as_str().unwrap_or_default();
    assert!(row["status"] == "failed" && message.contains(path), "{row}");
    assert!(message.contains("reference_url: ") || message.contains("reference_image_url: "), "{row}");
    assert!(message.contains("was changed after the job was queued"), "{row}");
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
    let long = json!({"job_type": "sdxl_image_fast", "prompt": "a blue square", "steps": 200});
    let long = queue(&server, &token, &long);
    wait_for(&server, &token, &long, &["processing"]);
    let jobs = [&kept, &changed, &again].map(|path| queue(&server, &token, &job(path)));
    write(&server, &token, &changed, [30, 200, 30]);
    write(&server, &token, &again, [200, 30, 30]);
    let cancel = json!({"status": "cancelled"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{long}"), &token, Some(&cancel)).0, 200);
    assert_refused(&server, &token, &jobs[1], &changed);
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
    let long = json!({"job_type": "sdxl_image_fast", "prompt": "a blue square", "steps": 200});
    let long = queue(&server, &token, &long);
    wait_for(&server, &token, &long, &["processing"]);
    let jobs = [nsfw(job(&begun)), nsfw(video(&moved))].map(|body| queue(&server, &token, &body));
    for path in [&begun, &moved] {
        put(path, &girl);
    }
    let cancel = json!({"status": "cancelled"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{long}"), &token, Some(&cancel)).0, 200);
    assert_refused(&server, &token, &jobs[0], &begun);
    assert_refused(&server, &token, &jobs[1], &moved);
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
    assert_refused(&server, &token, &jobs[0], &changed);
    let profile = one(&server, &token, "/rest/v1/profiles?select=token_balance");
    assert_eq!(profile["token_balance"], 99, "what failed costs nothing");
    assert_eq!(server.check()["faults"], 0);
}

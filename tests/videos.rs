//! Videos drawn by the server itself, decoded and looked at.

mod common;

use std::io::Cursor;
use std::time::Duration;

use common::Server;
use common::files;
use common::jobs::{distance, one, queue, refused, result_of, wait_for};
use image::RgbImage;
use mp4_atom::{Any, Codec, Decode, Moov, StszSamples};
use openh264::formats::YUVSource;
use serde_json::{Value as Json, json};

fn request(changes: Json) -> Json {
    let mut request = json!({
        "job_type": "video_fast", "prompt": "a cat on a beach, day", "seed": 7, "steps": 4, "num_frames": 9, "fps": 4,
    });
    for (name, value) in changes.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

/// What a player sees: the description, and every frame decoded.
fn play(file: &[u8]) -> (Moov, Vec<RgbImage>) {
    let mut rest = file;
    let mut moov = None;
    while !rest.is_empty() {
        if let Any::Moov(found) = Any::decode(&mut rest).expect("an atom") {
            moov = Some(found);
        }
    }
    let moov = moov.expect("a description");
    let table = &moov.trak[0].mdia.minf.stbl;
    let Codec::Avc1(avc1) = &table.stsd.codecs[0] else { panic!("H.264") };
    let StszSamples::Different { sizes } = &table.stsz.samples else { panic!("sizes") };
    let mut at = table.stco.as_ref().expect("places").entries[0] as usize;
    let mut decoder = openh264::decoder::Decoder::new().expect("a decoder");
    let mut stream: Vec<Vec<u8>> = vec![Vec::new()];
    for set in avc1.avcc.sequence_parameter_sets.iter().chain(&avc1.avcc.picture_parameter_sets) {
        stream[0].extend([&[0, 0, 0, 1], set.as_slice()].concat());
    }
    for size in sizes {
        let (mut sample, end) = (Vec::new(), at + *size as usize);
        while at < end {
            let length = u32::from_be_bytes(file[at..at + 4].try_into().expect("a length")) as usize;
            sample.extend([&[0, 0, 0, 1], &file[at + 4..at + 4 + length]].concat());
            at += 4 + length;
        }
        stream.push(sample);
    }
    let mut frames = Vec::new();
    let mut keep = |frame: &openh264::decoder::DecodedYUV<'_>| {
        let (width, height) = frame.dimensions();
        let mut pixels = vec![0; width * height * 3];
        frame.write_rgb8(&mut pixels);
        frames.push(RgbImage::from_raw(width as u32, height as u32, pixels).expect("a frame"));
    };
    for sample in &stream {
        if let Some(frame) = decoder.decode(sample).expect("it decodes") {
            keep(&frame);
        }
    }
    decoder.flush_remaining().expect("it decodes").iter().for_each(&mut keep);
    (moov, frames)
}

#[test]
fn key_frames_become_a_video_that_can_be_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("director@example.com");
    let body = request(json!({"keyframes": [{}, {"prompt": "a robot in a forest, night", "seed": 8}]}));
    let job = queue(&server, &token, &body);
    let file = result_of(&server, &token, &job);
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    assert_eq!(
        [&asset["asset_type"], &asset["mime_type"], &asset["temp_storage_path"], &asset["duration_seconds"]],
        [&json!("video"), &json!("video/mp4"), &json!(format!("{user}/{job}/0.mp4")), &json!(3)]
    );
    assert_eq!((&asset["width"], &asset["generation_settings"]["num_frames"]), (&json!(64), &json!(9)));
    let thumbnail = files::get(
        &server,
        &token,
        &format!("/object/workspace-temp/{}", asset["thumbnail_path"].as_str().expect("a thumbnail")),
    );
    assert!(thumbnail.bytes.starts_with(b"RIFF"));

    let (moov, frames) = play(&file);
    let track = &moov.trak[0];
    assert_eq!((track.tkhd.width.integer(), track.tkhd.height.integer()), (64, 64));
    let seconds = track.mdia.mdhd.duration as f64 / f64::from(track.mdia.mdhd.timescale);
    assert!((seconds - 9.0 / 4.0).abs() < 1e-9, "{seconds}");
    assert_eq!(frames.len(), 9);
    assert!(frames.iter().all(|frame| frame.dimensions() == (64, 64)));
    let ends = distance(&frames[0], &frames[8]);
    let steps: Vec<f64> = frames.windows(2).map(|pair| distance(&pair[0], &pair[1])).collect();
    let mean = steps.iter().sum::<f64>() / steps.len() as f64;
    assert!(ends > 10.0 && mean < ends / 2.0, "ends {ends}, steps {steps:?}");
    // The first frame is the picture that the same words and seed give.
    let picture =
        json!({"job_type": "sdxl_image_fast", "prompt": "a cat on a beach, day", "seed": 7, "steps": 4});
    let picture = common::jobs::drawn(&server, &token, &picture);
    assert!(distance(&frames[0], &picture) < 12.0, "{}", distance(&frames[0], &picture));

    let again = queue(&server, &token, &body);
    assert!(result_of(&server, &token, &again) == file, "the same request is the same file");
    let row = wait_for(&server, &token, &job, &["completed"]);
    let video = || {
        one(&server, &token, &format!("/rest/v1/videos?id=eq.{}", row["video_id"].as_str().expect("a video")))
    };
    let stored = format!("workspace-temp/{user}/{job}/0.mp4");
    assert_eq!((&video()["video_url"], &video()["resolution"]), (&json!(stored), &json!("64x64")));
    let save = json!({"action": "save_to_library", "assetId": asset["id"], "customTitle": "A walk"});
    let (status, saved) = server.call("POST", "/functions/v1/workspace-actions", &token, Some(&save));
    assert_eq!(status, 200, "{saved}");
    let kept = format!("user-library/{user}/{}.mp4", asset["id"].as_str().expect("an id"));
    assert_eq!((&video()["video_url"], &video()["title"]), (&json!(kept), &json!("A walk")));
    assert_eq!(video()["expires_at"], Json::Null);
    let usage = one(&server, &token, "/rest/v1/usage_logs?format=eq.video");
    assert_eq!(usage["credits_consumed"], 3, "{usage}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn references_are_where_a_video_begins_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("director@example.com");
    let plain = |colour: [u8; 3]| RgbImage::from_pixel(64, 64, image::Rgb(colour));
    let ends = [plain([220, 40, 30]), plain([20, 60, 200])];
    let paths: Vec<String> = ends
        .iter()
        .enumerate()
        .map(|(place, picture)| {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
            let path = format!("reference_images/{user}/{place}.png");
            assert_eq!(files::put(&server, &token, &path, "image/png", bytes.get_ref()).status, 200);
            path
        })
        .collect();
    let metadata = json!({"start_reference_url": paths[0], "end_reference_url": paths[1]});
    let body = request(json!({"num_frames": 5, "denoise_strength": 0.25, "metadata": metadata}));
    let job = queue(&server, &token, &body);
    let (_, frames) = play(&result_of(&server, &token, &job));
    let towards = |frame: &RgbImage| distance(frame, &ends[0]) - distance(frame, &ends[1]);
    assert!(
        towards(&frames[0]) < -20.0 && towards(&frames[4]) > 20.0,
        "{:?}",
        frames.iter().map(towards).collect::<Vec<_>>()
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn videos_that_cannot_be_say_why_and_stop_when_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("director@example.com");
    for (changes, status, words) in [
        (json!({"num_frames": 1}), 400, "num_frames"),
        (json!({"num_frames": 100_000}), 400, "num_frames"),
        (json!({"fps": 0}), 400, "fps"),
        (json!({"keyframes": {}}), 400, "keyframes: an object is not a list"),
        (json!({"keyframes": [{"frame": 3}, {"frame": 4}]}), 400, "keyframes[0].frame"),
        (json!({"keyframes": [{"seed": -4}, {}]}), 400, "keyframes[0].seed"),
        (json!({"keyframes": [{}, {"prompt": "explicit nude"}]}), 422, "keyframes[1].prompt"),
        (
            json!({"prompt_syntax": "a1111", "keyframes": [{}, {"prompt": "a <lora:ink:1>"}]}),
            400,
            "keyframes[1].prompt: a LoRA",
        ),
        (json!({"job_type": "sdxl_image_fast", "num_frames": null, "fps": 4}), 400, "fps: only videos"),
    ] {
        refused(&server, &token, &request(changes), status, words);
    }
    let job = queue(&server, &token, &request(json!({"width": 1024, "height": 1024, "num_frames": 240})));
    let row = wait_for(&server, &token, &job, &["failed", "completed"]);
    assert!(row["error_message"].as_str().is_some_and(|message| message.starts_with("num_frames")), "{row}");

    let balance = || one(&server, &token, "/rest/v1/profiles?select=token_balance")["token_balance"].clone();
    let before = balance();
    let long = queue(&server, &token, &request(json!({"num_frames": 200, "steps": 50})));
    wait_for(&server, &token, &long, &["processing"]);
    std::thread::sleep(Duration::from_millis(500));
    let cancel = json!({"status": "cancelled"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{long}"), &token, Some(&cancel)).0, 200);
    assert_eq!(balance(), before, "given back");
    // The device is free at once.
    let next = queue(&server, &token, &json!({"job_type": "sdxl_image_fast", "prompt": "a dot", "steps": 1}));
    wait_for(&server, &token, &next, &["completed"]);
    assert_eq!(one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{long}")), Json::Null);
    assert_eq!(one(&server, &token, "/rest/v1/videos"), Json::Null);
    assert_eq!(server.check()["faults"], 0);
}

//! What fails on the way to a film, what is tried again, and how a film goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::common::jobs::wait_for;
use crate::speech::{Speaker, tone};
use crate::{Author, lengths, text};

/// A folder with a program of that name in front of the machine's own.
fn path_with(folder: &Path, name: &str, script: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}

fn piece(author: &Author<'_>, table: &str, id: &str) -> Json {
    let started = Instant::now();
    loop {
        let row = author.rows(&format!("{table}?id=eq.{id}")).remove(0);
        if matches!(row["status"].as_str(), Some("completed" | "failed")) {
            return row;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{row}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn speech_is_tried_again_and_a_film_goes_on_where_it_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let speaker = Speaker::start();
    speaker.register(&server, false);
    let ada = Author::new(&server, "ada", "SCENE 1: A pier.\nNARRATOR: Dusk.");
    // Once too many requests: the clip counts the try, and the film is made.
    speaker.fail_next(1, 429);
    let film = ada.film(json!({}));
    assert_eq!(ada.ended(&film)["generation_status"], "completed");
    let clip = ada.rows(&format!("audio_generations?video_generation_id=eq.{film}")).remove(0);
    assert_eq!(clip["audio_metadata"]["retry_count"], 1, "{clip}");
    assert_eq!(clip["audio_metadata"]["error_code"], "RATE_LIMIT_ERROR");
    assert_eq!((&clip["status"], &clip["error_message"]), (&json!("completed"), &Json::Null));
    // What no other try mends ends it, and says why.
    speaker.fail_next(1, 400);
    let film = ada.film(json!({}));
    let row = ada.ended(&film);
    assert_eq!((&row["generation_status"], &row["can_resume"]), (&json!("failed"), &json!(true)), "{row}");
    assert!(text(&row["error_message"]).contains("400: not now"), "{row}");
    let clip = ada.rows(&format!("audio_generations?video_generation_id=eq.{film}")).remove(0);
    assert_eq!(
        (&clip["status"], &clip["audio_metadata"]["error_code"]),
        (&json!("failed"), &json!("UNKNOWN_ERROR"))
    );
    let retry =
        |step: Option<&str>| ada.function("retry-video", json!({"video_generation_id": film, "step": step}));
    let (status, answer) = retry(Some("sound"));
    assert!(status == 400 && answer.to_string().contains("audio_video_merge"), "{answer}");
    assert_eq!(retry(Some("video")).0, 409, "its pictures are not there yet");
    let (status, answer) = retry(None);
    assert_eq!(
        (status, &answer["step"], &answer["video"]["retry_count"]),
        (200, &json!("audio"), &json!(1)),
        "{answer}"
    );
    let row = ada.ended(&film);
    assert_eq!(
        (&row["generation_status"], &row["can_resume"]),
        (&json!("completed"), &json!(false)),
        "{row}"
    );
    lengths(&ada.file(&text(&row["video_url"])));
    assert_eq!(retry(None).0, 409, "it is completed");
    // Another account can do nothing with it.
    let bob = Author::new(&server, "bob", "SCENE 1: x");
    assert_eq!(bob.function("retry-video", json!({"video_generation_id": film})).0, 404);
    let (_, gone) = bob.function("delete-media", json!({"ids": [film]}));
    assert_eq!((&gone["success"], &gone["unknown"]), (&json!(false), &json!(1)));
    assert_eq!(bob.function("generate-video", json!({"script_id": ada.script})).0, 404);
}

#[test]
fn a_worker_moves_lips_and_the_film_keeps_its_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (voices, lips) = (Speaker::start(), Speaker::start());
    voices.register(&server, false);
    lips.register_as(&server, "lips", true);
    let ada = Author::new(&server, "ada", "SCENE 1: A pier.\nMIRA: Good evening to you.");
    let film = ada.film(json!({}));
    let row = ada.ended(&film);
    assert_eq!(row["lipsync_data"]["status"], "completed", "{row}");
    assert_eq!(row["lipsync_data"]["url"], row["video_url"]);
    let (shown, heard) = lengths(&ada.file(&text(&row["video_url"])));
    assert!((shown - heard).abs() < 0.1, "{shown} {heard}");
    assert_eq!(lips.asked().len(), 1);
    assert_eq!(row["lipsync_data"]["sound"], Json::Null, "{row}");
    // The owner may write what was merged; a worker is given no link to a file of another account for it.
    let (other, _) = server.sign_up("bob@example.com");
    let foreign = json!({"generation_status": "failed", "lipsync_data": {},
        "merge_data": {"url": format!("user-library/{other}/film.mp4")}});
    let path = format!("/rest/v1/video_generations?id=eq.{film}");
    let (status, answer) = server.call("PATCH", &path, &ada.token, Some(&foreign));
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = ada.function("retry-video", json!({"video_generation_id": film}));
    assert_eq!((status, &answer["step"]), (200, &json!("lip_sync")), "{answer}");
    let row = ada.ended(&film);
    assert_ne!(row["generation_status"], "completed", "{row}");
    assert_eq!(lips.asked().len(), 1, "the worker is not asked");
}

/// Waits for one request, runs `meanwhile` and answers with an MP4 file.
fn answer_once(listener: &TcpListener, file: &[u8], meanwhile: impl FnOnce()) {
    listener.set_nonblocking(true).expect("a listener that does not block");
    let started = Instant::now();
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(240), "no request came: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_nonblocking(false).expect("a stream that blocks");
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).expect("a line") > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length]).expect("a body");
    meanwhile();
    let length = file.len();
    let head = format!(
        "HTTP/1.1 200 X\r\ncontent-type: video/mp4\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), file].concat()).expect("an answer");
}

#[test]
fn a_film_whose_row_is_emptied_meanwhile_fails_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (voices, mut lips) = (Speaker::start(), Speaker::start());
    voices.register(&server, false);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    lips.url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    lips.register_as(&server, "lips", true);
    let ada = Author::new(&server, "ada", "SCENE 1: A pier.\nMIRA: Good evening to you.");
    let film = ada.film(json!({}));
    let path = format!("/rest/v1/video_generations?id=eq.{film}");
    // An MP4 file without a track: no sound can be put into it.
    answer_once(&listener, b"\0\0\0\x14ftypisom\0\0\0\0isom", || {
        let (status, answer) = server.call("PATCH", &path, &ada.token, Some(&json!({"video_data": {}})));
        assert_eq!(status, 200, "{answer}");
    });
    let row = ada.rows(&format!("video_generations?id=eq.{film}")).remove(0);
    wait_for(&server, &ada.token, &text(&row["task_meta"]["job_id"]), &["failed"]);
    let row = ada.rows(&format!("video_generations?id=eq.{film}")).remove(0);
    assert_eq!((&row["generation_status"], &row["can_resume"]), (&json!("failed"), &json!(true)), "{row}");
    let message = text(&row["error_message"]);
    assert!(message.contains(&film) && message.contains("changed while the film was made"), "{message}");
    // The worker's file was used as it is, and the row says so.
    let data = &row["lipsync_data"];
    assert_eq!((&data["status"], &data["sound"]), (&json!("completed"), &json!("worker")), "{row}");
    assert!(!text(&data["reason"]).is_empty(), "{row}");
}

#[test]
fn espeak_speaks_where_nothing_else_does_and_its_absence_is_said() {
    let (folder, programs) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let wav = programs.path().join("said.wav");
    std::fs::write(&wav, tone(0.7)).expect("a file");
    // Without the program: the row says what to install.
    let server = Server::start(folder.path(), &[("PATH", "/nonexistent")]);
    let ada = Author::new(&server, "ada", "SCENE 1: x");
    let clip = |voice: &str| {
        let row = json!({"user_id": ada.id, "audio_type": "narrator", "text_content": "Hello there", "voice_id": voice});
        let id = text(&ada.row("audio_generations", row)["id"]);
        let (status, answer) = ada.function("generate-media", json!({"audio": [id]}));
        assert_eq!(status, 200, "{answer}");
        piece(&ada, "audio_generations", &id)
    };
    let row = clip("en");
    assert_eq!(row["status"], "failed");
    assert!(text(&row["error_message"]).contains("install espeak-ng"), "{row}");
    let (id, token, script) = (ada.id.clone(), ada.token.clone(), ada.script.clone());
    drop(server);

    // With it: it hears the words by standard input, and its file is the clip.
    let heard = programs.path().join("heard");
    let program = format!("echo \"$@\" > {0}.args; cat > {0}; cat {1}", heard.display(), wav.display());
    let path = path_with(programs.path(), "espeak-ng", &program);
    let server = Server::start(folder.path(), &[("PATH", &path)]);
    let ada = Author { server: &server, id, token, script };
    let clip = |voice: &str| {
        let row = json!({"user_id": ada.id, "audio_type": "narrator", "text_content": "Hello there", "voice_id": voice});
        let id = text(&ada.row("audio_generations", row)["id"]);
        assert_eq!(ada.function("generate-media", json!({"audio": [id]})).0, 200);
        piece(&ada, "audio_generations", &id)
    };
    let row = clip("de+f3");
    assert_eq!((&row["status"], &row["model_id"]), (&json!("completed"), &json!("espeak-ng")), "{row}");
    assert!((row["duration_seconds"].as_f64().expect("seconds") - 0.7).abs() < 0.02, "{row}");
    assert_eq!(ada.file(&text(&row["audio_url"])), tone(0.7));
    assert_eq!(std::fs::read_to_string(&heard).expect("words"), "Hello there");
    let arguments = std::fs::read_to_string(heard.with_extension("args")).expect("arguments");
    assert!(arguments.contains("-v de+f3") && arguments.contains("--stdout"), "{arguments}");
    let row = clip("--version");
    assert!(row["status"] == "failed" && text(&row["error_message"]).contains("not a voice"), "{row}");
    // What is completed is not made again.
    let row = ada.rows("audio_generations?status=eq.completed").remove(0);
    assert_eq!(ada.function("generate-media", json!({"audio": [row["id"]]})).0, 409);
}

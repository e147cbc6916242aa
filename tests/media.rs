//! Media of scripts: the rules of their rows, for every writer.

mod common;

use common::Server;
use serde_json::{Value as Json, json};

#[test]
fn media_rows_keep_their_states_and_say_why_they_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, token) = server.sign_up("ada@example.com");
    let write = |method: &str, path: &str, token: &str, row: Json| {
        let (status, rows) = server.call(method, &format!("/rest/v1/{path}"), token, Some(&row));
        (status, if status < 300 { rows[0].clone() } else { rows })
    };
    let made = |path: &str, row: Json| {
        let (status, row) = write("POST", path, &token, row);
        assert_eq!(status, 201, "{row}");
        row
    };
    let book = made("books", json!({"user_id": ada, "title": "T", "book_type": "novel"}));
    let chapter = made("chapters", json!({"book_id": book["id"], "title": "One", "content": "x"}));
    let video = made("video_generations", json!({"user_id": ada, "chapter_id": chapter["id"]}));
    let image = made("image_generations", json!({"user_id": ada, "status": "in_progress", "progress": 40}));
    assert_eq!((&image["status"], &image["progress"]), (&json!("processing"), &json!(40)));
    let at = |table: &str, row: &Json| format!("{table}?id=eq.{}", row["id"].as_str().expect("an id"));
    for (change, words) in [(json!({"status": "done"}), "pending"), (json!({"progress": 101}), "0 to 100")] {
        let (status, answer) = write("PATCH", &at("image_generations", &image), &token, change);
        assert!(status == 400 && answer["message"].as_str().is_some_and(|it| it.contains(words)), "{answer}");
    }
    let failed = json!({"status": "failed", "error_message": "HTTP 429 from the server"});
    let (_, row) = write("PATCH", &at("image_generations", &image), &token, failed);
    assert_eq!(row["meta"]["error_code"], "RATE_LIMIT_ERROR");
    let (_, row) = write("PATCH", &at("image_generations", &image), &token, json!({"status": "completed"}));
    assert_eq!(row["progress"], 100);
    // A piece that a worker writes for a video is its account's.
    let piece = json!({"video_generation_id": video["id"], "audio_type": "narrator", "text_content": "x"});
    let (status, audio) = write("POST", "audio_generations", &server.service, piece);
    assert_eq!(
        (status, &audio["user_id"], &audio["status"]),
        (201, &json!(ada), &json!("pending")),
        "{audio}"
    );

    let go = |status: &str| {
        write("PATCH", &at("video_generations", &video), &token, json!({"generation_status": status}))
    };
    assert_eq!(go("retrieval_failed").1["can_resume"], true);
    for count in 1..=3 {
        assert_eq!(go("retrying").1["retry_count"], count);
        assert_eq!(go("failed").0, 200);
    }
    let (status, answer) = go("retrying");
    assert_eq!((status, answer["code"].as_str()), (409, Some("PT409")), "{answer}");
    assert_eq!(go("completed").1["can_resume"], false);
    assert_eq!(server.check()["faults"], 0);
}

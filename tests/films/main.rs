//! Films of scripts: speech, pictures, film and sound, what fails on the way and what a crash leaves.

#[path = "../common/mod.rs"]
mod common;
mod failures;
mod speech;

use std::time::{Duration, Instant};

use common::jobs::one;
use common::{Server, files};
use serde_json::{Value as Json, json};
use speech::{Speaker, tone};

const SCRIPT: &str = "SCENE 1: A lighthouse at night.\nNARRATOR: The storm came early.\nMIRA: Who is there?\n\n\
     SCENE 2: A beach in the morning.\nMIRA: The sea is calm.\n\nSCENE 3: A boat.\nNARRATOR: She rowed for an hour.\n\n\
     SCENE 4: An empty harbour.";

/// An account with a script.
struct Author<'s> {
    server: &'s Server,
    id: String,
    token: String,
    script: String,
}

impl<'s> Author<'s> {
    fn new(server: &'s Server, name: &str, script: &str) -> Author<'s> {
        let (id, token) = server.sign_up(&format!("{name}@example.com"));
        let mut author = Author { server, id, token, script: String::new() };
        let book = author.row("books", json!({"user_id": author.id, "title": "T", "book_type": "novel"}));
        let chapter = author.row("chapters", json!({"book_id": book["id"], "title": "One", "content": "x"}));
        let row = json!({"chapter_id": chapter["id"], "user_id": author.id, "script_style": "cinematic",
            "script": script, "video_style": "watercolour"});
        author.script = text(&author.row("scripts", row)["id"]);
        author
    }

    fn row(&self, table: &str, row: Json) -> Json {
        let (status, rows) = self.server.call("POST", &format!("/rest/v1/{table}"), &self.token, Some(&row));
        assert_eq!(status, 201, "{table} {row}: {rows}");
        rows[0].clone()
    }

    fn rows(&self, path: &str) -> Vec<Json> {
        let (status, rows) = self.server.call("GET", &format!("/rest/v1/{path}"), &self.token, None);
        assert_eq!(status, 200, "{rows}");
        rows.as_array().cloned().expect("rows")
    }

    fn function(&self, name: &str, body: Json) -> (u16, Json) {
        self.server.call("POST", &format!("/functions/v1/{name}"), &self.token, Some(&body))
    }

    fn film(&self, more: Json) -> String {
        let mut body = json!({"script_id": self.script, "image_options": {"steps": 1}});
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let (status, made) = self.function("generate-video", body);
        assert_eq!(status, 200, "{made}");
        text(&made["video"]["id"])
    }

    fn ended(&self, video: &str) -> Json {
        let started = Instant::now();
        loop {
            let row = one(self.server, &self.token, &format!("/rest/v1/video_generations?id=eq.{video}"));
            if matches!(row["generation_status"].as_str(), Some("completed" | "failed" | "retrieval_failed"))
            {
                return row;
            }
            assert!(started.elapsed() < Duration::from_secs(240), "the film is still {row}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn file(&self, address: &str) -> Vec<u8> {
        let answer = files::get(self.server, &self.token, &format!("/object/{address}"));
        assert_eq!(answer.status, 200, "{address}");
        answer.bytes
    }

    /// The names of the files that were made for a row.
    fn files_of(&self, id: &str) -> Vec<String> {
        let path = "/storage/v1/object/list/user-library";
        let prefix = json!({"prefix": format!("{}/scripts/{id}", self.id)});
        let (_, listed) = self.server.call("POST", path, &self.token, Some(&prefix));
        listed.as_array().into_iter().flatten().map(|file| text(&file["name"])).collect()
    }
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_string()
}

/// Seconds of the pictures and of the sound of a film, which must be H.264 and AAC: as `ffprobe` reads them where it is
/// installed, and as the file's own description says it.
fn lengths(file: &[u8]) -> (f64, f64) {
    use mp4_atom::{Any, Codec, DecodeMaybe};
    let mut rest = std::io::Cursor::new(file);
    let mut moov = None;
    while let Some(atom) = Any::decode_maybe(&mut rest).expect("an atom") {
        if let Any::Moov(found) = atom {
            moov = Some(found);
        }
    }
    let moov = moov.expect("a description");
    assert!(matches!(moov.trak[0].mdia.minf.stbl.stsd.codecs[0], Codec::Avc1(_)));
    assert!(matches!(moov.trak[1].mdia.minf.stbl.stsd.codecs[0], Codec::Mp4a(_)));
    let seconds = |track: usize| moov.trak[track].tkhd.duration as f64 / f64::from(moov.mvhd.timescale);
    let said = (seconds(0), seconds(1));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("film.mp4");
    std::fs::write(&path, file).expect("a file");
    let probe = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-of", "json"])
        .arg(&path)
        .output();
    let Ok(probe) = probe else {
        eprintln!("ffprobe is not installed: only the file's own description was looked at");
        return said;
    };
    let errors = String::from_utf8_lossy(&probe.stderr);
    assert!(probe.status.success() && errors.is_empty(), "{errors}");
    let streams: Json = serde_json::from_slice(&probe.stdout).expect("JSON");
    let of = |kind: &str| {
        let streams = streams["streams"].as_array().expect("streams");
        streams.iter().find(|it| it["codec_type"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    let (video, audio) = (of("video"), of("audio"));
    assert_eq!((&video["codec_name"], &audio["codec_name"]), (&json!("h264"), &json!("aac")));
    let seconds = |stream: &Json| text(&stream["duration"]).parse::<f64>().expect("seconds");
    let probed = (seconds(&video), seconds(&audio));
    assert!((probed.0 - said.0).abs() < 0.1 && (probed.1 - said.1).abs() < 0.1, "{probed:?} {said:?}");
    // Every packet decodes.
    let mut decode = std::process::Command::new("ffmpeg");
    decode.args(["-v", "error", "-i"]).arg(&path).args(["-f", "null", "-"]);
    if let Ok(decoded) = decode.output() {
        assert_eq!(String::from_utf8_lossy(&decoded.stderr), "");
    }
    probed
}

#[test]
fn a_film_of_four_scenes_speaks_and_plays() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let speaker = Speaker::start();
    speaker.register(&server, false);
    let ada = Author::new(&server, "ada", SCRIPT);
    let put = |name: &str, bytes: Vec<u8>| {
        let path = format!("user-library/{}/{name}", ada.id);
        let answer = files::put(&server, &ada.token, &path, "audio/wav", &bytes);
        assert_eq!(answer.status, 200);
        path
    };
    let (song, bell) = (put("song.wav", tone(1.3)), put("bell.wav", tone(0.4)));
    let video = ada.film(json!({
        "voice": "nova", "voices": {"MIRA": "shimmer", "Ghost": "x"}, "music_url": song,
        "effects": [{"scene": 3, "url": bell, "volume": 0.5}],
    }));
    let row = ada.ended(&video);
    assert_eq!(row["generation_status"], "completed", "{row}");
    assert_eq!((&row["can_resume"], &row["lipsync_data"]["status"]), (&json!(false), &json!("skipped")));
    assert!(text(&row["lipsync_data"]["reason"]).contains("lip_sync"));
    // Each line has its voice, and each clip its length.
    let clips = ada.rows(&format!("audio_generations?video_generation_id=eq.{video}&order=sequence_order"));
    let kinds: Vec<&str> = clips.iter().filter_map(|clip| clip["audio_type"].as_str()).collect();
    assert_eq!(
        kinds,
        ["narrator", "character", "character", "narrator", "background_music", "sound_effects"]
    );
    assert!(clips.iter().all(|clip| clip["status"] == "completed" && clip["user_id"] == ada.id.as_str()));
    let voices: Vec<Json> = speaker.asked().iter().map(|asked| asked["voice"].clone()).collect();
    assert_eq!(voices, [json!("nova"), json!("shimmer"), json!("shimmer"), json!("nova")]);
    let said: f64 = clips[..4].iter().filter_map(|clip| clip["duration_seconds"].as_f64()).sum();
    let letters = ["The storm came early.", "Who is there?", "The sea is calm.", "She rowed for an hour."];
    let letters: usize = letters.iter().map(|line| line.chars().count()).sum();
    assert!((said - letters as f64 * 0.05).abs() < 0.05, "{said}");
    let pictures = ada.rows(&format!("image_generations?video_generation_id=eq.{video}&order=scene_number"));
    assert_eq!(pictures.len(), 4);
    assert!(pictures.iter().all(|it| it["status"] == "completed" && it["progress"] == 100), "{pictures:?}");
    // Sound and pictures end together, where the timing says.
    let (shown, heard) = lengths(&ada.file(&text(&row["video_url"])));
    let expected = row["video_data"]["seconds"].as_f64().expect("seconds");
    assert!((shown - heard).abs() < 0.1 && (shown - expected).abs() < 0.1, "{shown} {heard} {expected}");
    assert!(expected > said, "{expected} {said}");
    // Of the files, what a row names is there; deleting the video takes all of it, and nothing that was uploaded.
    assert!(ada.files_of(&video).len() >= 10, "{:?}", ada.files_of(&video));
    let nothing = "00000000-0000-4000-8000-000000000000";
    let (status, gone) = ada.function("delete-media", json!({"ids": [video, nothing]}));
    assert_eq!((status, &gone["success"], &gone["unknown"]), (200, &json!(true), &json!(1)), "{gone}");
    assert_eq!(ada.files_of(&video), Vec::<String>::new());
    assert!(ada.rows("image_generations").is_empty() && ada.rows("audio_generations").is_empty());
    ada.file(&song);
    let (_, gone) = ada.function("delete-media", json!({"ids": [video]}));
    assert_eq!(gone["success"], false, "{gone}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_film_of_a_minor_is_known_by_its_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let speaker = Speaker::start();
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    speaker.register(&server, false);
    let (other, others) = server.sign_up("other@example.com");
    let born = json!({"birth_date": "1980-01-01"});
    assert_eq!(
        server.call("PATCH", &format!("/rest/v1/profiles?id=eq.{other}"), &others, Some(&born)).0,
        200
    );
    for (name, who, wanted) in [("ada", "A 12 year old girl", 422), ("bea", "A woman of forty", 200)] {
        let author = Author::new(&server, name, &format!("SCENE 1: {who} on a pier.\nNARRATOR: Rain."));
        let row = author.ended(&author.film(json!({})));
        assert_eq!(row["generation_status"], "completed", "{row}");
        // In another account nothing but the bytes leads back: of the film as of its pictures without sound.
        for (place, address) in [&row["video_url"], &row["video_data"]["url"]].into_iter().enumerate() {
            let copy = format!("user-library/{other}/{name}-{place}.mp4");
            let film = author.file(&text(address));
            assert_eq!(files::put(&server, &others, &copy, "video/mp4", &film).status, 200);
            let body = json!({"job_type": "wan_video_fast", "prompt": "on a beach",
                "metadata": {"contentType": "nsfw", "start_reference_url": copy}});
            let (status, answer) = server.call("POST", "/functions/v1/queue-job", &others, Some(&body));
            assert_eq!(status, wanted, "{name} {place}: {answer}");
        }
    }
}

#[test]
fn a_film_that_a_crash_cuts_short_is_made_once_after_the_restart() {
    let script = "SCENE 1: A lighthouse.\nNARRATOR: Rain.\nMIRA: Hello?\nSCENE 2: A beach.";
    for point in [
        "media_claimed",
        "media_speech:2",
        "media_speech_recorded",
        "media_audio",
        "media_picture",
        "media_picture_recorded:2",
        "media_images_recorded",
        "media_video",
        "media_merge",
        "media_merge_recorded",
        "media_lip_sync",
        "media_ending",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let speaker = Speaker::start();
        let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", point)]);
        speaker.register(&server, false);
        let ada = Author::new(&server, "ada", script);
        let (id, token, script) = (ada.id.clone(), ada.token.clone(), ada.script.clone());
        let body = json!({"script_id": script, "image_options": {"steps": 1}});
        let headers = [("authorization", format!("Bearer {token}"))];
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // The server may die before it has answered.
        let _ = common::send(
            "POST",
            &format!("{}/functions/v1/generate-video", server.url),
            &headers,
            Some(&body),
        );
        server.wait_for_death();
        let server = Server::start(folder.path(), &[]);
        let ada = Author { server: &server, id, token, script };
        let videos = ada.rows("video_generations");
        assert_eq!(videos.len(), 1, "{point}");
        let video = text(&videos[0]["id"]);
        let row = ada.ended(&video);
        assert_eq!(row["generation_status"], "completed", "{point}: {row}");
        let (shown, heard) = lengths(&ada.file(&text(&row["video_url"])));
        assert!((shown - heard).abs() < 0.1, "{point}: {shown} {heard}");
        // Nothing is there twice: rows, jobs, pictures, files.
        assert_eq!(ada.rows("audio_generations").len(), 2, "{point}");
        assert_eq!(ada.rows("image_generations").len(), 2, "{point}");
        assert_eq!(ada.rows("jobs?job_type=eq.sdxl_image_fast").len(), 2, "{point}");
        assert_eq!(ada.rows("jobs?job_type=eq.script_video").len(), 1, "{point}");
        assert_eq!(ada.files_of(&video).len(), 2 + 2 + 2, "{point}: {:?}", ada.files_of(&video));
    }
}

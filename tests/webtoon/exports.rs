//! Exports through `/v1`: what is made, of which pictures, and what a crash leaves.

use std::io::{Cursor, Read};

use image::RgbImage;
use serde_json::{Value as Json, json};

use crate::common::{Server, files, jobs, send};
use crate::drawn::{Story, ended, fetched, file, render, scene, story};
use crate::{Account, id};

const COLOURS: [[u8; 3]; 3] = [[250, 10, 10], [10, 250, 10], [10, 10, 250]];

/// An episode of three scenes of one colour each, with a bubble over the second.
fn episode(account: &Account<'_>) -> (Story, String, Vec<String>) {
    let tale = story(account);
    let scenes: Vec<String> = ["setup", "build", "climax"]
        .iter()
        .map(|importance| scene(account, &tale.story, "Text.", importance))
        .collect();
    for (scene, colour) in scenes.iter().zip(COLOURS) {
        render(account, scene, colour, 1, false);
    }
    let bubble = json!({
        "panel_id": 1, "bubble_type": "narration", "text": "Later.", "position": {"x": 0.1, "y": 0.1},
        "size": {"w": 0.8, "h": 0.2},
    });
    account.made(&format!("/v1/scenes/{}/dialogue", scenes[1]), &json!({"bubbles": [bubble]}));
    let made = account.made(&format!("/v1/stories/{}/episodes", tale.story), &json!({"title": "Salt"}));
    let episode = id(&made, "episode_id");
    account.made(&format!("/v1/episodes/{episode}/scenes"), &json!({"scene_ids": scenes}));
    (tale, episode, scenes)
}

fn has_ended(export: &Json) -> bool {
    matches!(export["status"].as_str(), Some("completed" | "failed"))
}

/// Exports an episode and waits; the export.
fn exported(account: &Account<'_>, episode: &str, options: &Json) -> Json {
    let made = account.made(&format!("/v1/episodes/{episode}/export"), options);
    assert_eq!(made["status"], "queued", "{made}");
    let ended = ended(account, &id(&made, "export_id"), has_ended);
    assert_eq!(ended["status"], "completed", "{options}: {ended}");
    ended
}

fn picture(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).expect("a picture").to_rgb8()
}

fn unzipped(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("a ZIP");
    (0..zip.len())
        .map(|place| {
            let mut file = zip.by_index(place).expect("a file");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("read");
            (file.name().expect("a name").to_string(), bytes)
        })
        .collect()
}

#[test]
fn an_episode_becomes_a_strip_slices_frames_a_book_a_pdf_and_a_film() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let (_, episode, scenes) = episode(&ada);
    let (path, width) = (format!("/v1/episodes/{episode}/export"), 360);
    let strip = exported(&ada, &episode, &json!({"kind": "strip", "format": "png", "width": width}));
    let shown = picture(&file(&ada, &id(&strip, "export_id")));
    // Three pictures of 640 rows; the gaps below a setup and a build are 0.12 and 0.07 of the width.
    assert_eq!(shown.dimensions(), (360, 3 * 640 + 43 + 25));
    for (y, expected) in [(10, COLOURS[0]), (650, [255; 3]), (1300, COLOURS[1]), (1900, COLOURS[2])] {
        assert_eq!(shown.get_pixel(5, y).0, expected, "{y}");
    }
    let lettered = (683..1323).any(|y| (100..260).any(|x| shown.get_pixel(x, y).0 == [255; 3]));
    assert!(lettered, "the bubble of the second scene is white on black");
    assert_eq!(strip["metadata"]["progress"]["done"], 3);
    assert_eq!(strip["metadata"]["scenes"][1]["scene_id"], json!(scenes[1]));
    let slices = exported(&ada, &episode, &json!({"kind": "slices"}));
    let files = unzipped(file(&ada, &id(&slices, "export_id")));
    let sizes: Vec<(u32, u32)> = files.iter().map(|(_, bytes)| picture(bytes).dimensions()).collect();
    assert!(sizes.len() > 2 && sizes[..sizes.len() - 1].iter().all(|size| *size == (800, 1280)), "{sizes:?}");
    let frames = exported(&ada, &episode, &json!({"kind": "frames", "preset": "4:5"}));
    let files = unzipped(file(&ada, &id(&frames, "export_id")));
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|(_, bytes)| picture(bytes).dimensions() == (1080, 1350)));
    let book = exported(&ada, &episode, &json!({"kind": "cbz"}));
    let files = unzipped(file(&ada, &id(&book, "export_id")));
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["001.jpg", "002.jpg", "003.jpg", "ComicInfo.xml"]);
    let about = String::from_utf8_lossy(&files[3].1).into_owned();
    assert!(
        about.contains("<Title>Salt</Title>") && about.contains("<Series>The Lighthouse</Series>"),
        "{about}"
    );
    assert!(about.contains("<Number>1</Number>"), "{about}");
    let pdf = exported(&ada, &episode, &json!({"kind": "pdf"}));
    assert!(file(&ada, &id(&pdf, "export_id")).starts_with(b"%PDF-1."));
    // The film is made beside a completed export.
    let export = id(&pdf, "export_id");
    let (status, answer) = ada.get(&format!("/v1/exports/{export}/video"));
    assert_eq!(status, 404, "{answer}");
    ada.made(&format!("/v1/exports/{export}/generate-video"), &json!({}));
    let done = ended(&ada, &export, |export| {
        matches!(export["metadata"]["video"]["status"].as_str(), Some("completed" | "failed"))
    });
    assert_eq!(done["metadata"]["video"]["status"], "completed", "{done}");
    let (_, video) = ada.get(&format!("/v1/exports/{export}/video"));
    let bytes = fetched(&id(&video, "video_url"));
    assert_eq!(&bytes[4..8], b"ftyp");
    crate::readers::film(&bytes, 270 + 34);
    crate::readers::pages(&file(&ada, &export), 3);
    // 3 s a scene, and .2 + .7 + .04 × 6 s for the bubble.
    assert_eq!(done["metadata"]["video"]["files"][0]["frames"], 270 + 34);
    // Nothing of it is another account's.
    for (method, path) in [
        ("GET", format!("/v1/exports/{export}")),
        ("GET", format!("/v1/exports/{export}/download")),
        ("GET", format!("/v1/exports/{export}/video")),
        ("POST", format!("/v1/exports/{export}/finalize")),
        ("POST", format!("/v1/exports/{export}/generate-video")),
        ("POST", path),
        ("POST", format!("/v1/scenes/{}/export", scenes[0])),
    ] {
        assert_eq!(server.call(method, &path, &bob.token, Some(&json!({}))).0, 404, "{method} {path}");
    }
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_manifest_is_complete_once_all_scenes_have_pictures_and_shows_the_selected_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let ada = Account::new(&server, "ada@example.com");
    let tale = story(&ada);
    let scene = scene(&ada, &tale.story, "Text.", "build");
    let made = ada.made(&format!("/v1/scenes/{scene}/export"), &json!({}));
    assert_eq!((&made["status"], &made["output_url"]), (&json!("queued"), &Json::Null));
    let export = id(&made, "export_id");
    let (status, answer) = ada.get(&format!("/v1/exports/{export}/download"));
    assert_eq!(status, 400, "not ready: {answer}");
    let finalize = || ada.post(&format!("/v1/exports/{export}/finalize"), &json!({}));
    let (status, answer) = finalize();
    assert_eq!(status, 400, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|it| it.contains("render output missing")), "{answer}");
    assert_eq!(ada.post(&format!("/v1/scenes/{scene}/export"), &json!({"kind": "strip"})).0, 400);
    let first = render(&ada, &scene, COLOURS[0], 1, false);
    render(&ada, &scene, COLOURS[1], 2, true);
    render(&ada, &scene, COLOURS[2], 3, false);
    let shown = || {
        let (status, finalized) = finalize();
        assert_eq!((status, &finalized["status"]), (200, &json!("completed")), "{finalized}");
        let (_, answer) = ada.get(&format!("/v1/exports/{export}/download"));
        let url = answer["manifest"]["scenes"][0]["image_url"].as_str().expect("a picture").to_string();
        assert_eq!(finalized["output_url"], json!(url));
        url
    };
    assert!(shown().ends_with("-2.png"), "the approved one before the newest");
    let (status, answer) = server.call(
        "PATCH",
        &format!("/rest/v1/scenes?id=eq.{scene}"),
        &ada.token,
        Some(&json!({"selected_render_artifact_id": first})),
    );
    assert_eq!(status, 200, "{answer}");
    assert!(shown().ends_with("-1.png"), "the selected one before all");
    let (status, answer) = ada.post(&format!("/v1/exports/{export}/generate-video"), &json!({}));
    assert_eq!(status, 400, "of episodes only: {answer}");
    for options in [json!({"kind": "gif"}), json!({"kind": "strip", "width": 7}), json!({"kind": "frames"})] {
        let (status, answer) = ada.post(&format!("/v1/scenes/{scene}/export"), &options);
        assert_eq!(status, 422, "{options}: {answer}");
    }
}

#[test]
fn an_export_that_a_crash_cuts_short_is_made_once_after_the_restart() {
    for point in ["export_claimed", "export_scene_made:2", "export_blob_written", "export_committed"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", point)]);
        let ada = Account::new(&server, "ada@example.com");
        let (token, user) = (ada.token.clone(), ada.user.clone());
        let (_, episode, _) = episode(&ada);
        let options = json!({"kind": "strip", "format": "png", "width": 320});
        let url = format!("{}/v1/episodes/{episode}/export", server.url);
        // The server may die before it has answered.
        let _ = send("POST", &url, &[("authorization", &format!("Bearer {token}"))], Some(&options));
        server.wait_for_death();
        let server = Server::start(folder.path(), &[]);
        let ada = Account { server: &server, user, token };
        let (_, rows) = ada.get("/rest/v1/exports");
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{point}: {rows}");
        let export = id(&rows[0], "id");
        let done = ended(&ada, &export, has_ended);
        assert_eq!(done["status"], "completed", "{point}: {done}");
        assert_eq!(picture(&file(&ada, &export)).width(), 320);
        let (_, jobs) = ada.get("/rest/v1/jobs?job_type=eq.webtoon_export");
        assert_eq!(jobs.as_array().map(Vec::len), Some(1), "{point}: {jobs}");
        assert_eq!(jobs[0]["status"], "completed");
        let listed = ada
            .post("/storage/v1/object/list/exports", &json!({"prefix": format!("{}/{export}", ada.user)}))
            .1;
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{point}: {listed}");
    }
}

#[test]
fn an_export_of_another_accounts_picture_fails_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let theirs = story(&bob);
    let their_scene = scene(&bob, &theirs.story, "Secret.", "build");
    render(&bob, &their_scene, COLOURS[0], 1, false);
    let tale = story(&ada);
    let scene = scene(&ada, &tale.story, "Text.", "build");
    let payload = json!({"image_url": format!("user-library/{}/{their_scene}-1.png", bob.user)});
    let artifact = json!({"scene_id": scene, "type": "render_result", "version": 1, "payload": payload});
    assert_eq!(ada.post("/rest/v1/artifacts", &artifact).0, 201);
    let made = ada.made(&format!("/v1/scenes/{scene}/export"), &json!({"kind": "strip"}));
    let export = id(&made, "export_id");
    let done = ended(&ada, &export, has_ended);
    assert_eq!(done["status"], "failed", "{done}");
    let error = done["metadata"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("no file of the story's owner"), "{done}");
    let (status, answer) = ada.get(&format!("/v1/exports/{export}/download"));
    assert_eq!(status, 400, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|it| it.contains("no file of")), "it says why: {answer}");
}

#[test]
fn a_cancelled_export_stops_where_it_is_and_can_be_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let ada = Account::new(&server, "ada@example.com");
    let tale = story(&ada);
    let scenes: Vec<String> = (0..24).map(|_| scene(&ada, &tale.story, "Text.", "build")).collect();
    scenes.iter().for_each(|scene| drop(render(&ada, scene, COLOURS[0], 1, false)));
    let made = ada.made(&format!("/v1/stories/{}/episodes", tale.story), &json!({"title": "Salt"}));
    let episode = id(&made, "episode_id");
    ada.made(&format!("/v1/episodes/{episode}/scenes"), &json!({"scene_ids": scenes}));
    let export =
        |options: Json| id(&ada.made(&format!("/v1/episodes/{episode}/export"), &options), "export_id");
    let job_of = |export: &str| id(&ada.get(&format!("/v1/exports/{export}")).1["metadata"], "job_id");
    let cancel = |job: &str| ada.post(&format!("/v1/jobs/{job}/cancel"), &json!({}));
    // One that is being made, and one that waits behind it.
    let running = export(json!({"kind": "strip", "format": "png", "width": 2048}));
    let waiting = export(json!({"kind": "pdf"}));
    let begun = ended(&ada, &running, |export| {
        has_ended(export) || export["metadata"]["progress"]["done"].as_u64().is_some_and(|done| done > 0)
    });
    let stopped: Vec<u16> = [&running, &waiting].iter().map(|export| cancel(&job_of(export)).0).collect();
    assert_eq!(stopped[1], 202, "what waits is cancelled");
    for (export, status) in [(&running, stopped[0]), (&waiting, stopped[1])] {
        let end = ended(&ada, export, has_ended);
        if status == 202 {
            assert_eq!(
                (&end["status"], &end["metadata"]["error"]),
                (&json!("failed"), &json!("cancelled")),
                "{end}"
            );
            assert_eq!(end["output_url"], Json::Null);
            let (status, answer) = ada.get(&format!("/v1/exports/{export}/download"));
            assert_eq!(status, 400, "{answer}");
            assert!(answer["detail"].as_str().is_some_and(|it| it.contains("cancelled")), "{answer}");
        } else {
            // It may have ended before; then it stays as it is.
            assert_eq!((begun["status"].as_str(), &end["status"]), (Some("completed"), &json!("completed")));
        }
    }
    // The worker goes on with others, and the same export is made anew.
    assert_eq!(ada.post(&format!("/v1/exports/{waiting}/finalize"), &json!({})).0, 200);
    let again = ended(&ada, &waiting, has_ended);
    assert_eq!(
        (&again["status"], &again["metadata"]["error"]),
        (&json!("completed"), &Json::Null),
        "{again}"
    );
    assert!(file(&ada, &waiting).starts_with(b"%PDF-1."));
}

#[test]
fn an_export_that_shows_a_minor_is_known_by_its_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let born = json!({"birth_date": "1980-01-01"});
    let profile = format!("/rest/v1/profiles?id=eq.{}", bob.user);
    assert_eq!(server.call("PATCH", &profile, &bob.token, Some(&born)).0, 200);
    let tale = story(&ada);
    for (who, wanted) in [("a 12 year old girl", 422), ("a woman of forty", 200)] {
        let job = json!({"job_type": "sdxl_image_fast", "prompt": who, "steps": 2, "seed": 5});
        let drawn = jobs::result_of(&server, &ada.token, &jobs::queue(&server, &ada.token, &job));
        // A scene without a minor, and one with that picture.
        let scenes = ["setup", "climax"].map(|importance| scene(&ada, &tale.story, "Text.", importance));
        render(&ada, &scenes[0], COLOURS[0], 1, false);
        let path = format!("user-library/{}/{}.png", ada.user, scenes[1]);
        assert_eq!(files::put(&server, &ada.token, &path, "image/png", &drawn).status, 200);
        let artifact = json!({"scene_id": scenes[1], "type": "render_result", "version": 1,
            "payload": {"image_url": path}});
        assert_eq!(ada.post("/rest/v1/artifacts", &artifact).0, 201);
        let made =
            ada.made(&format!("/v1/stories/{}/episodes", tale.story), &json!({"title": wanted.to_string()}));
        let episode = id(&made, "episode_id");
        ada.made(&format!("/v1/episodes/{episode}/scenes"), &json!({"scene_ids": scenes}));
        let strip = exported(&ada, &episode, &json!({"kind": "strip", "format": "png", "width": 360}));
        // In another account nothing but the bytes leads back.
        let copy = format!("user-library/{}/{wanted}.png", bob.user);
        let strip = file(&ada, &id(&strip, "export_id"));
        assert_eq!(files::put(&server, &bob.token, &copy, "image/png", &strip).status, 200);
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "on a beach", "reference_image_url": copy,
            "metadata": {"contentType": "nsfw", "reference_mode": "modify"}});
        let (status, answer) = bob.post("/functions/v1/queue-job", &body);
        assert_eq!(status, wanted, "{who}: {answer}");
    }
}

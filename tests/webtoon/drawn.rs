//! Stories whose scenes have pictures, without drawing any: artifacts and files written through rows and storage.

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value as Json, json};

use crate::common::files;
use crate::{Account, id};

/// A story of an account.
pub struct Story {
    pub project: String,
    pub story: String,
}

pub fn story(account: &Account<'_>) -> Story {
    let project = id(&account.made("/v1/projects", &json!({"name": "Tides"})), "project_id");
    let story = account.made(&format!("/v1/projects/{project}/stories"), &json!({"title": "The Lighthouse"}));
    Story { project, story: id(&story, "story_id") }
}

/// The id of a row that is written through `/rest/v1`.
pub fn row(account: &Account<'_>, table: &str, values: &Json) -> String {
    let (status, rows) = account.post(&format!("/rest/v1/{table}"), values);
    assert_eq!(status, 201, "{table}: {rows}");
    id(&rows[0], "id")
}

pub fn scene(account: &Account<'_>, story: &str, text: &str, importance: &str) -> String {
    row(account, "scenes", &json!({"story_id": story, "source_text": text, "scene_importance": importance}))
}

/// A picture of one colour in the account's library, as a render of a scene; the artifact's id.
pub fn render(account: &Account<'_>, scene: &str, colour: [u8; 3], version: i64, approved: bool) -> String {
    let mut png = Cursor::new(Vec::new());
    RgbImage::from_pixel(90, 160, Rgb(colour)).write_to(&mut png, ImageFormat::Png).expect("a PNG");
    let path = format!("user-library/{}/{scene}-{version}.png", account.user);
    let answer = files::put(account.server, &account.token, &path, "image/png", png.get_ref());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let payload = json!({"image_url": path, "approved": approved});
    row(
        account,
        "artifacts",
        &json!({"scene_id": scene, "type": "render_result", "version": version, "payload": payload}),
    )
}

/// Waits until an export has ended; as `/v1` shows it.
pub fn ended(account: &Account<'_>, export: &str, is_ended: impl Fn(&Json) -> bool) -> Json {
    let started = Instant::now();
    loop {
        let (status, shown) = account.get(&format!("/v1/exports/{export}"));
        assert_eq!(status, 200, "{shown}");
        if is_ended(&shown) {
            return shown;
        }
        assert!(started.elapsed() < Duration::from_secs(300), "{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The file of an export, from the address that its owner is given, without any key.
pub fn file(account: &Account<'_>, export: &str) -> Vec<u8> {
    let (status, answer) = account.get(&format!("/v1/exports/{export}/download"));
    assert_eq!(status, 200, "{answer}");
    fetched(&id(&answer, "download_url"))
}

pub fn fetched(url: &str) -> Vec<u8> {
    let answer = files::send(url, "GET", &[], b"").expect("the server answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.bytes
}

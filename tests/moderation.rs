//! Moderation: what is held back from public places, and who decides.

mod common;
mod talk;

use common::Server;
use common::files;
use common::jobs::{one, picture, queue, result_of};
use serde_json::{Value as Json, json};
use talk::invoke;

struct Stage {
    server: Server,
    owner: String,
    token: String,
    /// An adult who sees nsfw characters.
    other: String,
    admin: String,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(&folder.path().join("data"), &[]);
        let (owner, token) = server.sign_up("ada@example.com");
        let (other_id, other) = server.sign_up("bob@example.com");
        let (admin_id, admin) = server.sign_up("admin@example.com");
        for id in [&owner, &other_id] {
            let path = format!("/rest/v1/profiles?id=eq.{id}");
            let verified = json!({"birth_date": "1990-01-01", "age_verified": true});
            let (status, answer) = server.call("PATCH", &path, &server.service, Some(&verified));
            assert_eq!(status, 200, "{answer}");
        }
        let role = json!({"user_id": admin_id, "role": "admin"});
        assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
        Stage { server, owner, token, other, admin, _folder: folder }
    }

    /// A picture that is drawn in a tier and kept; its path in the library.
    fn kept(&self, tier: &str) -> String {
        let mut request = picture("a tree");
        request["metadata"] = json!({"contentType": tier});
        let job = queue(&self.server, &self.token, &request);
        result_of(&self.server, &self.token, &job);
        let asset = one(&self.server, &self.token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
        let body = json!({"action": "save_to_library", "assetId": asset["id"]});
        let (status, answer) = invoke(&self.server, &self.token, "workspace-actions", body);
        assert_eq!(status, 200, "{answer}");
        let id = answer["libraryAssetId"].as_str().expect("an id");
        let row = one(&self.server, &self.token, &format!("/rest/v1/user_library?id=eq.{id}"));
        row["storage_path"].as_str().expect("a path").to_string()
    }

    /// A public character with such a picture; its id and the path of the picture.
    fn character(&self, tier: &str) -> (String, String) {
        let path = self.kept(tier);
        let columns =
            json!({"is_public": true, "content_rating": tier, "image_url": format!("user-library/{path}")});
        (talk::character(&self.server, &self.owner, &self.token, columns), path)
    }

    /// Whether a picture of the library is answered; as good as none otherwise.
    fn sees(&self, token: &str, path: &str) -> bool {
        let answer = files::get(&self.server, token, &format!("/object/authenticated/user-library/{path}"));
        match answer.status {
            200 => true,
            _ => {
                assert_eq!(files::refusal(&answer).1, "NoSuchKey");
                false
            }
        }
    }

    fn queue(&self) -> Vec<Json> {
        let (status, answer) = invoke(&self.server, &self.admin, "moderation-queue", json!({}));
        assert_eq!(status, 200, "{answer}");
        answer["pictures"].as_array().expect("a list").clone()
    }

    fn review(&self, picture: &Json, decision: &str) -> (u16, Json) {
        let body = json!({"picture_id": picture["id"], "decision": decision, "notes": "looked at"});
        invoke(&self.server, &self.admin, "review-picture", body)
    }
}

#[test]
fn what_is_reported_is_held_back_until_it_is_reviewed() {
    let stage = Stage::new();
    let server = &stage.server;
    let (character, path) = stage.character("sfw");
    assert!(stage.sees(&stage.other, &path));
    assert_eq!(stage.queue(), Vec::<Json>::new(), "pictures of the sfw tier wait for nothing");
    let report = |token: &str, body: Json| invoke(server, token, "report-picture", body);
    let hidden = talk::character(server, &stage.owner, &stage.token, json!({}));
    for (body, status) in [
        (json!({"character_id": character}), 400),
        (json!({"reason": "x"}), 400),
        (json!({"character_id": character, "reason": "x".repeat(2001)}), 400),
        (json!({"character_id": hidden, "reason": "x"}), 404),
    ] {
        assert_eq!(report(&stage.other, body.clone()).0, status, "{body}");
    }
    let (status, answer) = report(&stage.other, json!({"character_id": character, "reason": "not hers"}));
    assert_eq!((status, &answer["held_back"]), (200, &json!(true)), "{answer}");
    assert!(!stage.sees(&stage.other, &path), "held back");
    assert!(stage.sees(&stage.token, &path) && stage.sees(&stage.admin, &path));
    let waiting = stage.queue();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(
        (&waiting[0]["reason"], &waiting[0]["reports"][0]["reason"], waiting[0]["url"].is_string()),
        (&json!("reported"), &json!("not hers"), true)
    );
    // The rows of the documents say the same.
    let job = one(
        server,
        &stage.token,
        &format!("/rest/v1/jobs?id=eq.{}", waiting[0]["job_id"].as_str().expect("an id")),
    );
    assert_eq!(job["moderation_status"], "flagged", "{job}");
    for token in [&stage.token, &stage.other] {
        assert_eq!(invoke(server, token, "moderation-queue", json!({})).0, 403);
        let body = json!({"picture_id": waiting[0]["id"], "decision": "approved"});
        assert_eq!(invoke(server, token, "review-picture", body).0, 403);
    }
    assert_eq!(stage.review(&waiting[0], "perhaps").0, 400);
    let (status, answer) = stage.review(&waiting[0], "rejected");
    assert_eq!((status, &answer["picture"]["review_notes"]), (200, &json!("looked at")), "{answer}");
    assert!(!stage.sees(&stage.other, &path));
    let body = json!({"characterId": character, "format": "json"});
    assert_eq!(invoke(server, &stage.other, "export-character", body).0, 200, "the character itself stays");
    assert_eq!(stage.review(&waiting[0], "approved").0, 200, "decided anew");
    assert!(stage.sees(&stage.other, &path));
    let job = one(
        server,
        &stage.token,
        &format!("/rest/v1/jobs?id=eq.{}", waiting[0]["job_id"].as_str().expect("an id")),
    );
    assert_eq!(
        (&job["moderation_status"], job["reviewed_by"].is_string()),
        (&json!("approved"), true),
        "{job}"
    );
    // One that was approved is not held back when it is reported again.
    let (_, answer) = report(&stage.other, json!({"character_id": character, "reason": "still"}));
    assert_eq!((&answer["held_back"], stage.sees(&stage.other, &path)), (&json!(false), true), "{answer}");
    // When the account goes, the review of these bytes stays, and nothing names the account.
    let gone = server.call("DELETE", &format!("/auth/v1/admin/users/{}", stage.owner), &server.service, None);
    assert_eq!(gone.0, 200, "{}", gone.1);
    let approved = || invoke(server, &stage.admin, "moderation-queue", json!({"status": "approved"})).1;
    talk::until("the account is forgotten", || approved()["pictures"][0]["path"] == "");
    assert!(!approved().to_string().contains(&stage.owner), "{}", approved());
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn pictures_of_the_nsfw_tier_wait_for_a_person() {
    let stage = Stage::new();
    let server = &stage.server;
    let (_, path) = stage.character("nsfw");
    assert_eq!(
        (stage.sees(&stage.token, &path), stage.sees(&stage.other, &path)),
        (true, false),
        "its owner sees it, other adults do not yet"
    );
    // A picture that was not drawn here waits as well.
    let uploaded = format!("{}/own.png", stage.owner);
    let kept = stage.kept("sfw");
    let bytes = files::get(server, &stage.token, &format!("/object/authenticated/user-library/{kept}")).bytes;
    // Other bytes than those of the picture that was drawn as nsfw: the same words and seed draw the same.
    let bytes = [bytes, b"more".to_vec()].concat();
    let put = files::put(server, &stage.token, &format!("user-library/{uploaded}"), "image/png", &bytes);
    assert_eq!(put.status, 200, "{}", put.text());
    let columns =
        json!({"is_public": true, "content_rating": "nsfw", "image_url": format!("user-library/{uploaded}")});
    talk::character(server, &stage.owner, &stage.token, columns);
    assert!(!stage.sees(&stage.other, &uploaded));
    let waiting = stage.queue();
    assert_eq!(waiting.len(), 2, "no thumbnails: {waiting:?}");
    let drawn = waiting.iter().find(|picture| !picture["job_id"].is_null()).expect("what was drawn");
    let other = waiting.iter().find(|picture| picture["job_id"].is_null()).expect("what was uploaded");
    assert_eq!(stage.review(other, "approved").0, 200);
    assert_eq!((stage.sees(&stage.other, &uploaded), stage.sees(&stage.other, &path)), (true, false));
    // An administrator may write the documents' columns; an owner may not.
    let image = format!("/rest/v1/images?id=eq.{}", drawn["image_id"].as_str().expect("an id"));
    assert_eq!(one(server, &stage.token, &image)["moderation_status"], "flagged");
    let approved = json!({"moderation_status": "approved"});
    assert_eq!(server.call("PATCH", &image, &stage.token, Some(&approved)).0, 403);
    assert_eq!(server.call("PATCH", &image, &stage.admin, Some(&approved)).0, 200);
    assert!(stage.sees(&stage.other, &path));
    let row = one(server, &stage.token, &image);
    assert!(row["reviewed_at"].is_string() && row["reviewed_by"].is_string(), "{row}");
    assert_eq!(stage.queue(), Vec::<Json>::new());
    assert_eq!(server.check()["faults"], 0);
}

//! A row is not a right: what it names of another account is refused when it is written, and what such a row of before
//! names is no part of an answer.

mod common;

use common::jobs::{bytes_of, one, wait_for};
use common::{Server, files};
use serde_json::{Value as Json, json};

/// Two accounts, each with a picture drawn through `/v1/images/generations`.
struct Stage {
    server: Server,
    anna: Account,
    bert: Account,
    _folder: tempfile::TempDir,
}

struct Account {
    id: String,
    token: String,
    job: String,
    path: String,
}

/// Asks for a picture under a key of its own, so that asking again answers with the same job.
fn draw(server: &Server, token: &str) -> Json {
    let body =
        json!({"prompt": "a red fox", "size": "64x64", "seed": 3, "steps": 2, "response_format": "b64_json"});
    let headers = [("idempotency-key", "one picture")];
    let (status, answer) = server.call_with("POST", "/v1/images/generations", token, Some(&body), &headers);
    assert_eq!(status, 200, "{answer}");
    answer
}

fn account(server: &Server, name: &str) -> Account {
    let (id, token) = server.sign_up(&format!("{name}@example.com"));
    let job = draw(server, &token)["job_id"].as_str().expect("a job").to_string();
    let asset = one(server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    let path = asset["temp_storage_path"].as_str().expect("a path").to_string();
    Account { id, token, job, path }
}

fn stage() -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (anna, bert) = (account(&server, "anna"), account(&server, "bert"));
    Stage { server, anna, bert, _folder: folder }
}

impl Stage {
    /// A row about a result, as an account may write one.
    fn asset(user: &Account, job: &str, path: &str) -> Json {
        json!({"user_id": user.id, "job_id": job, "temp_storage_path": path, "asset_type": "image",
               "asset_index": 1, "file_size_bytes": 1, "mime_type": "image/png", "generation_seed": 1,
               "original_prompt": "planted", "model_used": "planted"})
    }

    fn write(&self, token: &str, table: &str, row: &Json) -> (u16, Json) {
        self.server.call("POST", &format!("/rest/v1/{table}"), token, Some(row))
    }

    /// A row that the server of before let in: the operator's key may still write it.
    fn plant(&self, table: &str, row: &Json) -> Json {
        let (status, rows) = self.write(&self.server.service, table, row);
        assert_eq!(status, 201, "{rows}");
        rows[0].clone()
    }
}

#[test]
fn what_an_account_writes_names_no_file_and_no_job_of_another() {
    let stage = stage();
    let (anna, bert) = (&stage.anna, &stage.bert);
    let own = Stage::asset(bert, &bert.job, &bert.path);
    let refused = |table: &str, row: &Json, status: u16, code: &str| {
        let (found, answer) = stage.write(&bert.token, table, row);
        assert_eq!((found, answer["code"].as_str()), (status, Some(code)), "{table} {row}: {answer}");
        assert!(!answer.to_string().contains(&anna.id), "{answer}");
    };
    let (status, rows) = stage.write(&bert.token, "workspace_assets", &own);
    assert_eq!(status, 201, "{rows}");
    let row = rows[0]["id"].as_str().expect("an id");
    for path in [anna.path.clone(), format!("workspace-temp/{}", anna.path), format!("/{}", anna.path)] {
        let mut foreign = own.clone();
        foreign["asset_index"] = json!(2);
        foreign["temp_storage_path"] = json!(path);
        refused("workspace_assets", &foreign, 403, "42501");
        foreign["temp_storage_path"] = own["temp_storage_path"].clone();
        foreign["thumbnail_path"] = json!(path);
        refused("workspace_assets", &foreign, 403, "42501");
        let change = json!({"temp_storage_path": path});
        let at = format!("/rest/v1/workspace_assets?id=eq.{row}");
        let (status, answer) = stage.server.call("PATCH", &at, &bert.token, Some(&change));
        assert_eq!((status, answer["code"].as_str()), (403, Some("42501")), "{answer}");
    }
    // One that exists is answered like one that does not, also where a unique key or an upsert would tell.
    let refusal = |job: &str| {
        let mut foreign = own.clone();
        foreign["job_id"] = json!(job);
        foreign["asset_index"] = json!(0);
        let mut answers = vec![stage.write(&bert.token, "workspace_assets", &foreign)];
        for resolution in ["merge-duplicates", "ignore-duplicates"] {
            let path = "/rest/v1/workspace_assets?on_conflict=job_id,asset_index";
            let prefer = format!("return=representation,resolution={resolution}");
            let headers = [("prefer", prefer.as_str())];
            answers.push(stage.server.call_with("POST", path, &bert.token, Some(&foreign), &headers));
        }
        json!(answers).to_string().replace(job, "ID")
    };
    let told = refusal(&anna.job);
    assert!(told.contains("23503"), "{told}");
    assert_eq!(told, refusal(&uuid::Uuid::new_v4().to_string()));
    let image = |url: Json| {
        json!({"user_id": bert.id, "job_id": bert.job, "title": "x", "prompt": "x", "format": "png",
               "quality": "high", "generation_mode": "standard", "image_urls": url})
    };
    // Where the documents declare a foreign key, another's job is refused like one that does not exist.
    for job in [anna.job.clone(), uuid::Uuid::new_v4().to_string()] {
        let mut foreign = image(json!([]));
        foreign["job_id"] = json!(job);
        refused("images", &foreign, 409, "23503");
    }
    let (own_file, hers) =
        (format!("user-library/{}/x.png", bert.id), format!("user-library/{}/x.png", anna.id));
    for urls in [
        json!([own_file, hers]),
        json!([{"url": own_file}, {"variants": [{"url": hers}]}]),
        json!([{"url": format!("//user-library/.//{}/x.png", anna.id)}]),
        json!([hers.replace('/', "%2f")]),
        json!([hers.replace('/', "%252F")]),
    ] {
        refused("images", &image(urls), 403, "42501");
    }
    for climbing in ["user-library/x/../y.png", "/storage/v1/object/public/avatars/%2e%2e/y.png"] {
        refused("images", &image(json!([{"url": climbing}])), 400, "22023");
    }
    // What is public, and what is anywhere else, may be named.
    for path in ["avatars/characters/luna.png", "https://example.org/a.png", "a.png"] {
        let change = json!({"thumbnail_path": path});
        let at = format!("/rest/v1/workspace_assets?id=eq.{row}");
        let (status, answer) = stage.server.call("PATCH", &at, &bert.token, Some(&change));
        assert_eq!(status, 200, "{answer}");
    }
}

#[test]
fn rows_of_before_that_name_others_files_are_no_part_of_an_answer() {
    let stage = stage();
    let (anna, bert) = (&stage.anna, &stage.bert);
    let secret = bytes_of(&stage.server, &anna.token, &anna.path);
    let marker = [secret, b"annas own".to_vec()].concat();
    let path = format!("{}/secret.png", anna.id);
    let put = files::put(&stage.server, &anna.token, &format!("workspace-temp/{path}"), "image/png", &marker);
    assert_eq!(put.status, 200, "{}", put.text());
    let before = [draw(&stage.server, &anna.token), draw(&stage.server, &bert.token)];
    assert_eq!(before[0]["data"].as_array().map(Vec::len), Some(1));
    // Bert's job with Anna's file, and Anna's job with Bert's file.
    let planted = stage.plant("workspace_assets", &Stage::asset(bert, &bert.job, &path));
    stage.plant("workspace_assets", &Stage::asset(bert, &anna.job, &bert.path));
    for (account, before) in [anna, bert].into_iter().zip(before) {
        let again = draw(&stage.server, &account.token);
        assert_eq!(again["data"], before["data"]);
        let progress = format!("/functions/v1/job-progress?job_id={}", account.job);
        let (status, events) = stage.server.call("POST", &progress, &account.token, Some(&json!({})));
        let events = events.as_str().map(str::to_string).unwrap_or_else(|| events.to_string());
        assert_eq!(status, 200, "{events}");
        assert!(events.contains("event: done") && !events.contains("planted"), "{events}");
    }
    let asset = planted["id"].as_str().expect("an id");
    for action in ["save_to_library", "discard_asset"] {
        let body =
            json!({"action": action, "params": {"asset_id": asset}, "asset_id": asset, "assetId": asset});
        let at = "/functions/v1/workspace-actions";
        let (_, answer) = stage.server.call("POST", at, &bert.token, Some(&body));
        assert!(!answer.to_string().contains(&anna.id), "{answer}");
        let kept = one(&stage.server, &bert.token, &format!("/rest/v1/user_library?user_id=eq.{}", bert.id));
        assert_eq!(kept, Json::Null, "{action}");
        assert_eq!(bytes_of(&stage.server, &anna.token, &path), marker, "{action}");
    }
    assert_eq!(stage.server.check()["faults"], 0);
}

#[test]
fn what_is_saved_changes_no_row_of_another_account() {
    let stage = stage();
    let (anna, bert) = (&stage.anna, &stage.bert);
    let video = json!({"user_id": anna.id, "title": "hers", "video_url": "user-library/hers.mp4"});
    let (status, rows) = stage.write(&anna.token, "videos", &video);
    assert_eq!(status, 201, "{rows}");
    let id = rows[0]["id"].as_str().expect("an id").to_string();
    // By the operator's key, since Bert's own request is refused.
    let at = format!("/rest/v1/jobs?id=eq.{}", bert.job);
    let (status, answer) = stage.server.call("PATCH", &at, &bert.token, Some(&json!({"video_id": id})));
    assert_eq!((status, answer["code"].as_str()), (409, Some("23503")), "{answer}");
    let (status, answer) =
        stage.server.call("PATCH", &at, &stage.server.service, Some(&json!({"video_id": id})));
    assert_eq!(status, 200, "{answer}");
    let mut asset = Stage::asset(bert, &bert.job, &bert.path);
    asset["asset_type"] = json!("video");
    let asset = stage.plant("workspace_assets", &asset);
    let before = one(&stage.server, &anna.token, &format!("/rest/v1/videos?id=eq.{id}"));
    let body = json!({"action": "save_to_library", "assetId": asset["id"], "customTitle": "his"});
    let (status, answer) =
        stage.server.call("POST", "/functions/v1/workspace-actions", &bert.token, Some(&body));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(one(&stage.server, &anna.token, &format!("/rest/v1/videos?id=eq.{id}")), before);
    wait_for(&stage.server, &bert.token, &bert.job, &["completed"]);
}

#[test]
fn rows_that_are_hidden_are_not_referred_to() {
    let stage = stage();
    let (anna, bert) = (&stage.anna, &stage.bert);
    let make = |user: &Account, table: &str, row: Json| {
        let (status, rows) = stage.write(&user.token, table, &row);
        assert_eq!(status, 201, "{table}: {rows}");
        rows[0]["id"].as_str().expect("an id").to_string()
    };
    let character = |name: &str, public: bool| {
        let row = json!({"user_id": anna.id, "name": name, "description": "x", "is_public": public,
                         "content_rating": "sfw"});
        make(anna, "characters", row)
    };
    let (hidden, public) = (character("Hidden", false), character("Public", true));
    let none = uuid::Uuid::new_v4().to_string();
    let rows = |id: &str| {
        [
            ("conversations", json!({"user_id": bert.id, "title": "x", "character_id": id})),
            ("conversations", json!({"user_id": bert.id, "title": "x", "user_character_id": id})),
            ("projects", json!({"user_id": bert.id, "name": "x", "character_id": id})),
            ("storyboard_projects", json!({"user_id": bert.id, "title": "x", "primary_character_id": id})),
        ]
    };
    let told = |id: &str| {
        let answers = rows(id).map(|(table, row)| stage.write(&bert.token, table, &row));
        assert!(
            answers.iter().all(|(status, body)| *status == 409 && body["code"] == "23503"),
            "{answers:?}"
        );
        json!(answers).to_string().replace(id, "ID")
    };
    assert_eq!(told(&hidden), told(&none), "what is hidden is answered like what does not exist");
    let collection = make(anna, "user_collections", json!({"user_id": anna.id, "name": "Mine"}));
    let asset = json!({"user_id": bert.id, "asset_type": "image", "storage_path": "a.png", "file_size_bytes": 1,
                       "mime_type": "image/png", "original_prompt": "x", "model_used": "x", "collection_id": collection});
    let (status, answer) = stage.write(&bert.token, "user_library", &asset);
    assert_eq!((status, answer["code"].as_str()), (409, Some("23503")), "{answer}");
    // So her character is hers to delete, and what others may see they may refer to.
    let (status, answer) =
        stage.server.call("DELETE", &format!("/rest/v1/characters?id=eq.{hidden}"), &anna.token, None);
    assert_eq!(status, 200, "{answer}");
    for (table, row) in rows(&public) {
        make(bert, table, row);
    }
    // Nor does one's own row of the same key tell more, whether or not the reference is a declared one.
    let hidden = character("Hidden too", false);
    let own =
        make(bert, "conversations", json!({"user_id": bert.id, "title": "x", "user_character_id": public}));
    let asset = stage.plant("workspace_assets", &Stage::asset(bert, &bert.job, &bert.path));
    let again = |character: &str, job: &str| {
        let conversation = json!({"id": own, "user_id": bert.id, "title": "x", "character_id": character});
        let mut row = Stage::asset(bert, job, &bert.path);
        row["id"] = asset["id"].clone();
        let answers = [("conversations", conversation), ("workspace_assets", row)]
            .map(|(table, row)| stage.write(&bert.token, table, &row));
        assert!(
            answers.iter().all(|(status, body)| *status == 409 && body["code"] == "23503"),
            "{answers:?}"
        );
        json!(answers).to_string().replace(character, "ID").replace(job, "ID")
    };
    assert_eq!(again(&hidden, &anna.job), again(&none, &none));
    // What became hidden since stays as it is, and the row about it can be changed.
    let at = format!("/rest/v1/characters?id=eq.{public}");
    assert_eq!(stage.server.call("PATCH", &at, &anna.token, Some(&json!({"is_public": false}))).0, 200);
    let change = json!({"title": "y", "character_id": public});
    let at = format!("/rest/v1/conversations?character_id=eq.{public}");
    let (status, changed) = stage.server.call("PATCH", &at, &bert.token, Some(&change));
    assert_eq!((status, changed.as_array().map(Vec::len)), (200, Some(1)), "{changed}");
    assert_eq!(stage.server.check()["faults"], 0);
}

#[test]
fn nobody_writes_in_the_name_of_another_account() {
    let stage = stage();
    let (anna, bert) = (&stage.anna, &stage.bert);
    let own = |table: &str, row: Json| {
        let (status, rows) = stage.write(&bert.token, table, &row);
        assert_eq!(status, 201, "{table}: {rows}");
        rows[0]["id"].as_str().expect("an id").to_string()
    };
    let character = json!({"user_id": bert.id, "name": "Mira", "description": "a sailor"});
    let scene = json!({"creator_id": bert.id, "name": "x", "description": "x"});
    for (table, row) in [("characters", character), ("scenes", scene)] {
        // By the policy, or since profiles of others are hidden and so refused like ones that do not exist.
        let is_refused = |status: u16, answer: &Json| {
            let code = answer["code"].as_str().unwrap_or_default();
            assert!([(403, "42501"), (409, "23503")].contains(&(status, code)), "{table}: {answer}");
        };
        let id = own(table, row.clone());
        let at = format!("/rest/v1/{table}?id=eq.{id}");
        let change =
            |name: &str| stage.server.call("PATCH", &at, &bert.token, Some(&json!({"creator_id": name})));
        let (status, answer) = change(&anna.id);
        is_refused(status, &answer);
        assert_eq!(change(&bert.id).0, 200, "{table}");
        let mut row = row;
        row["creator_id"] = json!(anna.id);
        let (status, answer) = stage.write(&bert.token, table, &row);
        is_refused(status, &answer);
        // The operator may say who made it.
        let change = json!({"creator_id": anna.id});
        assert_eq!(stage.server.call("PATCH", &at, &stage.server.service, Some(&change)).0, 200, "{table}");
    }
}

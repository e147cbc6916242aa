//! The rules of webtoons' rows, which hold by any way of writing: here through `/rest/v1`.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::{Account, id};

/// A project with a story and a scene, made as rows.
pub struct Stage<'s> {
    pub ada: Account<'s>,
    pub project: String,
    pub story: String,
    pub scene: String,
}

impl<'s> Stage<'s> {
    pub fn new(server: &'s Server) -> Stage<'s> {
        let ada = Account::new(server, "ada@example.com");
        let project = ada.row("projects", json!({"user_id": ada.user, "name": "Tides"}));
        let story = ada.row("stories", json!({"project_id": project["id"], "title": "The storm"}));
        let scene = ada.row("scenes", json!({"story_id": story["id"], "source_text": "Mira waits."}));
        let (project, story, scene) = (id(&project, "id"), id(&story, "id"), id(&scene, "id"));
        Stage { ada, project, story, scene }
    }

    pub fn artifact(&self, kind: &str, payload: Json) -> Json {
        self.ada
            .row("artifacts", json!({"scene_id": self.scene, "type": kind, "version": 1, "payload": payload}))
    }

    pub fn character(&self, name: &str) -> Json {
        let row =
            json!({"user_id": self.ada.user, "project_id": self.project, "name": name, "is_public": false});
        self.ada.row("characters", row)
    }
}

impl Account<'_> {
    /// A row that is written.
    pub fn row(&self, table: &str, row: Json) -> Json {
        self.made(&format!("/rest/v1/{table}"), &row)[0].clone()
    }

    pub fn rows(&self, query: &str) -> Vec<Json> {
        let (status, rows) = self.get(&format!("/rest/v1/{query}"));
        assert_eq!(status, 200, "{query}: {rows}");
        rows.as_array().expect("rows").clone()
    }

    pub fn patch(&self, query: &str, change: &Json) -> (u16, Json) {
        self.server.call("PATCH", &format!("/rest/v1/{query}"), &self.token, Some(change))
    }
}

fn refused(answer: (u16, Json), status: u16, code: &str, word: &str) {
    let (answered, body) = answer;
    assert_eq!((answered, body["code"].as_str()), (status, Some(code)), "{body}");
    assert!(body["message"].as_str().is_some_and(|message| message.contains(word)), "{body}");
}

#[test]
fn artifact_versions_are_the_servers_parents_the_latest_and_nothing_changes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let headers = [("prefer", "return=representation"), ("x-request-id", "req-1")];
    let row =
        json!({"scene_id": stage.scene, "type": "scene_intent", "version": 41, "payload": {"summary": "x"}});
    let (status, first) = server.call_with("POST", "/rest/v1/artifacts", &ada.token, Some(&row), &headers);
    assert_eq!(status, 201, "{first}");
    let first = &first[0];
    assert_eq!((&first["version"], &first["parent_id"]), (&json!(1), &Json::Null), "{first}");
    assert_eq!(
        (&first["payload"]["request_id"], &first["created_by"], &first["updated_by"]),
        (&json!("req-1"), &json!("req-1"), &json!("req-1"))
    );
    let second = stage.artifact("scene_intent", json!({"request_id": "mine"}));
    assert_eq!((&second["version"], &second["parent_id"]), (&json!(2), &first["id"]));
    assert_eq!(second["payload"]["request_id"], "mine");
    // Each type counts for itself, and a parent that is named stays.
    let mut given = json!({"scene_id": stage.scene, "type": "panel_plan", "version": 9, "payload": {}});
    given["parent_id"] = second["id"].clone();
    let plan = ada.row("artifacts", given);
    assert_eq!((&plan["version"], &plan["parent_id"]), (&json!(1), &second["id"]));

    let path = format!("artifacts?id=eq.{}", id(first, "id"));
    for change in [
        json!({"payload": {}}),
        json!({"version": 7}),
        json!({"type": "qc_report"}),
        json!({"parent_id": plan["id"]}),
    ] {
        refused(ada.patch(&path, &change), 409, "PT409", "never changed");
    }
    for (member, value, word) in [("payload", json!([1]), "object"), ("type", json!(" "), "empty")] {
        let mut row = json!({"scene_id": stage.scene, "type": "x", "version": 1, "payload": {}});
        row[member] = value;
        refused(ada.post("/rest/v1/artifacts", &row), 400, "PT400", word);
    }
    // One that goes takes itself out of the line, and no number is given twice while a later one is there.
    assert_eq!(ada.delete(&format!("/rest/v1/{path}")).0, 200);
    assert_eq!(ada.rows(&format!("artifacts?id=eq.{}", id(&second, "id")))[0]["parent_id"], Json::Null);
    assert_eq!(stage.artifact("scene_intent", json!({}))["version"], 3);
    // The audit trail has the request.
    let audit = ada.rows("audit_logs?entity_type=eq.artifacts&request_id=eq.req-1");
    assert_eq!((audit.len(), &audit[0]["action"]), (1, &json!("create")));
}

#[test]
fn two_hundred_writers_at_one_time_get_versions_one_to_two_hundred() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    const WRITERS: usize = 200;
    let versions: Vec<(u16, Json)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let stage = &stage;
                scope.spawn(move || {
                    let row = json!({"scene_id": stage.scene, "type": "panel_plan", "version": 1, "payload": {"number": number}});
                    stage.ada.post("/rest/v1/artifacts", &row)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("an answer")).collect()
    });
    for (status, body) in &versions {
        assert_eq!(*status, 201, "no conflict reaches a client: {body}");
    }
    let found: BTreeSet<u64> = versions.iter().filter_map(|(_, body)| body[0]["version"].as_u64()).collect();
    assert_eq!(found, (1..=WRITERS as u64).collect::<BTreeSet<_>>());
    let line = stage.ada.rows("artifacts?select=version,parent_id,id&order=version");
    for pair in line.windows(2) {
        assert_eq!(pair[1]["parent_id"], pair[0]["id"], "each goes on from the one before");
    }
}

#[test]
fn characters_of_a_project_have_codes_each_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let code = |row: &Json| row["canonical_code"].as_str().unwrap_or_default().to_string();
    let (mira, jo) = (stage.character("Mira"), stage.character("Jo"));
    assert_eq!((code(&mira), code(&jo)), ("CHAR_A".into(), "CHAR_B".into()));
    let path = format!("/rest/v1/characters?id=eq.{}", id(&mira, "id"));
    assert_eq!(ada.delete(&path).0, 200);
    assert_eq!(code(&stage.character("Ari")), "CHAR_A", "the smallest that is free");
    let named = |given: &str| json!({"user_id": ada.user, "project_id": stage.project, "name": "x", "canonical_code": given});
    refused(ada.post("/rest/v1/characters", &named("CHAR_B")), 409, "PT409", "taken");
    refused(ada.post("/rest/v1/characters", &named("hero")), 400, "PT400", "no code");
    assert_eq!(code(&ada.row("characters", named("CHAR_Z"))), "CHAR_Z");
    let jo = format!("characters?id=eq.{}", id(&jo, "id"));
    refused(ada.patch(&jo, &json!({"canonical_code": "CHAR_A"})), 409, "PT409", "taken");
    assert_eq!(
        ada.patch(&jo, &json!({"canonical_code": null})).1[0]["canonical_code"],
        "CHAR_B",
        "a code stays"
    );
    // An actor has none, and one who comes into a project gets one of its own.
    let actor = ada.row(
        "characters",
        json!({"user_id": ada.user, "name": "Nell", "description": "x", "canonical_code": "CHAR_A"}),
    );
    assert_eq!(actor["canonical_code"], Json::Null);
    let (status, moved) =
        ada.patch(&format!("characters?id=eq.{}", id(&actor, "id")), &json!({"project_id": stage.project}));
    assert_eq!((status, code(&moved[0])), (200, "CHAR_C".into()));
    // At one time too.
    let codes: BTreeSet<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..30).map(|_| scope.spawn(|| code(&stage.character("Extra")))).collect();
        writers.into_iter().map(|writer| writer.join().expect("a code")).collect()
    });
    assert_eq!(codes.len(), 30, "{codes:?}");
}

#[test]
fn one_variant_is_active_in_a_story_and_the_default_one_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let mira = stage.character("Mira");
    let look = |name: &str, active: bool| json!({"character_id": mira["id"], "story_id": stage.story, "variant_name": name, "is_active_for_story": active});
    let first = ada.row("character_variants", look("day", true));
    let second = ada.row("character_variants", look("night", true));
    let active = || {
        let rows =
            ada.rows(&format!("character_variants?is_active_for_story=is.true&story_id=eq.{}", stage.story));
        rows.iter()
            .map(|row| row["variant_name"].as_str().unwrap_or_default().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(active(), ["night"]);
    let path = |row: &Json| format!("character_variants?id=eq.{}", id(row, "id"));
    assert_eq!(ada.patch(&path(&first), &json!({"is_active_for_story": true})).0, 200);
    assert_eq!(active(), ["day"]);
    assert_eq!(ada.patch(&path(&first), &json!({"is_active_for_story": false})).0, 200);
    assert_eq!(active(), Vec::<String>::new(), "ending one touches only that one");
    // Two at once: one is active.
    let turn = json!({"is_active_for_story": true});
    std::thread::scope(|scope| {
        for row in [&first, &second] {
            for _ in 0..10 {
                scope.spawn(|| assert_eq!(ada.patch(&path(row), &turn).0, 200));
            }
        }
    });
    assert_eq!(active().len(), 1);

    let base = ada.row("character_variants", json!({"character_id": mira["id"], "is_default": true}));
    refused(ada.delete(&format!("/rest/v1/{}", path(&base))), 400, "PT400", "default");
    refused(ada.patch(&path(&base), &json!({"is_default": false})), 400, "PT400", "default");
    assert_eq!(ada.patch(&path(&second), &json!({"is_default": true})).0, 200);
    let defaults =
        ada.rows(&format!("character_variants?is_default=is.true&character_id=eq.{}", id(&mira, "id")));
    assert_eq!(defaults.len(), 1, "another default takes its place");
    assert_eq!(ada.delete(&format!("/rest/v1/{}", path(&base))).0, 200);
    // With its character it goes.
    assert_eq!(ada.delete(&format!("/rest/v1/characters?id=eq.{}", id(&mira, "id"))).0, 200);
    assert_eq!(ada.rows("character_variants"), Vec::<Json>::new());
}

#[test]
fn a_primary_reference_is_approved_and_one_of_its_type() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let mira = stage.character("Mira");
    let picture = |kind: &str, approved: bool, primary: bool| json!({"character_id": mira["id"], "image_url": "https://example.com/x.png", "ref_type": kind, "approved": approved, "is_primary": primary});
    refused(
        ada.post("/rest/v1/character_reference_images", &picture("face", false, true)),
        400,
        "PT400",
        "approved",
    );
    let first = ada.row("character_reference_images", picture("face", true, true));
    let body = ada.row("character_reference_images", picture("full_body", true, true));
    let second = ada.row("character_reference_images", picture("face", true, false));
    let path = |row: &Json| format!("character_reference_images?id=eq.{}", id(row, "id"));
    assert_eq!(ada.patch(&path(&second), &json!({"is_primary": true})).0, 200);
    let primary: Vec<Json> = ada
        .rows("character_reference_images?is_primary=is.true&select=id")
        .iter()
        .map(|row| row["id"].clone())
        .collect();
    assert!(
        primary.len() == 2 && primary.contains(&second["id"]) && primary.contains(&body["id"]),
        "{primary:?}"
    );
    refused(ada.patch(&path(&second), &json!({"approved": false})), 400, "PT400", "approved");
    assert_eq!(ada.patch(&path(&first), &json!({"approved": false})).0, 200);
    // A main character is approved with a face that is.
    let hero = ada.row(
        "characters",
        json!({"user_id": ada.user, "project_id": stage.project, "name": "Jo", "story_role": "main"}),
    );
    let hero_path = format!("characters?id=eq.{}", id(&hero, "id"));
    refused(ada.patch(&hero_path, &json!({"approved": true})), 400, "PT400", "face");
    let mut face = picture("face", true, false);
    face["character_id"] = hero["id"].clone();
    ada.row("character_reference_images", face);
    assert_eq!(ada.patch(&hero_path, &json!({"approved": true})).0, 200);
}

#[test]
fn styles_inherit_without_circles_and_the_servers_own_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let style = |name: &str, kind: &str, parent: &Json| json!({"project_id": stage.project, "style_type": kind, "name": name, "label": name, "parent_id": parent});
    let system = ada.rows("style_presets?name=eq.noir")[0].clone();
    let one = ada.row("style_presets", style("one", "image", &system["id"]));
    let two = ada.row("style_presets", style("two", "image", &one["id"]));
    let path = |row: &Json| format!("style_presets?id=eq.{}", id(row, "id"));
    refused(ada.patch(&path(&one), &json!({"parent_id": two["id"]})), 400, "PT400", "itself");
    refused(ada.patch(&path(&one), &json!({"parent_id": one["id"]})), 400, "PT400", "itself");
    refused(
        ada.post("/rest/v1/style_presets", &style("three", "story", &one["id"])),
        400,
        "PT400",
        "style_type",
    );
    refused(ada.delete(&format!("/rest/v1/{}", path(&one))), 400, "PT400", "inherit");
    assert_eq!(ada.delete(&format!("/rest/v1/{}", path(&two))).0, 200);
    // An account sees the server's styles and changes none; an administrator neither.
    assert_eq!(ada.patch(&path(&system), &json!({"label": "mine"})).1, json!([]));
    let admin = Account::new(&server, "root@example.com");
    let role = json!({"user_id": admin.user, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    refused(admin.patch(&path(&system), &json!({"label": "mine"})), 403, "PT403", "clone");
    refused(admin.delete(&format!("/rest/v1/{}", path(&system))), 403, "PT403", "clone");
    // A style that is named is one that is there.
    for (query, column) in [
        (format!("stories?id=eq.{}", stage.story), "default_image_style"),
        (format!("scenes?id=eq.{}", stage.scene), "image_style_override"),
    ] {
        refused(ada.patch(&query, &json!({column: "glitter"})), 400, "PT400", "glitter");
        assert_eq!(ada.patch(&query, &json!({column: "one"})).0, 200);
        assert_eq!(ada.patch(&query, &json!({column: system["id"]})).0, 200);
    }
    // With its project a whole family goes.
    ada.row("style_presets", style("child", "image", &one["id"]));
    assert_eq!(ada.delete(&format!("/rest/v1/projects?id=eq.{}", stage.project)).0, 200);
    assert_eq!(ada.rows("style_presets?is_system=is.false"), Vec::<Json>::new());
}

#[test]
fn scenes_have_an_importance_of_either_vocabulary_a_lock_and_places_that_count_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let path = format!("scenes?id=eq.{}", stage.scene);
    for importance in
        ["critical", "high", "medium", "low", "setup", "build", "climax", "release", "cliffhanger"]
    {
        assert_eq!(ada.patch(&path, &json!({"scene_importance": importance})).0, 200, "{importance}");
    }
    assert_eq!(ada.patch(&path, &json!({"scene_importance": "urgent"})).0, 400);

    let lock = json!({"planning_locked": true});
    stage.artifact("scene_intent", json!({}));
    refused(ada.patch(&path, &lock), 400, "PT400", "missing artifacts: panel_plan, panel_plan_normalized");
    for kind in ["panel_plan", "panel_plan_normalized", "layout_template", "panel_semantics"] {
        stage.artifact(kind, json!({}));
    }
    assert_eq!(ada.patch(&path, &lock).0, 200);
    let row = json!({"scene_id": stage.scene, "type": "panel_plan", "version": 1, "payload": {}});
    refused(ada.post("/rest/v1/artifacts", &row), 400, "PT400", "locked");
    stage.artifact("render_result", json!({}));
    assert_eq!(ada.patch(&path, &json!({"planning_locked": false})).0, 200);
    stage.artifact("panel_plan", json!({}));

    let place = ada
        .row("environment_anchors", json!({"user_id": ada.user, "description": "a tower", "usage_count": 9}));
    let uses = || ada.rows("environment_anchors")[0]["usage_count"].clone();
    assert_eq!(uses(), 0, "the count is the server's");
    let set = json!({"environment_id": place["id"]});
    assert_eq!(ada.patch(&path, &set).0, 200);
    let other = ada
        .row("scenes", json!({"story_id": stage.story, "source_text": "x", "environment_id": place["id"]}));
    assert_eq!(uses(), 2);
    assert_eq!(ada.delete(&format!("/rest/v1/scenes?id=eq.{}", id(&other, "id"))).0, 200);
    assert_eq!(uses(), 1);
    assert_eq!(ada.patch(&path, &json!({"environment_id": null})).0, 200);
    assert_eq!(uses(), 0);
    assert_eq!(ada.patch("environment_anchors?usage_count=eq.0", &json!({"usage_count": 5})).0, 403);
}

#[test]
fn an_episode_has_scenes_of_its_story_in_one_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let episode = ada.row("episodes", json!({"story_id": stage.story, "title": "One"}));
    let entry = |scene: &Json, place: i64| json!({"episode_id": episode["id"], "scene_id": scene, "order_index": place});
    ada.row("episode_scenes", entry(&json!(stage.scene), 0));
    let second = ada.row("scenes", json!({"story_id": stage.story, "source_text": "y"}));
    refused(ada.post("/rest/v1/episode_scenes", &entry(&second["id"], 0)), 400, "PT400", "taken");
    refused(ada.post("/rest/v1/episode_scenes", &entry(&second["id"], -1)), 400, "PT400", "below 0");
    let other = ada.row("stories", json!({"project_id": stage.project, "title": "Another"}));
    let foreign = ada.row("scenes", json!({"story_id": other["id"], "source_text": "z"}));
    refused(ada.post("/rest/v1/episode_scenes", &entry(&foreign["id"], 1)), 400, "PT400", "story");
    ada.row("episode_scenes", entry(&second["id"], 1));
}

#[test]
fn how_far_a_story_has_come_is_the_servers_to_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let path = format!("stories?id=eq.{}", stage.story);
    for change in
        [json!({"generation_status": "completed"}), json!({"progress": {}}), json!({"generation_error": "x"})]
    {
        assert_eq!(ada.patch(&path, &change).0, 403, "{change}");
    }
    let made = ada
        .row("stories", json!({"project_id": stage.project, "title": "x", "generation_status": "completed"}));
    assert_eq!(made["generation_status"], "idle");
    assert_eq!(ada.patch(&path, &json!({"title": "x".repeat(256)})).0, 400);
    let status = |word: &str| {
        server
            .call(
                "PATCH",
                &format!("/rest/v1/{path}"),
                &server.service,
                Some(&json!({"generation_status": word})),
            )
            .0
    };
    for word in ["queued", "processing", "completed", "failed", "idle"] {
        assert_eq!(status(word), 200, "{word}");
    }
    assert_eq!(status("running"), 400);
}

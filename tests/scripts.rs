//! Scripts of chapters: versions, states, evaluations and who appears in them, for every writer.

mod common;
mod model_server;

use std::collections::BTreeSet;
use std::time::Duration;

use common::Server;
use model_server::ModelServer;
use serde_json::{Value as Json, json};

const STATES: [&str; 5] = ["draft", "evaluated", "approved", "rejected", "active"];

/// An account with a chapter.
struct Writer<'s> {
    server: &'s Server,
    id: String,
    token: String,
    chapter: Json,
}

impl<'s> Writer<'s> {
    fn new(server: &'s Server, name: &str) -> Writer<'s> {
        let (id, token) = server.sign_up(&format!("{name}@example.com"));
        let mut writer = Writer { server, id, token, chapter: Json::Null };
        let book = writer.row("books", json!({"user_id": writer.id, "title": "Tides", "book_type": "novel"}));
        let chapter = json!({"book_id": book["id"], "title": "One", "content": "Mira keeps the light."});
        writer.chapter = writer.row("chapters", chapter)["id"].clone();
        writer
    }

    fn row(&self, table: &str, row: Json) -> Json {
        let (status, rows) = self.server.call("POST", &format!("/rest/v1/{table}"), &self.token, Some(&row));
        assert_eq!(status, 201, "{table} {row}: {rows}");
        rows[0].clone()
    }

    fn script(&self, more: Json) -> (u16, Json) {
        let mut row = json!({"chapter_id": self.chapter, "user_id": self.id, "script_style": "cinematic",
            "script": "SCENE 1: The sea."});
        row.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (status, rows) = self.server.call("POST", "/rest/v1/scripts", &self.token, Some(&row));
        (status, if status == 201 { rows[0].clone() } else { rows })
    }

    fn draft(&self) -> Json {
        let (status, row) = self.script(json!({}));
        assert_eq!(status, 201, "{row}");
        row
    }

    fn patch(&self, id: &Json, change: Json) -> (u16, Json) {
        let path = format!("/rest/v1/scripts?id=eq.{}", id.as_str().expect("an id"));
        let (status, rows) = self.server.call("PATCH", &path, &self.token, Some(&change));
        (status, if status == 200 { rows[0].clone() } else { rows })
    }

    fn function(&self, name: &str, body: Json) -> (u16, Json) {
        self.server.call("POST", &format!("/functions/v1/{name}"), &self.token, Some(&body))
    }

    fn stored(&self, id: &Json) -> Json {
        let path = format!("/rest/v1/scripts?id=eq.{}", id.as_str().expect("an id"));
        self.server.call("GET", &path, &self.token, None).1[0].clone()
    }

    /// A script in a state, by the shortest way there.
    fn in_state(&self, state: &str) -> Json {
        let row = self.draft();
        let evaluated = json!({"status": "evaluated", "evaluation_score": 80, "evaluation_feedback": "good"});
        let way: &[&str] = match state {
            "draft" => &[],
            "evaluated" => &["evaluated"],
            "approved" => &["evaluated", "approved"],
            "rejected" => &["rejected"],
            _ => &["evaluated", "approved", "active"],
        };
        for step in way {
            let change = if *step == "evaluated" { evaluated.clone() } else { json!({"status": step}) };
            let (status, row) = self.patch(&row["id"], change);
            assert_eq!(status, 200, "{step}: {row}");
        }
        self.stored(&row["id"])
    }
}

fn start(folder: &tempfile::TempDir) -> Server {
    Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")])
}

/// Every pair of states, over rows and over the function: what the table of the contract has is done, all else is 409 with
/// both states and changes nothing.
#[test]
fn every_transition_is_as_the_contract_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder);
    let ada = Writer::new(&server, "ada");
    let allowed: BTreeSet<(&str, &str)> = [
        ("draft", "evaluated"),
        ("draft", "rejected"),
        ("evaluated", "rejected"),
        ("evaluated", "approved"),
        ("approved", "active"),
        ("approved", "rejected"),
        ("rejected", "draft"),
        ("active", "approved"),
    ]
    .into();
    for by_rows in [true, false] {
        for from in STATES {
            for to in STATES {
                let script = ada.in_state(from);
                let mut change = json!({"status": to});
                if to == "evaluated" && from != to {
                    change["evaluation_score"] = json!(90);
                    change["evaluation_feedback"] = json!("better");
                }
                let (status, answer) = match by_rows {
                    true => ada.patch(&script["id"], change),
                    false => {
                        change["script_id"] = script["id"].clone();
                        ada.function("script-transition", change)
                    }
                };
                let (stored, case) = (ada.stored(&script["id"]), format!("{from} to {to}: {answer}"));
                if from == to || allowed.contains(&(from, to)) {
                    assert_eq!((status, &stored["status"]), (200, &json!(to)), "{case}");
                    continue;
                }
                assert_eq!((status, &stored), (409, &script), "{case}");
                match by_rows {
                    true => {
                        let states = json!({"from": from, "to": to}).to_string();
                        assert_eq!(answer["details"], json!(states), "{case}");
                    }
                    false => {
                        assert_eq!((&answer["from"], &answer["to"]), (&json!(from), &json!(to)), "{case}")
                    }
                }
                assert!(answer["error"].is_string() || answer["message"].is_string(), "{case}");
            }
        }
    }
    // Opened again, a script has no score; approval needs one.
    let script = ada.in_state("evaluated");
    let (_, rejected) = ada.patch(&script["id"], json!({"status": "rejected", "evaluation_feedback": "no"}));
    assert_eq!((&rejected["evaluation_score"], &rejected["evaluation_feedback"]), (&json!(80), &json!("no")));
    let (_, again) = ada.patch(&script["id"], json!({"status": "draft"}));
    assert_eq!(
        (&again["evaluation_score"], &again["evaluation_feedback"], &again["evaluation"]),
        (&Json::Null, &Json::Null, &json!({}))
    );
    // An evaluated script is evaluated again, and loses no score on the way.
    let script = ada.in_state("evaluated");
    let (status, row) = ada.patch(&script["id"], json!({"evaluation_score": 95}));
    assert_eq!(
        (status, &row["evaluation_score"], &row["status"]),
        (200, &json!(95), &json!("evaluated")),
        "{row}"
    );
    for change in [json!({"evaluation_score": null}), json!({"status": "evaluated", "evaluation_score": 101})]
    {
        assert_eq!(ada.patch(&script["id"], change).0, 400);
    }
    let draft = ada.draft();
    for change in [json!({"status": "evaluated"}), json!({"status": "evaluated", "evaluation_score": 5})] {
        assert_eq!(ada.patch(&draft["id"], change).0, 409, "without feedback there is no evaluation");
    }
    assert_eq!(ada.patch(&draft["id"], json!({"evaluation_score": 5})).0, 400);
    let (status, answer) =
        ada.function("script-transition", json!({"script_id": draft["id"], "status": "done"}));
    assert_eq!((status, &answer["details"]["accepted"]), (400, &json!(STATES)), "{answer}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn ready_is_read_as_the_contract_says_and_never_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder);
    let ada = Writer::new(&server, "ada");
    let (status, row) = ada.script(json!({"status": "ready"}));
    assert_eq!((status, &row["status"]), (201, &json!("draft")), "{row}");
    let script = ada.in_state("evaluated");
    let (status, row) = ada.patch(&script["id"], json!({"status": "ready"}));
    assert_eq!((status, &row["status"]), (200, &json!("approved")), "{row}");
    let script = ada.in_state("active");
    let (status, row) =
        ada.function("script-transition", json!({"scriptId": script["id"], "status": "ready"}));
    assert_eq!((status, &row["to"]), (200, &json!("approved")), "{row}");
    let (status, row) = ada.script(json!({"status": "approved", "evaluation_score": 5}));
    assert_eq!(status, 409, "a new script is not approved at once: {row}");
    let (_, all) = server.call("GET", "/rest/v1/scripts?status=eq.ready", &ada.token, None);
    assert_eq!(all, json!([]));
}

#[test]
fn the_server_numbers_versions_and_a_new_text_of_what_is_no_draft_makes_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder);
    let ada = Writer::new(&server, "ada");
    let (_, first) = ada.script(json!({"version": 17}));
    assert_eq!((&first["version"], &first["script_name"]), (&json!(1), &json!("Cinematic 001")));
    let (_, named) = ada.script(json!({"script_name": "The light"}));
    assert_eq!((&named["version"], &named["script_name"]), (&json!(2), &json!("The light")));
    // Each style counts by itself; a number is not used again while a higher one is there.
    let (_, other) = ada.script(json!({"script_style": "anime"}));
    assert_eq!((&other["version"], &other["script_name"]), (&json!(1), &json!("Anime 001")));
    let path = format!("/rest/v1/scripts?id=eq.{}", first["id"].as_str().expect("an id"));
    assert_eq!(server.call("DELETE", &path, &ada.token, None).0, 200);
    assert_eq!(ada.draft()["version"], 3);
    // What a client sends as the number is not used, and the answer says so.
    let bearer = format!("Bearer {}", ada.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("apikey", server.anon.as_str()),
        ("content-type", "application/json"),
    ];
    let body = json!({"version": 40}).to_string();
    let path = format!("/rest/v1/scripts?id=eq.{}", named["id"].as_str().expect("an id"));
    let answer = common::files::send(&format!("{}{path}", server.url), "PATCH", &headers, body.as_bytes());
    let answer = answer.expect("an answer");
    let warnings = answer.header("x-warnings");
    assert_eq!(
        (answer.status, warnings.contains("version: assigned by the server")),
        (204, true),
        "{warnings}"
    );
    assert_eq!(ada.stored(&named["id"])["version"], 2);

    // A draft is edited in place.
    let draft = ada.draft();
    let (_, edited) = ada.patch(&draft["id"], json!({"script": "SCENE 1: The pier."}));
    assert_eq!((&edited["id"], &edited["version"]), (&draft["id"], &draft["version"]));
    for state in ["evaluated", "approved", "rejected", "active"] {
        let script = ada.in_state(state);
        let (status, new) = ada.patch(&script["id"], json!({"script": "SCENE 1: The lamp."}));
        assert_eq!(status, 200, "{new}");
        assert_ne!(new["id"], script["id"]);
        assert_eq!((&new["status"], &new["script"]), (&json!("draft"), &json!("SCENE 1: The lamp.")));
        assert_eq!(new["version"].as_i64(), script["version"].as_i64().map(|number| number + 1));
        assert_eq!(new["script_name"], format!("Cinematic {:03}", new["version"].as_i64().unwrap_or(0)));
        assert_eq!((&new["evaluation_score"], &new["evaluation_feedback"]), (&Json::Null, &Json::Null));
        assert_eq!(ada.stored(&script["id"]), script, "the version that was edited stays as it was");
        let (status, answer) = ada.patch(&script["id"], json!({"script": "x", "status": "active"}));
        let fits = state == "active";
        // The state that it has is no wanted state of the new version.
        assert_eq!(status, if fits { 200 } else { 409 }, "{state}: {answer}");
        // The same text is no edit.
        let (_, same) = ada.patch(&script["id"], json!({"script": script["script"]}));
        assert_eq!(same["id"], script["id"]);
        assert_eq!(ada.patch(&script["id"], json!({"script_style": "noir"})).0, 400, "only a draft is moved");
    }
    // A draft that goes to another style counts there.
    let (_, moved) = ada.patch(&draft["id"], json!({"script_style": "anime"}));
    assert_eq!((&moved["version"], &moved["script_style"]), (&json!(2), &json!("anime")));

    let (status, report) = ada.function("compare-scripts", json!({"script_id": moved["id"]}));
    assert_eq!((status, &report["added"], &report["removed"]), (200, &json!(1), &json!(1)), "{report}");
    assert_eq!((&report["old"]["id"], &report["new"]["id"]), (&other["id"], &moved["id"]));
    let (status, report) = ada.function("compare-scripts", json!({"script_id": other["id"]}));
    assert_eq!(
        (status, &report["details"]["field"]),
        (400, &json!("with_id")),
        "nothing is before the first"
    );
    let (_, listed) =
        ada.function("list-scripts", json!({"chapter_id": ada.chapter, "script_style": "anime"}));
    let ids: Vec<&Json> = listed["scripts"].as_array().into_iter().flatten().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&moved["id"], &other["id"]], "the newest first");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn concurrent_writers_get_versions_without_gaps_and_leave_one_script_active() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder);
    let ada = Writer::new(&server, "ada");
    let versions: BTreeSet<i64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..5).map(|_| ada.draft()["version"].as_i64().expect("a number")).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
    });
    assert_eq!(versions, (1..=20).collect());
    let approved: Vec<Json> = (0..6).map(|_| ada.in_state("approved")["id"].clone()).collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let activate = |id: &Json, by_rows: bool| match by_rows {
            true => ada.patch(id, json!({"status": "active"})).0,
            false => ada.function("script-transition", json!({"script_id": id, "status": "active"})).0,
        };
        let tasks: Vec<_> = approved
            .iter()
            .enumerate()
            .map(|(place, id)| scope.spawn(move || activate(id, place % 2 == 0)))
            .collect();
        tasks.into_iter().map(|task| task.join().expect("no panic")).collect()
    });
    assert_eq!(statuses, [200; 6]);
    let active = |chapter: &Json| {
        let path =
            format!("/rest/v1/scripts?chapter_id=eq.{}&status=eq.active", chapter.as_str().expect("an id"));
        server.call("GET", &path, &ada.token, None).1.as_array().map(Vec::len)
    };
    assert_eq!(active(&ada.chapter), Some(1));
    // One request that activates several leaves one, and the answer of the function names who gave way.
    let list = approved.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(",");
    let path = format!("/rest/v1/scripts?id=in.({list})");
    let (status, rows) = server.call("PATCH", &path, &ada.token, Some(&json!({"status": "active"})));
    assert_eq!(status, 200, "{rows}");
    assert_eq!(active(&ada.chapter), Some(1));
    let (_, now) = server.call("GET", "/rest/v1/scripts?status=eq.active", &ada.token, None);
    let next = ada.in_state("approved");
    let (_, moved) = ada.function("script-transition", json!({"script_id": next["id"], "status": "active"}));
    assert_eq!(moved["displaced"], now[0]["id"], "{moved}");
    // Another style has its own.
    let (_, anime) = ada
        .script(json!({"script_style": "anime", "status": "evaluated", "evaluation_score": 70,
        "evaluation_feedback": "fine"}));
    for status in ["approved", "active"] {
        assert_eq!(ada.patch(&anime["id"], json!({"status": status})).0, 200);
    }
    assert_eq!(active(&ada.chapter), Some(2));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn characters_of_a_script_exist_for_its_owner_and_leave_it_when_they_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder);
    let (ada, bob) = (Writer::new(&server, "ada"), Writer::new(&server, "bob"));
    let character = |of: &Writer, is_public: bool| {
        let row = json!({"user_id": of.id, "name": "Mira", "description": "x", "is_public": is_public});
        of.row("characters", row)["id"].clone()
    };
    let (mine, other, public, hidden) =
        (character(&ada, false), character(&ada, false), character(&bob, true), character(&bob, false));
    let nothing = json!(uuid::Uuid::new_v4());
    let words = |ids: &Json| {
        let (status, answer) = ada.script(json!({"character_ids": [ids]}));
        assert_eq!(status, 400, "{answer}");
        answer["message"].as_str().unwrap_or_default().replace(ids.as_str().unwrap_or("-"), "#")
    };
    assert_eq!(words(&hidden), words(&nothing), "what is hidden is answered like what is missing");
    let (status, script) = ada.script(json!({"character_ids": [mine, public, other]}));
    assert_eq!(status, 201, "{script}");
    let id = script["id"].clone();
    assert_eq!(ada.patch(&id, json!({"character_ids": [hidden]})).0, 400);
    for (status, change) in [
        (200, json!({"status": "evaluated", "evaluation_score": 60, "evaluation_feedback": "ok"})),
        (200, json!({"status": "approved"})),
        (200, json!({"status": "active"})),
    ] {
        assert_eq!(ada.patch(&id, change).0, status);
    }
    let delete = |token: &str, character: &Json| {
        let path = format!("/rest/v1/characters?id=eq.{}", character.as_str().expect("an id"));
        assert_eq!(server.call("DELETE", &path, token, None).0, 200);
    };
    delete(&bob.token, &public);
    assert_eq!(ada.stored(&id)["character_ids"], json!([mine, other]));
    let body = json!({"character_id": mine, "confirm": true});
    assert_eq!(ada.function("delete-character", body).0, 200);
    let left = ada.stored(&id);
    assert_eq!((&left["character_ids"], &left["status"]), (&json!([other]), &json!("active")));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn an_active_script_is_deleted_by_force_alone_and_what_was_made_from_it_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder);
    let (ada, bob) = (Writer::new(&server, "ada"), Writer::new(&server, "bob"));
    let script = ada.in_state("active");
    let path = format!("/rest/v1/scripts?id=eq.{}", script["id"].as_str().expect("an id"));
    let video = ada.row(
        "video_generations",
        json!({"chapter_id": ada.chapter, "user_id": ada.id, "script_id": script["id"]}),
    );
    let image = ada.row("image_generations", json!({"user_id": ada.id, "script_id": script["id"]}));
    let (status, answer) = server.call("DELETE", &path, &ada.token, None);
    assert_eq!(status, 409, "{answer}");
    let id = json!({"script_id": script["id"]});
    assert_eq!(ada.function("delete-script", id.clone()).0, 409);
    // Of another account, it is not there.
    for name in ["delete-script", "script-transition", "evaluate-script", "compare-scripts"] {
        let body = json!({"script_id": script["id"], "status": "approved", "force": true});
        let body =
            if name == "delete-script" { json!({"script_id": script["id"], "force": true}) } else { body };
        let (status, answer) = bob.function(name, body);
        assert_eq!((status, &answer["error"]), (404, &json!("Script not found")), "{name}");
    }
    assert_eq!(bob.function("list-scripts", json!({"chapter_id": ada.chapter})).0, 404);
    assert_eq!(ada.stored(&script["id"])["status"], "active");
    let (status, answer) = ada.function("delete-script", json!({"script_id": script["id"], "force": true}));
    assert_eq!((status, &answer["deleted"]), (200, &script["id"]), "{answer}");
    for (table, row) in [("video_generations", &video), ("image_generations", &image)] {
        let path = format!("/rest/v1/{table}?id=eq.{}", row["id"].as_str().expect("an id"));
        let (_, rows) = server.call("GET", &path, &ada.token, None);
        assert_eq!((&rows[0]["id"], &rows[0]["script_id"]), (&row["id"], &Json::Null), "{table}");
    }
    // A chapter takes its active script along.
    ada.in_state("active");
    let path = format!("/rest/v1/chapters?id=eq.{}", ada.chapter.as_str().expect("an id"));
    assert_eq!(server.call("DELETE", &path, &ada.token, None).0, 200);
    assert_eq!(server.call("GET", "/rest/v1/scripts", &ada.token, None).1, json!([]));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_model_writes_a_script_and_judges_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder);
    let model = ModelServer::start(Duration::ZERO, 1);
    model.become_default(&server);
    let ada = Writer::new(&server, "ada");
    let mira = ada.row("characters", json!({"user_id": ada.id, "name": "Mira", "description": "x"}));
    model.say(
        r#"{"scenes": [{"description": "A lighthouse", "narration": "Night.", "dialogue": [{"speaker": "Mira", "line": "Who is there?"}]},
            {"description": "The beach", "narration": "", "dialogue": []}]}"#,
    );
    let asked = json!({"chapter_id": ada.chapter, "script_style": "noir", "character_ids": [mira["id"]],
        "model": "slow"});
    let (status, made) = ada.function("generate-script", asked.clone());
    assert_eq!(status, 200, "{made}");
    let script = &made["script"];
    assert_eq!(
        (&script["status"], &script["version"], &script["script_name"]),
        (&json!("draft"), &json!(1), &json!("Noir 001"))
    );
    assert_eq!(
        script["script"],
        "SCENE 1: A lighthouse\nNARRATOR: Night.\nMIRA: Who is there?\n\nSCENE 2: The beach\n"
    );
    assert_eq!(
        (&script["characters"], &script["scene_descriptions"]),
        (&json!(["Mira"]), &json!(["A lighthouse", "The beach"]))
    );
    let prompt = model.last_prompt().to_string();
    assert!(prompt.contains("Mira keeps the light.") && prompt.contains("Characters: Mira"), "{prompt}");

    // What is no script leaves none.
    model.say("I would rather not.");
    let (status, answer) = ada.function("generate-script", asked);
    assert_eq!((status, &answer["code"]), (502, &json!("UNUSABLE_ANSWER")), "{answer}");
    let (_, all) = server.call("GET", "/rest/v1/scripts?select=id", &ada.token, None);
    assert_eq!(all.as_array().map(Vec::len), Some(1));

    let judge = json!({"script_id": script["id"], "model": "slow"});
    for (said, code) in [
        (
            r#"{"coherence": 300, "storytelling": 1, "character_consistency": 1, "video_suitability": 1, "feedback": "x"}"#,
            502,
        ),
        (
            r#"{"coherence": 3, "storytelling": 1, "character_consistency": 1, "video_suitability": 1, "feedback": " "}"#,
            502,
        ),
        (
            r#"{"coherence": 81, "storytelling": 80, "character_consistency": 60, "video_suitability": 93, "feedback": "Clear."}"#,
            200,
        ),
    ] {
        model.say(said);
        let (status, answer) = ada.function("evaluate-script", judge.clone());
        assert_eq!(status, code, "{answer}");
        let stored = ada.stored(&script["id"]);
        if code != 200 {
            assert_eq!((&stored["status"], &stored["evaluation_score"]), (&json!("draft"), &Json::Null));
            continue;
        }
        assert_eq!(
            (&stored["evaluation_score"], &stored["evaluation_feedback"]),
            (&json!(79), &json!("Clear."))
        );
        assert_eq!(
            (&stored["status"], &stored["evaluation"]["storytelling"]),
            (&json!("evaluated"), &json!(80))
        );
    }
    // Again it overwrites; once approved it is refused.
    model.say(r#"{"coherence": 50, "storytelling": 50, "character_consistency": 50, "video_suitability": 50, "feedback": "Dull."}"#);
    assert_eq!(ada.function("evaluate-script", judge.clone()).0, 200);
    assert_eq!(ada.stored(&script["id"])["evaluation_score"], 50);
    assert_eq!(ada.patch(&script["id"], json!({"status": "approved"})).0, 200);
    let before = model.prompts().len();
    let (status, answer) = ada.function("evaluate-script", judge);
    assert_eq!(
        (status, &answer["from"], &answer["to"]),
        (409, &json!("approved"), &json!("evaluated")),
        "{answer}"
    );
    assert_eq!(model.prompts().len(), before, "no model is asked in vain");
}

//! The common queries of the `character_scenes` document, over enough rows that reading them all would show: joins,
//! counts and statistics through REST, each found by an index.

mod common;

use std::collections::BTreeMap;

use common::Server;
use serde_json::{Value as Json, json};

const CHARACTERS: usize = 12;
const SCENES_OF_EACH: usize = 80;
const STATUSES: [&str; 3] = ["completed", "failed", "cancelled"];

/// An account with its rows.
struct Cast {
    user: String,
    token: String,
    characters: Vec<Json>,
    conversation: String,
    /// In the order in which they were made; `created_at` counts up.
    scenes: Vec<Json>,
    /// Status by job.
    jobs: BTreeMap<String, &'static str>,
}

fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn insert(server: &Server, token: &str, table: &str, rows: &Json) {
    for rows in rows.as_array().expect("rows").chunks(500) {
        let headers = [("prefer", "return=minimal")];
        let path = format!("/rest/v1/{table}");
        let (status, body) = server.call_with("POST", &path, token, Some(&json!(rows)), &headers);
        assert_eq!(status, 201, "{table}: {body}");
    }
}

/// `hour` sets the accounts' rows apart in time without changing anything else.
fn cast(server: &Server, name: &str, hour: u32) -> Cast {
    let (user, token) = server.sign_up(&format!("{name}@example.com"));
    let characters: Vec<Json> = (0..CHARACTERS)
        .map(|number| {
            json!({"id": id(), "user_id": user, "name": format!("{name} {number:02}"), "description": "Seen often",
                   "image_url": format!("/{name}/{number}.png"), "is_public": false})
        })
        .collect();
    insert(server, &token, "characters", &json!(characters));
    let conversation = id();
    let conversations = json!([{"id": conversation, "user_id": user, "title": "At the lighthouse",
                                "character_id": characters[0]["id"]}]);
    insert(server, &token, "conversations", &conversations);
    let (mut jobs, mut job_rows, mut scenes) = (BTreeMap::new(), Vec::new(), Vec::new());
    for number in 0..CHARACTERS * SCENES_OF_EACH {
        // Later characters have fewer scenes, so that their statistics have an order.
        let character = number % CHARACTERS;
        if number / CHARACTERS >= SCENES_OF_EACH - character {
            continue;
        }
        let job = (number % 4 != 0).then(|| {
            let (job, status) = (id(), STATUSES[number % 3]);
            let error = (status == "failed").then(|| format!("out of memory {number}"));
            job_rows
                .push(json!({"id": job, "user_id": user, "job_type": "sdxl_image_fast", "status": status,
                                 "error_message": error}));
            jobs.insert(job.clone(), status);
            job
        });
        scenes.push(json!({
            "id": id(), "character_id": characters[character]["id"],
            "conversation_id": (number % 7 == 0).then_some(&conversation),
            "image_url": (number % 3 == 0).then(|| format!("/{number}.png")),
            "scene_prompt": "x".repeat(10 + number % 50), "job_id": job,
            "created_at": format!("2026-03-{:02}T{hour:02}:{:02}:{:02}+00:00", 1 + number / 3600, number / 60 % 60, number % 60),
        }));
    }
    insert(server, &server.service, "jobs", &json!(job_rows));
    insert(server, &token, "character_scenes", &json!(scenes));
    Cast { user, token, characters, conversation, scenes, jobs }
}

/// Asks, and demands that the plan begins as expected and reads no whole table anywhere.
fn ask(server: &Server, cast: &Cast, query: &str, plan: &str) -> Vec<Json> {
    let path = format!("/rest/v1/{query}");
    let headers = [("accept", "application/vnd.pgrst.plan+text; for=\"application/json\"")];
    let (status, found) = server.call_with("GET", &path, &cast.token, None, &headers);
    let found = found.as_str().unwrap_or_default().to_string();
    assert_eq!(status, 200, "{query}: {found}");
    assert!(found.starts_with(plan), "{query}: {found}");
    assert!(!found.contains("scan"), "{query}: {found}");
    let (status, rows) = server.call("GET", &path, &cast.token, None);
    assert_eq!(status, 200, "{query}: {rows}");
    rows.as_array().expect("rows").clone()
}

fn named<'c>(cast: &'c Cast, scene: &Json) -> &'c Json {
    cast.characters.iter().find(|it| it["id"] == scene["character_id"]).expect("its character")
}

/// Scenes of a cast by a condition, newest first unless reversed.
fn scenes(cast: &Cast, wanted: impl Fn(&Json) -> bool) -> Vec<&Json> {
    cast.scenes.iter().rev().filter(|scene| wanted(scene)).collect()
}

fn assert_same(rows: &[Json], expected: &[&Json], columns: &[&str]) {
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        for column in columns {
            assert_eq!(row[*column], expected[*column], "{column}");
        }
    }
}

#[test]
fn the_documents_queries_are_answered_by_indexes() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOG", "error")]);
    let cast = cast(&server, "mira", 10);
    let strangers: Vec<Cast> =
        (0..3).map(|number| self::cast(&server, &format!("other{number}"), 11 + number)).collect();
    let rows: usize = cast.scenes.len() + strangers.iter().map(|it| it.scenes.len()).sum::<usize>();
    assert!(rows > 3000, "{rows}");
    let user = &cast.user;
    let columns =
        ["id", "character_id", "conversation_id", "image_url", "scene_prompt", "job_id", "created_at"];

    // Scenes of a character, newest first, with its name.
    let character = &cast.characters[3];
    let of_character = format!("character_id=eq.{}", character["id"].as_str().expect("an id"));
    let joined = format!("characters!inner(character_name:name)&characters.user_id=eq.{user}");
    let query = format!("character_scenes?select=*,...{joined}&{of_character}&order=created_at.desc");
    let rows = ask(&server, &cast, &query, "index idx_character_scenes_character (character_id);");
    assert_same(&rows, &scenes(&cast, |scene| scene["character_id"] == character["id"]), &columns);
    assert!(rows.iter().all(|row| row["character_name"] == character["name"]));

    // Scenes of a conversation, oldest first, with the names of their characters.
    let query = format!(
        "character_scenes?select=*,...characters!inner(character_name:name),conversations!inner()\
         &conversations.user_id=eq.{user}&conversation_id=eq.{}&order=created_at.asc",
        cast.conversation
    );
    let rows = ask(&server, &cast, &query, "index idx_character_scenes_conversation (conversation_id);");
    let mut expected = scenes(&cast, |scene| scene["conversation_id"] == json!(cast.conversation));
    expected.reverse();
    assert_same(&rows, &expected, &columns);
    assert!(
        rows.iter().zip(&expected).all(|(row, scene)| row["character_name"] == named(&cast, scene)["name"])
    );

    // The newest scenes of all characters, with name and picture.
    let joined = "...characters!inner(character_name:name,character_image:image_url)";
    let query = format!(
        "character_scenes?select=*,{joined}&characters.user_id=eq.{user}&order=created_at.desc&limit=20"
    );
    let rows =
        ask(&server, &cast, &query, "index idx_character_scenes_character (character_id); characters by key");
    assert_same(&rows, &scenes(&cast, |_| true)[..20], &columns);
    for row in &rows {
        assert_eq!(row["character_name"], named(&cast, row)["name"]);
        assert_eq!(row["character_image"], named(&cast, row)["image_url"]);
    }

    // How many scenes each character has, how many of them have a picture, and how long their prompts are.
    let statistics =
        "total_scenes:count(),completed_scenes:image_url.count(),avg_prompt_length:scene_prompt_length.avg()";
    let query = format!(
        "character_scenes?select=...characters!inner(character_id:id,character_name:name),{statistics}\
         &characters.user_id=eq.{user}&order=total_scenes.desc"
    );
    let rows = ask(
        &server,
        &cast,
        &query,
        "index idx_character_scenes_character (character_id), sorted; characters by key",
    );
    check_statistics(&cast, &rows);
    // The same asked from the characters' side.
    let query =
        format!("characters?select=character_id:id,scenes:character_scenes({statistics})&user_id=eq.{user}");
    let rows = ask(&server, &cast, &query, "index idx_characters_user");
    assert_eq!(rows.len(), CHARACTERS);
    for row in rows {
        let own = scenes(&cast, |scene| scene["character_id"] == row["character_id"]);
        assert_eq!(row["scenes"][0]["total_scenes"], json!(own.len()));
    }

    // All scenes with the state of their jobs, if they have one.
    let query = format!(
        "character_scenes?select=*,...characters!inner(character_name:name),...jobs(job_status:status)\
         &characters.user_id=eq.{user}&order=created_at.desc"
    );
    let rows =
        ask(&server, &cast, &query, "index idx_character_scenes_character (character_id); characters by key");
    assert_same(&rows, &scenes(&cast, |_| true), &columns);
    for row in &rows {
        let status = row["job_id"].as_str().map(|job| cast.jobs[job]);
        assert_eq!(row["job_status"], json!(status));
    }

    // Scenes whose jobs failed, with the reason.
    let query = format!(
        "character_scenes?select=*,...characters!inner(character_name:name),\
         ...jobs!inner(job_status:status,job_error:error_message)&characters.user_id=eq.{user}\
         &jobs.status=eq.failed&order=created_at.desc"
    );
    let rows = ask(&server, &cast, &query, "index idx_character_scenes_");
    let failed = |scene: &Json| scene["job_id"].as_str().is_some_and(|job| cast.jobs[job] == "failed");
    assert_same(&rows, &scenes(&cast, failed), &columns);
    assert!(rows.iter().all(|row| row["job_status"] == "failed"));
    assert!(
        rows.iter().all(|row| row["job_error"].as_str().is_some_and(|it| it.starts_with("out of memory")))
    );

    // A count, without the rows.
    let path = format!("/rest/v1/character_scenes?select=id&{of_character}&limit=1");
    let headers = [("prefer", "count=exact")];
    let (status, _) = server.call_with("GET", &path, &cast.token, None, &headers);
    assert_eq!(status, 206);
}

fn check_statistics(cast: &Cast, rows: &[Json]) {
    assert_eq!(rows.len(), CHARACTERS);
    for (row, character) in rows.iter().zip(&cast.characters) {
        // The first character has most scenes, and so on.
        assert_eq!(row["character_name"], character["name"]);
        let own = scenes(cast, |scene| scene["character_id"] == character["id"]);
        assert_eq!(row["total_scenes"], json!(own.len()));
        let completed = own.iter().filter(|scene| !scene["image_url"].is_null()).count();
        assert_eq!(row["completed_scenes"], json!(completed));
        let chars: usize = own.iter().map(|scene| scene["scene_prompt"].as_str().map_or(0, str::len)).sum();
        let average = row["avg_prompt_length"].as_f64().expect("a number");
        assert!((average - chars as f64 / own.len() as f64).abs() < 1e-9, "{average}");
    }
}

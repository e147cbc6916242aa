//! Who hears of which changed rows.

use serde_json::{Value as Json, json};

use crate::Stage;
use crate::socket::Socket;

fn all_of(table: &str) -> Json {
    json!([{"event": "*", "schema": "public", "table": table}])
}

#[test]
fn changes_reach_those_who_may_see_the_row_in_commit_order() {
    let stage = Stage::set(&[]);
    let mut sockets = Vec::new();
    for (version, token) in [("2.0.0", &stage.alice.1), ("1.0.0", &stage.bob.1)] {
        let mut socket = Socket::open_as(stage.url(), &stage.server.anon, version);
        let said = socket.listen("own", Some(token), &all_of("characters"));
        assert_eq!((&said["status"], &said["channel"]), (&json!("ok"), &json!("own")), "{said}");
        sockets.push(socket);
    }
    let mut service = Socket::open(stage.url(), &stage.server.service);
    let said = service.listen("all", None, &all_of("characters"));
    let before = said["commit"].as_u64().expect("a commit");

    let row = stage.insert(
        &stage.alice,
        "characters",
        json!({"name": "Mira", "description": "d", "is_public": false}),
    );
    let path = format!("characters?id=eq.{}", row["id"].as_str().expect("an id"));
    stage.change("PATCH", &stage.alice.1, &path, Some(&json!({"is_public": true})));
    stage.change("PATCH", &stage.alice.1, &path, Some(&json!({"name": "Nera"})));
    stage.change("PATCH", &stage.alice.1, &path, Some(&json!({"is_public": false})));
    stage.change("DELETE", &stage.alice.1, &path, None);
    // Everybody hears of this last one.
    let last = stage.insert(
        &stage.bob,
        "characters",
        json!({"name": "Last", "description": "d", "is_public": true}),
    );

    let heard = |socket: &mut Socket| {
        let mut heard = Vec::new();
        loop {
            let (ids, data) = socket.change();
            assert_eq!(
                (ids, &data["schema"], &data["table"]),
                (vec![1], &json!("public"), &json!("characters"))
            );
            if data["record"]["id"] == last["id"] {
                return heard;
            }
            heard.push(data);
        }
    };
    let kinds = |heard: &[Json]| {
        heard.iter().map(|it| it["type"].as_str().unwrap_or_default().to_string()).collect::<Vec<_>>()
    };
    let owner = heard(&mut sockets[0]);
    assert_eq!(kinds(&owner), ["INSERT", "UPDATE", "UPDATE", "UPDATE", "DELETE"]);
    assert_eq!(owner[0]["record"], row);
    assert!(owner[0].get("old_record").is_none());
    assert_eq!(owner[2]["record"]["name"], "Nera");
    assert_eq!(owner[2]["old_record"], json!({"id": row["id"]}));
    assert_eq!((&owner[4]["old_record"], owner[4].get("record")), (&json!({"id": row["id"]}), None));
    let types: Vec<&Json> = owner[0]["columns"].as_array().expect("columns").iter().collect();
    assert!(types.contains(&&json!({"name": "id", "type": "uuid"})), "{types:?}");
    assert!(owner[0]["commit_timestamp"].as_str().is_some_and(|time| time.starts_with("20")));
    let commits: Vec<u64> = owner.iter().filter_map(|it| it["commit"].as_u64()).collect();
    assert!(commits[0] > before && commits.is_sorted(), "{commits:?} after {before}");

    // The other account sees the row only while it is public: not its beginning, nor its end.
    let other = heard(&mut sockets[1]);
    assert_eq!(kinds(&other), ["UPDATE", "UPDATE"]);
    assert_eq!(other[0]["record"]["is_public"], true);
    assert_eq!(kinds(&heard(&mut service)).len(), 5);
}

#[test]
fn every_filter_operator_chooses_as_in_rest() {
    let stage = Stage::set(&[]);
    let filters = [
        "name=eq.Mira",
        "name=neq.Nera",
        "likes_count=gt.4",
        "likes_count=gte.5",
        "likes_count=lt.6",
        "likes_count=lte.5",
        "name=like.M%",
        "name=ilike.m*",
        "name=match.^M",
        "name=imatch.^m.ra$",
        "is_public=is.true",
        "name=in.(Mira,\"a,b\")",
        "description=isdistinct.x",
        "default_presets->>kind=eq.a",
        "default_presets->n=eq.3",
        "default_presets=cs.{\"kind\":\"a\"}",
        "name=not.eq.Nera,likes_count=gt.0",
        "or=(name.eq.Mira,name.eq.Other)",
        "not.and=(name.eq.Nera,likes_count.eq.1)",
        "name=like(any).{M%,x%}",
        "name=not.in.(Nera)",
        "description=wfts.green",
        "id=not.is.null",
    ];
    let table = "characters";
    let row = |name: &str, likes: i64, more: Json| {
        let mut row = json!({"name": name, "description": "green eyes", "likes_count": likes});
        row.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        row
    };
    let mut socket = Socket::open(stage.url(), &stage.server.service);
    let bindings: Vec<Json> = filters
        .iter()
        .map(|filter| json!({"event": "INSERT", "schema": "public", "table": table, "filter": filter}))
        .collect();
    let said = socket.listen("filters", None, &json!(bindings));
    assert_eq!(said["status"], "ok", "{said}");
    let service = (stage.alice.0.clone(), stage.server.service.clone());
    stage.insert(&service, table, row("Nera", 1, json!({"description": "x", "is_public": true})));
    stage.insert(&service, table, row("Mira", 5, json!({"default_presets": {"kind": "a", "n": 3}})));
    let mut hit = Vec::new();
    loop {
        let (ids, data) = socket.change();
        if data["record"]["name"] == "Mira" {
            hit = ids;
            break;
        }
        hit.extend(ids);
    }
    let missed: Vec<&&str> = filters
        .iter()
        .enumerate()
        .filter(|(at, _)| !hit.contains(&(*at as u64 + 1)))
        .map(|(_, it)| it)
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    // And none of them lets the other row pass that does not meet it: REST is asked the same.
    for (at, filter) in filters.iter().enumerate() {
        let query = match filter.split_once('=') {
            Some((column, test)) if !filter.contains(",likes_count") => {
                format!(
                    "{}={}",
                    column.replace("->", "-%3E").replace("-%3E>", "-%3E%3E"),
                    test.replace('%', "%25").replace('"', "%22")
                )
            }
            _ => continue,
        };
        let (status, rows) = stage.server.call(
            "GET",
            &format!("/rest/v1/{table}?select=name&{query}"),
            &stage.server.service,
            None,
        );
        assert_eq!(status, 200, "{filter}: {rows}");
        let names: Vec<&Json> = rows.as_array().expect("rows").iter().map(|row| &row["name"]).collect();
        assert!(names.contains(&&json!("Mira")), "{at} {filter}: {names:?}");
    }
}

#[test]
fn a_filter_lets_nothing_else_pass() {
    let stage = Stage::set(&[]);
    let mut socket = Socket::open(stage.url(), &stage.server.service);
    let bindings = json!([
        {"event": "INSERT", "schema": "public", "table": "characters", "filter": "name=eq.Mira"},
        {"event": "UPDATE", "schema": "public", "table": "characters", "filter": "name=neq.Mira", "select": ["name"]},
        {"event": "DELETE", "schema": "public", "table": "characters", "filter": "name=in.(Other)"},
        {"event": "*", "schema": "public"},
    ]);
    assert_eq!(socket.listen("some", None, &bindings)["status"], "ok");
    let row = stage.insert(&stage.alice, "characters", json!({"name": "Mira", "description": "d"}));
    let path = format!("characters?id=eq.{}", row["id"].as_str().expect("an id"));
    stage.change("PATCH", &stage.alice.1, &path, Some(&json!({"name": "Other"})));
    stage.change("DELETE", &stage.alice.1, &path, None);
    let of_characters = |socket: &mut Socket| loop {
        let (ids, data) = socket.change();
        if data["table"] == "characters" {
            return (ids, data);
        }
    };
    assert_eq!(of_characters(&mut socket).0, [1, 4]);
    // Another choice of columns is another message.
    let (mut ids, mut narrow) = of_characters(&mut socket);
    let mut whole = of_characters(&mut socket).1;
    if ids == [4] {
        (ids, narrow, whole) = (vec![2], whole, narrow);
    }
    assert_eq!((ids, &narrow["record"]), (vec![2], &json!({"name": "Other"})));
    assert_eq!(narrow["columns"], json!([{"name": "name", "type": "text"}]));
    assert_eq!(whole["record"]["id"], row["id"]);
    assert_eq!(of_characters(&mut socket).0, [3, 4]);
}

#[test]
fn what_no_policy_can_show_is_said() {
    let stage = Stage::set(&[]);
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    let said = socket.listen("hidden", None, &all_of("conversations"));
    assert_eq!(said["status"], "error", "{said}");
    assert!(said["message"].as_str().is_some_and(|text| text.contains("conversations")), "{said}");
    let both = json!([
        {"event": "*", "schema": "public", "table": "conversations"},
        {"event": "*", "schema": "public", "table": "characters"},
    ]);
    let said = socket.listen("half", None, &both);
    assert_eq!(said["status"], "ok");
    assert!(said["message"].as_str().is_some_and(|text| text.contains("conversations")), "{said}");
    // Signing in changes that.
    let topic = "realtime:hidden";
    socket.push(topic, "access_token", &json!({"access_token": stage.alice.1}));
    let said = socket.until("news", |it| it["event"] == "system" && it["topic"] == topic);
    assert_eq!(said["payload"]["status"], "ok", "{said}");
    stage.insert(&stage.alice, "conversations", json!({"title": "t"}));
    assert_eq!(socket.change().1["table"], "conversations");
}

#[test]
fn deleting_a_parent_tells_of_its_children_to_those_who_saw_them() {
    let stage = Stage::set(&[]);
    let talk = stage.insert(&stage.alice, "conversations", json!({"title": "t"}));
    let message = json!({"conversation_id": talk["id"], "sender": "user", "content": "psst"});
    let (status, rows) = stage.server.call("POST", "/rest/v1/messages", &stage.alice.1, Some(&message));
    assert_eq!(status, 201, "{rows}");
    let mut own = Socket::open(stage.url(), &stage.server.anon);
    own.listen("own", Some(&stage.alice.1), &all_of("messages"));
    let mut other = Socket::open(stage.url(), &stage.server.anon);
    let both = json!([{"event": "*", "schema": "public", "table": "messages"},
                      {"event": "*", "schema": "public", "table": "conversations"}]);
    other.listen("other", Some(&stage.bob.1), &both);
    let path = format!("conversations?id=eq.{}", talk["id"].as_str().expect("an id"));
    stage.change("DELETE", &stage.alice.1, &path, None);
    // A channel may yet hear of what was written just before it joined: it is told so by the commit's number.
    let (_, mut data) = own.change();
    if data["type"] == "INSERT" {
        data = own.change().1;
    }
    assert_eq!((&data["type"], &data["old_record"]), (&json!("DELETE"), &json!({"id": rows[0]["id"]})));
    stage.insert(&stage.bob, "conversations", json!({"title": "mine"}));
    assert_eq!(other.change().1["record"]["title"], "mine", "nothing came before");
}

#[test]
fn a_role_that_is_given_or_taken_counts_at_once() {
    let stage = Stage::set(&[]);
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    socket.listen("scenes", Some(&stage.bob.1), &all_of("prompt_templates"));
    let make = |name: &str| {
        let template =
            json!({"template_name": name, "system_prompt": "s", "enhancer_model": "e", "use_case": "u"});
        let path = "/rest/v1/prompt_templates";
        let (status, rows) = stage.server.call("POST", path, &stage.server.service, Some(&template));
        assert_eq!(status, 201, "{rows}");
    };
    make("before");
    let role = json!({"user_id": stage.bob.0, "role": "admin"});
    let (status, rows) = stage.server.call("POST", "/rest/v1/user_roles", &stage.server.service, Some(&role));
    assert_eq!(status, 201, "{rows}");
    make("first");
    let path = format!("user_roles?user_id=eq.{}", stage.bob.0);
    stage.change("DELETE", &stage.server.service, &path, None);
    make("second");
    let (status, rows) = stage.server.call("POST", "/rest/v1/user_roles", &stage.server.service, Some(&role));
    assert_eq!(status, 201, "{rows}");
    make("third");
    let heard = [socket.change().1, socket.change().1].map(|data| data["record"]["template_name"].clone());
    assert_eq!(heard, ["first", "third"]);
}

#[test]
fn an_asset_that_is_gone_is_heard_of_by_its_account_alone() {
    let stage = Stage::set(&[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let mut own = Socket::open(stage.url(), &stage.server.anon);
    let mine = json!([{"event": "DELETE", "schema": "public", "table": "workspace_assets"},
        {"event": "INSERT", "schema": "public", "table": "workspace_assets",
            "filter": format!("user_id=eq.{}", stage.alice.0)}]);
    own.listen("own", Some(&stage.alice.1), &mine);
    let mut other = Socket::open(stage.url(), &stage.server.anon);
    other.listen("other", Some(&stage.bob.1), &mine);
    let asset = |account: &(String, String)| {
        let path = format!("{}/a.png", account.0);
        let job = json!({"job_type": "sdxl_image_fast", "prompt": "x"});
        let (_, queued) = stage.server.call("POST", "/functions/v1/queue-job", &account.1, Some(&job));
        let job = queued["jobId"].as_str().expect("a job");
        stage.insert(
            account,
            "workspace_assets",
            json!({"asset_type": "image", "temp_storage_path": path,
            "file_size_bytes": 1, "mime_type": "image/png", "job_id": job, "generation_seed": 1,
            "original_prompt": "x", "model_used": "m"}),
        )
    };
    let row = asset(&stage.alice);
    let gone = |row: &Json| format!("workspace_assets?id=eq.{}", row["id"].as_str().expect("an id"));
    stage.change("DELETE", &stage.alice.1, &gone(&row), None);
    let (ids, data) = own.change();
    assert_eq!((ids, &data["type"]), (vec![2], &json!("INSERT")));
    let (ids, data) = own.change();
    assert_eq!((ids, &data["type"]), (vec![1], &json!("DELETE")));
    assert_eq!(data["old_record"], json!({"id": row["id"]}));
    // The other account hears of its own alone.
    let theirs = asset(&stage.bob);
    stage.change("DELETE", &stage.bob.1, &gone(&theirs), None);
    let (ids, data) = other.change();
    assert_eq!((ids, &data["type"]), (vec![1], &json!("DELETE")));
    assert_eq!(data["old_record"], json!({"id": theirs["id"]}));
}

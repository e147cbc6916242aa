//! The REST dialect: rows, counts, searches, aggregates, embeds, orders and errors.

use models::ColumnType;

use crate::names::Names;
use crate::spy::{Question, Spy};

fn get<'q>(path: &'q str, headers: &'q [(&'q str, &'q str)]) -> Question<'q> {
    Question { method: "GET", path, body: "", headers }
}

pub fn probe(spy: &mut Spy) {
    let marker = spy.owner.marker;
    for info in &models::schema().tables {
        let table = info.table;
        let path = format!("/rest/v1/{}", info.name());
        if table.schema != "public" {
            let answer = spy.ask(&get(&path, &[]), Names::Nothing);
            if answer.status != 404 {
                spy.wrong.push(format!("{path} is there: {}", answer.status));
            }
            continue;
        }
        // All rows, and how many there are.
        let exact = [("prefer", "count=exact")];
        let answer = spy.ask(&get(&path, &exact), Names::Nothing);
        let rows = answer.json().as_array().map_or(0, Vec::len);
        if answer.header("content-range").rsplit('/').next() != Some(&rows.to_string()) {
            spy.wrong.push(format!("{path}: {rows} rows, counted {}", answer.header("content-range")));
        }
        for prefer in ["count=planned", "count=estimated"] {
            spy.ask(&get(&path, &[("prefer", prefer)]), Names::Nothing);
        }
        search(spy, info, &path, marker);
        // What a row refers to, and what refers to it.
        for relation in &info.relations {
            let target = &models::schema().tables[relation.target];
            if target.table.schema != "public" {
                continue;
            }
            let column = table.columns[relation.column].name;
            spy.ask(&get(&format!("{path}?select=*,parent:{column}(*)"), &[]), Names::Nothing);
            let children = format!("/rest/v1/{}?select=*,children:{}!{column}(*)", target.name(), table.name);
            if target.id != info.id {
                spy.ask(&get(&children, &[]), Names::Nothing);
            }
        }
        for accept in ["text/csv", "application/vnd.pgrst.plan+json; for=\"application/json\""] {
            spy.ask(&get(&path, &[("accept", accept)]), Names::Nothing);
        }
    }
    named(spy);
    planted(spy);
    functions(spy);
}

/// No condition on hidden rows shows: not on a text, not in a search for words, not in a count.
fn search(spy: &mut Spy, info: &models::TableInfo, path: &str, marker: &str) {
    let texts: Vec<String> = info
        .table
        .columns
        .iter()
        .filter(|column| column.kind == ColumnType::Text)
        .flat_map(|column| {
            [format!("{}.ilike.*{marker}*", column.name), format!("{}.wfts.{marker}", column.name)]
        })
        .collect();
    if texts.is_empty() {
        return;
    }
    let asked = format!("{path}?select=count()&or=({})", texts.join(","));
    let answer = spy.ask(&get(&asked, &[]), Names::Nothing);
    let found = answer.json();
    if found[0]["count"] != 0 {
        spy.wrong.push(format!("{asked}: {} {found}", answer.status));
    }
}

/// What is named by id is there for its owner alone, whatever is done with it.
fn named(spy: &mut Spy) {
    for (table, thing) in [
        ("characters", "character"),
        ("characters", "imported_character"),
        ("conversations", "conversation"),
        ("conversations", "played_chat"),
        ("conversations", "imported_chat"),
        ("messages", "message"),
        ("messages", "played_reply"),
        ("character_scenes", "scene"),
        ("character_scenes", "own_scene"),
        ("jobs", "job"),
        ("jobs", "scene_job"),
        ("workspace_assets", "asset"),
        ("workspace_items", "item"),
        ("user_library", "library"),
        ("user_collections", "collection"),
        ("projects", "project"),
        ("stories", "story"),
        ("books", "book"),
        ("storyboard_projects", "storyboard"),
        ("playground_prompts", "playground_prompt"),
        ("profiles", "user"),
    ] {
        let path = format!("/rest/v1/{table}?id=eq.<{thing}>");
        spy.compare(&get(&path, &[("prefer", "count=exact")]));
        spy.compare(&get(&path, &[("accept", "application/vnd.pgrst.object+json")]));
        let representation = [("prefer", "return=representation,count=exact")];
        let same = r#"{"id": "<own:user>"}"#;
        spy.compare(&Question { method: "PATCH", path: &path, body: same, headers: &representation });
        spy.compare(&Question { method: "DELETE", path: &path, body: "", headers: &representation });
        let trail = format!("/rest/v1/audit_logs?entity_id=eq.<{thing}>");
        spy.compare(&get(&trail, &[("prefer", "count=exact")]));
    }
    // An upsert of what is another's neither shows nor changes it.
    for body in [
        r#"{"id": "<character>", "user_id": "<own:user>", "name": "mine", "description": "mine"}"#,
        r#"{"id": "<imported_character>", "user_id": "<own:user>", "name": "mine", "description": "mine"}"#,
    ] {
        for resolution in ["merge-duplicates", "ignore-duplicates"] {
            let prefer = format!("resolution={resolution},return=representation,tx=rollback");
            let headers = [("prefer", prefer.as_str())];
            let question = Question { method: "POST", path: "/rest/v1/characters", body, headers: &headers };
            let answer = spy.ask(&question, Names::Theirs(spy.owner));
            if answer.text().contains(spy.owner.marker) {
                spy.wrong.push(format!("{body}: {}", answer.text()));
            }
        }
    }
    let said = r#"{"conversation_id": "<conversation>", "sender": "user", "content": "mine"}"#;
    let question = Question { method: "POST", path: "/rest/v1/messages", body: said, headers: &[] };
    spy.compare(&question);
    let scene =
        r#"{"conversation_id": "<played_chat>", "character_id": "<own:character>", "scene_prompt": "mine"}"#;
    spy.compare(&Question { method: "POST", path: "/rest/v1/character_scenes", body: scene, headers: &[] });
}

/// A row of one's own may refer to what is another's; nothing of it can be embedded, filtered or ordered by.
fn planted(spy: &mut Spy) {
    let chat = spy.plant(
        "conversations",
        r#"{"user_id": "<own:user>", "title": "t", "character_id": "<character>", "user_character_id": "<imported_character>"}"#,
    );
    let marker = spy.owner.marker;
    for query in [
        "select=id,character:characters!character_id(*)".to_string(),
        format!("select=id,character:characters!character_id!inner(id)&character.name=like.*{marker}*"),
        "select=id,character:characters!character_id!inner(id)".to_string(),
        "select=id,...characters!character_id(name)&order=characters(name)".to_string(),
        "select=id,character:characters!character_id(scenes:character_scenes(*),library:user_library(*))"
            .to_string(),
    ] {
        let path = format!("/rest/v1/conversations?id=eq.{chat}&{query}");
        let answer = spy.ask(&get(&path, &[]), Names::Nothing);
        if query.contains("!inner") && answer.json() != serde_json::json!([]) {
            spy.wrong.push(format!("{path}: {}", answer.text()));
        }
    }
}

/// The database functions, about the other account.
fn functions(spy: &mut Spy) {
    for (name, body) in [
        ("create_workspace_session", r#"{"p_user_id": "<user>"}"#),
        ("log_user_activity", r#"{"p_user_id": "<user>", "p_action": "look"}"#),
        ("get_system_stats", "{}"),
        ("clean_orphaned_jobs", "{}"),
        ("cleanup_expired_workspace_assets", "{}"),
        ("cleanup_old_profile_audit_logs", "{}"),
        ("backfill_usage_aggregates", r#"{"p_start_date": "2026-01-01", "p_end_date": "2026-01-02"}"#),
    ] {
        let path = format!("/rest/v1/rpc/{name}");
        let answer = spy.compare(&Question { method: "POST", path: &path, body, headers: &[] });
        if answer.status < 400 {
            spy.wrong.push(format!("{name}: {}", answer.text()));
        }
    }
    // What everybody may see of a profile holds nothing that is private.
    let path = "/rest/v1/rpc/get_safe_profile_view";
    let body = r#"{"profile_id": "<user>"}"#;
    let answer = spy.ask(&Question { method: "POST", path, body, headers: &[] }, Names::Theirs(spy.owner));
    for hidden in ["birth_date", "token_balance", "subscription_status"] {
        if answer.text().contains(hidden) {
            spy.wrong.push(format!("{path} shows {hidden}: {}", answer.text()));
        }
    }
}

//! Tables whose rows refer to rows of the same table: one that is hidden from the author is answered like one that does
//! not exist, whatever else of the request is refused.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::document::Table;
use crate::policy::{Row, Verb, World};
use crate::{Stage, rows};

/// Tries every such column of every table; how many there were, and what is told apart.
pub async fn check(stage: &Arc<Stage>, world: &World) -> (usize, Vec<String>) {
    let (mut columns, mut wrong) = (0, Vec::new());
    for table in &stage.tables {
        for (column, _) in table.references.iter().filter(|(_, target)| *target == table.name) {
            columns += 1;
            wrong.extend(told_apart(stage, world, table, column).await);
        }
    }
    (columns, wrong)
}

/// A row that the owner may write, naming nothing that it need not.
fn own_row(stage: &Stage, world: &World, table: &Table) -> Row {
    let owner = &stage.people.owner;
    let rows = rows::combinations(table, world, &stage.people).into_iter().map(|combination| {
        let mut row = rows::around(table, &combination, world);
        for (column, _) in &table.references {
            if table.column(column).nullable && !combination.contains_key(column) {
                row.insert(column.clone(), Json::Null);
            }
        }
        row
    });
    let is_theirs = |row: &Row| {
        [Verb::Insert, Verb::Update, Verb::Select]
            .into_iter()
            .all(|verb| world.allows(owner, verb, &table.name, row))
    };
    rows.into_iter().find(is_theirs).unwrap_or_else(|| panic!("the owner writes no row of {}", table.name))
}

/// A row like another one, with keys of its own.
fn another(row: &Row, id: &str, number: u64) -> Row {
    let mut row = row.clone();
    row.insert("id".into(), json!(id));
    if let Some(version) = row.get("version") {
        let version =
            version.as_u64().map_or(json!(format!("another {number}")), |it| json!(it + 9_000 + number));
        row.insert("version".into(), version);
    }
    row
}

async fn told_apart(stage: &Stage, world: &World, table: &Table, column: &str) -> Vec<String> {
    let (owner, service) = (&stage.people.owner, &stage.service);
    let hidden = world.rows[&table.name]
        .iter()
        .find(|row| !world.allows(owner, Verb::Select, &table.name, row))
        .unwrap_or_else(|| panic!("every row of {} is open", table.name));
    let hidden = hidden["id"].as_str().expect("an id").to_string();
    let missing = uuid::Uuid::new_v4().to_string();
    let own = own_row(stage, world, table);
    let body = Json::Object(own.clone());
    let answer = stage.speaker.send(owner, "POST", &table.name, Some(&body), "return=minimal").await;
    assert_eq!(answer.status, 201, "{}: {answer:?}", table.name);
    let there = format!("{}?id=eq.{}", table.name, own["id"].as_str().expect("an id"));
    let (fresh, plain) = (uuid::Uuid::new_v4().to_string(), "return=minimal");
    let most = "handling=strict,max-affected=0";
    let mut wrong = Vec::new();
    // Which key the row has, how it is written, and what both must be answered.
    for (id, method, prefer, code) in [
        (json!(fresh), "POST", plain, "23503"),
        (json!(fresh), "POST", most, "PGRST124"),
        (own["id"].clone(), "POST", plain, "23505"),
        (own["id"].clone(), "POST", "resolution=merge-duplicates", "23503"),
        (own["id"].clone(), "POST", "resolution=ignore-duplicates", ""),
        (own["id"].clone(), "PATCH", plain, "23503"),
        (own["id"].clone(), "PATCH", most, "PGRST124"),
    ] {
        // An artifact is never changed, whatever it would refer to.
        let changes = method == "PATCH" || prefer == "resolution=merge-duplicates";
        let code = if table.name == "artifacts" && changes { "PT409" } else { code };
        let mut told = Vec::new();
        for named in [&hidden, &missing] {
            let mut row = match id == own["id"] {
                true => own.clone(),
                false => another(&own, &fresh, 1),
            };
            row.insert(column.into(), json!(named));
            let (path, body) = match method {
                "PATCH" => (&there, json!({ column: named })),
                _ => (&table.name, Json::Object(row)),
            };
            let answer = stage.speaker.send(owner, method, path, Some(&body), prefer).await;
            told.push((
                answer.status,
                answer.code().to_string(),
                answer.body.to_string().replace(named, "ID"),
            ));
        }
        if told[0] != told[1] || told[0].1 != code {
            let name = &table.name;
            wrong.push(format!("{method} {name} with {column} ({prefer}), expected {code:?}: {told:?}"));
        }
    }
    // One that comes in the same statement is found, wherever it stands.
    let id = || uuid::Uuid::new_v4().to_string();
    let (mut child, parent) = (another(&own, &id(), 2), another(&own, &id(), 3));
    child.insert(column.into(), parent["id"].clone());
    let ids = [&child, &parent].map(|row| row["id"].as_str().expect("an id").to_string());
    let answer = stage.speaker.send(owner, "POST", &table.name, Some(&json!([child, parent])), plain).await;
    if answer.status != 201 {
        wrong.push(format!("{}: a row and its {column} in one statement: {answer:?}", table.name));
    }
    for id in ids.iter().map(String::as_str).chain(own["id"].as_str()) {
        let path = format!("{}?id=eq.{id}", table.name);
        stage.speaker.send(service, "DELETE", &path, None, plain).await;
    }
    wrong
}

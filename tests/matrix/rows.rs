//! Valid rows for every table, made from its declaration: one for each combination of what its rules look at.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value as Json, json};

use crate::document::Table;
use crate::policy::{Row, Rule, Verb, Who, World};

/// Combinations of a table at most; the document's rules stay below.
const COMBINATIONS_MAX: usize = 64;

/// Values of the columns that the rules look at, in every combination.
pub fn combinations(table: &Table, world: &World, people: &People) -> Vec<Row> {
    let mut combinations = vec![Row::new()];
    for column in table.ruled() {
        let values = domain(table, column, world, people);
        combinations = combinations
            .iter()
            .flat_map(|row| {
                values.iter().map(move |value| {
                    let mut row = row.clone();
                    row.insert(column.to_string(), value.clone());
                    row
                })
            })
            .collect();
    }
    assert!(combinations.len() <= COMBINATIONS_MAX, "{} has {}", table.name, combinations.len());
    combinations
}

/// Who plays which part.
#[derive(Debug)]
pub struct People {
    pub anon: Who,
    /// Signed in, and a stranger to every row.
    pub other: Who,
    pub owner: Who,
    /// Whose rows no other account may touch; never asks.
    pub third: Who,
}

/// Values of one column that make its atoms true and false.
pub fn domain(table: &Table, column: &str, world: &World, people: &People) -> Vec<Json> {
    let mut values: Vec<Json> = Vec::new();
    let mut add = |value: Json| {
        if !values.contains(&value) {
            values.push(value);
        }
    };
    let nullable = table.column(column).nullable;
    for atom in table.atoms() {
        match atom {
            Rule::Call(name, argument) if matches!(name.as_str(), "owner" | "self") && argument == column => {
                add(json!(people.owner.user));
                add(json!(people.third.user));
            }
            Rule::Call(_, path) if path.contains('→') && path.split('→').next() == Some(column) => {
                let target = path.split('→').nth(1).and_then(|step| step.split('.').next());
                parents(target.expect("a table"), world, people).into_iter().for_each(&mut add);
                if nullable {
                    add(Json::Null);
                }
            }
            Rule::Is(other, value) if other == column => {
                add(json!(value));
                add(choices(table, column).into_iter().find(|it| it != value).map_or(Json::Null, Json::from));
            }
            Rule::Word(word) if word == column => {
                add(json!(false));
                add(json!(true));
            }
            _ => {}
        }
    }
    values
}

/// One parent that only the owner may reach, one that only the third may, and one that is there for everybody.
fn parents(table: &str, world: &World, people: &People) -> Vec<Json> {
    let sees = |who: &Who, row: &Row| world.allows(who, Verb::Select, table, row);
    let mine = |row: &&Row| {
        world.allows(&people.owner, Verb::Update, table, row)
            && !sees(&people.other, row)
            && !sees(&people.third, row)
    };
    let theirs = |row: &&Row| {
        world.allows(&people.third, Verb::Update, table, row)
            && !sees(&people.other, row)
            && !sees(&people.owner, row)
    };
    let open = |row: &&Row| sees(&people.anon, row) && !world.allows(&people.owner, Verb::Update, table, row);
    let rows = &world.rows[table];
    let picks = [rows.iter().find(mine), rows.iter().find(theirs), rows.iter().find(open)];
    picks.into_iter().flatten().map(|row| row["id"].clone()).collect()
}

/// The texts that a check of a column lists.
fn choices(table: &Table, column: &str) -> Vec<String> {
    let list = table.checks.iter().filter(|(of, _)| of == column);
    let list = list.filter_map(|(of, check)| check.strip_prefix(&format!("{of} IN ("))?.strip_suffix(')'));
    list.flat_map(|list| list.split(", ").map(|item| item.trim_matches('\'').to_string())).collect()
}

/// A whole row around a combination.
pub fn around(table: &Table, combination: &Row, world: &World) -> Row {
    let number = world.made.fetch_add(1, Ordering::Relaxed);
    let mut row = combination.clone();
    if table.primary_key == ["id"] {
        row.entry("id").or_insert_with(|| value(&table.column("id").kind, "id", number));
    }
    if table.name == "jobs" {
        // Only what has ended is written as a row; what waits comes through the queue.
        row.insert("status".into(), json!("completed"));
    }
    if table.name == "episode_scenes" {
        // An episode has scenes of its own story.
        let episode = world.rows["episodes"].iter().find(|episode| episode["id"] == row["episode_id"]);
        let story = episode.map(|episode| episode["story_id"].clone());
        let scene = world.rows["scenes"].iter().find(|scene| Some(&scene["story_id"]) == story.as_ref());
        row.insert("scene_id".into(), scene.expect("a scene of the story")["id"].clone());
    }
    for column in &table.columns {
        let name = column.name.as_str();
        if row.contains_key(name) || table.guarded.contains(name) {
            continue;
        }
        // A check about several columns is content when its texts are there.
        let is_asked_for = column.kind == "text"
            && table.checks.iter().any(|(_, check)| {
                check.contains("NOT NULL")
                    && check.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|it| it == name)
            });
        // A reference may fall on the same parent twice: a number beside it in a key tells its rows apart.
        let is_numbered = column.kind == "int4"
            && table.unique.iter().any(|key| key.len() > 1 && key.contains(&column.name))
            && table.checks.iter().all(|(of, _)| of != name);
        let needed = (!column.nullable && !column.has_default) || is_numbered;
        if let Some(target) = table.target(name) {
            // Any parent at all, a different one each time: what embeds reveal depends on it.
            let rows = world.rows.get(target).map(Vec::as_slice).unwrap_or_default();
            if !rows.is_empty() {
                row.insert(name.into(), rows[number as usize % rows.len()]["id"].clone());
            }
        } else if needed || is_asked_for {
            let value = match choices(table, name).into_iter().next() {
                Some(choice) => json!(choice),
                None => value(&column.kind, name, number),
            };
            row.insert(name.into(), value);
        }
    }
    row
}

/// The code of a character in a project.
fn code(number: u64) -> String {
    let letter = |place: u32| char::from(b'A' + (number / 26u64.pow(place) % 26) as u8);
    format!("CHAR_{}", (0..6).rev().map(letter).collect::<String>())
}

fn value(kind: &str, name: &str, number: u64) -> Json {
    match kind {
        "text" if name == "canonical_code" => json!(code(number)),
        "text" => json!(format!("{name} {number}")),
        "uuid" => json!(uuid::Uuid::new_v4()),
        "int4" | "int8" | "numeric" | "float8" => json!(number),
        "bool" => json!(false),
        "date" => json!(format!("2{:03}-01-{:02}", number / 28 % 1000, number % 28 + 1)),
        "timestamptz" => json!("2026-01-01T00:00:00Z"),
        "jsonb" => Json::Object(Map::new()),
        "enum:app_role" => json!("guest"),
        "enum:audio_type" => json!("narrator"),
        other => panic!("no value for {other}"),
    }
}

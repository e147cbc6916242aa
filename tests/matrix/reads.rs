//! Select, embed and count: what each role sees of rows that do not change meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::Stage;
use crate::document::Table;
use crate::policy::{Row, Verb, Who, World};

/// Asks everything about one table.
pub async fn check(stage: Arc<Stage>, world: Arc<World>, position: usize) -> (usize, Vec<String>) {
    let table = &stage.tables[position];
    let (mut requests, mut wrong) = (0, Vec::new());
    for who in &stage.callers {
        let rows = &world.rows[&table.name];
        let visible = |row: &&Row| world.allows(who, Verb::Select, &table.name, row);
        let expected: Vec<&Row> = rows.iter().filter(visible).collect();
        let mut report = |what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>| {
            if found != expected {
                let (extra, missing) = (found - expected, expected - found);
                wrong.push(format!(
                    "{} {what} {}: {} rows instead of {}, beyond the rule {extra:?}, missing {missing:?}",
                    who.name,
                    table.name,
                    found.len(),
                    expected.len()
                ));
            }
        };
        let keys = table.primary_key.join(",");

        let found = stage.speaker.all(who, &table.name, &format!("select={keys}&order={keys}")).await;
        let found = found.iter().map(|row| key(table, row)).collect();
        let known: BTreeSet<String> = expected.iter().map(|row| key(table, row)).collect();
        report("selects", &found, &known);

        let path = format!("{}?select={keys}&limit=1", table.name);
        let counted = stage.speaker.send(who, "HEAD", &path, None, "count=exact").await;
        let total = counted.total.map(|total| total.to_string()).into_iter().collect();
        report("counts", &total, &BTreeSet::from([known.len().to_string()]));
        requests += 2;

        for (column, target) in &table.references {
            let query = format!("select={keys},parent:{column}(id)&order={keys}");
            let found = stage.speaker.all(who, &table.name, &query).await;
            let found = found.iter().map(|row| pair(table, row, &row["parent"]["id"])).collect();
            let known = expected.iter().map(|row| {
                pair(table, row, &parent(&world, who, target, &row[column]).unwrap_or(Json::Null))
            });
            report(&format!("embeds {target} by {column} in"), &found, &known.collect());

            // Of a table that refers to itself, its name means the children.
            let hint = if *target == table.name { String::new() } else { format!("!{column}") };
            let query = format!("select=id,children:{}{hint}({keys})&order=id", table.name);
            let found = stage.speaker.all(who, target, &query).await;
            let found = found.iter().flat_map(|row| {
                let children = match &row["children"] {
                    Json::Array(children) => children.clone(),
                    Json::Null => Vec::new(),
                    only => vec![only.clone()],
                };
                let line = |child: &Json| child.as_object().map(|child| pair(table, child, &row["id"]));
                children.iter().filter_map(line).collect::<Vec<String>>()
            });
            let found = found.collect();
            let known = expected.iter().filter_map(|row| {
                parent(&world, who, target, &row[column]).map(|parent| pair(table, row, &parent))
            });
            report(&format!("embeds into {target} by {column} the"), &found, &known.collect());
            requests += 2;
        }
    }
    (requests, wrong)
}

/// The parent's id, if it is there to see.
fn parent(world: &World, who: &Who, table: &str, id: &Json) -> Option<Json> {
    let row = world.rows[table].iter().find(|row| !id.is_null() && row["id"] == *id)?;
    world.allows(who, Verb::Select, table, row).then(|| id.clone())
}

/// A row's primary key as text.
pub fn key(table: &Table, row: &Row) -> String {
    let key: Vec<String> = table.primary_key.iter().map(|column| row[column].to_string()).collect();
    key.join("/")
}

fn pair(table: &Table, row: &Row, parent: &Json) -> String {
    format!("{} of {}", key(table, row), parent.as_str().unwrap_or("nobody"))
}

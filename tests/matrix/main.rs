//! Every table × every role × every verb, against what the schema document says of them.
//!
//! The expectation comes from the document's policies, read and evaluated by this test alone (`policy.rs`) over rows
//! that it reads with the service key; rows are made from the declarations (`rows.rs`).

#[path = "../common/mod.rs"]
mod common;
mod document;
mod foreign_names;
mod policy;
mod postgres;
mod reads;
mod realtime;
mod rows;
mod self_references;
#[path = "../socket/mod.rs"]
mod socket;
mod speak;
mod writes;

use std::collections::HashMap;
use std::sync::Arc;

use common::Server;
use document::Table;
use policy::{Row, Who, World};
use rows::People;
use serde_json::{Value as Json, json};
use speak::Speaker;

/// What all parts of the test share.
struct Stage {
    tables: Vec<Table>,
    speaker: Speaker,
    people: People,
    /// Everybody who asks.
    callers: Vec<Who>,
    service: Who,
}

#[test]
fn every_table_obeys_the_document_for_every_role_and_verb() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let accounts = accounts(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (stage, mut world) = set(&server, accounts).await;
        let stage = Arc::new(stage);
        for table in &stage.tables {
            let made = make(&stage, table, &world).await;
            world.rows.insert(table.name.clone(), made);
        }
        let chosen = world.clone();
        stage.refresh(&mut world).await;
        let mut wrong = Vec::new();
        let mut checked = 0;
        let world = Arc::new(world);
        let chosen = Arc::new(chosen);
        checked += speak::each(stage.tables.len(), &mut wrong, |position| {
            reads::check(stage.clone(), world.clone(), position)
        })
        .await;
        let (heard, differences) =
            realtime::check(stage.clone(), world.clone(), &server.url, &server.anon).await;
        checked += heard;
        wrong.extend(differences);
        let (columns, told_apart) = self_references::check(&stage, &world).await;
        assert!(columns >= 4, "{columns} columns that refer to their own table");
        wrong.extend(told_apart);
        checked += speak::each(stage.tables.len(), &mut wrong, |position| {
            writes::check(stage.clone(), chosen.clone(), position)
        })
        .await;
        println!("{} tables, {checked} requests as expected or reported", stage.tables.len());
        let shown: Vec<&str> = wrong.iter().take(40).map(String::as_str).collect();
        assert!(wrong.is_empty(), "{} answers differ from the document:\n{}", wrong.len(), shown.join("\n"));
        assert_eq!(stage.tables.len(), 67);
        assert!(checked > 5000, "only {checked} requests");
    });
    assert_eq!(server.check()["faults"], 0);
}

/// The accounts, by the parts that they play.
fn accounts(server: &Server) -> [Who; 5] {
    ["other user", "owner", "third", "adult user", "admin"].map(|name| {
        let (id, token) = server.sign_up(&format!("{}@example.com", name.replace(' ', "")));
        Who { name, token, user: Some(id), admin: false, adult: false, service: false }
    })
}

/// The people and the rules.
async fn set(server: &Server, accounts: [Who; 5]) -> (Stage, World) {
    let [other, owner, third, adult, admin] = accounts;
    let tables = document::tables();
    let speaker = Speaker::new(server);
    let nobody = |name, token: &str, service| Who {
        name,
        token: token.to_string(),
        user: None,
        admin: false,
        adult: false,
        service,
    };
    let service = nobody("service", &server.service, true);
    let people = People { anon: nobody("anon", &server.anon, false), other, owner, third };
    let adult = Who { adult: true, ..adult };
    let admin = Who { admin: true, ..admin };
    let path = format!("profiles?id=eq.{}", adult.user.as_deref().unwrap_or_default());
    let answer = speaker.send(&adult, "PATCH", &path, Some(&json!({"birth_date": "1990-01-01"})), "").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let role = json!({"user_id": admin.user, "role": "admin"});
    let answer = speaker.send(&service, "POST", "user_roles", Some(&role), "").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let mut world = World::default();
    for table in &tables {
        let rules: HashMap<_, _> =
            table.rules.iter().map(|(verb, rule)| (verb.name(), rule.clone())).collect();
        world.rules.insert(table.name.clone(), rules);
    }
    let callers =
        vec![people.anon.clone(), people.other.clone(), adult, people.owner.clone(), admin, service.clone()];
    (Stage { tables, speaker, people, callers, service }, world)
}

/// One row for each combination, made with the service key.
async fn make(stage: &Stage, table: &Table, world: &World) -> Vec<Row> {
    let combinations = rows::combinations(table, world, &stage.people);
    if table.name == "profiles" {
        // Accounts have theirs from the start.
        let people = [&stage.people.owner, &stage.people.third];
        let ids: Vec<&str> = people.iter().filter_map(|who| who.user.as_deref()).collect();
        return stage.speaker.all(&stage.service, "profiles", &format!("id=in.({})", ids.join(","))).await;
    }
    let mut made = Vec::new();
    for combination in &combinations {
        let row = rows::around(table, combination, world);
        let answer = stage
            .speaker
            .send(&stage.service, "POST", &table.name, Some(&Json::Object(row)), "return=representation")
            .await;
        assert_eq!(answer.status, 201, "{}: {answer:?}", table.name);
        made.push(answer.body[0].as_object().expect("a row").clone());
    }
    made
}

impl Stage {
    /// Reads every row of every table with the service key.
    async fn refresh(&self, world: &mut World) {
        for table in &self.tables {
            let rows = self.speaker.all(&self.service, &table.name, "").await;
            world.rows.insert(table.name.clone(), rows);
        }
    }
}

//! The same in PostgreSQL: what an export makes there answers as the document says, and gives everything back.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ::postgres::{Client, NoTls};
use models::{ColumnType, schema};
use serde_json::{Value as Json, json};

use crate::common::postgres::Postgres;
use crate::common::{Server, files};
use crate::document::Table;
use crate::foreign_names::refers_to_hidden_row;
use crate::policy::{Row, Verb, Who, World};
use crate::speak::{self, Speaker};
use crate::{Stage, accounts, make, reads, rows, set};

fn playhouse(arguments: &[&str]) -> Json {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    let output = command.args(arguments).env("PLAYHOUSE_LOG", "warn").output().expect("the binary runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn postgresql_answers_as_the_document_says_and_gives_everything_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(database) = Postgres::start(folder.path()) else { return };
    let place = |name: &str| folder.path().join(name).to_str().expect("a path").to_string();
    let (data, back) = (place("data"), place("back"));
    fs::create_dir_all(&data).expect("a folder");
    let environment = [("PLAYHOUSE_LOCAL_WORKER", "false")];
    let mut server = Server::start(Path::new(&data), &environment);
    let people = accounts(&server);
    let owner = (people[1].user.clone().expect("an account"), people[1].token.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut stage, mut world) = runtime.block_on(async {
        let (stage, mut world) = set(&server, people).await;
        for table in &stage.tables {
            let made = make(&stage, table, &world).await;
            world.rows.insert(table.name.clone(), made);
        }
        (stage, world)
    });
    let chosen = world.clone();
    for name in ["one.png", "a folder/雨.png"] {
        let path = format!("user-library/{}/{name}", owner.0);
        assert_eq!(files::put(&server, &owner.1, &path, "image/png", name.as_bytes()).status, 200);
    }
    // Values that other forms of writing would lose.
    let odd = "a \"quoted\", tab\there \\N \\. and\nanother line, 雨 🌧";
    for (table, change) in [
        ("characters", json!({"name": odd, "appearance_tags": ["a,b", "\"q\"", "NULL", "", "{}", null]})),
        ("storyboard_projects", json!({"target_duration_seconds": 1234567890.125})),
        ("storyboard_scenes", json!({"metadata": {"b": [1.10, 1e2, null, odd], "a": {}}})),
        ("workspace_assets", json!({"expires_at": "infinity"})),
    ] {
        let id = chosen.rows[table][0]["id"].as_str().expect("an id").to_string();
        let path = format!("/rest/v1/{table}?id=eq.{id}");
        let (status, rows) = server.call("PATCH", &path, &server.service, Some(&change));
        assert_eq!((status, rows.as_array().map(Vec::len)), (200, Some(1)), "{table}: {rows}");
    }
    runtime.block_on(stage.refresh(&mut world));
    server.stop();

    // Out, with everything.
    let exported = playhouse(&[
        "export",
        "--to",
        "postgres",
        &database.url(),
        "--files",
        &place("files"),
        "--data",
        &data,
    ]);
    for table in &stage.tables {
        let count = exported["rows"][&table.name].as_u64();
        assert!(count > Some(0), "{} has no rows: {exported}", table.name);
    }
    let mut trial = Trial {
        client: Client::connect(&database.url(), NoTls).expect("a connection"),
        stage: &stage,
        requests: 0,
        wrong: Vec::new(),
    };
    for table in &stage.tables {
        trial.reads(table, &world);
        trial.writes(table, &world, &chosen);
    }
    let (requests, wrong) = (trial.requests, std::mem::take(&mut trial.wrong));
    drop(trial);
    let shown: Vec<&str> = wrong.iter().take(40).map(String::as_str).collect();
    assert!(
        wrong.is_empty(),
        "{} of {requests} differ from the document:\n{}",
        wrong.len(),
        shown.join("\n")
    );
    assert!(requests > 5000, "only {requests} statements");
    println!("{requests} statements in PostgreSQL as the document says");

    // And in again: equal row by row, and files by their hashes.
    let report = playhouse(&[
        "import",
        "--from",
        "postgres",
        &database.url(),
        "--files",
        &place("files"),
        "--data",
        &back,
    ]);
    assert_eq!((&report["refused"], &report["notes"]), (&json!([]), &json!([])), "{report}");
    assert_eq!(
        (&report["columns_left_out"], &report["tables_left_out"]),
        (&json!({}), &json!({})),
        "{report}"
    );
    assert_eq!(report["files"], 2);
    for (data, csv) in [(&data, "csv"), (&back, "csv-back")] {
        playhouse(&[
            "export",
            "--to",
            "csv",
            &place(csv),
            "--files",
            &place(&format!("{csv}-files")),
            "--data",
            data,
        ]);
    }
    let mut compared = 0;
    for table in &schema().tables {
        let read = |folder: &str| values(table, Path::new(&place(folder)));
        let (ours, theirs) = (read("csv"), read("csv-back"));
        assert_eq!(ours.len(), theirs.len(), "{}", table.name());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{}", table.name());
        }
        compared += ours.len();
    }
    assert!(compared > 500, "{compared} rows");
    for name in ["one.png", "a folder/雨.png"] {
        let below = format!("user-library/{}/{name}", owner.0);
        let read =
            |folder: &str| blake3::hash(&fs::read(Path::new(&place(folder)).join(&below)).expect("a file"));
        assert_eq!(read("csv-files"), read("csv-back-files"), "{below}");
    }

    // A server on it: accounts sign in, and each sees what the document says.
    let server = Server::start(Path::new(&back), &environment);
    stage.speaker = Speaker::new(&server);
    stage.service.token = server.service.clone();
    stage.people.anon.token = server.anon.clone();
    for who in &mut stage.callers {
        who.token = match &who.user {
            Some(_) => signed_in(&server, who.name),
            None if who.service => server.service.clone(),
            None => server.anon.clone(),
        };
    }
    // Signing in leaves rows in the log of activities.
    runtime.block_on(stage.refresh(&mut world));
    let (stage, world) = (Arc::new(stage), Arc::new(world));
    let mut wrong = Vec::new();
    let checked = runtime.block_on(speak::each(stage.tables.len(), &mut wrong, |position| {
        reads::check(stage.clone(), world.clone(), position)
    }));
    assert!(wrong.is_empty(), "{} of {checked} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(server.check()["faults"], 0);
}

fn signed_in(server: &Server, name: &str) -> String {
    let email = format!("{}@example.com", name.replace(' ', ""));
    let body = json!({"email": email, "password": "correct horse"});
    let (status, session) =
        server.call("POST", "/auth/v1/token?grant_type=password", &server.anon, Some(&body));
    assert_eq!(status, 200, "{name}: {session}");
    session["access_token"].as_str().expect("a token").to_string()
}

/// The rows of a table as an export wrote them: documents as what they say, everything else as its text.
fn values(table: &models::TableInfo, folder: &Path) -> Vec<Vec<Json>> {
    let path = folder.join(format!("{}.csv", table.name()));
    let mut reader = csv::Reader::from_path(&path).expect("a file");
    let rows = reader.records().map(|row| {
        let row = row.expect("a row");
        let fields = row.iter().enumerate().map(|(column, text)| match table.kind(column) {
            ColumnType::Jsonb => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            _ => json!(text),
        });
        fields.collect()
    });
    rows.collect()
}

/// Statements as each role, none of which stays.
struct Trial<'s> {
    client: Client,
    stage: &'s Stage,
    requests: usize,
    wrong: Vec<String>,
}

/// How many rows a statement found or changed, or the SQLSTATE that it ended with.
type Answer = Result<u64, String>;

impl Trial<'_> {
    fn begin(&mut self, who: &Who) -> ::postgres::Transaction<'_> {
        self.requests += 1;
        let role = match (who.service, &who.user) {
            (true, _) => "service_role",
            (false, Some(_)) => "authenticated",
            (false, None) => "anon",
        };
        let claims = json!({"sub": who.user}).to_string();
        let mut transaction = self.client.transaction().expect("a transaction");
        transaction
            .batch_execute(&format!("SET LOCAL ROLE {role}; SET LOCAL request.jwt.claims = '{claims}'"))
            .expect("a role");
        transaction
    }

    fn run(&mut self, who: &Who, statement: &str) -> Answer {
        let answer = self.begin(who).execute(statement, &[]);
        answer.map_err(|error| match error.code() {
            Some(code) => code.code().to_string(),
            None => error.to_string(),
        })
    }

    fn report(&mut self, who: &Who, what: &str, table: &Table, row: &Row, answer: &Answer) {
        let ruled: Vec<String> =
            table.ruled().iter().map(|column| format!("{column}={}", row[*column])).collect();
        self.wrong.push(format!("{} {what} {} ({}): {answer:?}", who.name, table.name, ruled.join(" ")));
    }

    fn reads(&mut self, table: &Table, world: &World) {
        let key: Vec<String> =
            table.primary_key.iter().map(|it| format!("to_jsonb(\"{it}\")::text")).collect();
        let statement = format!("SELECT concat_ws('/', {}) FROM public.\"{}\"", key.join(", "), table.name);
        for who in self.stage.callers.clone() {
            let found = self.begin(&who).query(statement.as_str(), &[]).expect("rows");
            let found: BTreeSet<String> = found.iter().map(|row| row.get(0)).collect();
            let visible = world.rows[&table.name]
                .iter()
                .filter(|row| world.allows(&who, Verb::Select, &table.name, row));
            let expected: BTreeSet<String> = visible.map(|row| reads::key(table, row)).collect();
            if found != expected {
                let (extra, missing) = (&found - &expected, &expected - &found);
                self.wrong.push(format!(
                    "{} selects {}: beyond {extra:?}, missing {missing:?}",
                    who.name, table.name
                ));
            }
        }
    }

    fn writes(&mut self, table: &Table, world: &World, chosen: &World) {
        let people = &self.stage.people;
        for combination in rows::combinations(table, chosen, people) {
            let row = rows::around(table, &combination, chosen);
            let same = |there: &&Row| combination.iter().all(|(column, value)| there[column] == *value);
            let there = chosen.rows[&table.name].iter().find(same);
            for who in self.stage.callers.clone() {
                self.insert(&who, table, &row, world);
                let Some(there) = there else { continue };
                // As it is now: making the rows of other tables may have changed it.
                let now = world.rows[&table.name].iter().find(|row| at(table, row) == at(table, there));
                let Some(now) = now else { continue };
                self.update(&who, table, now, world);
                self.moves(&who, table, now, &combination, (world, chosen));
                self.delete(&who, table, now, world);
            }
        }
    }

    fn insert(&mut self, who: &Who, table: &Table, row: &Row, world: &World) {
        let columns: Vec<String> = row.keys().map(|column| format!("\"{column}\"")).collect();
        let columns = columns.join(", ");
        let values = Json::Object(row.clone()).to_string().replace('\'', "''");
        let name = &table.name;
        let answer = self.run(
            who,
            &format!(
                "INSERT INTO public.\"{name}\" ({columns}) SELECT {columns} \
                 FROM jsonb_populate_record(NULL::public.\"{name}\", '{values}')"
            ),
        );
        let allowed = world.allows(who, Verb::Insert, name, row);
        let rates = row.get("content_rating") == Some(&json!("nsfw")) && name == "characters";
        let is_refused = rates && !(who.adult || who.admin || who.service);
        let is_hidden = refers_to_hidden_row(who, table, row, world);
        let as_expected = match answer.as_ref().map_err(String::as_str) {
            Ok(_) => allowed && !is_refused && !is_hidden,
            Err("23503") => allowed && is_hidden,
            // Policies are looked at before keys.
            Err("23505") => allowed && (table.is_crowded() || name == "profiles"),
            Err("PT422") => is_refused,
            Err("42501") => !allowed,
            Err(_) => false,
        };
        if !as_expected {
            self.report(
                who,
                if allowed { "must insert into" } else { "must not insert into" },
                table,
                row,
                &answer,
            );
        }
    }

    fn update(&mut self, who: &Who, table: &Table, row: &Row, world: &World) {
        let ruled = table.ruled();
        let column = table.columns.iter().find(|column| {
            column.kind == "text"
                && !ruled.contains(&column.name.as_str())
                && !table.guarded.contains(&column.name)
        });
        let column = column.map_or(&table.primary_key[0], |column| &column.name);
        let answer = self.run(
            who,
            &format!(
                "UPDATE public.\"{}\" SET \"{column}\" = \"{column}\" WHERE {}",
                table.name,
                at(table, row)
            ),
        );
        let reaches = reaches(who, Verb::Update, table, row, world);
        if answer != Ok(u64::from(reaches)) {
            self.report(who, if reaches { "must update" } else { "must not update" }, table, row, &answer);
        }
    }

    fn moves(
        &mut self,
        who: &Who,
        table: &Table,
        row: &Row,
        combination: &Row,
        (world, chosen): (&World, &World),
    ) {
        let reaches = reaches(who, Verb::Update, table, row, world);
        for column in combination.keys() {
            for value in rows::domain(table, column, chosen, &self.stage.people) {
                let rates = value == json!("nsfw") && table.name == "characters";
                if value == row[column] || rates && !(who.adult || who.admin || who.service) {
                    continue;
                }
                let mut moved = row.clone();
                moved.insert(column.clone(), value.clone());
                let allowed = world.allows(who, Verb::Update, &table.name, &moved);
                let statement = format!(
                    "UPDATE public.\"{}\" SET \"{column}\" = {} WHERE {}",
                    table.name,
                    literal(&value),
                    at(table, row)
                );
                let answer = self.run(who, &statement);
                let as_expected = match (reaches, answer.as_ref().map_err(String::as_str)) {
                    (false, answer) => answer == Ok(&0),
                    (true, Ok(1)) => allowed,
                    (true, Err("42501")) => !allowed,
                    (true, Err("23505" | "23503")) => allowed,
                    (true, Err("PT403")) => is_kept(who, table, row),
                    (true, _) => false,
                };
                if !as_expected {
                    self.report(who, &format!("moves {column} to {value} in"), table, row, &answer);
                }
            }
        }
    }

    fn delete(&mut self, who: &Who, table: &Table, row: &Row, world: &World) {
        let answer =
            self.run(who, &format!("DELETE FROM public.\"{}\" WHERE {}", table.name, at(table, row)));
        let reaches = reaches(who, Verb::Delete, table, row, world);
        let as_expected = match reaches && is_kept(who, table, row) {
            true => answer == Err("PT403".into()),
            false => answer == Ok(u64::from(reaches)),
        };
        if !as_expected {
            self.report(
                who,
                if reaches { "must delete from" } else { "must not delete from" },
                table,
                row,
                &answer,
            );
        }
    }
}

fn reaches(who: &Who, verb: Verb, table: &Table, row: &Row, world: &World) -> bool {
    world.allows(who, Verb::Select, &table.name, row) && world.allows(who, verb, &table.name, row)
}

/// Whether a row is the server's own, which accounts keep as it is.
fn is_kept(who: &Who, table: &Table, row: &Row) -> bool {
    table.name == "style_presets" && row["is_system"] == json!(true) && !who.service
}

fn literal(value: &Json) -> String {
    match value {
        Json::Null => "NULL".into(),
        Json::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => format!("'{other}'"),
    }
}

/// The condition that finds a row.
fn at(table: &Table, row: &Row) -> String {
    let key = table.primary_key.iter().map(|column| format!("\"{column}\" = {}", literal(&row[column])));
    key.collect::<Vec<String>>().join(" AND ")
}

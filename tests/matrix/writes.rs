//! Insert, update and delete: what each role achieves, and what they are refused.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::document::Table;
use crate::foreign_names::{address_columns, addresses_in_folder_of, may_show_others, refers_to_hidden_row};
use crate::policy::{Row, Verb, Who, World};
use crate::speak::Answer;
use crate::{Stage, rows};

/// One table in front of every role.
struct Trial {
    stage: Arc<Stage>,
    /// Rows of other tables; those of this one belong to the trial.
    world: Arc<World>,
    position: usize,
    requests: usize,
    wrong: Vec<String>,
}

/// Tries everything with one table.
pub async fn check(stage: Arc<Stage>, world: Arc<World>, position: usize) -> (usize, Vec<String>) {
    let mut trial = Trial { stage, world, position, requests: 0, wrong: Vec::new() };
    trial.run().await;
    (trial.requests, trial.wrong)
}

impl Trial {
    fn table(&self) -> &Table {
        &self.stage.tables[self.position]
    }

    async fn run(&mut self) {
        let (stage, world) = (self.stage.clone(), self.world.clone());
        let table = &stage.tables[self.position];
        if table.is_crowded() && table.name != "profiles" {
            for row in &world.rows[&table.name] {
                self.send(&stage.service, "DELETE", Some(row), None, "").await;
            }
        }
        for combination in rows::combinations(table, &world, &stage.people) {
            // Chosen once, so that every role is refused or admitted for the same row.
            let row = rows::around(table, &combination, &world);
            for who in &stage.callers {
                self.insert(who, &row).await;
            }
            let there = match table.name.as_str() {
                "profiles" => world.rows["profiles"].iter().find(|it| it["id"] == combination["id"]).cloned(),
                _ => self.put(&row).await,
            };
            let Some(there) = there else { continue };
            for who in &stage.callers {
                self.update(who, &there).await;
                self.moves(who, &there, &combination).await;
                self.names_files(who, &there).await;
            }
            for who in &stage.callers {
                self.delete(who, &there, &row).await;
            }
            if table.name != "profiles" {
                self.send(&stage.service, "DELETE", Some(&there), None, "").await;
            }
        }
    }

    async fn send(
        &mut self,
        who: &Who,
        method: &str,
        at: Option<&Row>,
        body: Option<&Row>,
        prefer: &str,
    ) -> Answer {
        let table = self.table();
        let mut path = table.name.clone();
        if let Some(row) = at {
            let key = table.primary_key.iter().map(|column| format!("{column}=eq.{}", text(&row[column])));
            path = format!("{path}?{}", key.collect::<Vec<String>>().join("&"));
        }
        self.requests += 1;
        let body = body.map(|body| Json::Object(body.clone()));
        let stage = self.stage.clone();
        stage.speaker.send(who, method, &path, body.as_ref(), prefer).await
    }

    fn report(&mut self, who: &Who, what: &str, row: &Row, answer: &Answer) {
        let table = self.table();
        let ruled: Vec<String> =
            table.ruled().iter().map(|column| format!("{column}={}", text(&row[*column]))).collect();
        let line = format!("{} {what} {} ({}): {answer:?}", who.name, table.name, ruled.join(" "));
        self.wrong.push(line);
    }

    /// A row as it is stored, made with the service key.
    async fn put(&mut self, row: &Row) -> Option<Row> {
        let service = self.stage.service.clone();
        let answer = self.send(&service, "POST", None, Some(row), "return=representation").await;
        if answer.status != 201 {
            self.report(&service, "cannot put into", row, &answer);
        }
        answer.body[0].as_object().cloned()
    }

    async fn insert(&mut self, who: &Who, row: &Row) {
        let stage = self.stage.clone();
        let allowed = self.world.allows(who, Verb::Insert, &self.table().name, row);
        let answer = self.send(who, "POST", None, Some(row), "").await;
        // Beside the policies, only adults rate a character.
        let rates = row.get("content_rating") == Some(&json!("nsfw")) && self.table().name == "characters";
        let refused_by_content = rates && !(who.adult || who.admin || who.service);
        let is_hidden = refers_to_hidden_row(who, self.table(), row, &self.world);
        let as_expected = match answer.status {
            201 => allowed && !refused_by_content && !is_hidden,
            409 if is_hidden => allowed && answer.code() == "23503",
            // The account's own profile is there already.
            409 => allowed && self.table().name == "profiles" && answer.code() == "23505",
            422 => refused_by_content && answer.code() == "CONTENT_REFUSED",
            status => !allowed && is_refusal(who, status, &answer),
        };
        if !as_expected {
            self.report(who, if allowed { "must insert into" } else { "must not insert into" }, row, &answer);
        }
        if answer.status == 201 {
            self.send(&stage.service, "DELETE", Some(row), None, "").await;
        }
    }

    /// Writes a value that is there already.
    async fn update(&mut self, who: &Who, row: &Row) {
        let reaches = self.reaches(who, Verb::Update, row);
        let ruled = self.table().ruled();
        let column = self.table().columns.iter().find(|column| {
            column.kind == "text"
                && !ruled.contains(&column.name.as_str())
                && !self.table().guarded.contains(&column.name)
        });
        // A table without texts has its key.
        let column = column.map_or(&self.table().primary_key[0], |column| &column.name).clone();
        let same = Row::from_iter([(column.clone(), row[&column].clone())]);
        let answer = self.send(who, "PATCH", Some(row), Some(&same), "count=exact").await;
        if (answer.status, answer.total) != (204, Some(u64::from(reaches))) {
            self.report(who, if reaches { "must update" } else { "must not update" }, row, &answer);
        }
    }

    /// Changes each column that the rules look at, one at a time; nothing stays changed.
    async fn moves(&mut self, who: &Who, row: &Row, combination: &Row) {
        let stage = self.stage.clone();
        let reaches = self.reaches(who, Verb::Update, row);
        for column in combination.keys() {
            for value in rows::domain(self.table(), column, &self.world.clone(), &stage.people) {
                let rates = value == json!("nsfw") && self.table().name == "characters";
                if value == row[column] || rates && !(who.adult || who.admin || who.service) {
                    continue;
                }
                let change = Row::from_iter([(column.clone(), value.clone())]);
                let mut moved = row.clone();
                moved.extend(change.clone());
                let allowed = self.world.allows(who, Verb::Update, &self.table().name, &moved);
                let prefer = "handling=strict,max-affected=0,count=exact";
                let answer = self.send(who, "PATCH", Some(row), Some(&change), prefer).await;
                let as_expected = match (reaches, allowed) {
                    (false, _) => (answer.status, answer.total) == (204, Some(0)),
                    (true, false) => {
                        is_refusal(who, answer.status, &answer)
                            || self.table().name == "artifacts" && answer.code() == "PT409"
                    }
                    // Rolled back because it worked, or because a key is taken or still needed.
                    (true, true) => {
                        ["PGRST124", "23505", "23503"].contains(&answer.code())
                            || answer.code() == refused_by_rule(who, self.table(), row)
                    }
                };
                if !as_expected {
                    let what = format!("moves {column} to {} in", text(&value));
                    self.report(who, &what, row, &answer);
                }
            }
        }
    }

    /// Writes the address of a file in another account's folder into each column that holds one; nothing stays changed.
    async fn names_files(&mut self, who: &Who, row: &Row) {
        let is_account = who.user.is_some() && !who.admin && !who.service;
        let (stage, reaches) = (self.stage.clone(), self.reaches(who, Verb::Update, row));
        if !is_account || !reaches || who.user == stage.people.third.user {
            return;
        }
        let table = &stage.tables[self.position];
        let foreign = stage.people.third.user.as_deref().unwrap_or_default();
        for column in address_columns(table) {
            for address in addresses_in_folder_of(foreign) {
                let change = Row::from_iter([(column.name.clone(), address.clone())]);
                let prefer = "handling=strict,max-affected=0,count=exact";
                let answer = self.send(who, "PATCH", Some(row), Some(&change), prefer).await;
                let as_expected = match may_show_others(table) {
                    true => answer.code() == "PGRST124",
                    false => is_refusal(who, answer.status, &answer),
                };
                if !as_expected {
                    self.report(who, &format!("names {} in {}", text(&address), column.name), row, &answer);
                }
            }
        }
    }

    async fn delete(&mut self, who: &Who, row: &Row, again: &Row) {
        if who.service && self.table().name == "profiles" {
            // It would take the whole account's rows along.
            return;
        }
        let reaches = self.reaches(who, Verb::Delete, row);
        let answer = self.send(who, "DELETE", Some(row), None, "count=exact").await;
        let service = self.stage.service.clone();
        let left = self.send(&service, "HEAD", Some(row), None, "count=exact").await;
        if reaches && is_kept(who, self.table(), row) {
            if (answer.code(), left.total) != ("PT403", Some(1)) {
                self.report(who, "must not delete the server's own from", row, &answer);
            }
            return;
        }
        let found = (answer.status, answer.total, left.total);
        if found != (204, Some(u64::from(reaches)), Some(u64::from(!reaches))) {
            self.report(who, if reaches { "must delete from" } else { "must not delete from" }, row, &answer);
        }
        if left.total == Some(0) {
            self.put(again).await;
        }
    }

    /// Whether a caller finds a row for a change: they must see it, too.
    fn reaches(&self, who: &Who, verb: Verb, row: &Row) -> bool {
        let table = &self.table().name;
        self.world.allows(who, Verb::Select, table, row) && self.world.allows(who, verb, table, row)
    }
}

/// Whether a row is the server's own, which accounts keep as it is whatever the policies say.
fn is_kept(who: &Who, table: &Table, row: &Row) -> bool {
    table.name == "style_presets" && row["is_system"] == json!(true) && !who.service
}

/// How a rule beside the policies refuses a change of what these look at.
fn refused_by_rule(who: &Who, table: &Table, row: &Row) -> &'static str {
    match table.name.as_str() {
        "artifacts" => "PT409",
        "episode_scenes" => "PT400",
        _ if is_kept(who, table, row) => "PT403",
        _ => "none",
    }
}

fn is_refusal(who: &Who, status: u16, answer: &Answer) -> bool {
    answer.code() == "42501" && status == if who.user.is_some() { 403 } else { 401 }
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

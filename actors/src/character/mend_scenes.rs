//! Scenes from the time when a scene was its character's alone.
//!
//! The character's owner could then read and change the scenes of other accounts' conversations, and write scenes into
//! them. The policies of today hide those rows by themselves. What is left is what owners did meanwhile: the trail
//! names them for every change that they could see.

use std::collections::HashMap;
use std::time::Duration;

use models::{Aggregate, Command, Row, TableInfo, Value, schema};
use serde_json::Value as Json;
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction, guard};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// The mark of a data folder in which this is done.
const MARK: &str = "scenes-of-players-1";
/// Rows changed in one commit.
const BATCH_MAX: usize = 20_000;

/// Only the start waits for this, and it must not fail because there is much to read.
const PATIENT: Limits = Limits {
    rows_max: 1000,
    duration_max: Duration::from_secs(24 * 3600),
    sorted_max: 200_000,
    bytes_max: 64 << 20,
};

/// Takes scenes back to the conversations they came from, scenes of others out of them, and what was said there out of
/// the trail of accounts that it was hidden from. Once per data folder, in as many commits as it needs.
#[derive(Debug)]
pub struct MendScenes;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MendedScenes {
    /// Rows that were changed.
    pub rows: usize,
    /// Whether another commit is needed.
    pub more: bool,
}

impl Decision for MendScenes {
    type Answer = MendedScenes;

    fn owner(&self) -> Aggregate {
        Aggregate::Character
    }

    fn decide(self, transaction: &Transaction) -> Result<MendedScenes, Refusal> {
        let seeds = schema().known("catalog.seeds");
        if transaction.reads().get(seeds, &[Value::text(MARK)])?.is_some() {
            return Ok(MendedScenes::default());
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let mut work = Work { transaction, service: &service, owners: HashMap::new(), rows: 0 };
        let trail = work.trail()?;
        for changes in trail.chunk_by(|one, next| one.scene == next.scene) {
            if work.rows >= BATCH_MAX {
                return Ok(MendedScenes { rows: work.rows, more: true });
            }
            work.mend(changes)?;
        }
        let mut mark = seeds.default_row();
        mark[seeds.at("id")] = Value::text(MARK);
        mark[seeds.at("rows")] = Value::Int(i64::try_from(work.rows).unwrap_or(i64::MAX));
        transaction.insert(&service, seeds, mark)?;
        Ok(MendedScenes { rows: work.rows, more: false })
    }
}

/// One change of a scene, by an account that the trail names.
struct SceneChange {
    scene: Uuid,
    at_micros: i64,
    entry: Uuid,
    user: Uuid,
    /// The conversation that it was in before, and after.
    before: Option<Uuid>,
    after: Option<Uuid>,
}

struct Work<'t, 's> {
    transaction: &'t Transaction<'s>,
    service: &'t Caller<'t>,
    /// Whose conversation it is, as far as anybody knows.
    owners: HashMap<Uuid, Option<Uuid>>,
    rows: usize,
}

impl Work<'_, '_> {
    /// Every change of a scene by an account that is no administrator: the scenes one after the other, each in order.
    fn trail(&self) -> Result<Vec<SceneChange>, Refusal> {
        let audit = schema().known("audit_logs");
        let about = Query::all(audit.id).equal("entity_type", Value::text("character_scenes"));
        let mut admins: HashMap<Uuid, bool> = HashMap::new();
        let mut found = Vec::new();
        let reads = self.transaction.reads();
        let reader = Reader::new(self.transaction.reads(), self.service, PATIENT);
        reader.each_stored(&about, Command::Select, &mut |row| {
            let id = |column: &str| row[audit.at(column)].as_uuid();
            let (Some(user), Some(scene), Some(entry)) = (id("user_id"), id("entity_id"), id("id")) else {
                return Ok(true);
            };
            let is_admin = match admins.get(&user) {
                Some(known) => *known,
                None => guard::has_role(&reads, user, "admin")?,
            };
            admins.insert(user, is_admin);
            if !is_admin {
                let conversation = |column: &str| member(&row[audit.at(column)], "conversation_id");
                found.push(SceneChange {
                    scene,
                    at_micros: row[audit.at("timestamp")].as_micros().unwrap_or(0),
                    entry,
                    user,
                    before: conversation("old_value"),
                    after: conversation("new_value"),
                });
            }
            Ok(true)
        })?;
        found.sort_by_key(|change| (change.scene, change.at_micros));
        Ok(found)
    }

    /// Undoes what reached across accounts in the life of one scene.
    fn mend(&mut self, changes: &[SceneChange]) -> Result<(), Refusal> {
        // The conversation that a scene was taken from; who put a scene of theirs into another account's.
        let (mut home, mut guest) = (None, None);
        for change in changes {
            let moves = change.after != change.before;
            if self.is_foreign(change.before, change.user)? && guest != Some(change.user) {
                self.hide(change.entry)?;
                if moves {
                    home = home.or(change.before);
                }
            } else if moves && self.is_foreign(change.after, change.user)? {
                guest = Some(change.user);
            }
        }
        let scenes = schema().known("character_scenes");
        let Some(scene) = self.row("character_scenes", changes[0].scene)? else { return Ok(()) };
        let now = scene[scenes.at("conversation_id")].as_uuid();
        match (home, guest) {
            (Some(home), _) if now != Some(home) => match self.row("conversations", home)? {
                Some(_) => self.set(scenes, &scene, "conversation_id", Value::Uuid(home))?,
                // It would have gone with its conversation.
                None => self.transaction.purge(self.service, scenes, &scene)?,
            },
            (None, Some(guest)) if self.is_foreign(now, guest)? => {
                self.set(scenes, &scene, "conversation_id", Value::Null)?;
            }
            _ => return Ok(()),
        }
        self.rows += 1;
        Ok(())
    }

    fn row(&self, table: &'static str, id: Uuid) -> Result<Option<Row>, Refusal> {
        Ok(self.transaction.reads().get(schema().known(table), &[Value::Uuid(id)])?)
    }

    fn set(&self, table: &TableInfo, old: &Row, column: &str, value: Value) -> Result<(), Refusal> {
        let mut row = old.clone();
        row[table.at(column)] = value;
        self.transaction.update(self.service, table, old, row)?;
        Ok(())
    }

    /// Leaves an entry of the trail to administrators.
    fn hide(&mut self, entry: Uuid) -> Result<(), Refusal> {
        if let Some(old) = self.row("audit_logs", entry)? {
            self.set(schema().known("audit_logs"), &old, "user_id", Value::Null)?;
            self.rows += 1;
        }
        Ok(())
    }

    /// Whether a conversation is another account's.
    fn is_foreign(&mut self, conversation: Option<Uuid>, user: Uuid) -> Result<bool, Refusal> {
        let Some(id) = conversation else { return Ok(false) };
        let owner = match self.owners.get(&id) {
            Some(known) => *known,
            None => {
                let found = self.owner_of(id)?;
                self.owners.insert(id, found);
                found
            }
        };
        Ok(owner != Some(user))
    }

    /// The conversation's account; of one that is gone the trail may still know.
    fn owner_of(&self, conversation: Uuid) -> Result<Option<Uuid>, Refusal> {
        let conversations = schema().known("conversations");
        if let Some(row) = self.row("conversations", conversation)? {
            return Ok(row[conversations.at("user_id")].as_uuid());
        }
        let audit = schema().known("audit_logs");
        let about = Query::all(audit.id)
            .equal("entity_type", Value::text("conversations"))
            .equal("entity_id", Value::Uuid(conversation))
            .limit(1);
        let reader = Reader::new(self.transaction.reads(), self.service, Limits::default());
        let entry = reader.stored(&about, Command::Select)?.pop();
        Ok(entry.and_then(|entry| {
            let named = |column: &str| member(&entry[audit.at(column)], "user_id");
            named("old_value").or_else(|| named("new_value"))
        }))
    }
}

/// An id in a row that the trail keeps as JSON.
fn member(value: &Value, name: &str) -> Option<Uuid> {
    let document: Json = value.as_json()?;
    document[name].as_str().and_then(|text| Uuid::parse_str(text).ok())
}

//! Deleting an account, with everything that is its own.
//!
//! An account may have gathered any number of rows, so its deletion is many commits: the first ends the account for its
//! owner, each further one removes some rows, the last the account itself. What a crash cuts short goes on with the next
//! start.

use models::table::OnDelete;
use models::{Aggregate, Claims, Command, Row, TableInfo, Value, schema};
use serde_json::json;
use store::query::{Comparison, Field, Filter, Item, Limits, Output, Query, Reader, size};
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use crate::Actors;
use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::user::create_first_administrator::is_last_administrator;

/// Rows that go with the account they name; no foreign key leads from these to it.
pub(crate) const GOES: &[(&str, &str)] = &[("conversations", "user_id"), ("storage.objects", "owner")];
/// Where the name of the account goes and the row stays.
pub(crate) const IS_FORGOTTEN: &[(&str, &str)] =
    &[("prompt_templates", "created_by"), ("negative_prompts", "created_by"), ("storage.buckets", "owner")];
/// Rows that go with a conversation, a character or a job of the account.
#[cfg(test)]
pub(crate) const GOES_WITH_A_ROW: &[(&str, &str)] =
    &[("chat.replies", "user_id"), ("chat.lorebooks", "user_id"), ("queue.entries", "user_id")];

/// What `app_metadata` of an account says whose deletion has begun.
const UNDER_WAY: &str = "deletion_under_way";

/// Deletes an account whole. Rows that refuse to lose what they refer to give the reference up, or go too.
pub async fn delete_account(actors: &Actors, claims: &Claims, user_id: Uuid) -> Result<(), Refusal> {
    delete_in_steps(
        actors,
        claims,
        EndAccount { user_id, keeps_rows: false, spares_last_administrator: false },
    )
    .await
}

/// As [`delete_account`], for an account that deletes itself: the last administrator may not.
pub async fn delete_own_account(actors: &Actors, claims: &Claims, user_id: Uuid) -> Result<(), Refusal> {
    delete_in_steps(
        actors,
        claims,
        EndAccount { user_id, keeps_rows: false, spares_last_administrator: true },
    )
    .await
}

async fn delete_in_steps(actors: &Actors, claims: &Claims, end: EndAccount) -> Result<(), Refusal> {
    let user_id = end.user_id;
    // An operator may delete their own account, in whose name nothing is decided from the first commit on.
    let claims = match claims.user_id == Some(user_id) {
        true => Claims { request_id: claims.request_id.clone(), ..Claims::service() },
        false => claims.clone(),
    };
    actors.ask(&claims, end).await?;
    while actors.ask(&claims, RemoveSome { user_id }).await? {}
    Ok(())
}

/// Goes on with the deletions that an earlier process began; how many there were.
pub async fn finish_deletions(actors: &Actors) -> Result<usize, Refusal> {
    let store = actors.store().clone();
    let begun = tokio::task::spawn_blocking(move || under_way(&store)).await;
    let begun = begun.map_err(|error| StoreError::raised("XX000", error.to_string()))??;
    for user_id in &begun {
        delete_account(actors, &Claims::service(), *user_id).await?;
    }
    Ok(begun.len())
}

fn under_way(store: &store::Store) -> Result<Vec<Uuid>, StoreError> {
    let users = schema().known("auth.users");
    let service = Claims::service();
    let caller = Caller::new(&service);
    let limits = Limits { duration_max: std::time::Duration::from_secs(3600), ..Limits::default() };
    let mut found = Vec::new();
    Reader::new(store.reads(), &caller, limits).each_stored(
        &Query::all(users.id),
        Command::Select,
        &mut |user| {
            let metadata = user[users.at("app_metadata")].as_json();
            if metadata.is_some_and(|metadata| metadata[UNDER_WAY] == true) {
                found.extend(user[users.at("id")].as_uuid());
            }
            Ok(true)
        },
    )?;
    Ok(found)
}

/// Ends an account: nothing opens it any more, and nothing in it identifies the person.
#[derive(Debug)]
pub struct EndAccount {
    /// Which.
    pub user_id: Uuid,
    /// Whether its rows stay; else they are to be removed, which goes on until they are.
    pub keeps_rows: bool,
    /// Whether the last administrator is refused, with [`LAST_ADMINISTRATOR`]. Asked within the commit: two of them may
    /// end at once.
    pub spares_last_administrator: bool,
}

/// The SQLSTATE of the refusal to end the last administrator.
pub const LAST_ADMINISTRATOR: &str = "PT409";

impl Decision for EndAccount {
    /// Whether there was such an account.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let users = schema().known("auth.users");
        let id = Value::Uuid(self.user_id);
        let Some(user) = transaction.reads().get(users, std::slice::from_ref(&id))? else { return Ok(false) };
        if self.spares_last_administrator && is_last_administrator(transaction, self.user_id)? {
            let reason = "This is the last administrator: make another account one first";
            return Err(Refusal::raised(LAST_ADMINISTRATOR, reason));
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        cancel_jobs(transaction, &service, &id, "the account has ended")?;
        if self.keeps_rows {
            for table in ["auth.sessions", "auth.one_time_tokens", "auth.identities", "auth.api_tokens"] {
                let table = schema().known(table);
                for row in transaction.reads().referring(table, table.at("user_id"), &id)? {
                    transaction.delete(&service, table, &row)?;
                }
            }
        }
        let mut ended = user.clone();
        for column in ["email", "new_email", "phone", "encrypted_password"] {
            ended[users.at(column)] = Value::Null;
        }
        let app_metadata = if self.keeps_rows { json!({}) } else { json!({ UNDER_WAY: true }) };
        ended[users.at("app_metadata")] = Value::json(&app_metadata);
        ended[users.at("user_metadata")] = Value::json(&json!({}));
        ended[users.at("deleted_at")] = Value::now();
        transaction.update(&service, users, &user, ended)?;
        Ok(true)
    }
}

/// Rows that go in one commit, and bytes of them.
const ROWS_MAX: usize = 2_000;
const BYTES_MAX: usize = 16 << 20;
/// Rows that are looked for at a time.
const KEYS_MAX: usize = 1_000;
/// Rows that go with rows that go with rows, at most so often.
const DEPTH_MAX: usize = 16;

/// Removes some of the rows of an account that has ended, and at last the account.
#[derive(Debug)]
pub struct RemoveSome {
    /// Which.
    pub user_id: Uuid,
}

impl Decision for RemoveSome {
    /// Whether there may be more to remove.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let users = schema().known("auth.users");
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let mut removal = Removal { transaction, service: &service, rows: ROWS_MAX, bytes: BYTES_MAX };
        let id = Value::Uuid(self.user_id);
        for (table, column) in GOES {
            let table = schema().known(table);
            let filter = Filter::equal(table.at(column), id.clone());
            if !removal.remove_all(table, &filter, 0)? {
                return Ok(true);
            }
        }
        for filter in folders_of(transaction, self.user_id)? {
            if !removal.remove_all(schema().known("storage.objects"), &filter, 0)? {
                return Ok(true);
            }
        }
        for (table, column) in IS_FORGOTTEN {
            let table = schema().known(table);
            if !removal.forget_all(table, table.at(column), &id)? {
                return Ok(true);
            }
        }
        Ok(!removal.remove(users, std::slice::from_ref(&id), 0)?)
    }
}

/// What finds the files in an account's folders, one filter for each bucket. They go, whichever account put them there: beside the
/// account only operators could, and read them.
fn folders_of(transaction: &Transaction, user_id: Uuid) -> Result<Vec<Filter>, StoreError> {
    let (buckets, objects) = (schema().known("storage.buckets"), schema().known("storage.objects"));
    let mut filters = Vec::new();
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    let reader = Reader::new(transaction.reads(), &caller, Limits::default());
    reader.each_stored(&Query::all(buckets.id), Command::Select, &mut |bucket| {
        let name = objects.at("name");
        // What begins with the folder's name and a slash; `0` follows the slash.
        let from = Filter::compare(name, Comparison::GreaterOrEqual, Value::text(format!("{user_id}/")));
        let to = Filter::compare(name, Comparison::Less, Value::text(format!("{user_id}0")));
        let in_bucket = Filter::equal(objects.at("bucket_id"), bucket[buckets.at("id")].clone());
        filters.push(in_bucket.and(from).and(to));
        Ok(true)
    })?;
    Ok(filters)
}

/// Removes rows until a commit has enough of them. What refers to a row goes before it, so that nothing cascades.
struct Removal<'t, 's> {
    transaction: &'t Transaction<'s>,
    service: &'t Caller<'t>,
    /// Rows, and bytes, that may still go in this commit.
    rows: usize,
    bytes: usize,
}

impl Removal<'_, '_> {
    /// Removes what a filter finds; false where some are left for another commit.
    fn remove_all(&mut self, table: &TableInfo, filter: &Filter, depth: usize) -> Result<bool, Refusal> {
        loop {
            let keys = self.keys(table, filter)?;
            if keys.is_empty() {
                return Ok(true);
            }
            for key in keys {
                if !self.remove(table, &key, depth)? {
                    return Ok(false);
                }
            }
        }
    }

    /// Removes the row with a key, if it is there; false where it, or something of it, is left for another commit.
    fn remove(&mut self, table: &TableInfo, key: &[Value], depth: usize) -> Result<bool, Refusal> {
        let Some(row) = self.transaction.reads().get(table, key)? else { return Ok(true) };
        for (referrer, relation) in &table.referenced_by {
            let referrer = &schema().tables[*referrer];
            let relation = &referrer.relations[*relation];
            let value = &row[relation.target_column];
            if !relation.enforced || value.is_null() || depth >= DEPTH_MAX {
                continue;
            }
            let goes_too = match relation.on_delete {
                OnDelete::Cascade => true,
                OnDelete::SetNull => false,
                OnDelete::NoAction => !referrer.table.columns[relation.column].is_nullable,
            };
            let is_done = match goes_too {
                true => {
                    self.remove_all(referrer, &Filter::equal(relation.column, value.clone()), depth + 1)?
                }
                false => self.forget_all(referrer, relation.column, value)?,
            };
            if !is_done {
                return Ok(false);
            }
        }
        // What went before it may have changed it.
        if let Some(row) = self.transaction.reads().get(table, key)? {
            self.transaction.purge(self.service, table, &row)?;
            self.count(&row);
        }
        Ok(self.has_room())
    }

    /// Takes a value out of a column; false where some rows are left for another commit.
    fn forget_all(&mut self, table: &TableInfo, column: usize, value: &Value) -> Result<bool, Refusal> {
        loop {
            let keys = self.keys(table, &Filter::equal(column, value.clone()))?;
            if keys.is_empty() {
                return Ok(true);
            }
            for key in keys {
                let Some(row) = self.transaction.reads().get(table, &key)? else { continue };
                let mut orphan = row.clone();
                orphan[column] = Value::Null;
                let updated = self.transaction.update(self.service, table, &row, orphan)?;
                if updated[column] == *value {
                    // It would be found again for ever.
                    let column = table.table.columns[column].name;
                    let reason = format!("{}.{column} does not give up what it refers to", table.name());
                    return Err(Refusal::raised("XX000", reason));
                }
                self.count(&row);
                if !self.has_room() {
                    return Ok(false);
                }
            }
        }
    }

    /// The keys of some rows that a filter finds; of the rows nothing else is read.
    fn keys(&self, table: &TableInfo, filter: &Filter) -> Result<Vec<Vec<Value>>, Refusal> {
        let mut query = Query::all(table.id).filter(filter.clone());
        let key = |column: &usize| Output {
            key: table.table.columns[*column].name.into(),
            item: Item::Field(Field::column(*column)),
        };
        query.select = table.primary_key.iter().map(key).collect();
        let query = query.limit(self.rows.clamp(1, KEYS_MAX) as u64);
        let reader = Reader::new(self.transaction.reads(), self.service, Limits::default());
        Ok(reader.select(&query, false)?.rows)
    }

    fn count(&mut self, row: &Row) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size(row));
    }

    fn has_room(&self) -> bool {
        self.rows > 0 && self.bytes > 0
    }
}

/// Cancels what an account has in the queue; what was reserved for it comes back.
pub(crate) fn cancel_jobs(
    transaction: &Transaction,
    service: &Caller,
    user: &Value,
    reason: &str,
) -> Result<(), Refusal> {
    let jobs = schema().known("jobs");
    let status = jobs.at("status");
    for waiting in ["queued", "processing"] {
        let query = Query::all(jobs.id)
            .filter(Filter::equal(jobs.at("user_id"), user.clone()))
            .filter(Filter::equal(status, Value::text(waiting)));
        let reader = Reader::new(transaction.reads(), service, Limits::default());
        for old in reader.stored(&query, Command::Update)? {
            let mut cancelled = old.clone();
            cancelled[status] = Value::text("cancelled");
            cancelled[jobs.at("error_message")] = Value::text(reason);
            transaction.update(service, jobs, &old, cancelled)?;
        }
    }
    Ok(())
}

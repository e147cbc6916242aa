//! The bin of the library: what an account deletes there can be put back for a while.

use std::collections::{BTreeMap, BTreeSet};

use models::{Aggregate, Command, Row, TableInfo, Value, convert, schema};
use serde_json::{Map, Value as Json};
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::file::{object_row, own_path};
use crate::job_scheduler::LIBRARY_BUCKET;
use crate::job_scheduler::file_references::is_shown_at;
use crate::refusal::Refusal;

/// Rows that one message takes.
pub const ITEMS_MAX: usize = 200;
/// Columns that name a file of the library, of tables with a `user_id`; scenes and conversations are asked apart.
const NAMED_IN: [(&str, &[&str]); 4] = [
    ("characters", &["image_url", "reference_image_url", "preview_image_url"]),
    ("images", &["image_url", "thumbnail_url", "reference_image_url"]),
    ("videos", &["video_url", "thumbnail_url", "reference_image_url"]),
    ("user_library", &["storage_path", "thumbnail_path"]),
];

/// Moves rows of the library into the bin; their files stay.
#[derive(Debug)]
pub struct BinItems {
    /// Whose.
    pub user_id: Uuid,
    /// Which, at most [`ITEMS_MAX`].
    pub ids: Vec<Uuid>,
    /// Days for which they can be put back.
    pub days: u32,
}

impl Decision for BinItems {
    /// Those that were in the library.
    type Answer = Vec<Uuid>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Vec<Uuid>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (library, bin) = (schema().known("user_library"), schema().known("library.bin"));
        let life = i64::from(self.days) * 86_400_000_000;
        let expires = Value::Timestamp(chrono::Utc::now().timestamp_micros().saturating_add(life));
        let mut moved = Vec::new();
        for id in self.ids {
            let row = transaction.reads().get(library, &[Value::Uuid(id)])?;
            let Some(row) = row.filter(|row| row[library.at("user_id")] == Value::Uuid(self.user_id)) else {
                continue;
            };
            let members = library.table.columns.iter().zip(&row);
            let members: Map<String, Json> =
                members.map(|(column, value)| (column.name.into(), convert::to_json(value))).collect();
            let mut entry = bin.default_row();
            entry[bin.at("id")] = Value::Uuid(id);
            entry[bin.at("user_id")] = Value::Uuid(self.user_id);
            entry[bin.at("row")] = Value::json(&Json::Object(members));
            entry[bin.at("expires_at")] = expires.clone();
            transaction.delete(&service, library, &row)?;
            transaction.insert(&service, bin, entry)?;
            moved.push(id);
        }
        Ok(moved)
    }
}

/// Puts rows of the bin back into the library, as they were.
#[derive(Debug)]
pub struct RestoreItems {
    /// Whose.
    pub user_id: Uuid,
    /// Which, at most [`ITEMS_MAX`].
    pub ids: Vec<Uuid>,
}

impl Decision for RestoreItems {
    /// Those that were in the bin.
    type Answer = Vec<Uuid>;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<Vec<Uuid>, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (library, bin) = (schema().known("user_library"), schema().known("library.bin"));
        let mut restored = Vec::new();
        for id in self.ids {
            let Some(entry) = own_entry(transaction, bin, id, self.user_id)? else { continue };
            let kept = entry[bin.at("row")].as_json().unwrap_or_default();
            let mut row = library.default_row();
            for (column, declared) in library.table.columns.iter().enumerate() {
                // A column that is younger than the entry keeps its default.
                let Some(json) = kept.get(declared.name) else { continue };
                row[column] = convert::from_json(declared.kind, json).map_err(|error| {
                    Refusal::raised(error.sqlstate(), format!("{}: {error}", declared.name))
                })?;
            }
            // What it referred to may be gone by now.
            for relation in library.relations.iter().filter(|relation| relation.enforced) {
                let target = &schema().tables[relation.target];
                let value = &row[relation.column];
                if relation.column != library.at("user_id")
                    && !value.is_null()
                    && transaction.reads().get(target, std::slice::from_ref(value))?.is_none()
                {
                    row[relation.column] = Value::Null;
                }
            }
            transaction.delete(&service, bin, &entry)?;
            transaction.insert(&service, library, row)?;
            restored.push(id);
        }
        Ok(restored)
    }
}

/// Empties the bin of an account, or takes some things out of it for good, with their files.
#[derive(Debug)]
pub struct EmptyBin {
    /// Whose.
    pub user_id: Uuid,
    /// Which; all of them when absent.
    pub ids: Option<Vec<Uuid>>,
}

impl Decision for EmptyBin {
    /// How many went. [`ITEMS_MAX`] means that there may be more.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let bin = schema().known("library.bin");
        let entries = match self.ids {
            Some(ids) => {
                let found = ids.into_iter().map(|id| own_entry(transaction, bin, id, self.user_id));
                found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
            }
            None => {
                let query = Query::all(bin.id).equal("user_id", Value::Uuid(self.user_id));
                first(transaction, &service, query)?
            }
        };
        remove(transaction, &service, &entries)?;
        Ok(entries.len())
    }
}

/// Removes what has been in the bin for its time.
#[derive(Debug)]
pub struct SweepBin;

impl Decision for SweepBin {
    /// How many went. [`ITEMS_MAX`] means that there may be more.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::User
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let bin = schema().known("library.bin");
        let expired = Filter::compare(bin.at("expires_at"), Comparison::Less, Value::now());
        let query = Query::all(bin.id).filter(expired).order("expires_at", false);
        let entries = first(transaction, &service, query)?;
        remove(transaction, &service, &entries)?;
        Ok(entries.len())
    }
}

fn first(transaction: &Transaction, service: &Caller, query: Query) -> Result<Vec<Row>, StoreError> {
    let reader = Reader::new(transaction.reads(), service, Limits::default());
    reader.stored(&query.limit(ITEMS_MAX as u64), Command::Select)
}

fn own_entry(
    transaction: &Transaction,
    bin: &TableInfo,
    id: Uuid,
    user: Uuid,
) -> Result<Option<Row>, StoreError> {
    let entry = transaction.reads().get(bin, &[Value::Uuid(id)])?;
    Ok(entry.filter(|row| row[bin.at("user_id")] == Value::Uuid(user)))
}

/// Removes entries for good, and their files unless something else of their account names them.
fn remove(transaction: &Transaction, service: &Caller, entries: &[Row]) -> Result<(), Refusal> {
    let (bin, objects) = (schema().known("library.bin"), schema().known("storage.objects"));
    let mut files: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
    for entry in entries {
        transaction.delete(service, bin, entry)?;
        if let Some(user) = entry[bin.at("user_id")].as_uuid() {
            files.entry(user).or_default().extend(files_of(entry, user));
        }
    }
    for (user, mut files) in files {
        keep_named(transaction, service, user, &mut files)?;
        for path in files {
            if let Some(object) = object_row(transaction, LIBRARY_BUCKET, &path)? {
                transaction.delete(service, objects, &object)?;
            }
        }
    }
    Ok(())
}

/// The files of an entry that lie in its account's own folder.
fn files_of(entry: &Row, user: Uuid) -> Vec<String> {
    let row = entry[schema().known("library.bin").at("row")].as_json().unwrap_or_default();
    let stored = ["storage_path", "thumbnail_path"].map(|column| row[column].as_str().map(str::to_string));
    let own = |stored: String| own_path(user, LIBRARY_BUCKET, &stored).map(str::to_string);
    stored.into_iter().flatten().filter_map(own).collect()
}

/// Takes the files out of a set that rows of their account still name: each table is read once.
fn keep_named(
    transaction: &Transaction,
    service: &Caller,
    user: Uuid,
    files: &mut BTreeSet<String>,
) -> Result<(), Refusal> {
    let reader = || Reader::new(transaction.reads(), service, Limits::default());
    for (table, columns) in NAMED_IN {
        let table = schema().known(table);
        let columns: Vec<usize> = columns.iter().map(|column| table.at(column)).collect();
        let query = Query::all(table.id).equal("user_id", Value::Uuid(user));
        reader().each_stored(&query, Command::Select, &mut |row| {
            for stored in columns.iter().filter_map(|column| row[*column].as_str()) {
                if let Some(path) = own_path(user, LIBRARY_BUCKET, stored) {
                    files.remove(path);
                }
            }
            Ok(!files.is_empty())
        })?;
    }
    let bin = schema().known("library.bin");
    let query = Query::all(bin.id).equal("user_id", Value::Uuid(user));
    reader().each_stored(&query, Command::Select, &mut |entry| {
        for path in files_of(&entry, user) {
            files.remove(&path);
        }
        Ok(!files.is_empty())
    })?;
    for path in files.clone() {
        if is_shown_at(transaction, LIBRARY_BUCKET, &path, &Value::Uuid(user))? {
            files.remove(&path);
        }
    }
    Ok(())
}

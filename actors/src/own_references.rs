//! What a row may name: the server acts on these names with its own rights, so they must be the account's own.
//!
//! A reference to another account's job, picture, video or asset is refused as if the row did not exist. An address of
//! a stored file is refused when it lies in another account's folder and the author may not read it. Characters and
//! portraits are left out: the copy of a public character shows her portrait, and no function reads that file but with
//! the rights of its caller.

use std::sync::LazyLock;

use models::{ColumnType, Command, Row, TableId, TableInfo, Value, schema};
use store::{Caller, Event, StoreError, Transaction, guard};
use uuid::Uuid;

use crate::file::{StoredAddress, folder_account, object_row};

/// Tables whose rows belong to one account, whoever may read them. A row of another account that refers to them could
/// keep their owner from deleting them.
const OWN_TABLES: [&str; 7] =
    ["jobs", "images", "videos", "workspace_assets", "workspace_items", "projects", "workspace_sessions"];
/// Columns that name such a row, also where the documents declare no foreign key.
const NAMES: [(&str, &str); 4] = [
    ("job_id", "jobs"),
    ("image_id", "images"),
    ("video_id", "videos"),
    ("workspace_asset_id", "workspace_assets"),
];
/// Tables that may show files of other accounts.
const MAY_SHOW_OTHERS: [&str; 2] = ["characters", "character_portraits"];

/// What is checked of one table.
#[derive(Default)]
struct Checks {
    /// `(column, the table that it names, the name of the constraint)`.
    rows: Vec<(usize, TableId, String)>,
    /// Columns with the address of a file.
    files: Vec<usize>,
}

static CHECKS: LazyLock<Vec<Checks>> = LazyLock::new(|| schema().tables.iter().map(checks_of).collect());

fn checks_of(table: &TableInfo) -> Checks {
    let mut checks = Checks::default();
    if table.table.schema != "public" {
        return checks;
    }
    let own = |name: &str| OWN_TABLES.contains(&name).then(|| schema().known(name).id);
    for relation in &table.relations {
        if let Some(target) = own(schema().tables[relation.target].table.name) {
            checks.rows.push((relation.column, target, relation.name.clone()));
        }
    }
    for (index, column) in table.table.columns.iter().enumerate() {
        let named = NAMES.iter().find(|(name, _)| *name == column.name && column.kind == ColumnType::Uuid);
        if let Some(target) = named.and_then(|(_, table)| own(table))
            && !checks.rows.iter().any(|(known, _, _)| *known == index)
        {
            checks.rows.push((index, target, format!("{}_{}_fkey", table.table.name, column.name)));
        }
        let names_file = ["_path", "_url", "_urls", "_image"].iter().any(|end| column.name.ends_with(end));
        if (names_file || column.name == "url") && !MAY_SHOW_OTHERS.contains(&table.table.name) {
            checks.files.push(index);
        }
    }
    checks
}

/// Refuses a row of an account that names what is another account's.
pub(crate) fn check(transaction: &Transaction, event: &Event, new: &Row) -> Result<(), StoreError> {
    let Some(author) = event.claims.user_id.filter(|_| !event.claims.is_service()) else { return Ok(()) };
    let checks = &CHECKS[event.table.id];
    let changed = |column: usize| event.old.is_none_or(|old| old[column] != new[column]);
    let mut foreign = None;
    for (column, target, constraint) in &checks.rows {
        if changed(*column) && names_foreign_row(transaction, author, *target, &new[*column])? {
            foreign = Some(missing(event.table, *column, *target, constraint, &new[*column]));
            break;
        }
    }
    for column in &checks.files {
        if foreign.is_none() && changed(*column) {
            for text in texts(&new[*column]) {
                if names_foreign_file(transaction, event, author, &text)? {
                    let name = event.table.table.columns[*column].name;
                    let message = format!("{name}: the file belongs to another account");
                    foreign = Some(StoreError::raised("42501", message));
                }
            }
        }
    }
    match foreign {
        // Asked last: it costs a look at the roles.
        Some(error) if !Caller::new(event.claims).is_admin(&transaction.reads())? => Err(error),
        _ => Ok(()),
    }
}

/// Whether there is such a row and it belongs to another account.
fn names_foreign_row(
    transaction: &Transaction,
    author: Uuid,
    target: TableId,
    id: &Value,
) -> Result<bool, StoreError> {
    let table = &schema().tables[target];
    if id.is_null() {
        return Ok(false);
    }
    let row = transaction.reads().get(table, std::slice::from_ref(id))?;
    Ok(row.is_some_and(|row| row[table.at("user_id")].as_uuid() != Some(author)))
}

/// The answer for a row that does not exist: what belongs to others is answered alike.
fn missing(table: &TableInfo, column: usize, target: TableId, constraint: &str, value: &Value) -> StoreError {
    StoreError::ReferenceMissing {
        table: table.table.name.into(),
        constraint: constraint.into(),
        column: table.table.columns[column].name.into(),
        value: value.as_uuid().map(|id| id.to_string()).unwrap_or_default(),
        target: schema().tables[target].table.name.into(),
    }
}

/// The texts of a value: of a text itself, of lists their members.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) => vec![text.clone()],
        Value::TextArray(texts) => texts.iter().flatten().cloned().collect(),
        other => match other.as_json() {
            Some(serde_json::Value::Array(items)) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_string)).collect()
            }
            Some(serde_json::Value::String(text)) => vec![text],
            _ => Vec::new(),
        },
    }
}

/// Whether a text names a file in another account's folder that the author may not read.
fn names_foreign_file(
    transaction: &Transaction,
    event: &Event,
    author: Uuid,
    text: &str,
) -> Result<bool, StoreError> {
    let Some(address) = StoredAddress::parse(text) else { return Ok(false) };
    let buckets = schema().known("storage.buckets");
    let known = |name: &str| transaction.reads().get(buckets, &[Value::text(name)]);
    let first = address.path.split('/').next().unwrap_or_default();
    let bucket_row = known(first)?;
    let (bucket, path) = address.split(|_| bucket_row.is_some());
    if folder_account(path).is_none_or(|account| account == author) {
        return Ok(false);
    }
    // Without a bucket the column says which one it is, and all of those are private.
    let (Some(bucket), Some(row)) = (bucket, bucket_row) else { return Ok(true) };
    if row[buckets.at("public")].as_bool() == Some(true) {
        return Ok(false);
    }
    let objects = schema().known("storage.objects");
    let object = object_row(transaction, bucket, path).map_err(into_store_error)?;
    let Some(object) = object else { return Ok(true) };
    let caller = Caller::new(event.claims);
    Ok(!guard::allows(&transaction.reads(), &caller, objects, Command::Select, &object)?)
}

fn into_store_error(refusal: crate::refusal::Refusal) -> StoreError {
    match refusal {
        crate::refusal::Refusal::Store(error) => error,
        other => StoreError::raised("XX000", other.to_string()),
    }
}

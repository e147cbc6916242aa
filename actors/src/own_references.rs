//! What a row may name: the server acts on these names with its own rights, and a reference may keep its target from
//! being deleted, so they must be what the author may read.
//!
//! A reference to a row that its table's policy hides from the author is refused as if that row did not exist, before
//! unique keys are looked at, so that nothing tells which ids there are; where rows refer to rows of their own table, which
//! may come later in the same statement, both are refused at its end. Public characters may be referred to. An address
//! of a stored file is refused when it lies in another account's folder and the author may not read it. Characters and
//! portraits are left out of that: the copy of a public character shows her portrait, and no function reads that file but
//! with the rights of its caller. So it is with addresses inside of documents such as `metadata`.

use std::sync::LazyLock;

use models::policy::Rule;
use models::{ColumnType, Command, Row, TableId, TableInfo, Value, schema};
use store::{Caller, Event, StoreError, Transaction, guard};
use uuid::Uuid;

use crate::file::{StoredAddress, folder_account, object_row};

/// Columns that name a row of an account although the documents declare no foreign key.
const NAMES: [(&str, &str); 4] = [
    ("job_id", "jobs"),
    ("image_id", "images"),
    ("video_id", "videos"),
    ("workspace_asset_id", "workspace_assets"),
];
/// Tables that may show files of other accounts.
const MAY_SHOW_OTHERS: [&str; 2] = ["characters", "character_portraits"];
/// How the names of columns end that hold addresses of files.
const ADDRESS_ENDS: [&str; 5] = ["_path", "_url", "_urls", "_image", "_images"];
/// How often a text may be percent-encoded.
const ENCODED_MAX: usize = 3;

/// What is checked of one table.
#[derive(Default)]
struct Checks {
    rows: Vec<Reference>,
    /// Columns with the address of a file.
    files: Vec<usize>,
}

/// A column that names a row of an account.
#[derive(Debug)]
pub struct Reference {
    /// The column's position.
    pub column: usize,
    /// The table that it names a row of.
    pub target: TableId,
    /// By which of its columns.
    pub target_column: usize,
    /// The constraint that a refusal names.
    pub constraint: String,
    /// Whether a foreign key refuses what does not exist.
    pub declared: bool,
}

/// The columns of a table that may only name what the author may read.
pub fn references(table: &TableInfo) -> &'static [Reference] {
    &CHECKS[table.id].rows
}

static CHECKS: LazyLock<Vec<Checks>> = LazyLock::new(|| schema().tables.iter().map(checks_of).collect());

fn checks_of(table: &TableInfo) -> Checks {
    let mut checks = Checks::default();
    if table.table.schema != "public" {
        return checks;
    }
    for relation in table.relations.iter().filter(|relation| relation.enforced) {
        let target = &schema().tables[relation.target];
        if target.table.schema == "public" && is_owned(target.rule(Command::Select)) {
            let constraint = relation.name.clone();
            let (column, target_column) = (relation.column, relation.target_column);
            let target = relation.target;
            checks.rows.push(Reference { column, target, target_column, constraint, declared: true });
        }
    }
    for (column, declared) in table.table.columns.iter().enumerate() {
        let named =
            NAMES.iter().find(|(name, _)| *name == declared.name && declared.kind == ColumnType::Uuid);
        if let Some((_, target)) = named
            && !table.relations.iter().any(|relation| relation.enforced && relation.column == column)
        {
            let target = schema().known(target);
            let constraint = format!("{}_{}_fkey", table.table.name, declared.name);
            let (target, target_column) = (target.id, target.at("id"));
            checks.rows.push(Reference { column, target, target_column, constraint, declared: false });
        }
        let names_file = ADDRESS_ENDS.iter().any(|end| declared.name.ends_with(end));
        if (names_file || declared.name == "url") && !MAY_SHOW_OTHERS.contains(&table.table.name) {
            checks.files.push(column);
        }
    }
    checks
}

/// Whether a policy tells accounts apart: rows of a catalogue have no owner.
fn is_owned(rule: &Rule) -> bool {
    match rule {
        Rule::Or(parts) | Rule::And(parts) => parts.iter().any(is_owned),
        Rule::Not(inner) => is_owned(inner),
        Rule::Owner(_) | Rule::Folder(_) | Rule::Via { .. } => true,
        _ => false,
    }
}

/// Refuses a row of an account that names what is another account's.
pub(crate) fn check(transaction: &Transaction, event: &Event, new: &Row) -> Result<(), StoreError> {
    let Some(author) = event.claims.user_id.filter(|_| !event.claims.is_service()) else { return Ok(()) };
    let checks = &CHECKS[event.table.id];
    let changed = |column: usize| event.old.is_none_or(|old| old[column] != new[column]);
    let (mut refused, mut at_the_end) = (None, Vec::new());
    for reference in checks.rows.iter().filter(|reference| changed(reference.column)) {
        match named(transaction, event, author, reference, new)? {
            Named::Readable => {}
            Named::HiddenOfSameTable => at_the_end.push(reference.column),
            Named::HiddenOrMissing => {
                refused = Some(missing(event.table, reference, &new[reference.column]));
                break;
            }
        }
    }
    for column in &checks.files {
        if refused.is_none() && changed(*column) {
            let name = event.table.table.columns[*column].name;
            for text in texts(&new[*column]) {
                if let Some(reason) = names_foreign_file(transaction, event, author, &text)? {
                    refused = Some(reason.of(name));
                }
            }
        }
    }
    // The roles are looked at last, since that costs something.
    if refused.is_none() && at_the_end.is_empty()
        || Caller::new(event.claims).is_admin(&transaction.reads())?
    {
        return Ok(());
    }
    for column in at_the_end {
        transaction.hide_reference(event.table, column, &new[column]);
    }
    refused.map_or(Ok(()), Err)
}

/// What a column names.
enum Named {
    /// Nothing, what the author may read, or what the foreign key judges at the end.
    Readable,
    /// A row of the same table that the author may not read. One that does not exist may come yet, in the same statement,
    /// and is judged at the end; so is this one, and no other answer tells them apart.
    HiddenOfSameTable,
    /// A row that the author may not read, or that does not exist: no later answer tells them apart.
    HiddenOrMissing,
}

fn named(
    transaction: &Transaction,
    event: &Event,
    author: Uuid,
    reference: &Reference,
    new: &Row,
) -> Result<Named, StoreError> {
    let id = &new[reference.column];
    let target = &schema().tables[reference.target];
    // An account's own profile, which most rows name, needs no look.
    if id.is_null() || (target.table.name == "profiles" && id.as_uuid() == Some(author)) {
        return Ok(Named::Readable);
    }
    let reads = transaction.reads();
    let row = match target.primary_key == [reference.target_column] {
        true => reads.get(target, std::slice::from_ref(id))?,
        false => reads.referring(target, reference.target_column, id)?.into_iter().next(),
    };
    let is_of_same_table = reference.declared && reference.target == event.table.id;
    let is_readable = match &row {
        None => false,
        Some(row) => guard::allows(&reads, &Caller::new(event.claims), target, Command::Select, row)?,
    };
    Ok(match (is_readable, is_of_same_table) {
        (true, _) => Named::Readable,
        (false, false) => Named::HiddenOrMissing,
        (false, true) if row.is_none() => Named::Readable,
        (false, true) => Named::HiddenOfSameTable,
    })
}

/// The answer for a row that does not exist: what is hidden is answered alike.
fn missing(table: &TableInfo, reference: &Reference, value: &Value) -> StoreError {
    StoreError::ReferenceMissing {
        table: table.table.name.into(),
        constraint: reference.constraint.clone(),
        column: table.table.columns[reference.column].name.into(),
        value: value.as_uuid().map(|id| id.to_string()).unwrap_or_default(),
        target: schema().tables[reference.target].table.name.into(),
    }
}

/// The texts of a value: of a text itself, of lists and documents all that are in them.
fn texts(value: &Value) -> Vec<String> {
    fn collect(json: &serde_json::Value, into: &mut Vec<String>) {
        match json {
            serde_json::Value::String(text) => into.push(text.clone()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            serde_json::Value::Object(fields) => fields.values().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    match value {
        Value::Text(text) => vec![text.clone()],
        Value::TextArray(texts) => texts.iter().flatten().cloned().collect(),
        other => {
            let mut found = Vec::new();
            if let Some(json) = other.as_json() {
                collect(&json, &mut found);
            }
            found
        }
    }
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BadAddress {
    Foreign,
    Climbs,
}

impl BadAddress {
    fn of(self, column: &str) -> StoreError {
        match self {
            BadAddress::Foreign => {
                StoreError::raised("42501", format!("{column}: the file belongs to another account"))
            }
            BadAddress::Climbs => StoreError::raised(
                "22023",
                format!("{column}: the path of a stored file has no \"..\" in it"),
            ),
        }
    }
}

/// Whether a text names a file in another account's folder that the author may not read, in any of its readings.
fn names_foreign_file(
    transaction: &Transaction,
    event: &Event,
    author: Uuid,
    text: &str,
) -> Result<Option<BadAddress>, StoreError> {
    let mut text = text.to_string();
    for _ in 0..=ENCODED_MAX {
        let Some(address) = StoredAddress::parse(&text) else { return Ok(None) };
        if address.climbs() {
            return Ok(Some(BadAddress::Climbs));
        }
        if is_foreign(transaction, event, author, &address)? {
            return Ok(Some(BadAddress::Foreign));
        }
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            break;
        }
        text = decoded;
    }
    Ok(None)
}

fn is_foreign(
    transaction: &Transaction,
    event: &Event,
    author: Uuid,
    address: &StoredAddress,
) -> Result<bool, StoreError> {
    // Most texts name no account's folder.
    let below = address.path.split_once('/').map_or("", |(_, rest)| rest);
    if folder_account(&address.path).is_none() && folder_account(below).is_none() {
        return Ok(false);
    }
    let buckets = schema().known("storage.buckets");
    let first = address.path.split('/').next().unwrap_or_default();
    let bucket_row = transaction.reads().get(buckets, &[Value::text(first)])?;
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

//! Which columns name accounts, and rows that name accounts that are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use models::{Claims, ColumnType, Command, TableInfo, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, StoreError};
use uuid::Uuid;

use crate::file::folder_account;

/// How columns are called that name an account without a foreign key.
const NAMES: [&str; 6] = ["user_id", "owner", "created_by", "creator_id", "reviewed_by", "admin_rated_by"];
/// However many rows there are, each is looked at.
const DURATION_MAX: Duration = Duration::from_secs(3600);

/// Rows of a table that name accounts that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// The table, with its schema outside `public`.
    pub table: String,
    /// The column that names the account.
    pub column: &'static str,
    /// How many rows there are, by account.
    pub rows: BTreeMap<Uuid, u64>,
}

/// The columns of a table that name an account.
pub fn account_columns(table: &TableInfo) -> impl Iterator<Item = usize> + '_ {
    let accounts = ["auth.users", "profiles"].map(|name| schema().known(name).id);
    (0..table.table.columns.len()).filter(move |column| {
        let refers = table.relations.iter().any(|relation| {
            relation.enforced && relation.column == *column && accounts.contains(&relation.target)
        });
        table.kind(*column) == ColumnType::Uuid
            && (refers || NAMES.contains(&table.table.columns[*column].name))
    })
}

/// Rows that name accounts that are gone: a deletion takes or changes all of them, so that there are none unless an earlier
/// version left some. Blocks while it reads every such table.
pub fn left_behind(store: &Store) -> Result<Vec<LeftBehind>, StoreError> {
    let service = Claims::service();
    let caller = Caller::new(&service);
    let users = schema().known("auth.users");
    let mut found = Vec::new();
    for table in &schema().tables {
        let mut columns: Vec<usize> = account_columns(table).collect();
        // Folders are named after accounts.
        let folder = (table.name() == "storage.objects").then(|| table.at("name"));
        columns.extend(folder);
        if columns.is_empty() {
            continue;
        }
        let mut gone = vec![BTreeMap::new(); columns.len()];
        let limits = Limits { duration_max: DURATION_MAX, ..Limits::default() };
        let reader = Reader::new(store.reads(), &caller, limits);
        reader.each_stored(&Query::all(table.id), Command::Select, &mut |row| {
            for (column, gone) in columns.iter().zip(&mut gone) {
                let id = match Some(*column) == folder {
                    true => row[*column].as_str().and_then(folder_account),
                    false => row[*column].as_uuid(),
                };
                let Some(id) = id else { continue };
                if store.reads().get(users, &[Value::Uuid(id)])?.is_none() {
                    *gone.entry(id).or_insert(0) += 1;
                }
            }
            Ok(true)
        })?;
        for (column, rows) in columns.into_iter().zip(gone).filter(|(_, rows)| !rows.is_empty()) {
            found.push(LeftBehind { table: table.name(), column: table.table.columns[column].name, rows });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::delete_account::{GOES, GOES_WITH_A_ROW, IS_FORGOTTEN};

    #[test]
    fn a_deletion_knows_every_column_that_names_an_account() {
        let accounts = ["auth.users", "profiles"].map(|name| schema().known(name).id);
        for table in &schema().tables {
            for column in account_columns(table) {
                let refers = |relation: &models::schema::Relation| {
                    relation.enforced && relation.column == column && accounts.contains(&relation.target)
                };
                let name = (table.name(), table.table.columns[column].name);
                let listed = [GOES, IS_FORGOTTEN, GOES_WITH_A_ROW].concat();
                let is_listed = listed.contains(&(name.0.as_str(), name.1));
                let ways = usize::from(table.relations.iter().any(refers)) + usize::from(is_listed);
                assert_eq!(ways, 1, "{name:?} has neither a foreign key nor a line in delete_account.rs");
            }
        }
    }
}

//! Numbers and names of versions: by chapter, account and style, from 1.

use models::{Row, TableInfo, Value};
use store::query::{Limits, Query, Reader};
use store::{Caller, StoreError, Transaction};

/// The columns by which versions are counted.
pub(crate) const KEY: [&str; 3] = ["chapter_id", "user_id", "script_style"];

/// The name of a version that was given none: `Cinematic 003`.
pub fn default_name(style: &str, version: i64) -> String {
    let words = style.replace(['_', '-'], " ");
    let words = words.trim();
    let mut letters = words.chars();
    let style: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    let style = if style.is_empty() { "Script" } else { style.as_str() };
    format!("{style} {version:03}")
}

/// Scripts with the same chapter, account and style.
pub(crate) fn siblings(table: &TableInfo, row: &Row) -> Query {
    KEY.iter().fold(Query::all(table.id), |query, column| query.equal(column, row[table.at(column)].clone()))
}

/// The number of the next version. Decisions about the store are taken one at a time, so that no two get the same.
pub(crate) fn next(transaction: &Transaction, table: &TableInfo, row: &Row) -> Result<i64, StoreError> {
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    let newest = siblings(table, row).order("version", true).limit(1);
    let reader = Reader::new(transaction.reads(), &caller, Limits::default());
    let newest = reader.select(&newest, false)?.rows.pop();
    let highest = newest.and_then(|row| row[table.at("version")].as_i64()).unwrap_or(0).max(0);
    Ok(highest + 1)
}

/// Gives a row the next number, and the name that goes with it unless it has one.
pub(crate) fn assign(transaction: &Transaction, table: &TableInfo, row: &mut Row) -> Result<(), StoreError> {
    let number = next(transaction, table, row)?;
    row[table.at("version")] = Value::Int(number);
    let name = table.at("script_name");
    if row[name].as_str().is_none_or(|name| name.trim().is_empty()) {
        let style = row[table.at("script_style")].as_str().unwrap_or_default();
        row[name] = Value::Text(default_name(style, number));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_style_and_three_digits() {
        assert_eq!(default_name("cinematic_movie", 7), "Cinematic movie 007");
        assert_eq!(default_name("ängstlich", 1234), "Ängstlich 1234");
        assert_eq!(default_name(" ", 1), "Script 001");
    }
}

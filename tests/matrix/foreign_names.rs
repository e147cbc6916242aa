//! Rows that name what is another account's: beside the document's policies, the server refuses them.

use serde_json::{Value as Json, json};

use crate::document::{Column, Table};
use crate::policy::{Row, Rule, Verb, Who, World};

/// Copies of public characters show files of their owners.
const MAY_SHOW_OTHERS: [&str; 2] = ["characters", "character_portraits"];

/// Whether a row refers to a row that is hidden from who writes it.
pub fn refers_to_hidden_row(who: &Who, table: &Table, row: &Row, world: &World) -> bool {
    if who.admin || who.service || who.user.is_none() {
        return false;
    }
    table.references.iter().any(|(column, target)| {
        let Some(id) = row.get(column).filter(|id| !id.is_null()) else { return false };
        let rule = &world.rules[target][Verb::Select.name()];
        let is_owned = |atom: &&Rule| matches!(atom, Rule::Call(name, _) if name != "null");
        if !rule.atoms().iter().any(is_owned) {
            // Rows of a catalogue have no owner.
            return false;
        }
        let referred = world.rows[target].iter().find(|row| row["id"] == *id);
        referred.is_some_and(|row| !world.allows(who, Verb::Select, target, row))
    })
}

/// Columns of a table that hold the address of a file.
pub fn address_columns(table: &Table) -> Vec<&Column> {
    let is_address =
        |name: &str| name == "url" || ["_path", "_url", "_image"].iter().any(|end| name.ends_with(end));
    let columns = table.columns.iter();
    let open = columns.filter(|column| column.kind == "text" && !table.guarded.contains(&column.name));
    open.filter(|column| is_address(&column.name)).collect()
}

/// Texts that name a file in an account's folder, in each form that a client knows.
pub fn addresses_in_folder_of(user: &str) -> Vec<Json> {
    let path = format!("{user}/secret.png");
    vec![
        json!(path),
        json!(format!("workspace-temp/{path}")),
        json!(format!("/user-library/{path}")),
        json!(format!("//user-library//{path}")),
        json!(format!("user-library/./{}", path.replace('/', "%2F"))),
        json!(format!("http://127.0.0.1:54321/storage/v1/object/sign/reference_images/{path}?token=x")),
    ]
}

/// Whether a table may name them all the same.
pub fn may_show_others(table: &Table) -> bool {
    MAY_SHOW_OTHERS.contains(&table.name.as_str())
}

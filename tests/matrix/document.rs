//! The schema document, as far as rows must be made from it.

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::policy::{self, Rule, Verb};

/// Columns that name a row, whether or not the document declares a foreign key.
const UNDECLARED: [(&str, &str); 4] = [
    ("job_id", "jobs"),
    ("image_id", "images"),
    ("video_id", "videos"),
    ("workspace_asset_id", "workspace_assets"),
];

/// A table of the document.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    pub primary_key: Vec<String>,
    pub unique: Vec<Vec<String>>,
    /// `(column, expression)`.
    pub checks: Vec<(String, String)>,
    /// `(column, table)`, for tables of the public schema; also where a name alone says so.
    pub references: Vec<(String, String)>,
    pub guarded: HashSet<String>,
    pub rules: Vec<(Verb, Rule)>,
}

/// A column of the document.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub nullable: bool,
    pub has_default: bool,
}

/// Every table, parents before children.
pub fn tables() -> Vec<Table> {
    let text = include_str!("../fixtures/tables.json");
    let document: Vec<Json> = serde_json::from_str(text).expect("the fixture is JSON");
    let mut tables: Vec<Table> = document.iter().map(table).collect();
    let mut sorted: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let before = sorted.len();
        let mut left = Vec::new();
        for table in tables {
            let known = |name: &String| *name == table.name || sorted.iter().any(|it| it.name == *name);
            if table.needs().iter().all(known) {
                sorted.push(table);
            } else {
                left.push(table);
            }
        }
        assert!(sorted.len() > before, "needs go round in circles");
        tables = left;
    }
    sorted
}

fn words(value: &Json) -> Vec<String> {
    let words = value.as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().map(|word| word.as_str().expect("a word").to_string()).collect()
}

fn table(json: &Json) -> Table {
    let list = |name: &str| json[name].as_array().cloned().unwrap_or_default();
    let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
    let columns = list("columns").into_iter().map(|column| Column {
        name: text(&column["name"]),
        kind: text(&column["type"]),
        nullable: column["nullable"] == true,
        has_default: !column["default"].is_null(),
    });
    let references = list("foreign_keys").into_iter().filter_map(|key| {
        let target = text(&key["references"]);
        let target = target.split('(').next().filter(|target| !target.contains('.'))?.to_string();
        Some((text(&key["columns"][0]), target))
    });
    let mut references: Vec<(String, String)> = references.collect();
    for column in list("columns") {
        let named = UNDECLARED.iter().find(|(name, _)| column["name"] == *name && column["type"] == "uuid");
        if let Some((name, target)) = named.filter(|(name, _)| references.iter().all(|(own, _)| own != name))
        {
            references.push((name.to_string(), target.to_string()));
        }
    }
    Table {
        name: text(&json["name"]),
        columns: columns.collect(),
        primary_key: words(&json["primary_key"]),
        unique: list("unique").iter().map(words).collect(),
        checks: list("checks").iter().map(|check| (text(&check["column"]), text(&check["expr"]))).collect(),
        references,
        guarded: list("guarded_columns").iter().flat_map(|guarded| words(&guarded["columns"])).collect(),
        rules: Verb::ALL
            .iter()
            .map(|verb| (*verb, policy::read(&text(&json["policies"][verb.name()]))))
            .collect(),
    }
}

impl Table {
    /// A column.
    pub fn column(&self, name: &str) -> &Column {
        self.columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("no column {name}"))
    }

    /// What a column refers to.
    pub fn target(&self, column: &str) -> Option<&str> {
        self.references.iter().find(|(own, _)| own == column).map(|(_, target)| target.as_str())
    }

    /// Atoms of all four rules.
    pub fn atoms(&self) -> Vec<&Rule> {
        self.rules.iter().flat_map(|(_, rule)| rule.atoms()).collect()
    }

    /// Columns that a rule looks at.
    pub fn ruled(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for atom in self.atoms() {
            let column = match atom {
                Rule::Call(_, argument) => argument.split('→').next().unwrap_or_default(),
                Rule::Is(column, _) | Rule::Word(column) => column,
                _ => continue,
            };
            if self.columns.iter().any(|known| known.name == column) && !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    /// Tables whose rows must be there first.
    fn needs(&self) -> Vec<String> {
        let ruled = self.ruled();
        let needed = |column: &str| ruled.contains(&column) || !self.column(column).nullable;
        self.references
            .iter()
            .filter(|(column, target)| needed(column) && *target != "profiles")
            .map(|(_, target)| target.clone())
            .collect()
    }

    /// Whether some key holds nothing that can be chosen freely, so that a row takes its place from another.
    pub fn is_crowded(&self) -> bool {
        let ruled = self.ruled();
        let is_enum = |name: &String| {
            self.columns.iter().any(|column| column.name == *name && column.kind.starts_with("enum:"))
        };
        let fixed = |column: &String| {
            let is_left_out = column != "id" && self.column(column).has_default;
            self.target(column).is_some()
                || ruled.contains(&column.as_str())
                || is_enum(column)
                || is_left_out
        };
        let keys = self.unique.iter().chain([&self.primary_key]);
        keys.into_iter().any(|key| key.iter().all(fixed))
    }
}

//! The declarations, resolved: names to positions, texts to expressions and rules.
//!
//! Built once, at first use; [`Schema::build`] reports every mistake in a declaration.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::expr::{self, Expr};
use crate::policy::{self, Command, Rule};
use crate::table::{ForeignKey, IndexKind, OnDelete, Table};
use crate::value::{ColumnType, Row, Value};

/// A table's position in [`Schema::tables`].
pub type TableId = usize;

/// All tables, resolved.
#[derive(Debug)]
pub struct Schema {
    /// In declared order.
    pub tables: Vec<TableInfo>,
    by_name: HashMap<String, TableId>,
}

/// One table, resolved.
#[derive(Debug)]
pub struct TableInfo {
    /// Position in [`Schema::tables`].
    pub id: TableId,
    /// The declaration.
    pub table: &'static Table,
    columns: HashMap<&'static str, usize>,
    /// Default per column.
    pub defaults: Vec<Option<Expr>>,
    /// Checks by constraint name, declared ones first, then the implied ones of enumerations.
    pub checks: Vec<(String, Expr)>,
    rules: [Rule; 4],
    /// Columns of the primary key.
    pub primary_key: Vec<usize>,
    /// Foreign keys; the soft ones last, see [`Relation::enforced`].
    pub relations: Vec<Relation>,
    /// Relations of other tables that point here: `(table, position in its relations)`.
    pub referenced_by: Vec<(TableId, usize)>,
    /// Every index, primary key excluded: unique keys, declared ones, implied ones of foreign keys.
    pub indexes: Vec<IndexInfo>,
    /// Guarded columns with the rule of who may write them.
    pub guarded: Vec<(Vec<usize>, Rule)>,
    /// Columns naming blobs.
    pub blob_columns: Vec<usize>,
    /// Position of `updated_at`.
    pub updated_at: Option<usize>,
}

/// A foreign key, resolved.
#[derive(Debug)]
pub struct Relation {
    /// Constraint name.
    pub name: String,
    /// Referring column.
    pub column: usize,
    /// Referred table.
    pub target: TableId,
    /// Referred column.
    pub target_column: usize,
    /// What deletion of the referred row does.
    pub on_delete: OnDelete,
    /// False for relations that only embeds know.
    pub enforced: bool,
    /// Whether the referring column alone is unique (a one-to-one relation).
    pub is_one_to_one: bool,
}

/// One column of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPart {
    /// The column.
    pub column: usize,
    /// Stored inverted.
    pub descending: bool,
    /// NULL counts as the empty text (`coalesce(col,'')`).
    pub null_as_empty: bool,
}

/// An index, resolved.
#[derive(Debug)]
pub struct IndexInfo {
    /// Its name and those of declared duplicates.
    pub names: Vec<String>,
    /// Columns in key order.
    pub parts: Vec<KeyPart>,
    /// Organisation.
    pub kind: IndexKind,
    /// Which rows are indexed.
    pub filter: Option<Expr>,
    /// Duplicates are refused.
    pub unique: bool,
    /// NULLs count as equal.
    pub nulls_equal: bool,
    /// It serves an order that screens ask for and stands in no document.
    pub is_own: bool,
}

impl IndexInfo {
    /// What the stored entries depend on; a change means rebuilding.
    pub fn fingerprint(&self, table: &TableInfo) -> String {
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|part| {
                let column = &table.table.columns[part.column];
                format!(
                    "{}:{}:{}:{}",
                    column.name,
                    column.kind.wire_name(),
                    part.descending,
                    part.null_as_empty
                )
            })
            .collect();
        let is_document = |part: &KeyPart| table.kind(part.column) == ColumnType::Jsonb;
        // How entries of documents are written has changed once.
        let form = match self.kind {
            IndexKind::Gin if self.parts.iter().any(is_document) => " numbers by value",
            // To be raised when words are found or shortened in another way.
            IndexKind::Words => " stems 2",
            _ => "",
        };
        format!("{:?} {} {:?} {}{form}", self.kind, parts.join(","), self.filter, self.unique)
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| match Schema::build(crate::TABLES) {
    Ok(schema) => schema,
    Err(mistakes) => panic!("the declared tables do not fit together: {}", mistakes.join("; ")),
});

/// The declared tables, resolved.
///
/// # Panics
/// When a declaration is wrong; the test `declarations_fit_together` keeps that from being released.
pub fn schema() -> &'static Schema {
    &SCHEMA
}

impl Schema {
    /// Resolves declarations; lists what does not fit.
    pub fn build(tables: &'static [&'static Table]) -> Result<Schema, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut by_name = HashMap::new();
        for (id, table) in tables.iter().enumerate() {
            let name = qualified(table);
            if by_name.insert(name.clone(), id).is_some() {
                mistakes.push(format!("{name} is declared twice"));
            }
        }
        let mut infos = Vec::new();
        for (id, table) in tables.iter().enumerate() {
            match TableInfo::resolve(id, table, &by_name, tables) {
                Ok(info) => infos.push(info),
                Err(mistake) => mistakes.push(format!("{}: {mistake}", table.name)),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let back: Vec<(TableId, TableId, usize)> = infos
            .iter()
            .flat_map(|info| {
                info.relations.iter().enumerate().map(|(at, relation)| (relation.target, info.id, at))
            })
            .collect();
        for (target, table, relation) in back {
            infos[target].referenced_by.push((table, relation));
        }
        Ok(Schema { tables: infos, by_name })
    }

    /// A table by `name` (public) or `schema.name`.
    pub fn table(&self, name: &str) -> Option<&TableInfo> {
        self.by_name.get(name).map(|id| &self.tables[*id])
    }

    /// A table that is known to be declared.
    ///
    /// # Panics
    /// When it is not; for names written in our own code only.
    pub fn known(&self, name: &str) -> &TableInfo {
        self.table(name).unwrap_or_else(|| panic!("table {name} is not declared"))
    }

    /// Tables of schema `public`, in declared order.
    pub fn public(&self) -> impl Iterator<Item = &TableInfo> {
        self.tables.iter().filter(|info| info.table.schema == "public")
    }
}

fn qualified(table: &Table) -> String {
    match table.schema {
        "public" => table.name.to_string(),
        schema => format!("{schema}.{}", table.name),
    }
}

/// PostgreSQL's generated constraint name, cut to 63 bytes the way it cuts: the longer part first.
pub fn constraint_name(table: &str, columns: &str, suffix: &str) -> String {
    let (mut table_len, mut columns_len) = (table.len(), columns.len());
    let separators = 1 + usize::from(!columns.is_empty());
    while table_len + columns_len + suffix.len() + separators > 63 {
        if table_len > columns_len { table_len -= 1 } else { columns_len -= 1 }
    }
    let parts = [&table[..table_len], &columns[..columns_len], suffix];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

impl TableInfo {
    fn resolve(
        id: TableId,
        table: &'static Table,
        by_name: &HashMap<String, TableId>,
        tables: &[&'static Table],
    ) -> Result<TableInfo, String> {
        let columns: HashMap<_, _> =
            table.columns.iter().enumerate().map(|(position, column)| (column.name, position)).collect();
        let position = |name: &str| columns.get(name).copied().ok_or_else(|| format!("no column {name}"));
        let names = |name: &str| columns.get(name).map(|at| (*at, table.columns[*at].kind));
        let mut defaults = Vec::new();
        for column in table.columns {
            let parsed = column.default.map(|text| expr::parse_default(text, column.kind)).transpose();
            defaults.push(parsed.map_err(|error| format!("default of {}: {error}", column.name))?);
        }
        let mut checks = Vec::new();
        for check in table.checks.iter().filter(|check| check.is_enforced) {
            let parsed = expr::parse_condition(check.expression, &names);
            checks
                .push((check.name.to_string(), parsed.map_err(|error| format!("{}: {error}", check.name))?));
        }
        let policies = &table.policies;
        let rules = [policies.select, policies.insert, policies.update, policies.delete];
        let [select, insert, update, delete] = rules.map(policy::parse);
        let rules = [select?, insert?, update?, delete?];
        let primary_key =
            table.primary_key.iter().map(|name| position(name)).collect::<Result<Vec<_>, _>>()?;
        let mut guarded = Vec::new();
        for guard in table.guarded_columns {
            let columns = guard.columns.iter().map(|name| position(name)).collect::<Result<Vec<_>, _>>()?;
            guarded.push((columns, policy::parse(guard.write)?));
        }
        let mut info = TableInfo {
            id,
            table,
            defaults,
            checks,
            rules,
            primary_key,
            relations: Vec::new(),
            referenced_by: Vec::new(),
            indexes: Vec::new(),
            guarded,
            blob_columns: table
                .blob_columns
                .iter()
                .map(|name| position(name))
                .collect::<Result<Vec<_>, _>>()?,
            updated_at: columns.get("updated_at").copied(),
            columns: columns.clone(),
        };
        info.resolve_indexes()?;
        for (foreign_key, enforced) in table
            .foreign_keys
            .iter()
            .map(|key| (key, true))
            .chain(table.soft_references.iter().map(|key| (key, false)))
        {
            let relation = info.resolve_relation(foreign_key, enforced, by_name, tables)?;
            info.relations.push(relation);
        }
        // Foreign keys are followed backwards, and owners list what is theirs: both need an index.
        let mut leading: Vec<usize> = info.relations.iter().map(|relation| relation.column).collect();
        leading.extend(table.lookups.iter().map(|name| position(name)).collect::<Result<Vec<_>, _>>()?);
        owner_columns(info.rule(Command::Select), &mut |name| leading.extend(info.column(name)));
        for column in leading {
            let name = constraint_name(table.name, table.columns[column].name, "idx");
            info.add_index(IndexInfo {
                names: vec![name],
                parts: vec![KeyPart { column, descending: false, null_as_empty: false }],
                kind: IndexKind::Btree,
                filter: None,
                unique: false,
                nulls_equal: false,
                is_own: false,
            });
        }
        let own = info.listed_orders().into_iter().chain(info.declared_orders()?);
        own.collect::<Vec<_>>().into_iter().for_each(|parts| info.add_own_index(parts));
        info.drop_prefixes();
        info.leave_out_null_references();
        info.add_word_index()?;
        Ok(info)
    }

    fn resolve_relation(
        &self,
        foreign_key: &ForeignKey,
        enforced: bool,
        by_name: &HashMap<String, TableId>,
        tables: &[&'static Table],
    ) -> Result<Relation, String> {
        let column =
            self.column(foreign_key.column).ok_or_else(|| format!("no column {}", foreign_key.column))?;
        let target =
            *by_name.get(foreign_key.table).ok_or_else(|| format!("no table {}", foreign_key.table))?;
        let target_column =
            tables[target].columns.iter().position(|column| column.name == foreign_key.target);
        let target_column = target_column.ok_or_else(|| format!("no column {}", foreign_key.target))?;
        let generated = || constraint_name(self.table.name, foreign_key.column, "fkey");
        let alone = |parts: &[KeyPart]| parts.len() == 1 && parts[0].column == column;
        let is_one_to_one = self.primary_key == [column]
            || self.indexes.iter().any(|index| index.unique && index.filter.is_none() && alone(&index.parts));
        Ok(Relation {
            name: foreign_key.name.map_or_else(generated, str::to_string),
            column,
            target,
            target_column,
            on_delete: foreign_key.on_delete,
            enforced,
            is_one_to_one,
        })
    }

    fn resolve_indexes(&mut self) -> Result<(), String> {
        let table = self.table;
        for key in table.unique {
            let parts = key.iter().map(|text| self.key_part(text)).collect::<Result<Vec<_>, _>>()?;
            let names: Vec<&str> = parts.iter().map(|part| table.columns[part.column].name).collect();
            self.add_index(IndexInfo {
                names: vec![constraint_name(table.name, &names.join("_"), "key")],
                parts,
                kind: IndexKind::Btree,
                filter: None,
                unique: true,
                nulls_equal: table.unique_nulls_not_distinct,
                is_own: false,
            });
        }
        for (index, is_own) in
            table.indexes.iter().map(|it| (it, false)).chain(table.own_indexes.iter().map(|it| (it, true)))
        {
            let parts =
                index.columns.iter().map(|text| self.key_part(text)).collect::<Result<Vec<_>, _>>()?;
            let names = |name: &str| self.columns.get(name).map(|at| (*at, table.columns[*at].kind));
            let filter =
                index.filter.map(|text| expr::parse_condition(&bare_flag(text, &names), &names)).transpose();
            let filter = filter.map_err(|error| format!("{}: {error}", index.name))?;
            self.add_index(IndexInfo {
                names: vec![index.name.to_string()],
                parts,
                kind: index.kind,
                filter,
                unique: index.is_unique,
                nulls_equal: false,
                is_own,
            });
        }
        Ok(())
    }

    pub(crate) fn key_part(&self, text: &str) -> Result<KeyPart, String> {
        let inner = text.strip_prefix("coalesce(").and_then(|rest| rest.strip_suffix(",'')"));
        let (name, descending) = match inner.unwrap_or(text).split_once(' ') {
            Some((name, "desc")) => (name, true),
            Some(_) => return Err(format!("bad index column {text}")),
            None => (inner.unwrap_or(text), false),
        };
        let column = self.column(name).ok_or_else(|| format!("no column {name}"))?;
        Ok(KeyPart { column, descending, null_as_empty: inner.is_some() })
    }

    /// Adds an index, or its name to one that already serves.
    fn add_index(&mut self, index: IndexInfo) {
        let implied = index.names.iter().all(|name| name.ends_with("_idx")) && index.parts.len() == 1;
        let serves = |existing: &IndexInfo| {
            existing.kind == index.kind
                && existing.filter == index.filter
                && if index.unique {
                    existing.unique && existing.parts == index.parts
                } else if implied {
                    // A foreign key only needs some full index that begins with its column.
                    existing.parts[0] == index.parts[0]
                } else {
                    existing.parts == index.parts
                }
        };
        if implied && self.primary_key.first() == Some(&index.parts[0].column) {
            return;
        }
        match self.indexes.iter_mut().find(|existing| serves(existing)) {
            Some(_) if implied => {}
            Some(existing) => existing.names.extend(index.names),
            None => self.indexes.push(index),
        }
    }

    /// `schema.name`, or the bare name in `public`.
    pub fn name(&self) -> String {
        qualified(self.table)
    }

    /// A column's position.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.get(name).copied()
    }

    /// The position of a column that is known to be declared.
    ///
    /// # Panics
    /// When it is not; for names written in our own code only.
    pub fn at(&self, name: &str) -> usize {
        self.column(name).unwrap_or_else(|| panic!("column {}.{name} is not declared", self.table.name))
    }

    /// A column's type.
    pub fn kind(&self, column: usize) -> ColumnType {
        self.table.columns[column].kind
    }

    /// The row policy for a command.
    pub fn rule(&self, command: Command) -> &Rule {
        &self.rules[command as usize]
    }

    /// A row of NULLs.
    pub fn empty_row(&self) -> Row {
        vec![Value::Null; self.table.columns.len()]
    }

    /// A row of defaults.
    pub fn default_row(&self) -> Row {
        let empty = Vec::new();
        self.defaults
            .iter()
            .map(|default| default.as_ref().map_or(Value::Null, |it| it.evaluate(&empty)))
            .collect()
    }

    /// Name of the primary key constraint.
    pub fn primary_key_name(&self) -> String {
        constraint_name(self.table.name, "", "pkey")
    }
}

fn owner_columns(rule: &Rule, found: &mut dyn FnMut(&str)) {
    match rule {
        Rule::Or(parts) | Rule::And(parts) => parts.iter().for_each(|part| owner_columns(part, found)),
        Rule::Owner(column) => found(column),
        _ => {}
    }
}

/// A partial index over a truth column may say just its name.
fn bare_flag(text: &str, names: expr::Names) -> String {
    match names(text.trim()) {
        Some((_, ColumnType::Bool)) => format!("{} = true", text.trim()),
        _ => text.to_string(),
    }
}

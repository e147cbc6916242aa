//! Row policies as SQL. A policy that looks into other tables does it in a function with its owner's rights, since the
//! policies of those tables are not asked here either.

use models::policy::{Command, Rule};
use models::{TableInfo, schema};

/// SQL for one rule of a table, and the functions that it needs.
pub(super) struct Policies {
    functions: Vec<String>,
}

impl Policies {
    /// No functions yet.
    pub fn new() -> Policies {
        Policies { functions: Vec::new() }
    }

    /// The functions, in the order in which they may be made.
    pub fn functions(&self) -> &[String] {
        &self.functions
    }

    /// The condition under which a command is allowed for a row of a table.
    pub fn condition(&mut self, table: &TableInfo, command: Command) -> String {
        self.rule(table, command, table.rule(command), 0)
    }

    fn rule(&mut self, table: &TableInfo, command: Command, rule: &Rule, depth: usize) -> String {
        match rule {
            Rule::Or(parts) => self.joined(table, command, parts, " OR ", depth),
            Rule::And(parts) => self.joined(table, command, parts, " AND ", depth),
            Rule::Not(inner) => format!("(NOT coalesce({}, false))", self.rule(table, command, inner, depth)),
            Rule::Owner(column) => format!("(auth.uid() = {column})"),
            Rule::Folder(column) => format!("(split_part({column}, '/', 1) = auth.uid()::text)"),
            Rule::Via { steps, owner } => self.via(table, command, steps, owner.as_deref(), depth),
            Rule::Authenticated => "(auth.uid() IS NOT NULL)".into(),
            Rule::AgeVerified => "playhouse.is_age_verified()".into(),
            Rule::Admin => "playhouse.is_admin()".into(),
            // The role that serves bypasses row policies.
            Rule::Service | Rule::Never => "false".into(),
            Rule::Null(column) => format!("({column} IS NULL)"),
            Rule::IsTrue(column) => format!("coalesce({column}, false)"),
            Rule::Equals(column, text) => format!("({column} = '{}')", text.replace('\'', "''")),
        }
    }

    fn joined(
        &mut self,
        table: &TableInfo,
        command: Command,
        parts: &[Rule],
        by: &str,
        depth: usize,
    ) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.rule(table, command, part, depth)).collect();
        format!("({})", parts.join(by))
    }

    /// Follows foreign keys; without a column at its end the last table's own rule decides, for an insert its update rule.
    fn via(
        &mut self,
        table: &TableInfo,
        command: Command,
        steps: &[(String, String)],
        owner: Option<&str>,
        depth: usize,
    ) -> String {
        let Some((first, target)) = steps.first() else { return "false".into() };
        let target = schema().known(target);
        let last = match (steps.len(), owner) {
            (1, Some(column)) => format!("(auth.uid() = {column})"),
            (1, None) if depth < 8 => {
                let command = if command == Command::Insert { Command::Update } else { command };
                self.rule(target, command, target.rule(command), depth + 1)
            }
            (1, None) => "false".into(),
            _ => self.via(target, command, &steps[1..], owner, depth + 1),
        };
        let column = table.table.columns.iter().find(|column| column.name == *first);
        let kind = column.map_or("uuid", |column| column.kind.sql_name());
        let relation =
            table.relations.iter().find(|relation| table.table.columns[relation.column].name == *first);
        let key = relation.map_or("id", |relation| target.table.columns[relation.target_column].name);
        let body = format!(
            "SELECT EXISTS (SELECT 1 FROM {}.{} WHERE {key} = $1 AND {last})",
            target.table.schema, target.table.name
        );
        let place = self.functions.iter().position(|known| known.contains(&body));
        let number = place.unwrap_or(self.functions.len());
        if place.is_none() {
            self.functions.push(format!(
                "CREATE FUNCTION playhouse.via_{number}({kind}) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER \
                 SET search_path = '' AS $policy$ {body} $policy$;"
            ));
        }
        format!("playhouse.via_{number}({first})")
    }
}

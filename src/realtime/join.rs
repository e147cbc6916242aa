//! What a channel asks for when it joins: the payload of `phx_join`, read and typed.

use std::collections::HashMap;
use std::sync::Arc;

use actors::events::changes::Interest;
use actors::events::row_change::Columns;
use models::{Command, TableInfo, schema};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use store::query::Filter;
use syntax::{LogicTree, Operator, Test};

use super::limits::{BINDINGS_MAX, FILTER_BYTES_MAX, PRESENCE_KEY_BYTES_MAX, TESTS_MAX};
use crate::postgrest::condition;

/// What a channel asks for.
#[derive(Debug, Default)]
pub(super) struct Join {
    /// The token in the payload.
    pub access_token: Option<String>,
    /// Whether a policy says who may join.
    pub is_private: bool,
    /// Whether broadcasts are acknowledged.
    pub acks: bool,
    /// Whether its own broadcasts come back.
    pub hears_itself: bool,
    /// Whether it wants to know who is there.
    pub presence: bool,
    /// Under which key it is there itself.
    pub presence_key: Option<String>,
    /// Changes that it wants to hear of.
    pub interests: Vec<Interest>,
    /// The columns of bindings that do not ask for all.
    pub columns: HashMap<u64, Columns>,
    /// The bindings with their ids, as the reply has them.
    pub bindings: Vec<Json>,
    /// Names of the tables that the bindings are about.
    pub tables: HashMap<u64, String>,
    /// How many regular expressions its filters have.
    pub expressions: usize,
}

#[derive(Deserialize, Default)]
struct Payload {
    #[serde(default)]
    config: Option<Config>,
    #[serde(default)]
    access_token: Option<String>,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    broadcast: Option<BroadcastConfig>,
    #[serde(default)]
    presence: Option<PresenceConfig>,
    #[serde(default)]
    postgres_changes: Option<Vec<Binding>>,
    #[serde(default)]
    private: Option<bool>,
}

#[derive(Deserialize, Default)]
struct BroadcastConfig {
    #[serde(default)]
    ack: Option<bool>,
    #[serde(default, rename = "self")]
    own: Option<bool>,
    #[serde(default)]
    replay: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
struct PresenceConfig {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// One entry of `postgres_changes`. The reply repeats it as it came: clients compare.
#[derive(Deserialize)]
struct Binding {
    event: String,
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    filter: Option<String>,
    #[serde(default)]
    select: Option<Vec<String>>,
}

/// Reads the payload; what is wrong with it is said with the field's name.
pub(super) fn read(payload: &RawValue) -> Result<Join, String> {
    let mut deserializer = serde_json::Deserializer::from_str(payload.get());
    let read: Result<Option<Payload>, _> = serde_path_to_error::deserialize(&mut deserializer);
    let read = read.map_err(|error| match error.path().to_string().as_str() {
        "." | "?" => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })?;
    let Payload { config, access_token } = read.unwrap_or_default();
    let config = config.unwrap_or_default();
    let (broadcast, presence) = (config.broadcast.unwrap_or_default(), config.presence.unwrap_or_default());
    if broadcast.replay.is_some() {
        return Err("config.broadcast.replay: broadcasts are not kept, so none can be sent again".into());
    }
    let presence_key = presence.key.filter(|key| !key.is_empty());
    if presence_key.as_ref().is_some_and(|key| key.len() > PRESENCE_KEY_BYTES_MAX) {
        return Err(format!("config.presence.key: longer than {PRESENCE_KEY_BYTES_MAX} bytes"));
    }
    let mut join = Join {
        access_token,
        is_private: config.private.unwrap_or(false),
        acks: broadcast.ack.unwrap_or(false),
        hears_itself: broadcast.own.unwrap_or(false),
        presence: presence.enabled.unwrap_or(false),
        presence_key,
        ..Join::default()
    };
    let bindings = config.postgres_changes.unwrap_or_default();
    if bindings.len() > BINDINGS_MAX {
        return Err(format!("config.postgres_changes: more than {BINDINGS_MAX}"));
    }
    for (position, binding) in bindings.into_iter().enumerate() {
        join.add(position as u64 + 1, binding)
            .map_err(|reason| format!("config.postgres_changes[{position}].{reason}"))?;
    }
    Ok(join)
}

impl Join {
    fn add(&mut self, id: u64, binding: Binding) -> Result<(), String> {
        let commands = match binding.event.as_str() {
            "*" => vec![Command::Insert, Command::Update, Command::Delete],
            "INSERT" => vec![Command::Insert],
            "UPDATE" => vec![Command::Update],
            "DELETE" => vec![Command::Delete],
            other => return Err(format!("event: {other:?} is none of *, INSERT, UPDATE, DELETE")),
        };
        if let Some(schema) = binding.schema.as_deref().filter(|schema| !["public", "*"].contains(schema)) {
            return Err(format!("schema: {schema:?} has no changes to listen to, only \"public\" has"));
        }
        let table = match binding.table.as_deref().filter(|table| *table != "*") {
            None => None,
            Some(name) => {
                let known = schema().table(name);
                let known = known.filter(|table| table.table.schema == "public" && table.name() == name);
                Some(known.ok_or_else(|| format!("table: \"public.{name}\" does not exist"))?)
            }
        };
        let filter = match (binding.filter.as_deref().filter(|text| !text.is_empty()), table) {
            (None, _) => Filter::All,
            (Some(_), None) => return Err("filter: a filter needs a table".into()),
            (Some(text), Some(table)) => {
                let (filter, expressions) =
                    filter(table, text).map_err(|reason| format!("filter: {reason}"))?;
                self.expressions += expressions;
                filter
            }
        };
        match (&binding.select, table) {
            (None, _) => {}
            (Some(_), None) => return Err("select: a choice of columns needs a table".into()),
            (Some(names), Some(table)) => {
                self.columns.insert(id, Some(columns(table, names)?));
            }
        }
        let every = schema().tables.iter().filter(|table| table.table.schema == "public");
        let tables: Vec<&TableInfo> = table.map_or_else(|| every.collect(), |table| vec![table]);
        self.interests.extend(tables.into_iter().map(|table| Interest {
            id,
            table: table.id,
            commands: commands.clone(),
            filter: filter.clone(),
        }));
        self.tables.insert(id, binding.table.clone().unwrap_or_else(|| "*".into()));
        self.bindings.push(echo(id, &binding));
        Ok(())
    }
}

/// A condition on the rows of a table, and how many regular expressions it has.
fn filter(table: &TableInfo, text: &str) -> Result<(Filter, usize), String> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(format!("longer than {FILTER_BYTES_MAX} bytes"));
    }
    let trees = syntax::conditions(text).map_err(|error| format!("{error}: {}", error.details))?;
    let tests: usize = trees.iter().map(count_tests).sum();
    if tests > TESTS_MAX {
        return Err(format!("more than {TESTS_MAX} conditions"));
    }
    let mut all = Filter::All;
    let mut expressions = 0;
    for tree in &trees {
        expressions += count_expressions(tree);
        let condition = condition::tree(table, tree, &|_| None).map_err(|error| error.message)?;
        all = all.and(condition);
    }
    Ok((all, expressions))
}

fn count_tests(tree: &LogicTree) -> usize {
    match tree {
        LogicTree::Group { members, .. } => members.iter().map(count_tests).sum(),
        LogicTree::Filter(_) => 1,
    }
}

fn count_expressions(tree: &LogicTree) -> usize {
    match tree {
        LogicTree::Group { members, .. } => members.iter().map(count_expressions).sum(),
        LogicTree::Filter(filter) => match &filter.test {
            Test::Compare { operator: Operator::Match | Operator::Imatch, quantifier, value } => {
                // One for each element of the literal.
                if quantifier.is_some() { 1 + value.matches(',').count() } else { 1 }
            }
            _ => 0,
        },
    }
}

fn columns(table: &TableInfo, names: &[String]) -> Result<Arc<[usize]>, String> {
    if names.is_empty() {
        return Err("select: names no column".into());
    }
    let position = |name: &String| {
        let unknown = || format!("select: column {}.{name} does not exist", table.table.name);
        table.column(name).ok_or_else(unknown)
    };
    let mut positions: Vec<usize> = names.iter().map(position).collect::<Result<_, _>>()?;
    positions.sort_unstable();
    positions.dedup();
    Ok(positions.into())
}

/// A binding as it came, with its id.
fn echo(id: u64, binding: &Binding) -> Json {
    let mut echoed = Map::from_iter([("id".to_string(), json!(id)), ("event".into(), json!(binding.event))]);
    for (name, value) in [("schema", &binding.schema), ("table", &binding.table), ("filter", &binding.filter)]
    {
        if let Some(value) = value {
            echoed.insert(name.into(), json!(value));
        }
    }
    if let Some(select) = &binding.select {
        echoed.insert("select".into(), json!(select));
    }
    Json::Object(echoed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payload: Json) -> Result<Join, String> {
        read(&serde_json::value::to_raw_value(&payload).expect("JSON"))
    }

    fn bound(binding: Json) -> Result<Join, String> {
        of(json!({"config": {"postgres_changes": [binding]}}))
    }

    #[test]
    fn a_join_needs_nothing_and_may_have_nulls() {
        for payload in [
            json!(null),
            json!({}),
            json!({"config": {"broadcast": null, "presence": null, "private": null}}),
        ] {
            let join = of(payload).expect("a join");
            assert!(join.interests.is_empty() && !join.is_private && !join.presence);
        }
    }

    #[test]
    fn bindings_come_back_as_they_came() {
        let binding = json!({"event": "UPDATE", "schema": "public", "table": "jobs",
                             "filter": "metadata->>destination=eq.character_portrait"});
        let join = bound(binding.clone()).expect("a join");
        let mut echoed = join.bindings[0].clone();
        assert_eq!(echoed.as_object_mut().and_then(|echoed| echoed.shift_remove("id")), Some(json!(1)));
        assert_eq!(echoed, binding);
        assert_eq!(join.interests.len(), 1);
        let whole = bound(json!({"event": "*"})).expect("a join");
        assert_eq!(whole.bindings[0], json!({"id": 1, "event": "*"}));
        assert!(whole.interests.len() > 50);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (binding, reason) in [
            (json!({"event": "insert"}), "[0].event: \"insert\" is none"),
            (json!({"event": "*", "schema": "auth"}), "[0].schema: \"auth\""),
            (json!({"event": "*", "table": "nothing"}), "[0].table: \"public.nothing\" does not exist"),
            (json!({"event": "*", "table": "users"}), "[0].table"),
            (json!({"event": "*", "filter": "id=eq.1"}), "[0].filter: a filter needs a table"),
            (
                json!({"event": "*", "table": "jobs", "filter": "nope=eq.1"}),
                "column jobs.nope does not exist",
            ),
            (
                json!({"event": "*", "table": "jobs", "filter": "id=eq.1"}),
                "invalid input syntax for type uuid",
            ),
            (json!({"event": "*", "table": "jobs", "filter": "id"}), "failed to parse filter"),
            (json!({"event": "*", "table": "jobs", "filter": "x".repeat(2049)}), "longer than 2048"),
            (
                json!({"event": "*", "table": "jobs", "filter": (["status=neq.x"; 17].join(","))}),
                "[0].filter: more than 16 conditions",
            ),
            (json!({"event": "*", "table": "jobs", "select": ["nope"]}), "column jobs.nope does not exist"),
            (json!({"event": "*", "table": "jobs", "select": []}), "names no column"),
            (json!({"event": 1}), "config.postgres_changes[0].event: invalid type"),
            (json!({}), "missing field `event`"),
        ] {
            let found = bound(binding.clone()).expect_err("refused");
            assert!(found.contains(reason), "{binding}: {found}");
        }
        assert!(of(json!({"config": 1})).expect_err("refused").starts_with("config: "));
        let many = vec![json!({"event": "*"}); 51];
        assert!(
            of(json!({"config": {"postgres_changes": many}})).expect_err("refused").contains("more than 50")
        );
        let replay = json!({"config": {"private": true, "broadcast": {"replay": {"since": 1}}}});
        assert!(of(replay).expect_err("refused").contains("replay"));
    }
}

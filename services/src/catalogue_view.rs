//! What signed-in accounts may see of tables that the documents keep to administrators, with the setting
//! `catalogue_readable`: no system prompts, no addresses, nothing of workers.

use models::{Claims, TableInfo, Value};
use serde_json::{Map, Value as Json};
use store::{Caller, Reads};

use crate::error::ServiceError;

/// Tables, and the columns that stay hidden.
const VIEWS: [(&str, &[&str]); 2] =
    [("prompt_templates", &["system_prompt", "metadata", "comment", "created_by"]), ("system_config", &[])];
/// The column of which members stay hidden.
const DOCUMENT: (&str, &str) = ("system_config", "config");
/// How the names of members end that stay hidden.
const HIDDEN_ENDS: [&str; 12] = [
    "url", "urls", "prompt", "prompts", "cache", "secret", "token", "key", "keys", "password", "address",
    "info",
];
/// What the names of hidden members contain.
const HIDDEN_PARTS: [&str; 2] = ["worker", "health"];

/// A table as others than administrators see it.
#[derive(Clone, Copy, Debug)]
pub struct View {
    table: &'static TableInfo,
    hidden: &'static [&'static str],
}

impl View {
    /// The view that a caller has of a table; `None` where the policies alone decide.
    pub fn of(
        reads: &Reads,
        claims: &Claims,
        table: &'static TableInfo,
    ) -> Result<Option<View>, ServiceError> {
        let view = VIEWS.iter().find(|(name, _)| table.table.schema == "public" && table.name() == *name);
        let Some((_, hidden)) = view.filter(|_| claims.user_id.is_some() && !claims.is_service()) else {
            return Ok(None);
        };
        let is_admin = Caller::new(claims).is_admin(reads)?;
        Ok((!is_admin).then_some(View { table, hidden }))
    }

    /// Whether conditions and orders may ask for a column: what is hidden could be guessed by them.
    pub fn may_ask(&self, column: usize) -> bool {
        self.may_show(column) && !self.is_document(column)
    }

    fn may_show(&self, column: usize) -> bool {
        !self.hidden.contains(&self.table.table.columns[column].name)
    }

    fn is_document(&self, column: usize) -> bool {
        (self.table.table.name, self.table.table.columns[column].name) == DOCUMENT
    }

    /// The value of a column as it is shown.
    pub fn shown(&self, column: usize, value: Value) -> Value {
        match () {
            () if !self.may_show(column) => Value::Null,
            () if self.is_document(column) => match value.as_json() {
                Some(document) => Value::json(&without_hidden(document)),
                None => value,
            },
            () => value,
        }
    }
}

fn without_hidden(document: Json) -> Json {
    match document {
        Json::Object(members) => {
            let shown = members.into_iter().filter(|(name, value)| !is_hidden(name, value));
            Json::Object(shown.map(|(name, value)| (name, without_hidden(value))).collect::<Map<_, _>>())
        }
        Json::Array(items) => {
            let shown = items.into_iter().filter(|item| !is_hidden("", item));
            Json::Array(shown.map(without_hidden).collect())
        }
        other => other,
    }
}

fn is_hidden(name: &str, value: &Json) -> bool {
    let name = name.to_ascii_lowercase();
    HIDDEN_ENDS.iter().any(|end| name.ends_with(end))
        || HIDDEN_PARTS.iter().any(|part| name.contains(part))
        || value.as_str().is_some_and(|text| text.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::schema;
    use serde_json::json;

    #[test]
    fn prompts_addresses_and_workers_stay_hidden() {
        let document = json!({
            "sdxl_enabled": true, "promptScoring": {"enabled": true, "systemPrompt": "be strict", "apiKey": "x"},
            "promptCache": {"templateCache": {}}, "workerHealthCache": {"chatWorker": {}}, "chatWorkerUrl": "http://a",
            "hosts": ["http://a", "b"], "limits": {"jobs": 3, "proxy": "http://b:1"},
        });
        let shown = json!({"sdxl_enabled": true, "promptScoring": {"enabled": true}, "hosts": ["b"], "limits": {"jobs": 3}});
        assert_eq!(without_hidden(document), shown);
    }

    #[test]
    fn every_hidden_column_exists() {
        for (name, hidden) in VIEWS {
            let table = schema().known(name);
            assert!(hidden.iter().all(|column| table.column(column).is_some()), "{name}");
        }
        assert!(schema().known(DOCUMENT.0).column(DOCUMENT.1).is_some());
    }
}

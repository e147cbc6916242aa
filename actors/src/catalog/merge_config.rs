//! Changes of `system_config` that leave its other members alone, however many write at once.

use models::{Aggregate, Value, schema};
use serde_json::{Map, Value as Json, json};
use store::{Caller, Transaction};

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Sets members of `config` of row 1; null removes one, and what is known of workers' health is merged.
#[derive(Debug)]
pub struct MergeConfig {
    /// The members.
    pub members: Map<String, Json>,
    /// What happened, for the activity log, with who did it from the claims.
    pub action: &'static str,
}

impl Decision for MergeConfig {
    /// The configuration afterwards.
    type Answer = Json;

    fn owner(&self) -> Aggregate {
        Aggregate::Catalog
    }

    fn decide(self, transaction: &Transaction) -> Result<Json, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let table = schema().known("system_config");
        let old = transaction.reads().get(table, &[Value::Int(1)])?;
        let column = table.at("config");
        let before = old.as_ref().and_then(|row| row[column].as_json());
        let mut config = before.filter(Json::is_object).unwrap_or_else(|| json!({}));
        for (name, value) in self.members {
            match (&mut config[&name], value) {
                (Json::Object(known), Json::Object(new)) if name == "workerHealthCache" => known.extend(new),
                (slot, value) => *slot = value,
            }
        }
        if let Json::Object(members) = &mut config {
            members.retain(|_, value| !value.is_null());
        }
        let mut row = old.clone().unwrap_or_else(|| table.default_row());
        row[table.at("id")] = Value::Int(1);
        row[column] = Value::json(&config);
        match old {
            Some(old) => transaction.update(&service, table, &old, row)?,
            None => transaction.insert(&service, table, row)?,
        };
        let log = schema().known("user_activity_log");
        let mut entry = log.default_row();
        entry[log.at("action")] = Value::text(self.action);
        entry[log.at("resource_type")] = Value::text("system_config");
        entry[log.at("user_id")] = transaction.claims.user_id.map_or(Value::Null, Value::Uuid);
        transaction.insert(&service, log, entry)?;
        Ok(config)
    }
}

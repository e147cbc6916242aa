//! Rows of `api_models` for the models that are installed here, under the provider `local`.
//!
//! What an administrator changes in a row is kept: the server writes a column again only when it has something else to say
//! of it than the last time, which `catalog.installed` remembers. So a model whose file goes becomes inactive, and active
//! again when the file is back, unless an administrator made it inactive meanwhile.

use std::collections::BTreeMap;

use models::{Aggregate, Command, Row, TableInfo, Value, convert, schema};
use serde_json::{Map, Value as Json, json};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};

use super::local_provider::{LOCAL, provider_row};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// A model that is installed.
#[derive(Clone, Debug, PartialEq)]
pub struct InstalledModel {
    /// `image`, `video` or `chat`.
    pub modality: &'static str,
    /// Its name.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// Its kind, as far as it is known.
    pub family: Option<String>,
    /// What it can be asked for, as `api_models.tasks` calls it.
    pub tasks: Vec<&'static str>,
    /// Whether it is the one that the settings name for its tasks.
    pub is_default: bool,
    /// Where it stands among others; the lowest number comes first.
    pub priority: i64,
    /// Whether it is here; one that is not is a row that says so, and can be asked for nothing.
    pub is_installed: bool,
    /// What is known of it.
    pub capabilities: Map<String, Json>,
    /// What a request leaves open, where the model needs another word than others.
    pub input_defaults: Map<String, Json>,
}

/// Brings the rows of the provider `local` to what is installed.
#[derive(Debug)]
pub struct SyncInstalled {
    /// Every model that is installed, and those that could be.
    pub models: Vec<InstalledModel>,
}

impl InstalledModel {
    /// What a model of pictures and its clips have in common in a name is told apart by the version.
    fn version(&self) -> Value {
        if self.modality == "video" { Value::text("video") } else { Value::Null }
    }

    fn key(&self) -> String {
        format!("{}:{}", self.modality, self.name)
    }

    /// The columns as the server has them.
    fn said(&self) -> Map<String, Json> {
        // A chat model is asked by its priority; models elsewhere that are a task's default go before it.
        let defaults =
            if self.is_default && self.modality != "chat" { self.tasks.clone() } else { Vec::new() };
        let said = json!({
            "display_name": self.display_name, "model_family": self.family, "tasks": self.tasks,
            "default_for_tasks": defaults, "priority": self.priority, "is_active": self.is_installed,
            "capabilities": self.capabilities, "input_defaults": self.input_defaults,
        });
        said.as_object().cloned().unwrap_or_default()
    }
}

impl Decision for SyncInstalled {
    /// How many rows were written.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::Catalog
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let installed = schema().known("catalog.installed");
        let reader = Reader::new(transaction.reads(), &service, Limits::default());
        let known = reader.stored(&Query::all(installed.id), Command::Select)?;
        let mut known: BTreeMap<String, Row> = known
            .into_iter()
            .filter_map(|row| Some((row[installed.at("id")].as_str()?.to_string(), row)))
            .collect();
        let provider = provider_row(transaction, &service, LOCAL)?;
        let providers = schema().known("api_providers");
        // Calls alone make a provider that offers nothing; the first model makes it one that does.
        if known.is_empty() && provider[providers.at("is_active")] != Value::Bool(true) {
            let mut active = provider.clone();
            active[providers.at("is_active")] = Value::Bool(true);
            transaction.update(&service, providers, &provider, active)?;
        }
        let provider = provider[providers.at("id")].clone();
        let mut written = 0;
        for model in &self.models {
            let before = known.remove(&model.key());
            written += usize::from(write(transaction, &service, &provider, model, before)?);
        }
        for (_, before) in known {
            written += usize::from(leave(transaction, &service, before)?);
        }
        Ok(written)
    }
}

/// Writes what changed of an installed model; whether anything did.
fn write(
    transaction: &Transaction,
    service: &Caller,
    provider: &Value,
    model: &InstalledModel,
    before: Option<Row>,
) -> Result<bool, Refusal> {
    let (models, installed) = (schema().known("api_models"), schema().known("catalog.installed"));
    let said = model.said();
    let old = match &before {
        Some(before) => {
            transaction.reads().get(models, std::slice::from_ref(&before[installed.at("model_id")]))?
        }
        None => None,
    };
    let row = match (old, &before) {
        (Some(old), Some(before)) => {
            let last = before[installed.at("said")].as_json().unwrap_or_default();
            let mut row = old.clone();
            merge(models, &mut row, &last, &said);
            if row != old {
                transaction.update(service, models, &old, row.clone())?;
            } else if last == Json::Object(said.clone()) {
                return Ok(false);
            }
            row
        }
        _ => {
            let mut row = models.default_row();
            row[models.at("provider_id")] = provider.clone();
            row[models.at("model_key")] = Value::text(&*model.name);
            row[models.at("version")] = model.version();
            row[models.at("modality")] = Value::text(model.modality);
            let key = ["provider_id", "model_key", "version"].map(|column| models.at(column));
            // A row that an administrator made for it by hand is taken over as it is.
            let same = |other: &Row| other[models.at("modality")] == row[models.at("modality")];
            let mut found = transaction.conflicting(models, &key, &row)?;
            if found.as_ref().is_some_and(|other| !same(other)) {
                // A model of words and one of pictures may share a name.
                row[models.at("version")] = Value::text(model.modality);
                found = transaction.conflicting(models, &key, &row)?;
            }
            match found {
                Some(by_hand) => by_hand,
                None => {
                    merge(models, &mut row, &json!({}), &said);
                    transaction.insert(service, models, row)?
                }
            }
        }
    };
    let mut note = before.clone().unwrap_or_else(|| installed.default_row());
    note[installed.at("id")] = Value::Text(model.key());
    note[installed.at("model_id")] = row[models.at("id")].clone();
    note[installed.at("said")] = Value::json(&Json::Object(said));
    match before {
        Some(before) => transaction.update(service, installed, &before, note)?,
        None => transaction.insert(service, installed, note)?,
    };
    Ok(true)
}

/// Makes the row of a model inactive whose file went; whether it was not before.
fn leave(transaction: &Transaction, service: &Caller, before: Row) -> Result<bool, Refusal> {
    let (models, installed) = (schema().known("api_models"), schema().known("catalog.installed"));
    let last = before[installed.at("said")].as_json().unwrap_or_default();
    if last["is_active"] == json!(false) {
        return Ok(false);
    }
    let mut said = last.clone();
    said["is_active"] = json!(false);
    let old = transaction.reads().get(models, std::slice::from_ref(&before[installed.at("model_id")]))?;
    if let Some(old) = old {
        let mut row = old.clone();
        row[models.at("is_active")] = Value::Bool(false);
        if row != old {
            transaction.update(service, models, &old, row)?;
        }
    }
    let mut note = before.clone();
    note[installed.at("said")] = Value::json(&said);
    transaction.update(service, installed, &before, note)?;
    Ok(true)
}

/// Sets the columns, and the members of `capabilities` and `input_defaults`, of which the server says something else than
/// the last time. A default that is there before the server has one of its own is an administrator's.
fn merge(models: &TableInfo, row: &mut Row, last: &Json, said: &Map<String, Json>) {
    for (name, value) in said {
        let column = models.at(name);
        if name == "capabilities" || name == "input_defaults" {
            let mut members = row[column].as_json().unwrap_or_else(|| json!({}));
            for (member, value) in value.as_object().into_iter().flatten() {
                let before = &last[name][member];
                let is_theirs = name == "input_defaults" && before.is_null() && !members[member].is_null();
                if *before != *value && members.is_object() && !is_theirs {
                    members[member] = value.clone();
                }
            }
            row[column] = Value::json(&members);
        } else if last[name] != *value
            && let Ok(value) = convert::from_json(models.kind(column), value)
        {
            row[column] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_says_anew_is_written() {
        let models = schema().known("api_models");
        let model = |priority: i64, px: u64| InstalledModel {
            modality: "image",
            name: "dream".into(),
            display_name: "dream".into(),
            family: Some("sd15".into()),
            tasks: vec!["t2i", "i2i"],
            is_default: true,
            is_installed: true,
            priority,
            capabilities: json!({"trained_px": px, "supports_i2i": true})
                .as_object()
                .cloned()
                .unwrap_or_default(),
            input_defaults: Map::new(),
        };
        let mut row = models.default_row();
        let first = model(100, 512).said();
        merge(models, &mut row, &json!({}), &first);
        assert_eq!(row[models.at("priority")], Value::Int(100));
        assert_eq!(row[models.at("is_active")], Value::Bool(true));
        // An administrator's words stay, whatever else changes.
        row[models.at("priority")] = Value::Int(7);
        row[models.at("display_name")] = Value::text("Dream");
        row[models.at("capabilities")] =
            Value::json(&json!({"trained_px": 512, "supports_i2i": false, "max_images": 2}));
        let second = model(100, 768).said();
        merge(models, &mut row, &Json::Object(first), &second);
        assert_eq!(row[models.at("priority")], Value::Int(7));
        assert_eq!(row[models.at("display_name")], Value::text("Dream"));
        let capabilities = row[models.at("capabilities")].as_json().expect("an object");
        assert_eq!(capabilities, json!({"trained_px": 768, "supports_i2i": false, "max_images": 2}));
        // The setting has the last word when it changes after that.
        merge(models, &mut row, &Json::Object(second), &model(50, 768).said());
        assert_eq!(row[models.at("priority")], Value::Int(50));
        // A default that the server has now fills what is open, and nothing that an administrator set.
        let mut cooler = model(50, 768);
        cooler.input_defaults =
            json!({"temperature": 0.3, "top_p": 0.9}).as_object().cloned().unwrap_or_default();
        row[models.at("input_defaults")] = Value::json(&json!({"top_p": 0.5}));
        merge(models, &mut row, &Json::Object(model(50, 768).said()), &cooler.said());
        let defaults = row[models.at("input_defaults")].as_json().expect("an object");
        assert_eq!(defaults, json!({"temperature": 0.3, "top_p": 0.5}));
    }
}

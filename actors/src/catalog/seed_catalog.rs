//! What the catalogue holds at first start. Everything can be edited; what is deleted stays away.

use models::{Aggregate, Row, TableInfo, Value, schema};
use serde_json::json;
use store::{Caller, Transaction};

use super::starter_negatives::NEGATIVES;
use super::starter_templates::TEMPLATES;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// The name of this set; another set, if there ever is one, gets a name of its own.
const SET: &str = "starter-1";

/// Writes the starter rows, once per data folder.
#[derive(Debug)]
pub struct SeedCatalog;

impl Decision for SeedCatalog {
    /// How many rows were written; 0 from the second start on.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::Catalog
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let seeds = schema().known("catalog.seeds");
        if transaction.reads().get(seeds, &[Value::text(SET)])?.is_some() {
            return Ok(0);
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let mut count = 0;
        let mut insert = |table: &TableInfo, row: Row| -> Result<(), Refusal> {
            // The same row may have been written by hand: that one stays.
            let is_known =
                table.indexes.iter().filter(|index| index.unique && index.filter.is_none()).any(|index| {
                    let key: Vec<usize> = index.parts.iter().map(|part| part.column).collect();
                    matches!(transaction.conflicting(table, &key, &row), Ok(Some(_)))
                });
            if !is_known {
                transaction.insert(&service, table, row)?;
                count += 1;
            }
            Ok(())
        };
        let templates = schema().known("prompt_templates");
        for template in TEMPLATES {
            insert(templates, template.row(templates))?;
        }
        let negatives = schema().known("negative_prompts");
        for negative in NEGATIVES {
            insert(negatives, negative.row(negatives))?;
        }
        let presets = schema().known("enhancement_presets");
        for preset in presets_of(presets) {
            insert(presets, preset)?;
        }
        let config = schema().known("system_config");
        if transaction.reads().get(config, &[Value::Int(1)])?.is_none() {
            let mut row = config.default_row();
            row[config.at("id")] = Value::Int(1);
            insert(config, row)?;
        }
        let mut row = seeds.default_row();
        row[seeds.at("id")] = Value::text(SET);
        row[seeds.at("rows")] = Value::Int(count as i64);
        transaction.insert(&service, seeds, row)?;
        Ok(count)
    }
}

/// The four enhancement presets.
fn presets_of(table: &TableInfo) -> Vec<Row> {
    let preset =
        |name: &str, about: &str, flags: [bool; 4], weights: serde_json::Value, qwen: serde_json::Value| {
            let [enable_qwen, enable_compel, auto, recommended] = flags;
            let mut row = table.default_row();
            let mut set = |column: &str, value: Value| row[table.at(column)] = value;
            set("preset_name", Value::text(name));
            set("preset_description", Value::text(about));
            set("enable_qwen", Value::Bool(enable_qwen));
            set("enable_compel", Value::Bool(enable_compel));
            set("auto_enhancement", Value::Bool(auto));
            set("is_recommended", Value::Bool(recommended));
            set("compel_weights", Value::json(&weights));
            set("qwen_settings", Value::json(&qwen));
            row
        };
    vec![
        preset(
            "Off",
            "Prompts stay as they are written.",
            [false, false, false, false],
            json!({}),
            json!({}),
        ),
        preset(
            "Gentle",
            "A few words on light and composition, nothing else changed.",
            [true, false, false, false],
            json!({}),
            json!({"temperature": 0.4, "max_tokens": 120}),
        ),
        preset(
            "Balanced",
            "Subject, setting, light and style in a clear order, with mild weights.",
            [true, true, true, true],
            json!({"quality": 1.1, "composition": 1.05}),
            json!({"temperature": 0.7, "max_tokens": 200}),
        ),
        preset(
            "Cinematic",
            "Camera, lens, light and mood as in a film still.",
            [true, true, false, false],
            json!({"quality": 1.15, "lighting": 1.2, "composition": 1.1}),
            json!({"temperature": 0.8, "max_tokens": 260}),
        ),
    ]
}

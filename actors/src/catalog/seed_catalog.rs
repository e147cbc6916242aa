//! What the catalogue holds at first start. Everything can be edited; what is deleted stays away.

use models::{Aggregate, Row, TableInfo, Value, schema};
use serde_json::json;
use store::{Caller, Transaction};

use super::starter_motions::MOTIONS;
use super::starter_negatives::NEGATIVES;
use super::starter_storyboard::STORYBOARD;
use super::starter_styles::STYLES;
use super::starter_templates::TEMPLATES;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Makes the rows of a set.
type Rows = fn() -> Vec<(&'static TableInfo, Row)>;

/// The sets, by their names; each is written once per data folder, and what is added later is a set of its own.
const SETS: [(&str, Rows); 3] =
    [("starter-1", first_set), ("starter-2", second_set), ("starter-3", third_set)];

/// Writes the starter rows, once per data folder.
#[derive(Debug)]
pub struct SeedCatalog;

impl Decision for SeedCatalog {
    /// How many rows were written; 0 once all sets are there.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::Catalog
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let mut count = 0;
        for (name, rows) in SETS {
            count += write_set(transaction, name, rows)?;
        }
        Ok(count)
    }
}

/// Writes a set of rows unless it was written before.
fn write_set(transaction: &Transaction, name: &str, rows: Rows) -> Result<usize, Refusal> {
    let seeds = schema().known("catalog.seeds");
    if transaction.reads().get(seeds, &[Value::text(name)])?.is_some() {
        return Ok(0);
    }
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let mut count = 0;
    for (table, row) in rows() {
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
    }
    let mut row = seeds.default_row();
    row[seeds.at("id")] = Value::text(name);
    row[seeds.at("rows")] = Value::Int(count as i64);
    transaction.insert(&service, seeds, row)?;
    Ok(count)
}

/// Templates, negative prompts, enhancement presets, and the one row of settings.
fn first_set() -> Vec<(&'static TableInfo, Row)> {
    let (templates, negatives) = (schema().known("prompt_templates"), schema().known("negative_prompts"));
    let presets = schema().known("enhancement_presets");
    let config = schema().known("system_config");
    let mut settings = config.default_row();
    settings[config.at("id")] = Value::Int(1);
    let templates = TEMPLATES.iter().map(|template| (templates, template.row(templates)));
    let negatives = NEGATIVES.iter().map(|negative| (negatives, negative.row(negatives)));
    let presets = presets_of(presets).into_iter().map(|preset| (presets, preset));
    templates.chain(negatives).chain(presets).chain([(config, settings)]).collect()
}

/// What a storyboard chooses from: movements, poses and kinds of clips.
fn second_set() -> Vec<(&'static TableInfo, Row)> {
    let (motions, templates) = (schema().known("motion_presets"), schema().known("prompt_templates"));
    let motions = MOTIONS.iter().map(|motion| (motions, motion.row(motions)));
    motions.chain(STORYBOARD.iter().map(|template| (templates, template.row(templates)))).collect()
}

/// The styles of webtoons.
fn third_set() -> Vec<(&'static TableInfo, Row)> {
    let styles = schema().known("style_presets");
    STYLES.iter().map(|style| (styles, style.row(styles))).collect()
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

//! Migrations: changes of what stored rows mean, in order, each with its way back.
//!
//! Tables, columns and indexes are added by declaring them, and older rows show the default. A migration is for what a
//! default cannot say. How far a data folder has come stands in `catalog.seeds`. A start takes it to the newest migration
//! before any row can be written; `playhouse migrate --to N` takes it to any.

mod changes;
mod run;

use models::{Row, TableInfo};

pub use run::{Migrated, migrate, standing};

/// One migration.
#[derive(Debug)]
pub struct Migration {
    /// What it is called.
    pub name: &'static str,
    /// The table whose rows it changes; none where the declaration is all of it.
    pub table: Option<&'static str>,
    /// What it makes of all rows of the table, in the order in which they were made: those that change, with what they become.
    up: Change,
    /// The same on the way back.
    down: Change,
}

type Change = fn(&TableInfo, &[Row]) -> Vec<(Row, Row)>;

/// All of them, in order: number 1 is the first.
pub static MIGRATIONS: [Migration; 4] = [
    Migration { name: "create_script_status_enum", table: None, up: changes::none, down: changes::none },
    Migration {
        name: "add_version_status_and_evaluation_to_scripts",
        table: Some("scripts"),
        up: changes::number_scripts,
        down: changes::forget_versions,
    },
    Migration {
        name: "add_character_id_to_image_generations",
        table: Some("image_generations"),
        up: changes::none,
        down: changes::forget_characters,
    },
    Migration {
        name: "add_character_id_to_audio_generations",
        table: Some("audio_generations"),
        up: changes::none,
        down: changes::forget_characters,
    },
];

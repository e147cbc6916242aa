//! Behaviour that belongs to rows, whichever message writes them: what the documents describe as triggers.
//!
//! One function per table, in the aggregate's folder; this file only routes.

use models::{Command, Row, Value};
use store::{Event, StoreError, Transaction, Triggers};

use crate::{
    audit, catalog, character, conversation, job_scheduler, media, moderation, own_references, script, story,
    storyboard, telemetry, user,
};

/// Routes row events to their tables.
pub(crate) struct RowTriggers;

impl Triggers for RowTriggers {
    fn before(
        &self,
        transaction: &Transaction,
        event: &Event,
        new: Option<&mut Row>,
    ) -> Result<(), StoreError> {
        let Some(new) = new else {
            return match (event.table.table.schema, event.table.table.name) {
                ("public", "characters") => character::characters::before_delete(transaction, event),
                ("public", "scripts") => script::before_write::before_delete(event),
                ("public", "character_variants") => character::variants::before_delete(transaction, event),
                ("public", "style_presets") => catalog::styles::before_delete(transaction, event),
                _ => Ok(()),
            };
        };
        match (event.table.table.schema, event.table.table.name) {
            ("public", "profiles") => user::profiles::before_write(transaction, event, new)?,
            ("public", "jobs") => {
                job_scheduler::jobs::before_write(event, new)?;
                moderation::reviewed_rows::before_write(transaction, event, new)?;
            }
            ("public", "images") => moderation::reviewed_rows::before_write(transaction, event, new)?,
            ("public", "scripts") => script::before_write::before_write(transaction, event, new)?,
            ("public", "conversations") => {
                conversation::memory_marks::before_write(transaction, event, new)?;
            }
            ("public", "image_generations" | "audio_generations") => {
                media::before_write::piece(transaction, event, new)?
            }
            ("public", "video_generations") => media::before_write::video(event, new)?,
            ("public", "characters") => {
                character::canonical_codes::before_write(transaction, event, new)?;
                character::characters::before_write(transaction, event, new)?;
            }
            ("public", "character_variants") => character::variants::before_write(transaction, event, new)?,
            ("public", "character_reference_images") => {
                character::reference_images::before_write(event, new)?;
            }
            ("public", "style_presets") => catalog::styles::before_write(transaction, event, new)?,
            ("public", "artifacts") => story::artifacts::before_write(transaction, event, new)?,
            ("public", "scenes") => story::scenes::before_write(transaction, event, new)?,
            ("public", "stories") => story::stories::before_write(transaction, event, new)?,
            ("public", "environment_anchors") => story::environments::before_write(event, new)?,
            ("public", "episode_scenes") => story::episode_scenes::before_write(transaction, event, new)?,
            ("public", "api_providers") => catalog::provider_key::before_write(event, new)?,
            ("storage", "reviewed_pictures") => moderation::before_write(event, new),
            ("public", "admin_development_progress") => {
                telemetry::development_progress::before_write(event, new)?
            }
            ("public", "prompt_ab_tests") => telemetry::ab_tests::before_write(event, new)?,
            _ => {}
        }
        if let (Command::Update, Some(column)) = (event.command, event.table.updated_at) {
            new[column] = Value::now();
        }
        Ok(())
    }

    fn admitted(&self, transaction: &Transaction, event: &Event, new: &Row) -> Result<(), StoreError> {
        own_references::check(transaction, event, new)
    }

    fn after(&self, transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
        match (event.table.table.schema, event.table.table.name) {
            ("auth", "users") => user::users::after_write(transaction, event, new)?,
            ("public", "profiles") => user::profiles::after_write(transaction, event, new)?,
            ("public", "user_library") => user::user_library::after_write(transaction, event, new)?,
            ("public", "character_scenes") => {
                character::character_scenes::after_write(transaction, event, new)?
            }
            ("public", "character_variants") => character::variants::after_write(transaction, event, new)?,
            ("public", "character_reference_images") => {
                character::reference_images::after_write(transaction, event, new)?;
            }
            ("public", "scenes") => story::scenes::after_write(transaction, event, new)?,
            ("public", "messages") => conversation::messages::after_write(transaction, event, new)?,
            ("public", "jobs") => {
                job_scheduler::jobs::after_write(transaction, event, new)?;
                job_scheduler::exports::follow(transaction, event, new)?;
                catalog::preset_use::rate(transaction, event, new)?;
                moderation::reviewed_rows::after_write(transaction, event, new)?;
                storyboard::clip_result::follow(transaction, event, new)?;
                media::queue::follow(transaction, event, new)?;
            }
            ("public", "images") => moderation::reviewed_rows::after_write(transaction, event, new)?,
            ("public", "api_models" | "api_providers") => {
                catalog::model_history::after_write(transaction, event, new)?
            }
            ("public", "prompt_scores") => {
                telemetry::model_tests::scored(transaction, event, new)?;
                telemetry::ab_tests::rated(transaction, event, new)?;
            }
            ("public", "character_anchors" | "character_canon") => {
                character::primaries::after_write(transaction, event, new)?
            }
            ("public", "image_generations" | "audio_generations" | "video_generations") => {
                media::files::after_delete(transaction, event, new)?
            }
            ("public", "character_likes") => character::likes::after_write(transaction, event, new)?,
            ("queue", "entries") => job_scheduler::jobs::after_entry_write(transaction, event, new)?,
            _ => {}
        }
        telemetry::activity::note(transaction, event, new)?;
        audit::record(transaction, event, new)
    }
}

//! What exists: every table as data, without IO. Neural networks live in `diffusion` and `language`.
//!
//! To add a table: one file in its aggregate's folder and one line in [`TABLES`].

pub mod cast;
pub mod catalog;
pub mod character;
pub mod claims;
pub mod conversation;
pub mod convert;
mod date_text;
pub mod describe;
pub mod expr;
pub mod field_names;
pub mod file;
pub mod job_scheduler;
pub mod json;
pub mod number_digits;
mod orders;
pub mod policy;
pub mod project;
pub mod schema;
pub mod story;
pub mod table;
pub mod telemetry;
mod timestamp;
pub mod user;
pub mod value;
pub mod value_words;

pub use claims::{Claims, Role};
pub use policy::Command;
pub use schema::{Schema, TableId, TableInfo, schema};
pub use table::{Aggregate, Table};
pub use value::{ColumnType, Row, Value};

/// Every table. The public ones stand in the order of the schema document, the server's own after them.
pub static TABLES: &[&Table] = &[
    &user::profiles::PROFILES,
    &user::user_roles::USER_ROLES,
    &telemetry::user_activity_log::USER_ACTIVITY_LOG,
    &user::user_collections::USER_COLLECTIONS,
    &user::user_library::USER_LIBRARY,
    &user::workspace_sessions::WORKSPACE_SESSIONS,
    &user::workspace_items::WORKSPACE_ITEMS,
    &job_scheduler::workspace_assets::WORKSPACE_ASSETS,
    &job_scheduler::jobs::JOBS,
    &job_scheduler::images::IMAGES,
    &job_scheduler::videos::VIDEOS,
    &project::projects::PROJECTS,
    &character::characters::CHARACTERS,
    &character::character_scenes::CHARACTER_SCENES,
    &story::scenes::SCENES,
    &conversation::conversations::CONVERSATIONS,
    &conversation::messages::MESSAGES,
    &catalog::compel_configs::COMPEL_CONFIGS,
    &catalog::enhancement_presets::ENHANCEMENT_PRESETS,
    &telemetry::model_config_history::MODEL_CONFIG_HISTORY,
    &telemetry::model_performance_logs::MODEL_PERFORMANCE_LOGS,
    &telemetry::model_test_results::MODEL_TEST_RESULTS,
    &catalog::negative_prompts::NEGATIVE_PROMPTS,
    &telemetry::prompt_ab_tests::PROMPT_AB_TESTS,
    &catalog::prompt_templates::PROMPT_TEMPLATES,
    &catalog::system_config::SYSTEM_CONFIG,
    &telemetry::usage_logs::USAGE_LOGS,
    &telemetry::admin_development_progress::ADMIN_DEVELOPMENT_PROGRESS,
    &catalog::api_providers::API_PROVIDERS,
    &catalog::api_models::API_MODELS,
    &story::stories::STORIES,
    &story::story_characters::STORY_CHARACTERS,
    &character::character_variants::CHARACTER_VARIANTS,
    &character::character_reference_images::CHARACTER_REFERENCE_IMAGES,
    &character::character_variant_suggestions::CHARACTER_VARIANT_SUGGESTIONS,
    &story::artifacts::ARTIFACTS,
    &catalog::style_presets::STYLE_PRESETS,
    &story::dialogue_layers::DIALOGUE_LAYERS,
    &story::environment_anchors::ENVIRONMENT_ANCHORS,
    &story::layers::LAYERS,
    &story::episodes::EPISODES,
    &story::episode_scenes::EPISODE_SCENES,
    &story::episode_assets::EPISODE_ASSETS,
    &job_scheduler::exports::EXPORTS,
    &telemetry::audit_logs::AUDIT_LOGS,
    &project::books::BOOKS,
    &project::chapters::CHAPTERS,
    &story::scripts::SCRIPTS,
    &job_scheduler::video_generations::VIDEO_GENERATIONS,
    &job_scheduler::image_generations::IMAGE_GENERATIONS,
    &job_scheduler::audio_generations::AUDIO_GENERATIONS,
    &character::character_portraits::CHARACTER_PORTRAITS,
    &character::character_canon::CHARACTER_CANON,
    &character::character_anchors::CHARACTER_ANCHORS,
    &catalog::character_templates::CHARACTER_TEMPLATES,
    &telemetry::prompt_scores::PROMPT_SCORES,
    &telemetry::api_usage_logs::API_USAGE_LOGS,
    &telemetry::api_usage_aggregates::API_USAGE_AGGREGATES,
    &telemetry::api_provider_balances::API_PROVIDER_BALANCES,
    &catalog::motion_presets::MOTION_PRESETS,
    &user::playground_prompts::PLAYGROUND_PROMPTS,
    &catalog::tag_presets::TAG_PRESETS,
    &project::storyboard_projects::STORYBOARD_PROJECTS,
    &project::storyboard_scenes::STORYBOARD_SCENES,
    &project::storyboard_clips::STORYBOARD_CLIPS,
    &project::storyboard_frames::STORYBOARD_FRAMES,
    &project::storyboard_renders::STORYBOARD_RENDERS,
    &user::users::USERS,
    &user::identities::IDENTITIES,
    &user::sessions::SESSIONS,
    &user::refresh_tokens::REFRESH_TOKENS,
    &user::one_time_tokens::ONE_TIME_TOKENS,
    &file::buckets::BUCKETS,
    &file::objects::OBJECTS,
    &conversation::replies::REPLIES,
    &conversation::reply_parts::REPLY_PARTS,
    &conversation::shelved_messages::SHELVED_MESSAGES,
    &conversation::lorebooks::LOREBOOKS,
    &catalog::seeds::SEEDS,
    &job_scheduler::queue_entries::QUEUE_ENTRIES,
    &character::card_files::CARD_FILES,
    &conversation::chat_files::CHAT_FILES,
    &user::api_tokens::API_TOKENS,
    &catalog::installed::INSTALLED,
    &catalog::preset_ratings::PRESET_RATINGS,
    &telemetry::spending_limits::SPENDING_LIMITS,
    &character::character_likes::CHARACTER_LIKES,
    &user::library_bin::LIBRARY_BIN,
    &user::invitations::INVITATIONS,
    &telemetry::ab_participants::AB_PARTICIPANTS,
    &telemetry::ab_tallies::AB_TALLIES,
    &file::reviewed_pictures::REVIEWED_PICTURES,
    &file::pictures_of_minors::PICTURES_OF_MINORS,
    &file::picture_reports::PICTURE_REPORTS,
    &telemetry::spending_reservations::SPENDING_RESERVATIONS,
    &character::character_loras::CHARACTER_LORAS,
];

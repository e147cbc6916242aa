//! A project as one file: its rows, its pictures with their hashes, and where each picture comes from. Another server, or
//! the same one, makes a project of it again.
//!
//! ```text
//! write.rs: rows ─▶ tables/*.json    files that rows name ─▶ files/HASH.EXT    manifest.json: hashes and provenance
//! read.rs:  manifest.json ─▶ hashes checked ─▶ new ids, new places of files ─▶ one commit
//! ```

pub mod read;
pub mod write;

/// What the file says it is.
const FORMAT: &str = "playhouse-project";
/// Its version.
const VERSION: u64 = 1;
/// The manifest's name.
const MANIFEST: &str = "manifest.json";
/// Rows of a table at most.
const ROWS_MAX: usize = 100_000;

/// The tables, parents before their children, with how their rows are found: the column that refers to the table of a
/// parent. The project itself is found by its id; characters and anchors also by those that refer to them.
const TABLES: [(&str, Option<(&str, &str)>); 17] = [
    ("projects", None),
    ("characters", Some(("project_id", "projects"))),
    ("style_presets", Some(("project_id", "projects"))),
    ("environment_anchors", None),
    ("stories", Some(("project_id", "projects"))),
    ("story_characters", Some(("story_id", "stories"))),
    ("character_reference_images", Some(("character_id", "characters"))),
    ("character_variants", Some(("character_id", "characters"))),
    ("character_variant_suggestions", Some(("story_id", "stories"))),
    ("scenes", Some(("story_id", "stories"))),
    ("artifacts", Some(("scene_id", "scenes"))),
    ("images", None),
    ("dialogue_layers", Some(("scene_id", "scenes"))),
    ("layers", Some(("scene_id", "scenes"))),
    ("episodes", Some(("story_id", "stories"))),
    ("episode_scenes", Some(("episode_id", "episodes"))),
    ("episode_assets", Some(("episode_id", "episodes"))),
];

/// Columns that name rows which come later, or that rules allow only beside such: they are set once those are there.
const LATER: [(&str, &str); 4] = [
    ("projects", "character_id"),
    ("characters", "approved"),
    ("scenes", "selected_render_artifact_id"),
    ("scenes", "planning_locked"),
];

/// Columns that only the server writes, and that an import takes over: how far the making of a story has come.
const SERVERS_OWN: [(&str, &str); 4] = [
    ("stories", "generation_status"),
    ("stories", "generation_error"),
    ("stories", "progress"),
    ("stories", "progress_updated_at"),
];

/// Columns that name what a bundle does not have: jobs, tests and reviews stay behind.
const LEFT_BEHIND: [(&str, &str); 5] = [
    ("images", "job_id"),
    ("images", "project_id"),
    ("images", "prompt_test_id"),
    ("images", "reviewed_by"),
    ("images", "artifact_id"),
];

/// Columns that the server counts itself.
const COUNTED: [(&str, &str); 1] = [("environment_anchors", "usage_count")];

//! Rows as this dialect shows them: under the document's names, an id by the name of what it stands for.

use serde_json::{Map, Value as Json};

/// How a table's rows are shown: what its `id` is called, and which columns there are.
pub(super) struct Shape {
    /// What `id` is called.
    pub id: &'static str,
    /// The other columns, in order, by their names here and in the table.
    pub columns: &'static [(&'static str, &'static str)],
}

/// A project.
pub(super) const PROJECT: Shape =
    Shape { id: "project_id", columns: &[("name", "name"), ("created_at", "created_at")] };

/// A story.
pub(super) const STORY: Shape = Shape {
    id: "story_id",
    columns: &[
        ("project_id", "project_id"),
        ("title", "title"),
        ("default_image_style", "default_image_style"),
        ("generation_status", "generation_status"),
        ("generation_error", "generation_error"),
        ("progress", "progress"),
        ("progress_updated_at", "progress_updated_at"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ],
};

/// A scene.
pub(super) const SCENE: Shape = Shape {
    id: "scene_id",
    columns: &[
        ("story_id", "story_id"),
        ("source_text", "source_text"),
        ("scene_importance", "scene_importance"),
        ("planning_locked", "planning_locked"),
        ("image_style_override", "image_style_override"),
        ("environment_id", "environment_id"),
        ("selected_render_artifact_id", "selected_render_artifact_id"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ],
};

/// An artifact.
pub(super) const ARTIFACT: Shape = Shape {
    id: "artifact_id",
    columns: &[
        ("scene_id", "scene_id"),
        ("type", "type"),
        ("version", "version"),
        ("parent_id", "parent_id"),
        ("payload", "payload"),
        ("created_by", "created_by"),
        ("updated_by", "updated_by"),
        ("created_at", "created_at"),
    ],
};

/// A character; `role` is the column `story_role`.
pub(super) const CHARACTER: Shape = Shape {
    id: "character_id",
    columns: &[
        ("project_id", "project_id"),
        ("canonical_code", "canonical_code"),
        ("name", "name"),
        ("description", "description"),
        ("role", "story_role"),
        ("gender", "gender"),
        ("age_range", "age_range"),
        ("appearance", "appearance"),
        ("hair_description", "hair_description"),
        ("base_outfit", "base_outfit"),
        ("identity_line", "identity_line"),
        ("generation_prompt", "generation_prompt"),
        ("default_image_style_id", "default_image_style_id"),
        ("is_library_saved", "is_library_saved"),
        ("approved", "approved"),
        ("created_at", "created_at"),
    ],
};

/// A reference picture of a character.
pub(super) const REFERENCE: Shape = Shape {
    id: "reference_image_id",
    columns: &[
        ("character_id", "character_id"),
        ("image_url", "image_url"),
        ("ref_type", "ref_type"),
        ("approved", "approved"),
        ("is_primary", "is_primary"),
        ("metadata", "metadata_"),
        ("created_at", "created_at"),
    ],
};

/// A look of a character.
pub(super) const VARIANT: Shape = Shape {
    id: "variant_id",
    columns: &[
        ("character_id", "character_id"),
        ("story_id", "story_id"),
        ("variant_type", "variant_type"),
        ("variant_name", "variant_name"),
        ("traits", "traits"),
        ("override_attributes", "override_attributes"),
        ("reference_image_id", "reference_image_id"),
        ("generated_image_ids", "generated_image_ids"),
        ("is_default", "is_default"),
        ("is_active_for_story", "is_active_for_story"),
        ("image_style_id", "image_style_id"),
        ("created_at", "created_at"),
    ],
};

/// A look that a story suggests.
pub(super) const SUGGESTION: Shape = Shape {
    id: "suggestion_id",
    columns: &[
        ("story_id", "story_id"),
        ("character_id", "character_id"),
        ("variant_type", "variant_type"),
        ("override_attributes", "override_attributes"),
        ("created_at", "created_at"),
    ],
};

/// A place that scenes share.
pub(super) const ENVIRONMENT: Shape = Shape {
    id: "environment_id",
    columns: &[
        ("description", "description"),
        ("usage_count", "usage_count"),
        ("anchor_type", "anchor_type"),
        ("reference_images", "reference_images"),
        ("locked_elements", "locked_elements"),
        ("pinned", "pinned"),
        ("created_at", "created_at"),
    ],
};

/// A style.
pub(super) const STYLE: Shape = Shape {
    id: "preset_id",
    columns: &[
        ("project_id", "project_id"),
        ("parent_id", "parent_id"),
        ("style_type", "style_type"),
        ("name", "name"),
        ("label", "label"),
        ("description", "description"),
        ("style_config", "style_config"),
        ("is_system", "is_system"),
        ("is_active", "is_active"),
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
    ],
};

/// The bubbles of a scene.
pub(super) const DIALOGUE: Shape = Shape {
    id: "dialogue_id",
    columns: &[("scene_id", "scene_id"), ("bubbles", "bubbles"), ("created_at", "created_at")],
};

/// A layer of a scene.
pub(super) const LAYER: Shape = Shape {
    id: "layer_id",
    columns: &[
        ("scene_id", "scene_id"),
        ("layer_type", "layer_type"),
        ("objects", "objects"),
        ("created_at", "created_at"),
    ],
};

/// An episode.
pub(super) const EPISODE: Shape = Shape {
    id: "episode_id",
    columns: &[
        ("story_id", "story_id"),
        ("title", "title"),
        ("default_image_style", "default_image_style"),
        ("status", "status"),
        ("scene_ids", "scene_ids"),
        ("created_at", "created_at"),
    ],
};

/// What is pinned to an episode.
pub(super) const EPISODE_ASSET: Shape = Shape {
    id: "episode_asset_id",
    columns: &[
        ("episode_id", "episode_id"),
        ("asset_type", "asset_type"),
        ("asset_id", "asset_id"),
        ("created_at", "created_at"),
    ],
};

/// An export.
pub(super) const EXPORT: Shape = Shape {
    id: "export_id",
    columns: &[
        ("scene_id", "scene_id"),
        ("episode_id", "episode_id"),
        ("status", "status"),
        ("output_url", "output_url"),
        ("metadata", "metadata_"),
        ("created_at", "created_at"),
    ],
};

impl Shape {
    /// One row.
    pub fn one(&self, row: &Json) -> Json {
        let mut shown = Map::new();
        shown.insert(self.id.into(), row["id"].clone());
        for (name, column) in self.columns {
            shown.insert((*name).into(), row[*column].clone());
        }
        Json::Object(shown)
    }

    /// Rows, in their order.
    pub fn all(&self, rows: &[Json]) -> Json {
        rows.iter().map(|row| self.one(row)).collect()
    }
}

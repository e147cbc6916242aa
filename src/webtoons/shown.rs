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

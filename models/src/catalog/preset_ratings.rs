//! How jobs were rated that were made with an enhancement preset.

use crate::table::*;

/// The sum behind `enhancement_presets.avg_quality_with_preset`.
pub static PRESET_RATINGS: Table = Table {
    schema: "catalog",
    name: "preset_ratings",
    purpose: "Ratings of the jobs that were made with an enhancement preset, summed up",
    owner: Aggregate::Catalog,
    columns: &[uuid("id").doc("the preset"), int4("ratings").default("0"), numeric("total").default("0")],
    foreign_keys: &[references("id", "enhancement_presets", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};

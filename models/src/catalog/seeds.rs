//! What is done once per data folder: sets of starter rows, so that what was deleted stays away, and rows of earlier
//! versions brought into today's form.

use crate::table::*;

/// A set of starter rows that has been written.
pub static SEEDS: Table = Table {
    schema: "catalog",
    name: "seeds",
    purpose: "A set of starter rows that has been written",
    owner: Aggregate::Catalog,
    columns: &[text("id"), int4("rows"), timestamptz("created_at").default("now()")],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};

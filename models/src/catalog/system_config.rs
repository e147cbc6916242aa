//! Single row (id 1) of settings, worker URLs, health cache and the prompt cache.

use crate::table::*;

/// Single row (id 1) of settings, worker URLs, health cache and the prompt cache.
pub static SYSTEM_CONFIG: Table = Table {
    name: "system_config",
    origin: &["seed 003", "seed 002"],
    purpose: "Single row (id 1) of settings, worker URLs, health cache and the prompt cache",
    owner: Aggregate::Catalog,
    columns: &[
        int8("id").default("1"),
        jsonb("config").default("'{}'::jsonb"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
    ],
    policies: Policies { select: "admin", insert: "admin", update: "admin", delete: "admin" },
    triggers: &["set updated_at on update"],
    realtime: &["UPDATE"],
    doc: "Readable by admins only in the documents, yet the front end of ordinary users selects and subscribes to row 1: serve them a redacted config or nothing.",
    ..TABLE
};

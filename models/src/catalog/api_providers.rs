//! External generation providers.

use crate::table::*;

/// External generation providers.
pub static API_PROVIDERS: Table = Table {
    name: "api_providers",
    origin: &["seed 002"],
    purpose: "External generation providers",
    owner: Aggregate::Catalog,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
        text("name").doc("fal, replicate, openrouter …"),
        text("display_name"),
        text("base_url").nullable(),
        text("docs_url").nullable(),
        text("auth_scheme").default("'bearer'::text"),
        text("auth_header_name").nullable().default("'Authorization'::text"),
        text("secret_name").nullable().doc("name of a server-side secret, never its value"),
        jsonb("rate_limits").default("'{}'::jsonb"),
        boolean("is_active").default("true"),
    ],
    unique: &[&["name"]],
    policies: Policies {
        select: "admin | (authenticated & is_active)",
        insert: "admin",
        update: "admin",
        delete: "admin",
    },
    triggers: &["set updated_at on update"],
    ..TABLE
};

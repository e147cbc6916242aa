//! What the server itself said last of the models that are installed: the row of `api_models` may say otherwise since.

use crate::table::*;

/// One installed model, and what was last written of it into its row of `api_models`.
pub static INSTALLED: Table = Table {
    schema: "catalog",
    name: "installed",
    purpose: "What the server itself last wrote of an installed model; what an administrator changed since is kept",
    owner: Aggregate::Catalog,
    columns: &[
        text("id").doc("image, video or chat, a colon, the model's name"),
        uuid("model_id").doc("its row of api_models"),
        jsonb("said").doc("the columns as the server last wrote them"),
    ],
    foreign_keys: &[references("model_id", "api_models", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};

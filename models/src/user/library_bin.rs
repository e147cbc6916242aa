//! What an account deleted from its library, for as long as it can be put back.

use crate::table::*;

/// One deleted row of `user_library`. Its file stays where it is until the row leaves the bin.
pub static LIBRARY_BIN: Table = Table {
    schema: "library",
    name: "bin",
    purpose: "A picture or video that was deleted from the library and can be put back",
    owner: Aggregate::User,
    columns: &[
        uuid("id").doc("that of the row in user_library"),
        uuid("user_id"),
        jsonb("row").doc("the row of user_library as it was"),
        timestamptz("deleted_at").default("now()"),
        timestamptz("expires_at").doc("from then on it goes for good"),
    ],
    foreign_keys: &[references("user_id", "auth.users", OnDelete::Cascade)],
    indexes: &[
        index("bin_user_deleted_idx", &["user_id", "deleted_at desc"]),
        index("bin_expires_idx", &["expires_at"]),
    ],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};

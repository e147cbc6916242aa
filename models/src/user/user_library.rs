//! Permanent saved images and videos.

use crate::table::*;

/// Permanent saved images and videos.
pub static USER_LIBRARY: Table = Table {
    name: "user_library",
    origin: &["seed 003", "seed 002", "beyond"],
    purpose: "Permanent saved images and videos",
    owner: Aggregate::User,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        text("asset_type"),
        text("storage_path"),
        int8("file_size_bytes"),
        text("mime_type"),
        numeric("duration_seconds").nullable(),
        text("original_prompt"),
        text("model_used"),
        int8("generation_seed").nullable(),
        uuid("collection_id").nullable(),
        text("custom_title").nullable(),
        text_array("tags").nullable().default("'{}'::text[]"),
        boolean("is_favorite").nullable().default("false"),
        text("visibility").nullable().default("'private'::text"),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        text("thumbnail_path").nullable(),
        int4("width").nullable(),
        int4("height").nullable(),
        text("content_category").nullable().default("'general'::text"),
        jsonb("roleplay_metadata").nullable().default("'{}'::jsonb"),
        uuid("character_id").nullable().doc("beyond"),
        text("output_type").nullable().doc("beyond: portrait|position|…"),
        boolean("is_primary").default("false").doc("beyond"),
        boolean("is_pinned").default("false").doc("beyond"),
        int4("sort_order").default("0").doc("beyond"),
        jsonb("generation_metadata").default("'{}'::jsonb").doc("beyond"),
        text("label").nullable().doc("beyond"),
    ],
    checks: &[
        check("user_library_asset_type_check", "asset_type", "asset_type IN ('image', 'video')"),
        check(
            "user_library_visibility_check",
            "visibility",
            "visibility IN ('private', 'unlisted', 'public')",
        ),
    ],
    foreign_keys: &[
        references("collection_id", "user_collections", OnDelete::SetNull)
            .named("user_library_collection_id_fkey"),
        references("user_id", "auth.users", OnDelete::Cascade),
        references("character_id", "characters", OnDelete::Cascade)
            .named("user_library_character_id_fkey")
            .doc("beyond"),
    ],
    indexes: &[
        index("idx_library_collection", &["collection_id", "created_at desc"]),
        index("idx_library_user_created", &["user_id", "created_at desc"]),
        index("idx_user_library_roleplay", &["content_category"])
            .filter("content_category = 'roleplay_scene'"),
        index("idx_user_library_roleplay_metadata", &["roleplay_metadata"])
            .gin()
            .filter("content_category = 'roleplay_scene'"),
        index("idx_user_library_character", &["user_id", "character_id"]).filter("character_id IS NOT NULL"),
        index("idx_user_library_output_type", &["user_id", "character_id", "output_type"])
            .filter("character_id IS NOT NULL"),
    ],
    searched: &["original_prompt", "custom_title"],
    policies: Policies {
        select: "owner(user_id)",
        insert: "owner(user_id)",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    triggers: &[
        "user_collections.asset_count follows insert, delete and change of collection_id",
        "characters.portrait_count follows output_type='portrait' (beyond)",
    ],
    realtime: &["*"],
    doc: "visibility has public/unlisted but the policy still shows rows to the owner only. storage_path is relative to bucket user-library.",
    ..TABLE
};

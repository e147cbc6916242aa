//! Images generated for scripts and characters.

use crate::table::*;

/// Images generated for scripts and characters.
pub static IMAGE_GENERATIONS: Table = Table {
    name: "image_generations",
    origin: &["seed 004"],
    purpose: "Images generated for scripts and characters",
    owner: Aggregate::JobScheduler,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("video_generation_id").nullable(),
        uuid("user_id").nullable(),
        uuid("character_id").nullable(),
        text("image_type").nullable(),
        text("scene_id").nullable().doc("snapshot: free text key, not a foreign key"),
        text("character_name").nullable(),
        int4("shot_index").default("0"),
        int4("scene_number").nullable(),
        text("scene_description").nullable(),
        text("image_prompt").nullable(),
        text("text_prompt").nullable(),
        text("style").nullable(),
        text("aspect_ratio").nullable(),
        text("image_url").nullable(),
        text("thumbnail_url").nullable(),
        int4("width").nullable(),
        int4("height").nullable(),
        int8("file_size_bytes").nullable(),
        float8("generation_time_seconds").nullable(),
        int4("sequence_order").nullable(),
        text("status").default("'pending'::text"),
        int4("progress").default("0"),
        text("error_message").nullable(),
        uuid("script_id").nullable(),
        uuid("chapter_id").nullable(),
        text("model_id").nullable(),
        jsonb("meta").nullable().default("'{}'::jsonb"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    foreign_keys: &[
        references("character_id", "characters", OnDelete::SetNull)
            .named("fk_image_generations_character_id"),
        references("video_generation_id", "video_generations", OnDelete::Cascade),
        references("user_id", "profiles", OnDelete::Cascade).doc("inferred"),
        references("script_id", "scripts", OnDelete::SetNull).doc("inferred"),
        references("chapter_id", "chapters", OnDelete::SetNull).doc("inferred"),
    ],
    indexes: &[index("idx_image_generations_character_id", &["character_id"])],
    policies: Policies {
        select: "owner(user_id) | parent(video_generation_id→video_generations.user_id)",
        insert: "owner(user_id)",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    doc: "minimal plus the document's character_id; select policy exactly as the document: own row, or own video generation",
    ..TABLE
};

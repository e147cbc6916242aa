//! Narration, character voice, effects and music clips.

use crate::table::*;
use crate::value::AUDIO_TYPE;

/// Narration, character voice, effects and music clips.
pub static AUDIO_GENERATIONS: Table = Table {
    name: "audio_generations",
    origin: &["seed 004"],
    purpose: "Narration, character voice, effects and music clips",
    owner: Aggregate::JobScheduler,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("video_generation_id").nullable(),
        uuid("user_id").nullable(),
        uuid("character_id").nullable(),
        uuid("chapter_id").nullable(),
        uuid("script_id").nullable(),
        enumeration("audio_type", &AUDIO_TYPE),
        text("scene_id").nullable().doc("free text key"),
        text("character_name").nullable(),
        text("text_content").nullable(),
        text("voice_id").nullable(),
        text("audio_url").nullable(),
        float8("duration_seconds").nullable(),
        text("status").default("'pending'::text"),
        int4("sequence_order").nullable(),
        text("model_id").nullable(),
        text("error_message").nullable(),
        jsonb("audio_metadata").nullable().default("'{}'::jsonb"),
        timestamptz("created_at").default("now()"),
    ],
    foreign_keys: &[
        references("character_id", "characters", OnDelete::SetNull)
            .named("fk_audio_generations_character_id"),
        references("video_generation_id", "video_generations", OnDelete::Cascade),
        references("user_id", "profiles", OnDelete::Cascade).doc("inferred"),
        references("script_id", "scripts", OnDelete::SetNull).doc("inferred"),
        references("chapter_id", "chapters", OnDelete::SetNull).doc("inferred"),
    ],
    indexes: &[index("idx_audio_generations_character_id", &["character_id"])],
    policies: Policies {
        select: "owner(user_id) | parent(video_generation_id→video_generations.user_id)",
        insert: "owner(user_id)",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    doc: "minimal plus the document's character_id; select policy exactly as the document: own row, or own video generation",
    ..TABLE
};

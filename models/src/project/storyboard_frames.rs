//! Frames extracted from clips.

use crate::table::*;

/// Frames extracted from clips.
pub static STORYBOARD_FRAMES: Table = Table {
    name: "storyboard_frames",
    origin: &["beyond"],
    purpose: "Frames extracted from clips",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("clip_id"),
        timestamptz("created_at").nullable().default("now()"),
        text("extraction_method").nullable(),
        text("frame_url"),
        boolean("is_chain_frame").nullable(),
        jsonb("metadata").nullable().default("'{}'::jsonb"),
        numeric("quality_score").nullable(),
        text("thumbnail_url").nullable(),
        int4("timestamp_ms"),
        uuid("used_in_clip_id").nullable(),
    ],
    foreign_keys: &[
        references("clip_id", "storyboard_clips", OnDelete::Cascade).named("storyboard_frames_clip_id_fkey"),
        references("used_in_clip_id", "storyboard_clips", OnDelete::SetNull)
            .named("storyboard_frames_used_in_clip_id_fkey"),
    ],
    policies: Policies {
        select: "owner_via(clip_id→storyboard_clips)",
        insert: "owner_via(clip_id→storyboard_clips)",
        update: "owner_via(clip_id→storyboard_clips)",
        delete: "owner_via(clip_id→storyboard_clips)",
    },
    doc: "policies inferred",
    ..TABLE
};

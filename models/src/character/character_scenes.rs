//! A picture of a character in a scene, produced by a job and tied to a conversation.

use crate::table::*;

/// A picture of a character in a scene, produced by a job and tied to a conversation.
pub static CHARACTER_SCENES: Table = Table {
    name: "character_scenes",
    origin: &["seed 003", "seed 002", "seed 000", "beyond"],
    purpose: "A picture of a character in a scene, produced by a job and tied to a conversation",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("character_id").nullable(),
        uuid("conversation_id").nullable(),
        text("image_url").nullable(),
        text("scene_prompt"),
        jsonb("generation_metadata").nullable().default("'{}'::jsonb"),
        uuid("job_id").nullable(),
        timestamptz("created_at").nullable().default("now()"),
        timestamptz("updated_at").nullable().default("now()"),
        text("system_prompt").nullable().doc("seed 000, tenth column"),
        text("generation_mode").nullable().doc("beyond: 'i2i'|'modification'|'t2i'"),
        uuid("previous_scene_id").nullable().doc("beyond: scene chain"),
        text("previous_scene_image_url").nullable().doc("beyond"),
        int4("priority").nullable().doc("beyond"),
        text("scene_name").nullable().doc("beyond"),
        text("scene_description").nullable().doc("beyond"),
        text("scene_rules").nullable().doc("beyond"),
        text_array("scene_starters").nullable().doc("beyond"),
        text("scene_type").nullable().doc("beyond"),
    ],
    foreign_keys: &[
        references("job_id", "jobs", OnDelete::NoAction).named("character_scenes_job_id_fkey"),
        references("character_id", "characters", OnDelete::Cascade)
            .named("character_scenes_character_id_fkey"),
        references("conversation_id", "conversations", OnDelete::Cascade)
            .named("character_scenes_conversation_id_fkey"),
        references("previous_scene_id", "character_scenes", OnDelete::SetNull).doc("beyond; rule inferred"),
    ],
    indexes: &[
        index("idx_character_scenes_character_id", &["character_id"]),
        index("idx_character_scenes_conversation_id", &["conversation_id"]),
        index("idx_character_scenes_created_at", &["created_at desc"]),
        index("idx_character_scenes_character", &["character_id", "created_at desc"])
            .doc("seed 000 recommendation"),
        index("idx_character_scenes_conversation", &["conversation_id", "created_at"])
            .doc("seed 000 recommendation"),
        index("idx_character_scenes_job", &["job_id"]).doc("seed 000 recommendation"),
        index("idx_character_scenes_created", &["created_at desc"])
            .doc("seed 000 recommendation; duplicates idx_character_scenes_created_at, build one"),
    ],
    lookups: &["image_url"],
    policies: Policies {
        select: "admin | owner_via(conversation_id→conversations.user_id) | (owner_via(character_id→characters.user_id) & (null(conversation_id) | owner_via(conversation_id→conversations.user_id)))",
        insert: "admin | (owner_via(character_id→characters.user_id) & (null(conversation_id) | owner_via(conversation_id→conversations.user_id)))",
        update: "admin | (owner_via(character_id→characters.user_id) & (null(conversation_id) | owner_via(conversation_id→conversations.user_id)))",
        delete: "admin | owner_via(conversation_id→conversations.user_id) | (owner_via(character_id→characters.user_id) & (null(conversation_id) | owner_via(conversation_id→conversations.user_id)))",
    },
    triggers: &[
        "set updated_at on update",
        "after insert/update of generation_metadata with a conversation_id: copy generation_metadata.scene_context.setting into conversations.current_location (beyond)",
    ],
    realtime: &["*"],
    doc: "Column count differs between documents: 9 (003), 10 (000), 13 (002); union taken. character_id is nullable: a row without one is visible to admins only.",
    computed: &[Computed { name: "scene_prompt_length", formula: Formula::Length("scene_prompt") }],
    ..TABLE
};

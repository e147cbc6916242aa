//! LoRAs that were trained on pictures of a character.

use crate::table::*;

/// A LoRA of a character: a file of the models folder that its owner alone may use.
pub static CHARACTER_LORAS: Table = Table {
    name: "character_loras",
    origin: &["ours"],
    purpose: "A LoRA that was trained on pictures of a character",
    owner: Aggregate::Character,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("user_id"),
        uuid("character_id"),
        text("name").doc("as loras of a job name it: accounts/<user_id>/<name>"),
        text("trigger_word").doc("what prompts say for the character to appear"),
        text("base_model").doc("the picture model that it was trained on"),
        numeric("scale").default("1").doc("how much of it a picture takes"),
        boolean("is_default")
            .default("true")
            .doc("pictures of the character by base_model are drawn with it unless they say otherwise"),
        jsonb("settings").default("'{}'::jsonb").doc("rank, alpha, steps and the like"),
        jsonb("loss_curve").default("'[]'::jsonb").doc("means of the loss, from the first step to the last"),
        jsonb("sample_urls").default("'[]'::jsonb").doc("pictures drawn on the way, the last one last"),
        uuid("job_id").nullable().doc("the training"),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
        boolean("shows_minor")
            .default("false")
            .doc("whether it was trained on a minor, whatever its character becomes: no nsfw job takes it"),
    ],
    unique: &[&["name"]],
    foreign_keys: &[
        references("user_id", "profiles", OnDelete::Cascade),
        references("character_id", "characters", OnDelete::Cascade),
    ],
    indexes: &[
        index("idx_character_loras_character", &["character_id", "created_at desc"]),
        index("idx_character_loras_user", &["user_id", "created_at desc"]),
    ],
    policies: Policies {
        select: "owner(user_id)",
        insert: "service",
        update: "owner(user_id)",
        delete: "owner(user_id)",
    },
    guarded_columns: &[Guarded {
        columns: &[
            "user_id",
            "character_id",
            "name",
            "base_model",
            "settings",
            "loss_curve",
            "sample_urls",
            "job_id",
            "shows_minor",
        ],
        write: "service",
        doc: "what a training made is not for its owner to change; trigger_word, scale and is_default are",
    }],
    triggers: &["set updated_at on update"],
    ..TABLE
};

//! What is known of each reply beyond its text: how it came about and how it ended.

use crate::table::*;

/// One reply, from the moment it was asked for.
pub static REPLIES: Table = Table {
    schema: "chat",
    name: "replies",
    purpose: "How a reply came about: its state, its model, and what went into its prompt",
    owner: Aggregate::Conversation,
    columns: &[
        uuid("id").doc("also the id of the message that it becomes"),
        uuid("conversation_id"),
        uuid("user_id"),
        text("state").default("'streaming'"),
        uuid("answers").nullable().doc("the message that it follows"),
        uuid("replaces").nullable().doc("the message of which it is another version"),
        text("message_type").default("'text'"),
        text("content_tier").default("'sfw'"),
        text("provider").nullable(),
        text("model").nullable(),
        text("engine").nullable().doc("which engine or server answered"),
        int8("seed").nullable(),
        text("finish_reason").nullable(),
        text("error").nullable(),
        jsonb("prompt").nullable().doc("what went into the prompt"),
        jsonb("usage").nullable(),
        jsonb("lore").nullable().doc("lorebook entries called so far"),
        timestamptz("created_at").default("now()"),
        timestamptz("finished_at").nullable(),
    ],
    checks: &[
        check(
            "replies_state_check",
            "state",
            "state IN ('streaming', 'complete', 'incomplete', 'stopped', 'failed', 'edited')",
        ),
        check("replies_content_tier_check", "content_tier", "content_tier IN ('sfw', 'nsfw')"),
    ],
    foreign_keys: &[references("conversation_id", "conversations", OnDelete::Cascade)],
    indexes: &[
        index("replies_state_idx", &["state"]),
        index("replies_conversation_idx", &["conversation_id", "created_at desc"]),
        index("replies_one_at_a_time", &["conversation_id"]).filter("state = 'streaming'").unique(),
    ],
    policies: Policies { select: "owner(user_id)", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};

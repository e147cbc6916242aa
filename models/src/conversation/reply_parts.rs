//! What has been said of a reply that is still being made, so that a crash leaves it.

use crate::table::*;

/// A piece of a reply under way; gone once the reply is a message.
pub static REPLY_PARTS: Table = Table {
    schema: "chat",
    name: "reply_parts",
    purpose: "A piece of a reply under way",
    owner: Aggregate::Conversation,
    columns: &[uuid("reply_id"), int4("position"), text("content")],
    primary_key: &["reply_id", "position"],
    foreign_keys: &[references("reply_id", "chat.replies", OnDelete::Cascade)],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};

//! Where a job stands in the queue: what its row does not say.

use crate::table::*;

/// The queue's side of one job.
pub static QUEUE_ENTRIES: Table = Table {
    schema: "queue",
    name: "entries",
    purpose: "Where one job stands in the queue, and what a worker needs to know",
    owner: Aggregate::JobScheduler,
    columns: &[
        uuid("id").doc("the job's id"),
        uuid("user_id").doc("whose turn it takes"),
        text("queue").doc(
            "sdxl_queue for pictures, wan_queue for videos, webtoon_queue for graphs, export_queue for files of webtoons, \
              replicate for what a provider elsewhere draws",
        ),
        text("state").default("'waiting'::text").doc("waiting|running|ended"),
        int4("priority").default("0").doc("among the jobs of one account, greatest first"),
        text("idempotency_key").nullable().doc("the caller's; one job per account and key"),
        jsonb("payload").doc("what a worker is sent"),
        text("worker").nullable().doc("who runs it: local, or a remote worker's name"),
        timestamptz("not_before").default("now()").doc("back-off of a retry"),
        timestamptz("claimed_at").nullable(),
        timestamptz("lease_until")
            .nullable()
            .doc("a remote worker that has not answered by then has lost the job"),
        int4("credits").default("0").doc("reserved from the account's balance until the job ends"),
        timestamptz("created_at").default("now()"),
        numeric("cost_usd")
            .nullable()
            .doc("what the model takes for the job; counted as spent while it runs"),
    ],
    unique: &[&["user_id", "idempotency_key"]],
    checks: &[check("entries_state_check", "state", "state IN ('waiting', 'running', 'ended')")],
    foreign_keys: &[references("id", "jobs", OnDelete::Cascade)],
    indexes: &[
        index("entries_state_idx", &["state", "created_at"]),
        index("entries_turn_idx", &["user_id", "claimed_at desc"]),
    ],
    policies: Policies { select: "service", insert: "service", update: "service", delete: "service" },
    audited: false,
    ..TABLE
};

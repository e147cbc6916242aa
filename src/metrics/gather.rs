//! What actors, store, queue and models know of themselves, asked for with each look at the page.

use actors::language::Called;

use super::page::{Labels, Page};
use crate::app::App;

/// The page; looks at folders, so it blocks.
pub(super) fn page(app: &App) -> Result<String, std::fmt::Error> {
    let mut page = Page::of(&app.metrics);
    actors(&mut page, app);
    store(&mut page, app);
    jobs(&mut page, app);
    models(&mut page, app);
    budgets(&mut page, app);
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_string())];
    page.gauge("playhouse_build", "1, with the version", [(version, 1.0)]);
    if let Some(bytes) = crate::machine::resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory of the process", one(bytes));
    }
    page.text()
}

/// Figures above 2^53 lose their last digits.
fn number(value: u64) -> f64 {
    value as f64
}

fn one(value: u64) -> [(Labels, f64); 1] {
    [(Labels::new(), number(value))]
}

fn truth(value: bool) -> [(Labels, f64); 1] {
    one(u64::from(value))
}

fn actors(page: &mut Page, app: &App) {
    let health = app.services.actors.health();
    let each = |value: fn(&actors::Health) -> f64| -> Vec<(Labels, f64)> {
        health.iter().map(|actor| (vec![("actor", actor.actor.to_string())], value(actor))).collect()
    };
    let up = each(|actor| f64::from(u8::from(actor.alive)));
    page.gauge("playhouse_actor_up", "Whether an actor takes messages", up);
    let waiting = each(|actor| number(actor.waiting));
    page.gauge("playhouse_actor_mailbox_messages", "Messages in an actor's mailbox", waiting);
    let decided = each(|actor| number(actor.decided));
    page.counter("playhouse_actor_decisions", "Decisions that an actor has taken", decided);
    let handling =
        health.iter().map(|actor| (vec![("actor", actor.actor.to_string())], actor.handling.clone()));
    page.histogram("playhouse_actor_handling_seconds", "How long an actor's decisions took", handling);
    let restarts = each(|actor| number(actor.panicked + actor.respawned));
    page.counter("playhouse_actor_restarts", "Times an actor was started anew", restarts);
    let refused = each(|actor| number(actor.refused_full));
    page.counter("playhouse_actor_refusals", "Messages turned away because a mailbox was full", refused);
    let capacity = u64::try_from(app.config.mailbox_capacity).unwrap_or(u64::MAX);
    page.gauge("playhouse_actor_mailbox_capacity", "Messages that fit into a mailbox", one(capacity));
}

fn store(page: &mut Page, app: &App) {
    let store = app.services.actors.store();
    page.counter("playhouse_commits", "Commits", one(store.commits()));
    page.counter(
        "playhouse_flushes",
        "Flushes, each shared by the commits that waited for it",
        one(store.flushes()),
    );
    page.histogram("playhouse_flush_seconds", "How long flushes took", [(Labels::new(), store.flushing())]);
    let usage = store.usage();
    page.gauge("playhouse_store_used_bytes", "What the engine's files take", one(usage.used_bytes));
    if let Some(live) = usage.live_bytes {
        page.gauge("playhouse_store_live_bytes", "Rows and index entries that are kept", one(live));
    }
    page.gauge(
        "playhouse_store_read_only",
        "Whether writes are refused since one failed",
        truth(store.is_read_only()),
    );
    page.gauge(
        "playhouse_store_disk_full",
        "Whether the disk has no room for writes",
        truth(!store.has_room()),
    );
    let damaged = matches!(store.integrity(), store::check::Integrity::Damaged { .. });
    page.gauge("playhouse_store_damaged", "Whether the check after the start found damage", truth(damaged));
}

fn jobs(page: &mut Page, app: &App) {
    let labels = |(state, kind): actors::job_scheduler::StateAndKind| vec![("state", state), ("kind", kind)];
    let tally = app.services.actors.jobs();
    let now = tally.now().into_iter().map(|(key, count)| (labels(key), count as f64));
    page.gauge("playhouse_jobs", "Jobs that are kept, by state and kind", now);
    let ended = tally.ended().into_iter().map(|(key, count)| (labels(key), number(count)));
    page.counter("playhouse_jobs_ended", "Jobs that came to an end since the start", ended);
}

fn models(page: &mut Page, app: &App) {
    if let Some(render) = &app.services.render {
        let drawing = render.drawing();
        let steps = "Steps of drawings, each counted for every picture or frame that it advances";
        page.counter("playhouse_drawing_steps", steps, one(drawing.steps));
        let time = [(Labels::new(), drawing.time.as_secs_f64())];
        page.counter("playhouse_drawing_seconds", "Time that the device was at work on jobs", time);
    }
    let calls = app.services.chat.engines().calls();
    let places = [("local", calls.local()), ("elsewhere", calls.elsewhere())];
    let each = |figures: fn(&Called) -> Vec<(&'static str, &'static str, f64)>| -> Vec<(Labels, f64)> {
        let labelled = |(place, called): &(&str, Called)| {
            let place = place.to_string();
            let label = |(name, value, figure): (&'static str, &str, f64)| {
                let place = ("place", place.clone());
                (if name.is_empty() { vec![place] } else { vec![place, (name, value.to_string())] }, figure)
            };
            figures(called).into_iter().map(label).collect::<Vec<_>>()
        };
        places.iter().flat_map(labelled).collect()
    };
    let ended = each(|called| {
        vec![("result", "answered", number(called.answered)), ("result", "failed", number(called.failed))]
    });
    page.counter("playhouse_chat_calls", "Calls of chat models, by where the model is", ended);
    let tokens = each(|called| {
        vec![
            ("direction", "prompt", number(called.prompt_tokens)),
            ("direction", "completion", number(called.completion_tokens)),
        ]
    });
    page.counter("playhouse_chat_tokens", "Tokens that chat models read and wrote", tokens);
    let time = each(|called| vec![("", "", called.time.as_secs_f64())]);
    page.counter("playhouse_chat_seconds", "Time from asking a chat model to the end of its reply", time);
    let active = u64::try_from(app.services.chat.active()).unwrap_or(u64::MAX);
    page.gauge("playhouse_chat_replies_under_way", "Replies being made in conversations", one(active));
}

fn budgets(page: &mut Page, app: &App) {
    let budgets = &app.budgets;
    let shares = [
        ("memory_bytes", &budgets.memory),
        ("bodies_bytes", &budgets.bodies),
        ("reads", &budgets.reads),
        ("long_reads", &budgets.turns),
        ("parsed_bytes", &budgets.parsed),
        ("files", &budgets.files),
        ("files_read", &budgets.reading),
        ("uploads", &budgets.uploads),
        ("renders", &budgets.renders),
        ("passwords", &budgets.passwords),
        ("sockets", &budgets.sockets),
        ("subscriptions", &budgets.subscriptions),
    ];
    let each = |figure: fn(&store::shares::Shares) -> usize| -> Vec<(Labels, f64)> {
        shares
            .iter()
            .map(|(name, share)| (vec![("budget", name.to_string())], figure(share) as f64))
            .collect()
    };
    page.gauge(
        "playhouse_budget_used",
        "What is held of what requests share",
        each(store::shares::Shares::used),
    );
    page.gauge("playhouse_budget_total", "What there is of it", each(store::shares::Shares::total));
}

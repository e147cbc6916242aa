//! What ends with an account beside its rows: requests, event streams and replies under way, files outside the store.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::Actors;
use actors::conversation::chat::Chat;
use actors::user::standing::{Standing, standing};
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::json;
use store::Store;
use store::shares::Owner;
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::outbox;
use crate::storage::Unfinished;

/// Accounts that the check names of each kind.
const ACCOUNTS_LISTED: usize = 20;

/// The answer to a request, unless the account that asks is deleted or banned before; a stream of events ends then.
pub(crate) async fn end_with<E>(
    app: &App,
    owner: Owner,
    answered: impl Future<Output = Result<Response, E>>,
) -> Result<Response, E> {
    let Owner::Account(user) = owner else { return answered.await };
    let response = tokio::select! {
        biased;
        response = answered => response?,
        standing = app.services.actors.accounts().ended(user) => {
            // What the request wrote beside the store while its account was being deleted.
            if standing == Standing::Gone {
                let store = app.services.actors.store().clone();
                tokio::task::spawn_blocking(move || forget_gone_once(&store));
            }
            return Ok(refused(standing));
        }
    };
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = body.into_data_stream().take_until(Box::pin(ended(app.clone(), user)));
    Ok(Response::from_parts(parts, Body::from_stream(body)))
}

async fn ended(app: App, user: Uuid) {
    app.services.actors.accounts().ended(user).await;
}

fn refused(standing: Standing) -> Response {
    let message = standing.refusal().unwrap_or_default();
    let body = json!({
        "code": "401", "message": message, "error": message, "details": null, "hint": null,
    });
    (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response()
}

/// Ends replies for as long as the server runs.
pub(crate) async fn stop_replies(actors: Actors, chat: Chat) {
    let mut ends = actors.accounts().ends();
    while ends.changed().await.is_ok() {
        chat.stop_of_ended_accounts();
    }
}

/// The same as [`forget_gone`] for many requests that end at one time: one task looks, and looks again if others ended
/// meanwhile.
fn forget_gone_once(store: &Store) {
    static WANTED: AtomicBool = AtomicBool::new(false);
    static LOOKING: Mutex<()> = Mutex::new(());
    WANTED.store(true, Ordering::Release);
    while WANTED.load(Ordering::Acquire) {
        let Ok(_looking) = LOOKING.try_lock() else { return };
        while WANTED.swap(false, Ordering::AcqRel) {
            forget_gone(store);
        }
    }
}

/// Removes what accounts that are gone left outside the store: unfinished uploads, links in the outbox. Blocks.
pub(crate) fn forget_gone(store: &Store) {
    Unfinished::of(store.folder()).forget_those_of(|user| is_gone(store, user));
    if let Err(error) = outbox::forget_those_of(store.folder(), |user| is_gone(store, user)) {
        tracing::error!(%error, "the outbox keeps links of deleted accounts");
    }
}

/// Whether there is no such account, or only its rows were kept; what cannot be looked up is kept.
fn is_gone(store: &Store, user: Uuid) -> bool {
    matches!(standing(&store.reads(), user, None), Ok(Standing::Gone))
}

/// What accounts that are gone have left, as the check lists it: `{in, accounts, count}`.
pub fn left_behind(store: &Store) -> Result<Vec<serde_json::Value>, store::StoreError> {
    let rows = actors::user::left_behind::left_behind(store)?;
    let mut found: Vec<_> = rows
        .into_iter()
        .map(|left| {
            let place = format!("{}.{}", left.table, left.column);
            let accounts: Vec<Uuid> = left.rows.keys().copied().take(ACCOUNTS_LISTED).collect();
            json!({"in": place, "accounts": accounts, "count": left.rows.values().sum::<u64>()})
        })
        .collect();
    let uploads = Unfinished::of(store.folder()).owners().into_iter().map(|(_, owner)| owner);
    for (place, owners) in [("uploads", uploads.collect()), ("outbox", outbox::accounts(store.folder()))] {
        let gone: Vec<Uuid> = owners.into_iter().filter(|owner| is_gone(store, *owner)).collect();
        let accounts: BTreeSet<Uuid> = gone.iter().copied().take(ACCOUNTS_LISTED).collect();
        if !gone.is_empty() {
            found.push(json!({"in": place, "accounts": accounts, "count": gone.len()}));
        }
    }
    Ok(found)
}

//! What is no longer needed: blobs without a row and their thumbnails, uploads that were given up.

use std::sync::Arc;
use std::time::Duration;

use services::files::thumbnails::Thumbnails;
use store::Store;

use super::unfinished::Unfinished;
use crate::ended_accounts;

/// How often to look.
const EVERY: Duration = Duration::from_secs(3600);
/// Age from which a blob without a row is garbage: longer than any upload waits for its commit.
const ORPHAN_AGE: Duration = Duration::from_secs(6 * 3600);

/// Sweeps now and then for as long as the server runs.
pub(crate) async fn run_sweep_loop(store: Store, thumbnails: Arc<Thumbnails>) {
    loop {
        let (store, thumbnails) = (store.clone(), thumbnails.clone());
        let swept = tokio::task::spawn_blocking(move || {
            Unfinished::of(store.folder()).sweep();
            ended_accounts::forget_gone(&store);
            let swept = store.sweep(ORPHAN_AGE, false);
            thumbnails.forget_gone(&store);
            swept
        });
        match swept.await {
            Ok(Ok(swept)) if !swept.is_empty() => tracing::info!(blobs = swept.len(), "swept"),
            Ok(Err(error)) => tracing::error!(%error, "the sweep failed"),
            _ => {}
        }
        tokio::time::sleep(EVERY).await;
    }
}

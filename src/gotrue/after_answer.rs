//! Work that is done once its request is answered, so that the time to the answer tells nothing of it.

use store::StoreError;
use tokio::sync::{Mutex, Semaphore};

use crate::app::App;
use crate::gotrue::error::AuthError;

/// Requests whose work is not done yet; further ones are asked to come back.
static UNDER_WAY: Semaphore = Semaphore::const_new(64);

/// One link after the other, so that the last one in the outbox is the one that counts.
static IN_TURN: Mutex<()> = Mutex::const_new(());

/// Has the work of a request done once it is answered; what would be refused to every caller is refused now.
pub(crate) fn after_the_answer(
    app: &App,
    kind: &'static str,
    work: impl Future<Output = Result<(), AuthError>> + Send + 'static,
) -> Result<(), AuthError> {
    let store = app.services.actors.store();
    if let Some(reason) = store.trouble() {
        return Err(AuthError::new(503, "unexpected_failure", reason));
    }
    if !store.has_room() {
        return Err(StoreError::DiskFull.into());
    }
    let permit = UNDER_WAY.try_acquire().map_err(|_| AuthError::too_many())?;
    tokio::spawn(async move {
        let _permit = permit;
        let _turn = IN_TURN.lock().await;
        if let Err(error) = work.await {
            tracing::error!(kind, code = error.code, message = error.message, "a link could not be made");
        }
    });
    Ok(())
}

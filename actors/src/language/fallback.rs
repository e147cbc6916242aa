//! A local model stands in for servers elsewhere that do not answer.

use std::sync::Arc;

use language::{ChatEngine, ChatEvent, ChatOutcome, ChatRequest, ChatStream, LanguageError, RemoteEngine};
use tokio::runtime::Handle;

use super::local_models::LocalModels;

/// Asks servers elsewhere, and the first local model once all of them have failed.
pub(super) struct WithLocal {
    pub remote: Arc<RemoteEngine>,
    pub local: Arc<LocalModels>,
    /// Which of them, where the catalogue puts another one before the default one.
    pub name: Option<String>,
    pub runtime: Handle,
}

impl ChatEngine for WithLocal {
    fn name(&self) -> &str {
        self.remote.name()
    }

    fn submit(&self, request: ChatRequest) -> Result<ChatStream, LanguageError> {
        let first = self.remote.submit(request.clone())?;
        let (events, stream) = ChatStream::pair(first.queue_place());
        let (local, name) = (self.local.clone(), self.remote.name().to_string());
        let first = (first, self.name.clone());
        self.runtime.spawn(async move {
            let (first, instead) = first;
            let Some(failure) = forward(first, &events, None).await else { return };
            let stood_in = if request.cancel.is_cancelled() || !is_outage(&failure) {
                None
            } else {
                stand_in(&local, instead.as_deref(), request).await
            };
            match stood_in {
                Some((engine, second)) => {
                    tracing::warn!(model = name, %failure, instead = engine, "a local model stands in");
                    let answered = format!("local:{engine}");
                    if let Some(failure) = forward(second, &events, Some(&answered)).await {
                        let _ = events.send(ChatEvent::Failed(failure));
                    }
                }
                None => {
                    let _ = events.send(ChatEvent::Failed(failure));
                }
            }
        });
        Ok(stream)
    }
}

/// Passes events on, with another name of who answered where there is one; the error if the reply failed before any text
/// was shown. A later one is passed on as well.
async fn forward(
    mut stream: ChatStream,
    events: &tokio::sync::mpsc::UnboundedSender<ChatEvent>,
    answered: Option<&str>,
) -> Option<LanguageError> {
    let mut shown = false;
    loop {
        match stream.next().await {
            Some(ChatEvent::Failed(error)) if !shown => return Some(error),
            Some(ChatEvent::Finished(outcome)) => {
                let engine = answered.map_or_else(|| outcome.engine.clone(), str::to_string);
                let _ = events.send(ChatEvent::Finished(ChatOutcome { engine, ..outcome }));
            }
            Some(event) => {
                shown |= matches!(event, ChatEvent::Delta(_));
                let _ = events.send(event);
            }
            None => return None,
        }
    }
}

/// Whether the servers are to blame rather than the request.
fn is_outage(error: &LanguageError) -> bool {
    match error {
        LanguageError::Remote { .. } | LanguageError::CircuitOpen { .. } => true,
        // A server that cannot read the request, or finds it too long, would be no better off elsewhere.
        LanguageError::RemoteStatus { status, .. } => !matches!(status, 400 | 413 | 422),
        _ => false,
    }
}

async fn stand_in(
    local: &Arc<LocalModels>,
    name: Option<&str>,
    request: ChatRequest,
) -> Option<(String, ChatStream)> {
    let engine = match local.engine(name).await {
        Ok(engine) => engine,
        Err(reason) => {
            tracing::warn!(%reason, "no local model can stand in");
            return None;
        }
    };
    let name = engine.name().to_string();
    // Tokens are counted and a grammar is made.
    let submitted = tokio::task::spawn_blocking(move || engine.submit(request)).await;
    match submitted {
        Ok(Ok(stream)) => Some((name, stream)),
        Ok(Err(reason)) => {
            tracing::warn!(model = name, %reason, "a local model cannot stand in");
            None
        }
        Err(_) => None,
    }
}

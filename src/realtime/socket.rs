//! One socket: what comes in and what goes out, until one of both ends.

use std::future::Future;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use syntax::phoenix::{self, Frame};
use tokio::time::{Instant, sleep_until, timeout};

use super::limits::{CLOSE_PATIENCE, FRAME_BYTES_MAX, FRAMES_AT_ONCE, FRAMES_PER_S, SILENCE_MAX};
use super::outbox::{Closing, Next};
use super::pace::Pace;
use super::session::Session;

const STOPPING: Closing = Closing { code: 1001, reason: "the server stops" };
const SILENT: Closing = Closing { code: 1001, reason: "no heartbeat for 60 s" };
const TOO_FAST: Closing = Closing { code: 1008, reason: "ClientRateLimitReached: too many frames" };
const TOO_LARGE: Closing = Closing { code: 1009, reason: "a frame is larger than 256 KiB" };
const BROKEN: Closing = Closing { code: 1002, reason: "the frames are not those of a socket" };

/// Serves a socket until it ends.
pub(super) async fn run(mut stream: WebSocket, mut session: Session) {
    let closing = talk(&mut stream, &mut session).await;
    session.end();
    if let Some(closing) = closing {
        let frame = CloseFrame { code: closing.code, reason: closing.reason.into() };
        let said = async {
            stream.send(Message::Close(Some(frame))).await?;
            // What the client still sends is taken, so that it gets to read why.
            while let Some(Ok(_)) = stream.recv().await {}
            Ok::<(), axum::Error>(())
        };
        let _ = timeout(CLOSE_PATIENCE, said).await;
    }
}

/// Answers with why the socket is to be closed; `None` when the client has gone.
async fn talk(stream: &mut WebSocket, session: &mut Session) -> Option<Closing> {
    let app = session.app().clone();
    let outbox = session.outbox().clone();
    let mut stopped = std::pin::pin!(app.sockets.stopped());
    let mut pace = Pace::new(FRAMES_PER_S, FRAMES_AT_ONCE);
    let mut heard = Instant::now();
    loop {
        let silent = heard + SILENCE_MAX;
        let due = session.due().map_or(silent, |due| due.min(silent));
        tokio::select! {
            () = &mut stopped => return Some(STOPPING),
            next = outbox.next() => {
                let items = match next {
                    Next::Close(closing) => return Some(closing),
                    Next::Items(items) => items,
                };
                let frames: Vec<Frame> = items.into_iter().filter_map(|item| session.frame(item)).collect();
                let sent = unless_closed(send(stream, frames), outbox.closed());
                match sent.await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(closing) => return Some(closing),
                }
            }
            received = stream.recv() => {
                heard = Instant::now();
                let message = match received? {
                    Ok(message) => message,
                    Err(error) => return Some(fault(&error)),
                };
                if matches!(message, Message::Close(_)) {
                    return None;
                }
                if !pace.take() {
                    return Some(TOO_FAST);
                }
                let read = match message {
                    Message::Text(text) => phoenix::read_text(session.version(), text.as_str()),
                    Message::Binary(bytes) => phoenix::read_binary(session.version(), &bytes),
                    _ => continue,
                };
                match read {
                    Ok(message) => session.handle(message),
                    Err(error) => {
                        tracing::debug!(%error, "a client sent no frame");
                        session.refuse_frame(&error.to_string());
                    }
                }
            }
            () = sleep_until(due) => {
                if Instant::now() >= silent {
                    return Some(SILENT);
                }
                session.end_expired();
            }
        }
    }
}

/// What a frame that could not be read means.
fn fault(error: &axum::Error) -> Closing {
    let text = error.to_string();
    tracing::debug!(text, bytes_max = FRAME_BYTES_MAX, "a socket broke");
    if text.contains("too long") || text.contains("Space limit") { TOO_LARGE } else { BROKEN }
}

async fn send(stream: &mut WebSocket, frames: Vec<Frame>) -> Result<(), axum::Error> {
    for frame in frames {
        let message = match frame {
            Frame::Text(text) => Message::Text(text.into()),
            Frame::Binary(bytes) => Message::Binary(bytes.into()),
        };
        stream.feed(message).await?;
    }
    stream.flush().await
}

/// What `work` gives, unless the socket is to be closed before.
async fn unless_closed<T>(
    work: impl Future<Output = T>,
    closed: impl Future<Output = Closing>,
) -> Result<T, Closing> {
    tokio::select! {
        done = work => Ok(done),
        closing = closed => Err(closing),
    }
}

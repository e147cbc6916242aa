//! One socket: what comes in and what goes out, until one of both ends.

use std::pin::Pin;
use std::time::Duration;

use actors::events::pace::Pace;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use syntax::phoenix::{self, Frame};
use tokio::time::{Instant, sleep_until, timeout};

use super::limits::{CLOSE_PATIENCE, FRAME_BYTES_MAX, FRAMES_AT_ONCE, FRAMES_PER_S, SILENCE_MAX};
use super::outbox::{Closing, Next, SLOW};
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
                let begun = Instant::now();
                match send_all(stream, frames, session, stopped.as_mut()).await {
                    Sent::All => {}
                    Sent::Gone => return None,
                    Sent::Closing(closing) => return Some(closing),
                }
                // What it said meanwhile was not listened to.
                heard += begun.elapsed();
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
                if !pace.take(1.0) {
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

/// How sending ended.
enum Sent {
    All,
    Gone,
    Closing(Closing),
}

/// Sends frames to a client that may read slowly: the server may stop, and tokens may end meanwhile. One that takes none of
/// them for as long as an answer may pause is closed.
async fn send_all(
    stream: &mut WebSocket,
    frames: Vec<Frame>,
    session: &mut Session,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> Sent {
    let outbox = session.outbox().clone();
    let patience = Duration::from_secs(session.app().config.answer_pause_s_max).min(SILENCE_MAX);
    let last = Instant::now() + patience;
    let mut sending = std::pin::pin!(send(stream, frames));
    loop {
        let due = session.due().map_or(last, |due| due.min(last));
        tokio::select! {
            sent = &mut sending => return if sent.is_ok() { Sent::All } else { Sent::Gone },
            closing = outbox.closed() => return Sent::Closing(closing),
            () = &mut stopped => return Sent::Closing(STOPPING),
            () = sleep_until(due) => {
                if Instant::now() >= last {
                    return Sent::Closing(SLOW);
                }
                session.end_expired();
            }
        }
    }
}

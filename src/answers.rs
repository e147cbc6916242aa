//! Answers as they leave: how much of them is in memory at one time, and how long a client may read nothing of one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client may read nothing of an answer.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Answers up to this size are not counted: connections are limited, and so many of these fit.
const SMALL: u64 = 256 << 10;
/// What is handed to the connection at once.
const PIECE: usize = 64 << 10;

/// Memory for the answers that clients are still reading.
#[derive(Debug)]
pub struct Answers {
    room: Arc<Semaphore>,
    bytes_max: usize,
    pause_max: Duration,
}

impl Answers {
    /// Room for so many bytes.
    pub fn new(bytes_max: usize) -> Answers {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Answers { room: Arc::new(Semaphore::new(bytes_max)), bytes_max, pause_max: PAUSE_MAX }
    }

    /// How much memory they take now, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes_max - self.room.available_permits()
    }

    /// The answer, counted until its client has read it. One for which there is no room is given up, unless something
    /// was written: then it waits until others were read or given up.
    pub(crate) async fn count(&self, method: &Method, response: Response) -> Response {
        let Some(size) = response.body().size_hint().exact().filter(|size| *size > SMALL) else {
            return response;
        };
        let size = u32::try_from(size.min(self.bytes_max as u64)).unwrap_or(u32::MAX);
        let permit = match self.room.clone().try_acquire_many_owned(size) {
            Ok(permit) => permit,
            Err(_) if method.is_safe() => return no_room(),
            Err(_) => match self.room.clone().acquire_many_owned(size).await {
                Ok(permit) => permit,
                Err(_) => return no_room(),
            },
        };
        response.map(|body| Body::new(Counted::new(body, permit, self.pause_max)))
    }
}

fn no_room() -> Response {
    let message = "too many large answers are being read at one time";
    let body = json!({"code": "429", "message": message, "details": null, "hint": null});
    let mut response = (StatusCode::TOO_MANY_REQUESTS, axum::Json(body)).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A body that leaves in pieces, and goes when it is not read for too long, whatever its connection does.
struct Counted {
    held: Arc<Mutex<Held>>,
}

struct Held {
    /// What is still to be taken from; none once it was given up.
    body: Option<Body>,
    piece: Bytes,
    has_moved: bool,
    permit: Option<OwnedSemaphorePermit>,
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counted {
    fn new(body: Body, permit: OwnedSemaphorePermit, pause: Duration) -> Counted {
        let held = Held { body: Some(body), piece: Bytes::new(), has_moved: false, permit: Some(permit) };
        let held = Arc::new(Mutex::new(held));
        tokio::spawn(give_up_when_idle(Arc::downgrade(&held), pause));
        Counted { held }
    }
}

/// Lets go of a body of which nothing was read between two looks.
async fn give_up_when_idle(held: Weak<Mutex<Held>>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(held) = held.upgrade() else { return };
        let mut held = lock(&held);
        if !std::mem::take(&mut held.has_moved) {
            (held.body, held.piece, held.permit) = (None, Bytes::new(), None);
            return;
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut held = lock(&self.held);
        held.has_moved = true;
        if held.piece.is_empty() {
            let Some(body) = held.body.as_mut() else {
                return Poll::Ready(Some(Err(axum::Error::new("the answer was not read for too long"))));
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => held.piece = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = held.piece.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(held.piece.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        let held = lock(&self.held);
        held.piece.is_empty() && held.body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let held = lock(&self.held);
        let left = held.body.as_ref().and_then(|body| body.size_hint().exact());
        left.map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + held.piece.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    fn large() -> Response {
        Response::new(Body::from("x".repeat(1 << 20)))
    }

    #[tokio::test]
    async fn what_is_not_read_gives_its_room_back() {
        let answers = Answers { pause_max: Duration::from_secs(3), ..Answers::new(3 << 19) };
        let first = answers.count(&Method::GET, large()).await;
        assert_eq!(answers.bytes(), 1 << 20);
        assert_eq!(first.body().size_hint().exact(), Some(1 << 20));
        let second = answers.count(&Method::GET, large()).await;
        assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
        // What was written is answered all the same, once there is room.
        let mut third = answers.count(&Method::POST, large()).await.into_body().into_data_stream();
        assert_eq!(answers.bytes(), 1 << 20);
        let mut first = first.into_body().into_data_stream();
        assert!(first.next().await.expect("an end").is_err(), "it was given up");
        // One that is read slowly comes whole.
        let mut read = 0;
        while let Some(piece) = third.next().await {
            read += piece.expect("a piece").len();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(read, 1 << 20);
        drop(third);
        assert_eq!(answers.bytes(), 0);
    }
}

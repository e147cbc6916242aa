//! Answers on their way out: in pieces, as the client takes them; their memory counts against its owner until they are
//! gone, and one that is not taken is given up.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use store::shares::{Held, Owner, Shares};

/// Size of a piece.
pub(crate) const PIECE_BYTES: usize = 64 << 10;
/// A client that takes less than this in the time of a pause takes nothing.
pub(crate) const TAKEN_BYTES_MIN: u64 = 32 << 10;

/// Where the text of an answer comes from, as it is asked for.
pub(crate) trait Source: Send + 'static {
    /// The next text and how much memory the source has given up for it; `None` at the end.
    fn next(&mut self) -> Option<(Bytes, usize)>;
}

/// An answer that goes out in pieces.
struct Outgoing {
    state: Arc<Mutex<State>>,
    /// How much is left, where that is known.
    left: Option<u64>,
}

struct State {
    source: Option<Box<dyn Source>>,
    /// What the source gave that has not gone out.
    waiting: Bytes,
    /// Memory to give back once `waiting` has gone out.
    owed: usize,
    held: Held,
    taken: u64,
    given_up: bool,
    /// Who asked for more, and is to hear that there is none.
    waker: Option<Waker>,
}

impl State {
    fn next(&mut self) -> Option<Bytes> {
        while self.waiting.is_empty() {
            self.held.shrink(std::mem::take(&mut self.owed));
            let (text, freed) = self.source.as_mut()?.next()?;
            (self.waiting, self.owed) = (text, freed);
        }
        let piece = self.waiting.split_to(self.waiting.len().min(PIECE_BYTES));
        self.taken += piece.len() as u64;
        Some(piece)
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let piece = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waker = Some(context.waker().clone());
            if state.given_up {
                return Poll::Ready(Some(Err(axum::Error::new("the client does not take the answer"))));
            }
            state.next()
        };
        if let (Some(left), Some(piece)) = (self.left.as_mut(), &piece) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body from a source, whose memory is `held`; given up when the client takes next to nothing for `pause`.
pub(crate) fn body(source: impl Source, held: Held, left: Option<u64>, pause: Duration) -> Body {
    let state = State {
        source: Some(Box::new(source)),
        waiting: Bytes::new(),
        owed: 0,
        held,
        taken: 0,
        given_up: false,
        waker: None,
    };
    let state = Arc::new(Mutex::new(state));
    let watched = Arc::downgrade(&state);
    tokio::spawn(async move {
        let mut before = 0;
        loop {
            tokio::time::sleep(pause).await;
            let Some(state) = watched.upgrade() else { return };
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.taken < before + TAKEN_BYTES_MIN {
                state.given_up = true;
                (state.source, state.waiting) = (None, Bytes::new());
                state.held.set_anyway(0);
                if let Some(waker) = state.waker.take() {
                    waker.wake();
                }
                return;
            }
            before = state.taken;
        }
    });
    Body::new(Outgoing { state, left })
}

/// Puts the memory of a large answer on its owner's account. Where there is no room for it, it is dropped and `None`
/// given if `may_refuse`; what has been done already is answered all the same. Only bodies that are in memory know their
/// size; those that come from the disk are left as they are.
pub(crate) fn account(
    response: Response,
    memory: &Arc<Shares>,
    owner: Owner,
    may_refuse: bool,
    pause: Duration,
) -> Option<Response> {
    let size = response.body().size_hint().exact().filter(|size| *size > PIECE_BYTES as u64);
    let Some(size) = size else { return Some(response) };
    let bytes = usize::try_from(size).unwrap_or(usize::MAX);
    let held = match may_refuse {
        true => memory.try_hold(owner, bytes)?,
        false => memory.hold_anyway(owner, bytes),
    };
    Some(response.map(|whole| body(Gathered(whole), held, Some(size), pause)))
}

/// A body that is in memory: its parts are there when they are asked for.
struct Gathered(Body);

impl Source for Gathered {
    fn next(&mut self) -> Option<(Bytes, usize)> {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut self.0).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(part) = frame.into_data() {
                        let freed = part.len();
                        return Some((part, freed));
                    }
                }
                _ => return None,
            }
        }
    }
}

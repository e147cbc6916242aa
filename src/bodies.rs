//! Bodies as they arrive: how much of them is in memory at one time, and how long one may pause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use futures_util::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client may send nothing in the middle of a body.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Memory for the bodies of all requests.
#[derive(Debug)]
pub struct Bodies {
    room: Arc<Semaphore>,
    bytes_max: usize,
}

/// What one body has done; the memory that it takes is free again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    taken: Mutex<Option<OwnedSemaphorePermit>>,
    no_room: AtomicBool,
    paused: AtomicBool,
}

impl Arrival {
    /// Whether it ended because there was no more memory.
    pub fn found_no_room(&self) -> bool {
        self.no_room.load(Ordering::Acquire)
    }

    /// Whether it ended because the client sent nothing for too long.
    pub fn paused_too_long(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    fn take(&self, bytes: &Bytes, room: &Arc<Semaphore>) -> bool {
        let Ok(permit) = room.clone().try_acquire_many_owned(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
        else {
            return false;
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.as_mut() {
            Some(sum) => sum.merge(permit),
            None => *taken = Some(permit),
        }
        true
    }
}

impl Bodies {
    /// Room for so many bytes.
    pub fn new(bytes_max: usize) -> Bodies {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Bodies { room: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    /// How much memory they take now, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes_max - self.room.available_permits()
    }

    /// The request with a body that is watched; one that goes to disk as it comes takes no memory.
    pub(crate) fn watch(&self, request: Request, goes_to_disk: bool) -> (Request, Option<Arc<Arrival>>) {
        if request.body().is_end_stream() {
            return (request, None);
        }
        let arrival = Arc::new(Arrival::default());
        let room = (!goes_to_disk).then(|| self.room.clone());
        let watched = arrival.clone();
        let request = request.map(|body| {
            let parts = stream::unfold(Some(body.into_data_stream()), move |parts| {
                let (watched, room) = (watched.clone(), room.clone());
                async move {
                    let mut parts = parts?;
                    let Ok(next) = tokio::time::timeout(PAUSE_MAX, parts.next()).await else {
                        watched.paused.store(true, Ordering::Release);
                        return Some((Err(axum::Error::new("the body did not go on")), None));
                    };
                    let next = next?;
                    if let (Ok(bytes), Some(room)) = (&next, &room)
                        && !watched.take(bytes, room)
                    {
                        watched.no_room.store(true, Ordering::Release);
                        return Some((Err(axum::Error::new("no memory for the body")), None));
                    }
                    Some((next, Some(parts)))
                }
            });
            // Whoever drains a body asks again after its end.
            Body::from_stream(parts.fuse())
        });
        (request, Some(arrival))
    }
}

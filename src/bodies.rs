//! Bodies as they arrive: on whose account their memory is, and how slow one may be.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use futures_util::{StreamExt, stream};
use store::shares::{Held, Owner, Shares};
use tokio::time::Instant;

/// How long a client may send nothing in the middle of a body.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A body has so long, and a second more for as many bytes as these.
const GRACE: Duration = Duration::from_secs(60);
const BYTES_PER_S_MIN: u64 = 4 << 10;
/// However long it is: in memory, and on its way to the disk.
const MEMORY_TIME_MAX: Duration = Duration::from_secs(300);
const DISK_TIME_MAX: Duration = Duration::from_secs(4 * 3600);
/// The first bytes of a body are not counted, so that a small one finds room whatever others do; for so many at a time.
const SMALL_BYTES: usize = 16 << 10;
const SMALL_MAX: usize = 4096;

/// Bodies whose first bytes are not counted now.
static SMALL: AtomicUsize = AtomicUsize::new(0);

/// What one body has done; the memory that it takes is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Arrival {
    taken: Mutex<Option<Held>>,
    /// Bytes that still come uncounted.
    uncounted: AtomicUsize,
    is_small: bool,
    no_room: AtomicBool,
    too_slow: AtomicBool,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.is_small {
            SMALL.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Arrival {
    fn new(taken: Option<Held>) -> Arrival {
        let taken_small = SMALL.try_update(Ordering::AcqRel, Ordering::Acquire, |small| {
            (small < SMALL_MAX && taken.is_some()).then_some(small + 1)
        });
        let is_small = taken_small.is_ok();
        Arrival {
            taken: Mutex::new(taken),
            uncounted: AtomicUsize::new(if is_small { SMALL_BYTES } else { 0 }),
            is_small,
            no_room: AtomicBool::new(false),
            too_slow: AtomicBool::new(false),
        }
    }

    /// Whether it ended because there was no more memory.
    pub fn found_no_room(&self) -> bool {
        self.no_room.load(Ordering::Acquire)
    }

    /// Whether it ended because the client sent nothing for too long, or too little.
    pub fn was_too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Acquire)
    }

    fn take(&self, bytes: &Bytes) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = taken.as_mut() else { return true };
        let uncounted = self.uncounted.load(Ordering::Acquire).min(bytes.len());
        self.uncounted.fetch_sub(uncounted, Ordering::AcqRel);
        held.grow(bytes.len() - uncounted)
    }
}

/// The request with a body that is watched; one that goes to disk as it comes takes no memory.
pub(crate) fn watch(
    request: Request,
    room: &Arc<Shares>,
    owner: Owner,
    goes_to_disk: bool,
) -> (Request, Option<Arc<Arrival>>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let arrival = Arc::new(Arrival::new((!goes_to_disk).then(|| room.open(owner))));
    let time_max = if goes_to_disk { DISK_TIME_MAX } else { MEMORY_TIME_MAX };
    let watched = arrival.clone();
    let begun = Instant::now();
    let request = request.map(|body| {
        let parts = stream::unfold(Some((body.into_data_stream(), 0)), move |parts| {
            let watched = watched.clone();
            async move {
                let (mut parts, came) = parts?;
                let ends = begun + time_max.min(GRACE + Duration::from_secs(came / BYTES_PER_S_MIN));
                let ends = ends.min(Instant::now() + PAUSE_MAX);
                let Ok(next) = tokio::time::timeout_at(ends, parts.next()).await else {
                    watched.too_slow.store(true, Ordering::Release);
                    return Some((Err(axum::Error::new("the body did not go on")), None));
                };
                let next = next?;
                let mut came = came;
                if let Ok(bytes) = &next {
                    came += bytes.len() as u64;
                    if !watched.take(bytes) {
                        watched.no_room.store(true, Ordering::Release);
                        return Some((Err(axum::Error::new("no memory for the body")), None));
                    }
                }
                Some((next, Some((parts, came))))
            }
        });
        // A reader that drains a body asks again after its end.
        Body::from_stream(parts.fuse())
    });
    (request, Some(arrival))
}

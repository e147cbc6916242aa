//! Work of a backend that may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::DiffusionError;

/// A backend that panics must not take the caller's thread with it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, DiffusionError>) -> Result<T, DiffusionError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(DiffusionError::Backend(text.unwrap_or("panicked").into()))
    })
}

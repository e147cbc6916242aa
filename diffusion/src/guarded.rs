//! Work of a backend that may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::DiffusionError;

/// A backend that panics must not take the caller's thread with it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, DiffusionError>) -> Result<T, DiffusionError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(explained(text.unwrap_or("panicked")))
    })
}

/// What runtimes and drivers say, in small letters, when a device has no memory left or none as large.
const NO_MEMORY: [&str; 6] = [
    "out of memory",
    "out-of-memory",
    "out_of_memory",
    "out of device memory",
    "not enough memory",
    "can't allocate buffer",
];

/// What they say when a device is gone and with it all that it held: its driver was reset or ended. burn's runtime
/// keeps such a device as long as the process lives and calls it poisoned.
const LOST: [&str; 5] =
    ["device is poisoned", "device was poisoned", "device is lost", "device was lost", "device_lost"];

/// What the words of a backend mean that panicked or gave an error. Of a runtime's words only those before its backtrace
/// are kept.
pub(crate) fn explained(text: &str) -> DiffusionError {
    let small = text.to_ascii_lowercase();
    let line = |at: usize| {
        let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = text[from..].lines().next().unwrap_or_default();
        line.trim().chars().take(200).collect()
    };
    let first = |all: &[&str]| all.iter().filter_map(|words| small.find(words)).min();
    match (first(&LOST), first(&NO_MEMORY)) {
        (Some(at), _) => DiffusionError::DeviceLost(line(at)),
        (None, Some(at)) => DiffusionError::OutOfMemory(line(at)),
        (None, None) => DiffusionError::Backend(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> DiffusionError {
        guarded::<()>(|| panic!("{text}")).unwrap_err()
    }

    #[test]
    fn a_device_without_memory_is_told_from_one_that_failed() {
        for (text, line) in [
            (
                "failed:\n  out of device memory allocating 512 bytes\nBacktrace\n0: x",
                "out of device memory allocating 512 bytes",
            ),
            ("can't allocate buffer of size: 4294967296\n", "can't allocate buffer of size: 4294967296"),
            ("CUDA_ERROR_OUT_OF_MEMORY", "CUDA_ERROR_OUT_OF_MEMORY"),
        ] {
            assert!(matches!(of(text), DiffusionError::OutOfMemory(said) if said == line), "{text}");
        }
        assert!(matches!(of("index out of bounds"), DiffusionError::Backend(_)));
        // A lost device cannot be asked for less memory.
        let text = "The device is poisoned\nCaused by:\n  Unknown: out of memory";
        assert!(matches!(of(text), DiffusionError::DeviceLost(said) if said == "The device is poisoned"));
    }
}

//! What memory is taken from: requests make many small texts, drawings free and take tensors of many megabytes.

/// The system's allocator took a fifth of a small request's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of `mi_option_purge_delay` in mimalloc's list of options, which the binding leaves out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// How long freed memory is kept, in milliseconds. The default, 10, gives tensors back to the system between two layers
/// of a network, and clearing them anew took a third of a step (`diffusion/benches/unet_step.rs`).
const PURGE_DELAY_MS: std::ffi::c_long = 500;

/// Keeps freed memory for a moment. Call once, before other threads start; the environment's `MIMALLOC_PURGE_DELAY`
/// comes first.
#[allow(unsafe_code)]
pub fn keep_freed_memory() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the option exists in the bundled versions 2 and 3, and no other thread sets options.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
    }
}

//! Attention takes memory for its queries, keys and values, and none for each pair of a query and a key.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Distribution, Tensor};
use diffusion::ops;

/// Bytes that are taken now, and at most so far.
static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes that attention of so many pixels to each other takes beside what it is given.
fn taken(pixels: usize, heads: usize, width: usize) -> usize {
    let random = || Tensor::<3>::random([1, pixels, width], Distribution::Normal(0.0, 1.0), &Device::flex());
    let (query, key, value) = (random(), random(), random());
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let out = ops::attention(query, key, value, heads);
    assert_eq!(out.dims(), [1, pixels, width]);
    MOST.load(Ordering::Relaxed) - before
}

#[test]
fn memory_grows_with_the_pixels_and_not_with_their_pairs() {
    // Each thread has scores of its own.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let taken = |pixels| pool.install(|| taken(pixels, 2, 16));
    // The first call starts the threads.
    taken(256);
    let (small, large) = (taken(2048), taken(8192));
    // Four times the pixels have sixteen times the pairs.
    assert!(large < 5 * small, "{small} bytes for 2,048 pixels, {large} for 8,192");
    // All pairs of one head alone would take 256 MiB.
    assert!(large < 32 << 20, "{large} bytes");
}

//! Where do weights lie?
//!
//! One token reads all weights of a model once, and the processor has to look up where each page of memory lies: of pages
//! of 4 KiB there are more than it remembers. So weights are put one behind the other into large pieces, for which the
//! system is asked for pages of 2 MiB.

use bytes::BytesMut;

/// Bytes of a piece, of which only what is written takes memory.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
const PIECE_BYTES: usize = 32 << 20;
/// Bytes of a large page.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const LARGE_PAGE: usize = 2 << 20;

/// Memory for the weights of one model.
#[derive(Default)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) struct WeightMemory {
    free: BytesMut,
}

impl WeightMemory {
    /// So many zeros. A piece is given back when all that was taken of it is.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(super) fn take(&mut self, bytes: usize) -> BytesMut {
        if self.free.len() < bytes {
            self.free = BytesMut::zeroed(bytes.max(PIECE_BYTES));
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            want_large_pages(&mut self.free);
        }
        self.free.split_to(bytes)
    }
}

/// Asks the system for large pages where these fit into a piece; it may have none.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn want_large_pages(piece: &mut [u8]) {
    const MADVISE: i64 = 28;
    const HUGE_PAGE: i64 = 14;
    let start = piece.as_ptr().align_offset(LARGE_PAGE);
    let Some(whole) = piece.get_mut(start..) else { return };
    let length = whole.len() / LARGE_PAGE * LARGE_PAGE;
    let mut result = MADVISE;
    // SAFETY: the system call `madvise` with this advice changes no byte of the memory that is named, which is a piece of ours; a
    // kernel that does not know the advice returns an error. It changes the registers that are named.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::asm!(
            "syscall",
            inout("rax") result,
            in("rdi") whole.as_mut_ptr(),
            in("rsi") length,
            in("rdx") HUGE_PAGE,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    if result != 0 {
        tracing::debug!(error = -result, "weights lie in small pages");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_apart_and_given_back() {
        let mut memory = WeightMemory::default();
        let sizes = [1, 100, PIECE_BYTES / 2, PIECE_BYTES / 2, 3 * PIECE_BYTES];
        let mut taken: Vec<BytesMut> = sizes.iter().map(|size| memory.take(*size)).collect();
        for (number, own) in taken.iter_mut().enumerate() {
            assert!(own.len() == sizes[number] && own.iter().all(|byte| *byte == 0));
            own.fill(number as u8 + 1);
        }
        for (number, own) in taken.iter().enumerate() {
            assert!(own.iter().all(|byte| *byte == number as u8 + 1), "{number}");
        }
        // The second lies behind the first.
        assert_eq!(taken[0].as_ptr().wrapping_add(1), taken[1].as_ptr());
    }
}

//! The matrix unit of Intel's processors since Sapphire Rapids (Advanced Matrix Extensions): whether it is there, and the right of a
//! thread to use it.
//!
//! After the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, and the Linux kernel's
//! `Documentation/arch/x86/xstate.rst`, by which a process asks for tiles before it uses them.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Whether processor and system let this process multiply tiles of bf16, and `PLAYHOUSE_MATRIX_UNIT` is not `off`; asked once.
pub(super) fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let off = std::env::var_os("PLAYHOUSE_MATRIX_UNIT").is_some_and(|value| value == "off");
        !off && unit::is_there()
    })
}

thread_local! {
    /// How many [`Tiles`] there are on this thread.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The thread's right to multiply tiles: while there is one, all eight are set up as 16 rows of 64 bytes. There may be several on
/// a thread, one within the other, as when work that waits for other work does some of it: what tiles hold is lost
/// between two pieces of assembly, but never how they are set up.
pub(super) struct Tiles {
    /// It stays on its thread.
    here: PhantomData<*const ()>,
}

impl Tiles {
    /// Sets the thread's tiles up; `None` where there are none.
    pub(super) fn new() -> Option<Self> {
        if !is_there() {
            return None;
        }
        HELD.with(|held| {
            if held.get() == 0 {
                unit::begin();
            }
            held.set(held.get() + 1);
        });
        Some(Self { here: PhantomData })
    }
}

impl Drop for Tiles {
    /// Gives the tiles up with the last, so that the system need not save them.
    fn drop(&mut self) {
        HELD.with(|held| {
            held.set(held.get() - 1);
            if held.get() == 0 {
                unit::end();
            }
        });
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod unit {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;

    /// `arch_prctl`, the system call.
    const ARCH_PRCTL: usize = 158;
    /// Asks for the right to use a part of the processor's state.
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    /// That part: the numbers in tiles.
    const XFEATURE_XTILEDATA: usize = 18;
    /// Bits of CPUID leaf 7, register EDX.
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;

    pub(super) fn is_there() -> bool {
        let wanted = AMX_BF16 | AMX_TILE;
        __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & wanted == wanted && permitted()
    }

    /// Asks the system. Where it does not know the question, or has the tiles switched off, it refuses.
    fn permitted() -> bool {
        let refused: isize;
        // SAFETY: a system call that touches no memory of ours; the kernel overwrites rcx and r11 alone.
        #[allow(unsafe_code)]
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL as isize => refused,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        refused == 0
    }

    /// What `ldtilecfg` reads.
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    /// Eight tiles of 16 rows of 64 bytes.
    static CONFIGURATION: Configuration = Configuration {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
        rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    /// Sets the thread's tiles up.
    pub(super) fn begin() {
        assert!(super::is_there());
        // SAFETY: the processor has the instruction and the system permits it; the 64 bytes are there and are a valid
        // configuration. Compiled code uses no tiles.
        #[allow(unsafe_code)]
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly));
        }
    }

    /// Gives the thread's tiles up.
    pub(super) fn end() {
        assert!(super::is_there());
        // SAFETY: as in `begin`.
        #[allow(unsafe_code)]
        unsafe {
            asm!("tilerelease", options(nostack, nomem));
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod unit {
    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn begin() {}

    pub(super) fn end() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stay_set_up_until_the_last_is_gone() {
        let Some(outer) = Tiles::new() else {
            eprintln!("skipped: this processor has no matrix unit");
            return;
        };
        let inner = Tiles::new();
        assert_eq!(HELD.get(), 2);
        drop(inner);
        assert_eq!(HELD.get(), 1);
        std::thread::scope(|scope| scope.spawn(|| assert_eq!(HELD.get(), 0)).join().unwrap());
        drop(outer);
        assert_eq!(HELD.get(), 0);
    }
}

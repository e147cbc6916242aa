//! The manifest: which runs there are, and from which batch on the log counts.
//!
//! ```text
//! manifest  [checksum u32][version u8][base u8][log from u64][count u32] runs, newest first
//! run       [number u32][through u64][entries u64][removed u64][bytes u64][data u32][index u32][top u32][filter u32]
//!           [kind u8]
//! ```
//!
//! The checksum is the CRC-32C of everything behind it; numbers are little-endian. `base` is 1 while pairs that a version
//! without this layer wrote lie in the tree and count, below all runs. `removed` of the entries are removals; `data`,
//! `index` and `top` are numbers of parts, `filter` the bytes of the filter, `kind` the version of the rule by which keys
//! are in it.

use crate::error::StoreError;

const VERSION: u8 = 1;
const RUN_BYTES: usize = 53;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub has_base: bool,
    /// Batches before this one are in runs.
    pub log_from: u64,
    pub runs: Vec<RunInfo>,
}

/// What is noted of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RunInfo {
    pub number: u32,
    /// The newest batch in it.
    pub through: u64,
    pub entries: u64,
    /// Those of them that are removals.
    pub removed: u64,
    /// Of its data blocks.
    pub bytes: u64,
    pub data: u32,
    pub index: u32,
    pub top: u32,
    pub filter: u32,
    /// By which version of [`super::KeyKind`] keys are in the filter.
    pub kind: u8,
}

impl Manifest {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, VERSION, u8::from(self.has_base)];
        bytes.extend_from_slice(&self.log_from.to_le_bytes());
        bytes.extend_from_slice(&(self.runs.len() as u32).to_le_bytes());
        for run in &self.runs {
            bytes.extend_from_slice(&run.number.to_le_bytes());
            for number in [run.through, run.entries, run.removed, run.bytes] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for number in [run.data, run.index, run.top, run.filter] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.push(run.kind);
        }
        let checksum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest, StoreError> {
        let damaged = || StoreError::Corrupt("the list of runs".into());
        Manifest::read(bytes).ok_or_else(damaged)
    }

    fn read(bytes: &[u8]) -> Option<Manifest> {
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        if crc32c::crc32c(rest).to_le_bytes() != *checksum {
            return None;
        }
        let (head, rest) = rest.split_first_chunk::<14>()?;
        let count = u32::from_le_bytes([head[10], head[11], head[12], head[13]]) as usize;
        if head[0] != VERSION || Some(rest.len()) != count.checked_mul(RUN_BYTES) {
            return None;
        }
        let long = |bytes: &[u8], at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let short = |bytes: &[u8], at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        let run = |bytes: &[u8]| {
            Some(RunInfo {
                number: short(bytes, 0)?,
                through: long(bytes, 4)?,
                entries: long(bytes, 12)?,
                removed: long(bytes, 20)?,
                bytes: long(bytes, 28)?,
                data: short(bytes, 36)?,
                index: short(bytes, 40)?,
                top: short(bytes, 44)?,
                filter: short(bytes, 48)?,
                kind: bytes[52],
            })
        };
        Some(Manifest {
            has_base: head[1] != 0,
            log_from: long(head, 2)?,
            runs: rest.chunks_exact(RUN_BYTES).map(run).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_as_it_was_written_and_no_other() {
        let run = |number: u32| RunInfo {
            number,
            through: u64::from(number) << 33,
            entries: 5,
            removed: 4,
            bytes: 6,
            data: 7,
            index: 8,
            top: 9,
            filter: 10,
            kind: 11,
        };
        let manifest = Manifest { has_base: true, log_from: 1 << 40, runs: vec![run(3), run(2)] };
        let bytes = manifest.to_bytes();
        assert_eq!(Manifest::from_bytes(&bytes).expect("a manifest"), manifest);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(Manifest::from_bytes(&other).is_err(), "{at}");
            assert!(Manifest::from_bytes(&bytes[..at]).is_err(), "{at}");
        }
    }
}

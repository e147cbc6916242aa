//! Batches in the log: what is not in a run yet, in the order in which it came.
//!
//! ```text
//! piece    [checksum u32][version u8][pieces u32] a part of the batch
//! batch    entries, as blocks have them (`block.rs`), in the order of their keys
//! ```
//!
//! A batch is cut into pieces, which the engine takes in one step. The checksum is the CRC-32C of everything behind it
//! in the piece; numbers are little-endian.

use std::collections::BTreeMap;

use sled::IVec;

use super::block::{common, put_entry, read_entry};
use super::{Entry, places};

/// Bytes of a piece. The engine keeps up to 17 of them on a page, and a page above 128 KiB would be a file of its own.
const PIECE_BYTES: usize = 6 << 10;
const HEADER_BYTES: usize = 9;
const VERSION: u8 = 1;

/// The pieces of a batch, as they are stored; `None` for one that would have too many.
pub(super) fn pieces<'p>(
    batch: u64,
    pairs: impl Iterator<Item = (&'p IVec, &'p Option<IVec>)>,
) -> Option<Vec<([u8; 15], Vec<u8>)>> {
    let mut bytes = Vec::with_capacity(PIECE_BYTES);
    let mut last: &[u8] = &[];
    for (key, value) in pairs {
        put_entry(common(last, key), key, value.as_deref(), &mut bytes);
        last = key;
    }
    let count = u32::try_from(bytes.chunks(PIECE_BYTES).len()).ok()?;
    let stored = |(number, part): (u32, &[u8])| {
        let mut piece = Vec::with_capacity(HEADER_BYTES + part.len());
        piece.extend_from_slice(&[0, 0, 0, 0, VERSION]);
        piece.extend_from_slice(&count.to_le_bytes());
        piece.extend_from_slice(part);
        let checksum = crc32c::crc32c(&piece[4..]);
        piece[..4].copy_from_slice(&checksum.to_le_bytes());
        (places::piece(batch, number), piece)
    };
    Some((0..).zip(bytes.chunks(PIECE_BYTES)).map(stored).collect())
}

/// The number of pieces and the part in this one; `None` for what has not its checksum.
fn part(piece: &[u8]) -> Option<(u32, &[u8])> {
    let (header, part) = piece.split_at_checked(HEADER_BYTES)?;
    let is_whole = header[4] == VERSION && crc32c::crc32c(&piece[4..]).to_le_bytes() == header[..4];
    let count = u32::from_le_bytes(header[5..].try_into().ok()?);
    is_whole.then_some((count, part))
}

/// A piece that does not read.
#[derive(Debug)]
pub(super) struct Damaged;

/// Puts pieces together.
#[derive(Default)]
pub(super) struct Batches {
    /// Pieces of batches that are not whole yet.
    parts: BTreeMap<u64, BTreeMap<u32, IVec>>,
}

impl Batches {
    /// Takes a piece, and answers with the entries of its batch once that is whole.
    pub fn add(&mut self, batch: u64, number: u32, piece: IVec) -> Result<Option<Vec<Entry>>, Damaged> {
        let (count, _) = part(&piece).ok_or(Damaged)?;
        let parts = self.parts.entry(batch).or_default();
        parts.insert(number, piece);
        if parts.len() < count as usize {
            return Ok(None);
        }
        let parts = self.parts.remove(&batch).unwrap_or_default();
        let mut bytes = Vec::new();
        for piece in parts.values() {
            bytes.extend_from_slice(part(piece).ok_or(Damaged)?.1);
        }
        entries(&bytes).ok_or(Damaged).map(Some)
    }

    /// How many batches miss a piece.
    pub fn torn(&self) -> usize {
        self.parts.len()
    }
}

fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (mut entries, mut at, mut key) = (Vec::new(), 0, Vec::new());
    while at < bytes.len() {
        let value = read_entry(bytes, &mut at, &mut key)?;
        let value = value.map(|(at, len)| IVec::from(&bytes[at..at + len]));
        entries.push((IVec::from(key.as_slice()), value));
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_back_whole_or_not_at_all() {
        let pair = |number: u32| {
            let value = (!number.is_multiple_of(5)).then(|| IVec::from(vec![7; number as usize % 900]));
            (IVec::from([b"key".as_slice(), &number.to_be_bytes()].concat()), value)
        };
        let pairs: BTreeMap<IVec, Option<IVec>> = (0..400).map(pair).collect();
        let stored = pieces(3, pairs.iter()).expect("pieces");
        assert!(stored.len() > 8, "{}", stored.len());
        assert!(stored.iter().all(|(_, piece)| piece.len() <= PIECE_BYTES + HEADER_BYTES));
        let mut batches = Batches::default();
        let mut found = None;
        for (place, piece) in &stored {
            assert!(found.is_none());
            let (batch, number) = places::piece_at(place).expect("a place");
            found = batches.add(batch, number, piece.clone().into()).expect("a piece");
        }
        assert_eq!(found.expect("the batch").into_iter().collect::<BTreeMap<_, _>>(), pairs);
        assert_eq!(batches.torn(), 0);
        for (number, (_, piece)) in (0u32..).zip(&stored).skip(1) {
            let mut piece = piece.clone();
            let middle = piece.len() / 2;
            piece[middle] ^= u8::from(number == 4);
            assert!(!matches!(batches.add(3, number, piece.into()), Ok(Some(_))));
        }
        assert_eq!(batches.torn(), 1);
    }
}

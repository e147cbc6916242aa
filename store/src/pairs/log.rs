//! Batches in the log: what is not in a run yet, in the order in which it came.
//!
//! ```text
//! piece    [checksum u32][version u8][pieces u32][goes on u8] entries, or a part of one
//! ```
//!
//! Entries are as blocks have them (`block.rs`), in the order of their keys. A batch is cut into pieces between entries,
//! which the engine takes in one step; the first entry of a piece shares nothing with the one before. An entry that is
//! larger than a piece goes on in the next ones. The checksum is the CRC-32C of everything behind it in the piece;
//! numbers are little-endian.

use std::collections::BTreeMap;

use sled::IVec;

use super::block::{common, put_entry, read_entry};
use super::{Entry, places};

/// Bytes of a piece. The engine keeps up to 17 of them on a page, and a page above 128 KiB would be a file of its own.
const PIECE_BYTES: usize = 6 << 10;
const HEADER_BYTES: usize = 10;
const VERSION: u8 = 1;
/// What an entry takes at most beside its key and its value.
const ENTRY_BYTES: usize = 15;

/// The pieces of a batch, as they are stored; `None` for one that would have too many.
pub(super) fn pieces<'p>(
    batch: u64,
    pairs: impl Iterator<Item = (&'p IVec, &'p Option<IVec>)>,
) -> Option<Vec<([u8; 15], Vec<u8>)>> {
    let mut groups: Vec<Vec<u8>> = Vec::new();
    let mut last: &[u8] = &[];
    for (key, value) in pairs {
        let len = ENTRY_BYTES + key.len() + value.as_ref().map_or(0, |value| value.len());
        match groups.last_mut().filter(|group| group.len() + len <= PIECE_BYTES) {
            Some(group) => put_entry(common(last, key), key, value.as_deref(), group),
            None => {
                let mut group = Vec::with_capacity(len.max(PIECE_BYTES));
                put_entry(0, key, value.as_deref(), &mut group);
                groups.push(group);
            }
        }
        last = key;
    }
    let parts = || {
        let parts = groups.iter().map(|group| group.chunks(PIECE_BYTES).enumerate());
        parts.flatten().map(|(at, part)| (at > 0, part))
    };
    let count = u32::try_from(parts().count()).ok()?;
    let stored = |(number, (goes_on, part))| (places::piece(batch, number), stored(count, goes_on, part));
    Some((0..).zip(parts()).map(stored).collect())
}

/// The only piece of a batch without entries: what stands in the place of one that is lost.
pub(super) fn nothing(batch: u64) -> ([u8; 15], Vec<u8>) {
    (places::piece(batch, 0), stored(1, false, &[]))
}

fn stored(count: u32, goes_on: bool, part: &[u8]) -> Vec<u8> {
    let mut piece = Vec::with_capacity(HEADER_BYTES + part.len());
    piece.extend_from_slice(&[0, 0, 0, 0, VERSION]);
    piece.extend_from_slice(&count.to_le_bytes());
    piece.push(u8::from(goes_on));
    piece.extend_from_slice(part);
    let checksum = crc32c::crc32c(&piece[4..]);
    piece[..4].copy_from_slice(&checksum.to_le_bytes());
    piece
}

/// What is in a piece.
struct Part<'p> {
    /// How many pieces the batch has.
    count: u32,
    /// Whether it goes on with the entry of the piece before.
    goes_on: bool,
    bytes: &'p [u8],
}

/// Reads a piece; `None` for what has not its checksum.
fn part(piece: &[u8]) -> Option<Part<'_>> {
    let (header, bytes) = piece.split_at_checked(HEADER_BYTES)?;
    let is_whole = header[4] == VERSION && crc32c::crc32c(&piece[4..]).to_le_bytes() == header[..4];
    let count = u32::from_le_bytes(header[5..9].try_into().ok()?);
    is_whole.then_some(Part { count, goes_on: header[9] != 0, bytes })
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
        let count = part(&piece).ok_or(Damaged)?.count;
        let parts = self.parts.entry(batch).or_default();
        parts.insert(number, piece);
        if parts.len() < count as usize {
            return Ok(None);
        }
        let groups = groups(&self.parts.remove(&batch).unwrap_or_default());
        let mut whole = Vec::new();
        for group in groups {
            whole.append(&mut entries(&group).ok_or(Damaged)?);
        }
        Ok(Some(whole))
    }

    /// What there is of batches that miss a piece, with their numbers.
    pub fn rest(&mut self) -> Vec<(u64, Vec<Entry>)> {
        let entries = |pieces: &BTreeMap<u32, IVec>| {
            groups(pieces).iter().filter_map(|it| entries(it)).flatten().collect()
        };
        std::mem::take(&mut self.parts).iter().map(|(batch, pieces)| (*batch, entries(pieces))).collect()
    }

    /// The batches that miss a piece.
    pub fn unfinished(&self) -> impl Iterator<Item = u64> {
        self.parts.keys().copied()
    }

    /// How many batches miss a piece.
    pub fn torn(&self) -> usize {
        self.parts.len()
    }
}

/// Pieces with whole entries, and pieces put together that have a part of one. Where a piece is missing an entry may end
/// too early.
fn groups(pieces: &BTreeMap<u32, IVec>) -> Vec<Vec<u8>> {
    let mut groups: Vec<Vec<u8>> = Vec::new();
    // The piece that the last group may go on in.
    let mut next = 0;
    for (number, piece) in pieces {
        let Some(Part { goes_on, bytes, .. }) = part(piece) else { continue };
        match groups.last_mut().filter(|_| *number == next) {
            Some(group) if goes_on => group.extend_from_slice(bytes),
            _ if goes_on => continue,
            _ => groups.push(bytes.to_vec()),
        }
        next = number + 1;
    }
    groups
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
        // All but the entries of two pieces are there for a salvage.
        let rest = batches.rest();
        assert_eq!((rest.len(), rest[0].0, batches.torn()), (1, 3, 0));
        assert!(rest[0].1.iter().all(|(key, value)| pairs.get(key) == Some(value)));
        assert!(rest[0].1.len() > pairs.len() / 2 && rest[0].1.len() < pairs.len());
    }

    #[test]
    fn an_entry_larger_than_a_piece_goes_on_in_the_next() {
        let pair = |number: u8| {
            let len = if number.is_multiple_of(3) { 20_000 } else { 90 };
            (IVec::from(vec![number; 9]), Some(IVec::from(vec![number; len])))
        };
        let pairs: BTreeMap<IVec, Option<IVec>> = (0..12).map(pair).collect();
        let stored = pieces(1, pairs.iter()).expect("pieces");
        for missing in (0..stored.len()).map(Some).chain([None]) {
            let (mut batches, mut found) = (Batches::default(), None);
            for (number, (_, piece)) in
                (0u32..).zip(&stored).filter(|(number, _)| Some(*number as usize) != missing)
            {
                found = batches.add(1, number, piece.clone().into()).expect("a piece");
            }
            let whole: Option<BTreeMap<_, _>> = found.map(|found| found.into_iter().collect());
            assert_eq!(whole, missing.is_none().then(|| pairs.clone()));
            let rest: Vec<_> = batches.rest().into_iter().flat_map(|(_, entries)| entries).collect();
            assert!(missing.is_none() || rest.len() >= 9, "{missing:?}: {}", rest.len());
            assert!(rest.iter().all(|(key, value)| pairs.get(key) == Some(value)));
        }
    }
}

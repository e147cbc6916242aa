//! Blocks: a few KiB of entries in the order of their keys, each key without what it shares with the one before.
//!
//! ```text
//! block    [checksum u32][version u8][kind u8][through u64][restarts u16][parts u16] entries… [place of a restart u32]…
//! further  [zero u32][version u8][kind u8][through u64][zero u16][part u16] what follows of the block
//! entry    [shared][rest][value] rest of the key, value
//! ```
//!
//! The checksum is the CRC-32C of everything behind it; numbers of fixed size are little-endian. `shared`, `rest` and
//! `value` are LEB128 numbers: bytes shared with the key before, bytes of the key that follow, and 0 for a removed key or
//! the bytes of its value plus one. Every eighth entry is a restart, which shares nothing; where it begins is noted at the
//! end, so that a block is searched in halves. `through` is the number of the newest batch (`log.rs`) whose changes may be
//! in the block, by which a salvage tells older from newer.
//!
//! A data block of one large entry is stored in parts, which have numbers as blocks have: `parts` is how many there are, and
//! all but the first have a head of their own. So a page of the engine stays small, and none that holds blocks becomes a
//! file of its own, which would be replaced without a sync.

use std::cmp::Ordering;
use std::ops::Range;

use sled::IVec;

use super::Entry;

/// Bytes of entries after which a block ends. The engine keeps up to 17 of them on a page, and a page above 128 KiB would
/// be a file of its own.
const BLOCK_BYTES: usize = 6 << 10;
const RESTART_EVERY: usize = 8;
/// A larger data block is stored in parts of [`BLOCK_BYTES`].
const WHOLE_BYTES: usize = BLOCK_BYTES + BLOCK_BYTES / 8;
const HEADER_BYTES: usize = 18;
/// Raised when blocks are written differently.
const VERSION: u8 = 1;

/// What is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pairs.
    Data = 0,
    /// Where blocks begin.
    Index = 1,
}

/// Where [`Kind`] has its place: a further part of a data block.
const FURTHER: u8 = 2;

/// A block in the making.
pub(super) struct BlockWriter {
    kind: Kind,
    through: u64,
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    entries: usize,
    last_key: Vec<u8>,
}

impl BlockWriter {
    pub fn new(kind: Kind, through: u64) -> BlockWriter {
        let bytes = Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 4);
        let mut writer =
            BlockWriter { kind, through, bytes, restarts: Vec::new(), entries: 0, last_key: Vec::new() };
        writer.clear();
        writer
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, VERSION, self.kind as u8]);
        self.bytes.extend_from_slice(&self.through.to_le_bytes());
        self.bytes.extend_from_slice(&[0, 0, 1, 0]);
        self.restarts.clear();
        self.entries = 0;
    }

    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether an entry of so many bytes belongs into the next block.
    pub fn is_full_before(&self, bytes: usize) -> bool {
        !self.is_empty() && self.bytes.len() - HEADER_BYTES + bytes > BLOCK_BYTES
    }

    /// Adds an entry, whose key comes after all keys before it.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        let shared = if self.entries.is_multiple_of(RESTART_EVERY) {
            self.restarts.push(self.bytes.len() as u32);
            0
        } else {
            common(&self.last_key, key)
        };
        put_entry(shared, key, value, &mut self.bytes);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
    }

    /// The block; the writer begins the next one.
    pub fn finish(&mut self) -> Vec<u8> {
        for place in &self.restarts {
            self.bytes.extend_from_slice(&place.to_le_bytes());
        }
        self.bytes[14..16].copy_from_slice(&(self.restarts.len() as u16).to_le_bytes());
        if self.kind == Kind::Data && self.bytes.len() > WHOLE_BYTES {
            let parts = u16::try_from(self.bytes.len().div_ceil(BLOCK_BYTES)).unwrap_or(0);
            self.bytes[16..18].copy_from_slice(&parts.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&self.bytes[4..]);
        self.bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        let block = self.bytes.clone();
        self.clear();
        block
    }
}

/// The parts in which a block is stored; `None` where they would be too many.
pub(super) fn parts(block: Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let count = parts_of(&block)?;
    if count == 1 {
        return Some(vec![block]);
    }
    let further = |at: u16, bytes: &[u8]| {
        let head: &[&[u8]] =
            &[&[0; 4], &[VERSION, FURTHER], &block[6..14], &[0; 2], &at.to_le_bytes(), bytes];
        head.concat()
    };
    let stored = |(at, bytes): (u16, &[u8])| if at == 0 { bytes.to_vec() } else { further(at, bytes) };
    Some((0..count).zip(block.chunks(BLOCK_BYTES)).map(stored).collect())
}

fn is_part(bytes: &[u8], kind: u8) -> Option<u16> {
    let number = u16::from_le_bytes(bytes.get(16..18)?.try_into().ok()?);
    (bytes[4] == VERSION && bytes[5] == kind).then_some(number)
}

/// How many parts a data block has, by the first of them.
pub(super) fn parts_of(first: &[u8]) -> Option<u16> {
    is_part(first, Kind::Data as u8).or_else(|| is_part(first, Kind::Index as u8)).filter(|parts| *parts > 0)
}

/// Which further part of a data block this is, with what it has of it.
pub(super) fn further(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let at = is_part(bytes, FURTHER).filter(|at| *at > 0)?;
    Some((at, &bytes[HEADER_BYTES..]))
}

/// Bytes that two keys have in common at their beginning.
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Appends an entry as blocks and batches have it.
pub(super) fn put_entry(shared: usize, key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    put_number(shared as u64, out);
    put_number((key.len() - shared) as u64, out);
    put_number(value.map_or(0, |value| value.len() as u64 + 1), out);
    out.extend_from_slice(&key[shared..]);
    out.extend_from_slice(value.unwrap_or_default());
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(usize::from(first));
    }
    let mut number = u64::from(first & 0x7f);
    for shift in (7..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(number).ok();
        }
    }
    None
}

/// The numbers that an entry begins with.
struct Header {
    shared: usize,
    rest: usize,
    value: usize,
}

fn header(bytes: &[u8], at: &mut usize) -> Option<Header> {
    Some(Header { shared: number(bytes, at)?, rest: number(bytes, at)?, value: number(bytes, at)? })
}

/// Moves behind an entry whose numbers were read. Answers with where the rest of its key is, and with the place and length of
/// its value, which is none for a removed key.
fn places_of(
    bytes: &[u8],
    at: &mut usize,
    rest: usize,
    value: usize,
) -> Option<(Range<usize>, Option<(usize, usize)>)> {
    let key = *at..at.checked_add(rest)?;
    let end = key.end.checked_add(value.saturating_sub(1))?;
    if end > bytes.len() {
        return None;
    }
    *at = end;
    let place = value.checked_sub(1).map(|len| (key.end, len));
    Some((key, place))
}

/// Reads the entry at `at` and moves behind it. `key` holds the key before and then this one. Answers with the place and
/// length of the value, which is none for a removed key.
pub(super) fn read_entry(bytes: &[u8], at: &mut usize, key: &mut Vec<u8>) -> Option<Option<(usize, usize)>> {
    let Header { shared, rest, value } = header(bytes, at)?;
    if shared > key.len() {
        return None;
    }
    let (more, place) = places_of(bytes, at, rest, value)?;
    key.truncate(shared);
    key.extend_from_slice(bytes.get(more)?);
    Some(place)
}

/// A block that is read. What it answers with are copies: a value that is kept must not keep its block. Clones share the
/// bytes.
#[derive(Clone)]
pub(super) struct Block {
    bytes: IVec,
    entries_end: usize,
    groups: usize,
}

impl Block {
    /// Takes a stored block; `None` where it is none, or, with `verified`, does not have its checksum.
    pub fn read(bytes: IVec, kind: Kind, verified: bool) -> Option<Block> {
        if bytes.len() < HEADER_BYTES || bytes[4] != VERSION || bytes[5] != kind as u8 {
            return None;
        }
        if verified && crc32c::crc32c(&bytes[4..]).to_le_bytes() != bytes[..4] {
            return None;
        }
        let groups = usize::from(u16::from_le_bytes(bytes[14..16].try_into().ok()?));
        let entries_end = bytes.len().checked_sub(4 * groups).filter(|end| *end >= HEADER_BYTES)?;
        (groups > 0).then_some(Block { bytes, entries_end, groups })
    }

    /// The number of the newest batch that may be in it.
    pub fn through(&self) -> u64 {
        self.bytes[6..14].try_into().map_or(0, u64::from_le_bytes)
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// In how many parts it is stored.
    pub fn parts(&self) -> u32 {
        parts_of(&self.bytes).map_or(1, u32::from)
    }

    /// How many restarts it has: each begins a group of entries.
    pub fn groups(&self) -> usize {
        self.groups
    }

    fn start(&self, group: usize) -> Option<usize> {
        let at = self.entries_end + 4 * group;
        let place = u32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        (place >= HEADER_BYTES && place < self.entries_end).then_some(place)
    }

    fn first_key(&self, group: usize) -> Option<&[u8]> {
        let mut at = self.start(group)?;
        let (shared, rest, _) =
            (number(&self.bytes, &mut at)?, number(&self.bytes, &mut at)?, number(&self.bytes, &mut at)?);
        if shared == 0 { self.bytes.get(at..at.checked_add(rest)?) } else { None }
    }

    /// The last group that begins with a key up to `key`; the first one where all begin later.
    pub fn group_of(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.groups);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_key(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low.saturating_sub(1))
    }

    /// Where the entries of a group begin and end.
    fn bounds(&self, group: usize) -> Option<(usize, usize)> {
        let end = if group + 1 < self.groups { self.start(group + 1)? } else { self.entries_end };
        Some((self.start(group)?, end))
    }

    fn value(&self, place: Option<(usize, usize)>) -> Option<IVec> {
        place.map(|(at, len)| IVec::from(&self.bytes[at..at + len]))
    }

    /// The entries of a group with keys in `from..to`, added to `entries`.
    pub fn entries(
        &self,
        group: usize,
        (from, to): (&[u8], Option<&[u8]>),
        entries: &mut Vec<Entry>,
    ) -> Option<Reach> {
        let (mut at, end) = self.bounds(group)?;
        let mut key = Vec::with_capacity(96);
        let mut reach = Reach::default();
        while at < end {
            let value = read_entry(&self.bytes[..end], &mut at, &mut key)?;
            if to.is_some_and(|to| *key >= *to) {
                reach.to = true;
                break;
            }
            reach.from |= *key <= *from;
            if *key >= *from {
                entries.push((IVec::from(key.as_slice()), self.value(value)));
            }
        }
        Some(reach)
    }

    /// What the block has of a key: nothing, a removal or a value.
    pub fn get(&self, wanted: &[u8]) -> Option<Option<Option<IVec>>> {
        let mut compared = self.compare(self.group_of(wanted)?, wanted)?;
        while !compared.is_through() {
            match compared.step()? {
                (Ordering::Less, _) => {}
                (Ordering::Equal, value) => return Some(Some(self.value(value))),
                (Ordering::Greater, _) => break,
            }
        }
        Some(None)
    }

    /// The value of the last entry of an index whose key is up to `wanted`: the number of a block.
    pub fn number_of(&self, wanted: &[u8]) -> Option<u32> {
        let (mut compared, mut found) = (self.compare(self.group_of(wanted)?, wanted)?, None);
        while !compared.is_through() {
            let (order, value) = compared.step()?;
            if found.is_some() && order == Ordering::Greater {
                break;
            }
            let (place, len) = value?;
            found = Some(self.bytes.get(place..place + len)?);
        }
        found?.try_into().ok().map(u32::from_be_bytes)
    }

    fn compare<'b>(&'b self, group: usize, wanted: &'b [u8]) -> Option<Compared<'b>> {
        let (at, end) = self.bounds(group)?;
        let bytes = self.bytes.get(..end)?;
        Some(Compared { bytes, at, wanted, common: 0, order: Ordering::Less })
    }

    /// All entries, for those who read a whole block.
    pub fn all(&self) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        (0..self.groups).try_for_each(|group| self.entries(group, (&[], None), &mut entries).map(drop))?;
        Some(entries)
    }
}

/// How far the keys of a group reach.
#[derive(Default)]
pub(super) struct Reach {
    /// Down to the lower end of a range, or below: no group before it has keys of the range.
    pub from: bool,
    /// Up to the upper end or beyond: no group behind it has keys of the range.
    pub to: bool,
}

/// The entries of a group, each compared with a key without putting its own key together.
///
/// An entry shares with the one before as much as there is in common (`BlockWriter::add`). So one that shares more than the
/// key before had in common with the wanted one stands to it as that did, and one that shares less differs from both where
/// those were still the same, and comes later.
struct Compared<'b> {
    /// Up to the end of the group.
    bytes: &'b [u8],
    at: usize,
    wanted: &'b [u8],
    /// What the last key and the wanted one have in common.
    common: usize,
    order: Ordering,
}

impl Compared<'_> {
    fn is_through(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// How the key of the next entry stands to the wanted one, and where its value is. For entries up to the first that is
    /// not before it.
    fn step(&mut self) -> Option<(Ordering, Option<(usize, usize)>)> {
        let Header { shared, rest, value } = header(self.bytes, &mut self.at)?;
        let (key, place) = places_of(self.bytes, &mut self.at, rest, value)?;
        match shared.cmp(&self.common) {
            Ordering::Greater => {}
            Ordering::Less => (self.common, self.order) = (shared, Ordering::Greater),
            Ordering::Equal => {
                let (rest, wanted) = (self.bytes.get(key)?, self.wanted.get(shared..)?);
                let more = common(rest, wanted);
                self.common = shared + more;
                self.order = rest[more..].first().cmp(&wanted[more..].first());
            }
        }
        Some((self.order, place))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn keys_and_values() -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
        let key = prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..12);
        prop::collection::btree_map(key, prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 1..80)
    }

    proptest! {
        #[test]
        fn a_block_has_what_was_put_in(pairs in keys_and_values(), other in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut writer = BlockWriter::new(Kind::Data, 7);
            pairs.iter().for_each(|(key, value)| writer.add(key, value.as_deref()));
            let block = Block::read(writer.finish().into(), Kind::Data, true).expect("a block");
            prop_assert_eq!(block.through(), 7);
            let all: BTreeMap<Vec<u8>, Option<Vec<u8>>> = block
                .all()
                .expect("entries")
                .into_iter()
                .map(|(key, value)| (key.to_vec(), value.map(|value| value.to_vec())))
                .collect();
            prop_assert_eq!(&all, &pairs);
            for key in pairs.keys().chain([&other]) {
                let found = block.get(key).expect("a search");
                prop_assert_eq!(found.map(|value| value.map(|value| value.to_vec())), pairs.get(key).cloned());
            }
        }

        #[test]
        fn an_index_finds_the_last_beginning(pairs in keys_and_values(), wanted in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut keys: Vec<Vec<u8>> = pairs.into_keys().collect();
            keys.insert(0, Vec::new());
            keys.dedup();
            let mut writer = BlockWriter::new(Kind::Index, 0);
            for (number, key) in (0u32..).zip(&keys) {
                writer.add(key, Some(&number.to_be_bytes()));
            }
            let block = Block::read(writer.finish().into(), Kind::Index, true).expect("a block");
            let expected = keys.iter().rposition(|key| *key <= wanted).expect("the empty key") as u32;
            prop_assert_eq!(block.number_of(&wanted), Some(expected));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read_without_a_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            key in prop::collection::vec(any::<u8>(), 0..12),
            groups in 0u16..20,
        ) {
            prop_assert!(Block::read(bytes.clone().into(), Kind::Data, true).is_none());
            if bytes.len() >= HEADER_BYTES {
                bytes[4..6].copy_from_slice(&[VERSION, Kind::Data as u8]);
                bytes[14..16].copy_from_slice(&groups.to_le_bytes());
            }
            if let Some(block) = Block::read(bytes.into(), Kind::Data, false) {
                let _ = (block.get(&key), block.number_of(&key), block.all());
            }
        }
    }
}

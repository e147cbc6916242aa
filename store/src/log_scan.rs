//! Reading the engine's files without the engine: whatever messages of its log are whole, around those that are not.
//!
//! The engine takes a damaged message for the end of a segment, and a damaged page ends its reading altogether. For a
//! salvage every message counts that has its checksum. The format is that of sled 0.34: segments of 512 KiB, each a
//! header and messages; a message replaces a page, changes one pair of it, or frees it. Large ones are files of their own.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::reserve::SEGMENT_BYTES;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 20;
/// A checksum, a kind and three numbers of up to nine bytes.
const MESSAGE_HEADER_BYTES_MAX: usize = 32;

pub(crate) const CAP: u8 = 2;
const FREE: u8 = 4;
pub(crate) const COUNTER: u8 = 5;
pub(crate) const META: u8 = 6;
pub(crate) const NODE: u8 = 8;
pub(crate) const NODE_FILE: u8 = 9;
const CHANGE: u8 = 10;
const CHANGE_FILE: u8 = 11;

/// A pair of some page, and the place in the log that wrote it: the higher, the newer.
pub(crate) struct Found {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub place: u64,
}

/// What is whole in a log.
pub(crate) struct LogScan {
    log: File,
    page_files: PathBuf,
    /// The messages of each page, by their place in the log.
    pages: HashMap<u64, BTreeMap<u64, Message>>,
    /// Stretches that are no message, and pages that do not read.
    pub damages: u64,
}

#[derive(Clone, Copy)]
struct Message {
    kind: u8,
    offset: u64,
    len: usize,
}

impl LogScan {
    /// Looks the log in the engine's folder over.
    pub fn open(engine: &Path) -> Result<LogScan, StoreError> {
        let path = engine.join("db");
        let log = File::open(&path).map_err(StoreError::io(&path))?;
        let len = log.metadata().map_err(StoreError::io(&path))?.len();
        let mut scan = LogScan { log, page_files: engine.join("blobs"), pages: HashMap::new(), damages: 0 };
        for start in (0..len).step_by(SEGMENT_BYTES as usize) {
            let mut segment = vec![0; usize::try_from(SEGMENT_BYTES.min(len - start)).unwrap_or(0)];
            match scan.log.read_exact_at(&mut segment, start) {
                Ok(()) => scan.segment(&segment, start),
                // A place that the disk does not give any more.
                Err(_) => scan.damages += 1,
            }
        }
        Ok(scan)
    }

    fn segment(&mut self, bytes: &[u8], start: u64) {
        if bytes.iter().all(|byte| *byte == 0) {
            return;
        }
        let mut number = SegmentHeader::read(bytes).map(|header| header.segment);
        if number.is_none() {
            self.damages += 1;
        }
        let (mut at, mut is_torn) = (SEGMENT_HEADER_BYTES, false);
        while at + 8 < bytes.len() {
            let message = message(&bytes[at..]).filter(|message| {
                // What an earlier use of the segment left behind its end has another number.
                number.is_none_or(|number| message.segment == number)
            });
            let Some(whole) = message else {
                // An end that was never written is zeros; anything else was a message.
                is_torn |= bytes[at] != 0;
                at += 1;
                continue;
            };
            self.damages += u64::from(std::mem::take(&mut is_torn));
            number = Some(whole.segment);
            if matches!(whole.kind, FREE | NODE | NODE_FILE | CHANGE | CHANGE_FILE) {
                let place = whole.segment * SEGMENT_BYTES + at as u64;
                let offset = start + (at + whole.header_len) as u64;
                let message = Message { kind: whole.kind, offset, len: whole.len };
                self.pages.entry(whole.page).or_default().insert(place, message);
            }
            at += whole.header_len + whole.len;
            if whole.kind == CAP {
                // The rest is filled up.
                break;
            }
        }
    }

    fn body(&self, message: &Message) -> Option<Vec<u8>> {
        let mut body = vec![0; message.len];
        self.log.read_exact_at(&mut body, message.offset).ok()?;
        if message.kind != NODE_FILE && message.kind != CHANGE_FILE {
            return Some(body);
        }
        let name = i64::from_le_bytes(body.try_into().ok()?).to_string();
        let file = fs::read(self.page_files.join(name)).ok()?;
        let (checksum, rest) = file.split_first_chunk::<4>()?;
        (crc32fast::hash(rest) == u32::from_le_bytes(*checksum))
            .then(|| rest.get(1..).unwrap_or_default().to_vec())
    }

    /// Calls `visit` with every pair of every page as its last whole messages have it.
    pub fn pairs(
        &mut self,
        visit: &mut dyn FnMut(Found) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for messages in std::mem::take(&mut self.pages).into_values() {
            let Some(page) = self.page(&messages) else { continue };
            for (key, (value, place)) in page.pairs {
                visit(Found { key, value, place })?;
            }
        }
        Ok(())
    }

    fn page(&mut self, messages: &BTreeMap<u64, Message>) -> Option<Page> {
        let mut page: Option<Page> = None;
        // The engine removes the file of a large message once the page is written anew; the message itself may be left.
        let mut missing = 0;
        for (place, message) in messages {
            let Some(body) = self.body(message) else {
                missing += 1;
                continue;
            };
            if matches!(message.kind, FREE | NODE | NODE_FILE) {
                missing = 0;
            }
            let understood = match message.kind {
                FREE => {
                    page = None;
                    Some(())
                }
                NODE | NODE_FILE => node(&body, *place).map(|new| page = Some(new)),
                _ => page.as_mut().map_or(Some(()), |page| page.change(&body, *place)),
            };
            self.damages += u64::from(understood.is_none());
        }
        self.damages += missing;
        page
    }
}

/// The beginning of a segment.
pub(crate) struct SegmentHeader {
    /// Its number: segments are written in turn, wherever they lie in the file.
    pub segment: u64,
    /// The last segment that was known to be whole when this one was begun.
    pub stable_segment: u64,
}

impl SegmentHeader {
    /// The header, if it is whole.
    pub fn read(bytes: &[u8]) -> Option<SegmentHeader> {
        let checksum = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) ^ u32::MAX;
        let rest = bytes.get(4..SEGMENT_HEADER_BYTES)?;
        let number = |bytes: &[u8]| {
            let position = i64::from_le_bytes(bytes.try_into().ok()?) ^ i64::MAX;
            Some(u64::try_from(position).unwrap_or(0) / SEGMENT_BYTES)
        };
        let header = SegmentHeader { segment: number(&rest[..8])?, stable_segment: number(&rest[8..])? };
        (crc32fast::hash(rest) == checksum).then_some(header)
    }
}

struct Header {
    kind: u8,
    segment: u64,
    page: u64,
    header_len: usize,
    len: usize,
}

/// The message at the beginning of `bytes`, if it has its checksum.
fn message(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes.get(4..)?;
    let kind = take(&mut rest, 1)?[0];
    if kind == 0 || kind > CHANGE_FILE {
        return None;
    }
    let len = usize::try_from(number(&mut rest)?).ok()?;
    let (segment, page) = (number(&mut rest)?, number(&mut rest)?);
    let header_len = bytes.len() - rest.len();
    let body = rest.get(..len).filter(|_| header_len <= MESSAGE_HEADER_BYTES_MAX)?;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(body);
    checksum.update(&bytes[4..header_len]);
    let noted = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    (checksum.finalize() ^ u32::MAX == noted).then_some(Header { kind, segment, page, header_len, len })
}

fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// A number as the engine writes it: small ones in one byte.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let first = u64::from(take(bytes, 1)?[0]);
    Some(match first {
        0..=240 => first,
        241..=248 => 240 + 256 * (first - 241) + u64::from(take(bytes, 1)?[0]),
        249 => {
            let two = take(bytes, 2)?;
            2288 + 256 * u64::from(two[0]) + u64::from(two[1])
        }
        _ => {
            let mut whole = [0; 8];
            let taken = take(bytes, usize::try_from(first - 247).ok()?)?;
            whole[..taken.len()].copy_from_slice(taken);
            u64::from_le_bytes(whole)
        }
    })
}

fn counted<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let len = usize::try_from(number(bytes)?).ok()?;
    take(bytes, len)
}

/// A leaf of the tree.
struct Page {
    /// What all its keys begin with; the page and its changes leave it out.
    prefix: Vec<u8>,
    pairs: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
}

fn node(bytes: &[u8], place: u64) -> Option<Page> {
    let mut rest = bytes;
    let (_next, _merging_child) = (number(&mut rest)?, number(&mut rest)?);
    let _merging = take(&mut rest, 1)?;
    let prefix_len = usize::from(take(&mut rest, 1)?[0]);
    let (low, _high) = (counted(&mut rest)?, counted(&mut rest)?);
    let prefix = low.get(..prefix_len)?.to_vec();
    let is_index = take(&mut rest, 1)?[0] != 0;
    let mut page = Page { prefix, pairs: BTreeMap::new() };
    if is_index {
        return Some(page);
    }
    let len = usize::try_from(number(&mut rest)?).ok()?;
    let mut keys = Vec::new();
    for _ in 0..len {
        keys.push(page.whole(counted(&mut rest)?));
    }
    for key in keys {
        let value = counted(&mut rest)?.to_vec();
        page.pairs.insert(key, (value, place));
    }
    Some(page)
}

impl Page {
    fn whole(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    fn change(&mut self, bytes: &[u8], place: u64) -> Option<()> {
        let mut rest = bytes;
        match take(&mut rest, 1)?[0] {
            0 => {
                let (key, value) = (counted(&mut rest)?, counted(&mut rest)?);
                self.pairs.insert(self.whole(key), (value.to_vec(), place));
            }
            1 => {
                let key = self.whole(counted(&mut rest)?);
                self.pairs.remove(&key);
            }
            // Steps of a merge of two pages; what they hold stays until one is freed.
            _ => {}
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Live;
    use crate::options::{OpenOptions, Opened};

    #[test]
    fn numbers_read_as_the_engine_writes_them() {
        let read = |mut bytes: &[u8]| number(&mut bytes);
        assert_eq!(read(&[0]), Some(0));
        assert_eq!(read(&[240]), Some(240));
        assert_eq!(read(&[241, 0]), Some(240));
        assert_eq!(read(&[248, 255]), Some(2287));
        assert_eq!(read(&[249, 0, 0]), Some(2288));
        assert_eq!(read(&[250, 0xff, 0xff, 0xff]), Some(0x00ff_ffff));
        assert_eq!(read(&[255, 1, 0, 0, 0, 0, 0, 0, 0x80]), Some(0x8000_0000_0000_0001));
        assert_eq!(read(&[250, 1]), None);
    }

    #[test]
    fn arbitrary_bytes_are_no_messages() {
        let bytes: Vec<u8> = (0..4096u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for at in 0..bytes.len() {
            assert!(message(&bytes[at..]).is_none());
            let _ = node(&bytes[at..], 0);
            let _ = Page { prefix: vec![1], pairs: BTreeMap::new() }.change(&bytes[at..], 0);
        }
    }

    #[test]
    fn what_the_engine_wrote_is_found_as_the_engine_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Live::open(folder.path(), &OpenOptions::default(), &mut Opened::default());
        {
            let tree = open().expect("an engine").tree;
            for round in 0..3u32 {
                for number in 0..3000u32 {
                    let value = vec![round as u8; 100 + (number % 50) as usize];
                    tree.insert(number.wrapping_mul(2_654_435_761).to_be_bytes(), value).expect("a write");
                }
            }
            // A page above 128 KiB, and pages that empty and merge.
            for number in 0..40u32 {
                tree.insert([b"large".as_slice(), &number.to_be_bytes()].concat(), vec![7; 20_000])
                    .expect("a write");
            }
            for number in (0..3000u32).filter(|number| number % 7 != 0) {
                tree.remove(number.wrapping_mul(2_654_435_761).to_be_bytes()).expect("a write");
            }
            tree.flush().expect("a flush");
        }
        let expected: BTreeMap<Vec<u8>, Vec<u8>> = {
            let tree = open().expect("an engine").tree;
            tree.iter()
                .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).expect("a pair"))
                .collect()
        };
        let mut found: BTreeMap<Vec<u8>, (u64, Vec<u8>)> = BTreeMap::new();
        let mut scan = LogScan::open(folder.path()).expect("a log");
        scan.pairs(&mut |pair| {
            let newest = found.entry(pair.key).or_default();
            if newest.0 <= pair.place {
                *newest = (pair.place, pair.value);
            }
            Ok(())
        })
        .expect("pairs");
        let found: BTreeMap<Vec<u8>, Vec<u8>> =
            found.into_iter().map(|(key, (_, value))| (key, value)).collect();
        assert_eq!(expected.len(), 429 + 40);
        assert!(found == expected, "{} of {} pairs", found.len(), expected.len());
    }
}

//! A new engine's files, written from pairs in the order of their keys.
//!
//! Put in one by one, pairs leave the engine twice as much as they are: every one is a message of its own, pages are
//! split in halves, and a place whose messages are mostly out of date is used again but not given back. So here the log is
//! written as the engine would have it at best: each page once, nearly full, one after the other. The format is that of
//! sled 0.34 (`log_scan.rs` reads it); the caller opens the result with the engine and reads all of it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::engine::closed_log;
use crate::error::StoreError;
use crate::log_scan::{CAP, COUNTER, META, NODE, NODE_FILE, SEGMENT_HEADER_BYTES};
use crate::reserve::SEGMENT_BYTES;

/// Pairs of a leaf; the engine splits one that has more than 16.
const LEAF_PAIRS: usize = 12;
/// Pages of an inner page; the engine splits one that has more than 256.
const INNER_PAGES: usize = 128;
/// A leaf with more bytes ends early, if it has as many pairs as the engine leaves in peace.
const LEAF_BYTES: usize = 100 << 10;
const LEAF_PAIRS_MIN: usize = 4;
/// A larger message is a file of its own.
const INLINE_BYTES_MAX: usize = SEGMENT_BYTES as usize / 4 - SEGMENT_HEADER_BYTES - MESSAGE_HEADER_BYTES;
/// What the engine reckons for the header of a message, and looks for behind the last one of a segment.
const MESSAGE_HEADER_BYTES: usize = 32;
/// The pages that every engine has.
const META_PAGE: u64 = 0;
const COUNTER_PAGE: u64 = 1;
/// The tree that the engine makes unasked; it stays empty.
const DEFAULT_TREE: &[u8] = b"__sled__default";
const ROWS: &[u8] = b"rows";

/// An engine's files in the making.
pub(crate) struct Builder {
    log: LogWriter,
    /// Leaves, and the inner pages above them, each level with the page that is being filled.
    levels: Vec<Page>,
    next_page: u64,
    last_key: Option<Vec<u8>>,
}

/// A page that is being filled.
struct Page {
    number: u64,
    /// All its keys are at least this.
    low: Vec<u8>,
    keys: Vec<Vec<u8>>,
    contents: Contents,
    bytes: usize,
}

enum Contents {
    Values(Vec<Vec<u8>>),
    Pages(Vec<u64>),
}

enum Content {
    Value(Vec<u8>),
    Page(u64),
}

impl Page {
    fn new(number: u64, low: Vec<u8>, key: Vec<u8>, content: Content) -> Page {
        let contents = match content {
            Content::Value(_) => Contents::Values(Vec::new()),
            Content::Page(_) => Contents::Pages(Vec::new()),
        };
        let mut page = Page { number, low, keys: Vec::new(), contents, bytes: 0 };
        page.push(key, content);
        page
    }

    fn push(&mut self, key: Vec<u8>, content: Content) {
        self.bytes += key.len();
        match (&mut self.contents, content) {
            (Contents::Values(values), Content::Value(value)) => {
                self.bytes += value.len();
                values.push(value);
            }
            (Contents::Pages(pages), Content::Page(page)) => pages.push(page),
            // A level has contents of one kind.
            _ => return,
        }
        self.keys.push(key);
    }

    fn is_full_before(&self, content: &Content) -> bool {
        match content {
            Content::Page(_) => self.keys.len() >= INNER_PAGES,
            Content::Value(value) => {
                let is_large = self.bytes + value.len() > LEAF_BYTES && self.keys.len() >= LEAF_PAIRS_MIN;
                self.keys.len() >= LEAF_PAIRS || is_large
            }
        }
    }

    /// The page as the engine writes it; `next` is the page behind it, and where that begins.
    fn body(&self, next: Option<(u64, &[u8])>) -> Vec<u8> {
        let (next_page, high) = next.unwrap_or((0, &[]));
        let prefix = common(&self.low, high).min(usize::from(u8::MAX));
        let mut body = Vec::with_capacity(self.bytes + 256);
        put_number(next_page, &mut body);
        // No child is being merged, nor this page, and how long the prefix is that its keys leave out.
        body.extend_from_slice(&[0, 0, prefix as u8]);
        put_counted(&self.low, &mut body);
        put_counted(high, &mut body);
        body.push(u8::from(matches!(self.contents, Contents::Pages(_))));
        put_number(self.keys.len() as u64, &mut body);
        for key in &self.keys {
            put_counted(&key[prefix..], &mut body);
        }
        match &self.contents {
            Contents::Values(values) => values.iter().for_each(|value| put_counted(value, &mut body)),
            Contents::Pages(pages) => pages.iter().for_each(|page| put_number(*page, &mut body)),
        }
        body
    }
}

impl Builder {
    /// Begins in the new folder `engine`.
    pub fn create(engine: &Path) -> Result<Builder, StoreError> {
        // The engine writes its own settings, and what else it expects to find.
        let db = sled::Config::new().path(engine).flush_every_ms(None).open()?;
        drop(db);
        drop(closed_log(engine)?);
        for entry in fs::read_dir(engine).map_err(StoreError::io(engine))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                fs::remove_file(entry.path()).map_err(StoreError::io(&entry.path()))?;
            }
        }
        let mut builder =
            Builder { log: LogWriter::create(engine)?, levels: Vec::new(), next_page: 2, last_key: None };
        builder.log.write(COUNTER, COUNTER_PAGE, &[0])?;
        Ok(builder)
    }

    /// Adds a pair, whose key comes after all keys before it.
    pub fn add(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        let separator = match &self.last_key {
            Some(last) if *last >= key => {
                return Err(StoreError::Corrupt("keys are not in their order".into()));
            }
            // As much of the key as tells it from the one before.
            Some(last) => key[..(common(last, &key) + 1).min(key.len())].to_vec(),
            None => Vec::new(),
        };
        self.last_key = Some(key.clone());
        self.put(0, separator, key, Content::Value(value))
    }

    fn page_number(&mut self) -> u64 {
        self.next_page += 1;
        self.next_page - 1
    }

    /// Adds to the page of a level, or begins the next there.
    fn put(&mut self, level: usize, low: Vec<u8>, key: Vec<u8>, content: Content) -> Result<(), StoreError> {
        match self.levels.get_mut(level) {
            None => {
                let page = Page::new(self.page_number(), Vec::new(), key, content);
                self.levels.push(page);
                Ok(())
            }
            Some(page) if !page.is_full_before(&content) => {
                page.push(key, content);
                Ok(())
            }
            Some(_) => {
                let number = self.page_number();
                let full =
                    std::mem::replace(&mut self.levels[level], Page::new(number, low.clone(), key, content));
                self.log.write(NODE, full.number, &full.body(Some((number, &low))))?;
                if self.levels.len() == level + 1 {
                    self.put(level + 1, Vec::new(), Vec::new(), Content::Page(full.number))?;
                }
                self.put(level + 1, low.clone(), low, Content::Page(number))
            }
        }
    }

    /// Writes the rest and makes everything durable.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let rows = self.root()?;
        self.levels.clear();
        let default = self.root()?;
        let mut meta = Vec::new();
        for (name, root) in [(DEFAULT_TREE, default), (ROWS, rows)] {
            put_counted(name, &mut meta);
            put_number(root, &mut meta);
        }
        self.log.write(META, META_PAGE, &meta)?;
        self.log.finish()
    }

    /// Writes the last page of each level, and a root above a single leaf.
    fn root(&mut self) -> Result<u64, StoreError> {
        if self.levels.is_empty() {
            let contents = Contents::Values(Vec::new());
            let leaf =
                Page { number: self.page_number(), low: Vec::new(), keys: Vec::new(), contents, bytes: 0 };
            self.levels.push(leaf);
        }
        if let [leaf] = &self.levels[..] {
            let leaf = Content::Page(leaf.number);
            self.put(1, Vec::new(), Vec::new(), leaf)?;
        }
        for page in &self.levels {
            self.log.write(NODE, page.number, &page.body(None))?;
        }
        Ok(self.levels.last().map_or(0, |root| root.number))
    }
}

/// The engine's log, segment by segment.
struct LogWriter {
    file: File,
    path: PathBuf,
    page_files: PathBuf,
    segment: Vec<u8>,
    number: u64,
}

impl LogWriter {
    fn create(engine: &Path) -> Result<LogWriter, StoreError> {
        let path = engine.join("db");
        let file = File::options().write(true).truncate(true).open(&path).map_err(StoreError::io(&path))?;
        let segment = Vec::with_capacity(SEGMENT_BYTES as usize);
        let mut log = LogWriter { file, path, page_files: engine.join("blobs"), segment, number: 0 };
        log.begin_segment();
        Ok(log)
    }

    fn begin_segment(&mut self) {
        // Where it begins, counted over all segments, and up to where everything is whole.
        let place = (self.number * SEGMENT_BYTES) as i64;
        let mut rest = (place ^ i64::MAX).to_le_bytes().to_vec();
        rest.extend_from_slice(&((place - 1) ^ i64::MAX).to_le_bytes());
        self.segment.extend_from_slice(&(crc32fast::hash(&rest) ^ u32::MAX).to_le_bytes());
        self.segment.extend_from_slice(&rest);
    }

    fn end_segment(&mut self) -> Result<(), StoreError> {
        let left = SEGMENT_BYTES as usize - self.segment.len();
        if left >= MESSAGE_HEADER_BYTES {
            let fill = vec![0; left - MESSAGE_HEADER_BYTES];
            let message = self.message(CAP, u64::MAX, &fill);
            self.segment.extend_from_slice(&message);
        }
        self.write_segment()?;
        self.number += 1;
        self.begin_segment();
        Ok(())
    }

    fn write_segment(&mut self) -> Result<(), StoreError> {
        self.segment.resize(SEGMENT_BYTES as usize, 0);
        self.file.write_all(&self.segment).map_err(StoreError::io(&self.path))?;
        self.segment.clear();
        Ok(())
    }

    fn message(&self, kind: u8, page: u64, body: &[u8]) -> Vec<u8> {
        let mut header = vec![0, 0, 0, 0, kind];
        put_number(body.len() as u64, &mut header);
        put_number(self.number, &mut header);
        put_number(page, &mut header);
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(body);
        checksum.update(&header[4..]);
        header[..4].copy_from_slice(&(checksum.finalize() ^ u32::MAX).to_le_bytes());
        header.extend_from_slice(body);
        header
    }

    fn write(&mut self, kind: u8, page: u64, body: &[u8]) -> Result<(), StoreError> {
        let is_large = body.len() > INLINE_BYTES_MAX;
        let bytes = MESSAGE_HEADER_BYTES + if is_large { 8 } else { body.len() };
        if self.segment.len() + bytes > SEGMENT_BYTES as usize {
            self.end_segment()?;
        }
        let message = if is_large {
            let place = self.number * SEGMENT_BYTES + self.segment.len() as u64;
            let mut file = vec![0; 4];
            file.push(NODE_FILE);
            file.extend_from_slice(body);
            let checksum = crc32fast::hash(&file[4..]).to_le_bytes();
            file[..4].copy_from_slice(&checksum);
            let path = self.page_files.join(place.to_string());
            fs::write(&path, &file).map_err(StoreError::io(&path))?;
            self.message(NODE_FILE, page, &place.to_le_bytes())
        } else {
            self.message(kind, page, body)
        };
        self.segment.extend_from_slice(&message);
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.write_segment()?;
        self.file.sync_all().map_err(StoreError::io(&self.path))
    }
}

fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

fn put_counted(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A number as the engine writes it: small ones in one byte.
fn put_number(number: u64, out: &mut Vec<u8>) {
    let bytes = number.to_le_bytes();
    match number {
        0..=240 => out.push(bytes[0]),
        241..=2287 => {
            let rest = number - 240;
            out.extend_from_slice(&[(rest / 256 + 241) as u8, (rest % 256) as u8]);
        }
        2288..=67823 => {
            let rest = number - 2288;
            out.extend_from_slice(&[249, (rest / 256) as u8, (rest % 256) as u8]);
        }
        _ => {
            let len = (8 - number.leading_zeros() as usize / 8).max(3);
            out.push(247 + len as u8);
            out.extend_from_slice(&bytes[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::Live;
    use crate::options::{OpenOptions, Opened};

    /// The engine, once an earlier one has given up its files.
    fn open(engine: &Path) -> sled::Db {
        Live::open(engine, &OpenOptions::default(), &mut Opened::default()).expect("the engine opens").db
    }

    /// Pairs of one kind, in the order of their keys.
    fn built(pairs: &BTreeMap<Vec<u8>, Vec<u8>>) -> (tempfile::TempDir, sled::Db) {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = folder.path().join("engine");
        let mut builder = Builder::create(&engine).expect("a builder");
        for (key, value) in pairs {
            builder.add(key.clone(), value.clone()).expect("a pair");
        }
        builder.finish().expect("files");
        let db = open(&engine);
        (folder, db)
    }

    fn read(db: &sled::Db) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let tree = db.open_tree("rows").expect("the tree");
        tree.iter()
            .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .expect("pairs")
    }

    fn mixed(number: u64) -> u64 {
        (number ^ 0x5851_f42d)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(31)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn the_engine_reads_and_changes_what_was_built() {
        for count in [0, 1, 12, 13, 100, 2000, 40_000] {
            let mut pairs = BTreeMap::new();
            for number in 0..count {
                let mut key = vec![0, (number % 7) as u8];
                key.extend_from_slice(&mixed(number).to_be_bytes());
                let len = match number % 1000 {
                    // A row as large as there is one: its page is a file.
                    1..=9 => 49_000,
                    rest => rest / 4,
                };
                pairs.insert(key, vec![number as u8; usize::try_from(len).expect("a length")]);
            }
            let (folder, db) = built(&pairs);
            assert_eq!(read(&db), pairs, "{count}");
            let tree = db.open_tree("rows").expect("the tree");
            for (key, value) in &pairs {
                assert_eq!(tree.get(key).expect("a read").as_deref(), Some(&value[..]));
            }
            // It grows, shrinks, splits and merges from there.
            for number in 0..count + 500 {
                let key = mixed(number + 1_000_000).to_be_bytes().to_vec();
                tree.insert(&key[..], vec![1; 90]).expect("a write");
                pairs.insert(key, vec![1; 90]);
            }
            let gone: Vec<Vec<u8>> =
                pairs.keys().filter(|key| key.last().is_some_and(|last| last % 4 != 0)).cloned().collect();
            for key in gone {
                tree.remove(&key).expect("a removal");
                pairs.remove(&key);
            }
            db.flush().expect("a flush");
            assert_eq!(read(&db), pairs, "{count}");
            drop((tree, db));
            let again = open(&folder.path().join("engine"));
            assert_eq!(read(&again), pairs, "{count}");
        }
    }

    #[test]
    fn what_is_built_takes_little_more_than_its_pairs() {
        let value = |number: u64| vec![number as u8; 200];
        let pairs: BTreeMap<Vec<u8>, Vec<u8>> =
            (0..50_000).map(|number| (mixed(number).to_be_bytes().to_vec(), value(number))).collect();
        let (folder, db) = built(&pairs);
        let live: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        let len = fs::metadata(folder.path().join("engine/db")).expect("a log").len();
        assert!(len < live as u64 * 6 / 5, "{len} for {live}");
        drop(db);
    }

    #[test]
    fn keys_out_of_order_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut builder = Builder::create(&folder.path().join("engine")).expect("a builder");
        builder.add(b"b".to_vec(), Vec::new()).expect("a pair");
        assert!(builder.add(b"a".to_vec(), Vec::new()).is_err());
        assert!(builder.add(b"b".to_vec(), Vec::new()).is_err());
    }
}

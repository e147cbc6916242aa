//! Blocks that were read not long ago.
//!
//! Looking for a key in a block takes a fraction of the time in which the engine finds that block. Blocks never change, and no
//! two of them have the same run and number while the engine is open, so nothing has to be forgotten. A block shares its
//! bytes with the engine's page while that is in memory too.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::block::Block;

/// Parts that are locked alone.
const SHARDS: usize = 16;
/// What a block takes beside its bytes, about.
const ENTRY_BYTES: usize = 80;

/// A block of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockId {
    pub run: u32,
    pub number: u32,
    pub is_data: bool,
}

/// See the module.
pub(super) struct BlockCache {
    shards: Vec<Mutex<Shard>>,
    /// Of each half of a part.
    bytes_max: usize,
}

type Blocks = HashMap<u64, Block, BuildHasherDefault<Mixed>>;

/// Blocks that were read since the last turn, and those before; one that is not read again goes with the second turn.
#[derive(Default)]
struct Shard {
    new: Blocks,
    old: Blocks,
    /// Of `new`.
    bytes: usize,
}

/// Passes on a key that is mixed already.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

impl BlockId {
    /// One number for each block (the steps of SplitMix64 lose nothing), with halves that are as good as random.
    fn mixed(self) -> u64 {
        let kind = if self.is_data { 0 } else { 1 << 63 };
        let mixed = (u64::from(self.run) << 32 | u64::from(self.number)) ^ kind;
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

impl BlockCache {
    /// Takes so much memory at most.
    pub fn new(bytes_max: usize) -> BlockCache {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        BlockCache { shards, bytes_max: bytes_max / SHARDS / 2 }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[(key >> 32) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block, if it is here.
    pub fn get(&self, id: BlockId) -> Option<Block> {
        let key = id.mixed();
        let mut shard = self.shard(key);
        if let Some(block) = shard.new.get(&key) {
            return Some(block.clone());
        }
        let block = shard.old.remove(&key)?;
        self.keep(&mut shard, key, block.clone());
        Some(block)
    }

    /// Takes a block that was read.
    pub fn add(&self, id: BlockId, block: &Block) {
        let key = id.mixed();
        self.keep(&mut self.shard(key), key, block.clone());
    }

    fn keep(&self, shard: &mut Shard, key: u64, block: Block) {
        let bytes = ENTRY_BYTES + block.bytes();
        if bytes > self.bytes_max {
            return;
        }
        if shard.bytes + bytes > self.bytes_max {
            shard.old = std::mem::take(&mut shard.new);
            shard.bytes = 0;
        }
        shard.bytes += bytes;
        if let Some(before) = shard.new.insert(key, block) {
            shard.bytes -= ENTRY_BYTES + before.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::{BlockWriter, Kind};
    use super::*;

    fn block(number: u32) -> Block {
        let mut writer = BlockWriter::new(Kind::Data, 1);
        writer.add(&number.to_be_bytes(), Some(&[0; 2000]));
        Block::read(writer.finish().into(), Kind::Data, true).expect("a block")
    }

    fn id(number: u32) -> BlockId {
        BlockId { run: number % 3, number: number / 3, is_data: number.is_multiple_of(2) }
    }

    fn found(cache: &BlockCache, number: u32) -> bool {
        let Some(block) = cache.get(id(number)) else { return false };
        assert_eq!(block.all().expect("entries")[0].0, number.to_be_bytes(), "another block");
        true
    }

    #[test]
    fn what_is_read_often_stays_and_memory_is_bounded() {
        let cache = BlockCache::new(1 << 20);
        for number in 0..6000 {
            cache.add(id(number), &block(number));
            assert!(found(&cache, number));
            assert!(found(&cache, 0), "{number}");
        }
        let bytes = |shard: &Mutex<Shard>| {
            let shard = shard.lock().expect("no panic");
            shard
                .new
                .values()
                .chain(shard.old.values())
                .map(|block| ENTRY_BYTES + block.bytes())
                .sum::<usize>()
        };
        let bytes = cache.shards.iter().map(bytes).sum::<usize>();
        assert!((1 << 19..=1 << 20).contains(&bytes), "{bytes}");
        let kept = (0..6000).filter(|number| found(&cache, *number)).count();
        assert!((100..600).contains(&kept), "{kept}");
        assert!(!found(&cache, 6001));
    }
}

//! Filters: whether a run may have a key, without a look at its blocks (Bloom).
//!
//! Ten bits a key and seven places of each, by double hashing of the mixed CRC-32C of the key: one of a hundred keys that
//! are not there looks as if it were. Only keys that are looked up one by one are in it, not those of indexes.

/// Bits for each key.
const BITS_PER_KEY: usize = 10;
const PLACES: u32 = 7;

/// The hash of a key.
pub(super) fn hash(key: &[u8]) -> u32 {
    crc32c::crc32c(key)
}

/// Mixes a hash (SplitMix64), so that its halves are as good as two.
fn mixed(hash: u32) -> (u32, u32) {
    let mixed = (u64::from(hash) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mixed = mixed ^ mixed >> 31;
    (mixed as u32, (mixed >> 32) as u32 | 1)
}

fn places(hash: u32, bits: u32) -> impl Iterator<Item = u32> {
    let (first, step) = mixed(hash);
    (0..PLACES).map(move |number| first.wrapping_add(number.wrapping_mul(step)) % bits)
}

/// The filter of these hashes.
pub(super) fn of(hashes: &[u32]) -> Vec<u8> {
    let mut filter = vec![0; (hashes.len() * BITS_PER_KEY).div_ceil(8)];
    hashes.iter().for_each(|hash| add(&mut filter, *hash));
    filter
}

/// Its bits; more than that would be 3 GiB of rows' keys, and then it lets more through.
fn bits_of(filter: &[u8]) -> u32 {
    u32::try_from(filter.len() * 8).unwrap_or(u32::MAX)
}

/// Adds a hash to a filter that has room for it.
pub(super) fn add(filter: &mut [u8], hash: u32) {
    for place in places(hash, bits_of(filter)) {
        filter[place as usize / 8] |= 1 << (place % 8);
    }
}

/// Whether a key with this hash may be there.
pub(super) fn may_have(filter: &[u8], hash: u32) -> bool {
    let bits = bits_of(filter);
    bits > 0 && places(hash, bits).all(|place| filter[place as usize / 8] & 1 << (place % 8) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_little_else() {
        let key = |number: u32| hash(&[b"some key".as_slice(), &number.to_be_bytes()].concat());
        let filter = of(&(0..20_000).map(key).collect::<Vec<_>>());
        assert_eq!(filter.len(), 25_000);
        assert!((0..20_000).all(|number| may_have(&filter, key(number))));
        let wrong = (20_000..40_000).filter(|number| may_have(&filter, key(*number))).count();
        assert!(wrong < 400, "{wrong}");
        assert!(!may_have(&[], key(1)));
    }
}

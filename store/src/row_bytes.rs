//! The layout of a stored row, without its table: which columns it has, and where each value lies.
//!
//! ```text
//! row        [f2][table version u16][crc32c u32][body]
//! body       [flags u8][bitmap length u8][bitmap][ends][values]
//! older row  [table version u16][crc32c u32][bincode list of (column id u16, value)]
//! ```
//!
//! The bitmap has a bit for each column id that has a value; `ends` says where each value ends among `values`, two bytes
//! little endian, or four in a row whose values are longer. So one column is read without the others. Values are bincode.
//! Nothing is decoded without a limit: a hostile length would abort the process.

use bincode::{BorrowDecode, Encode};

use crate::blob::BlobHash;
use crate::error::StoreError;

/// No table has so many versions that an older row begins with it.
const MARK: u8 = 0xf2;
const HEAD_BYTES: usize = 1 + 2 + 4;
const OLDER_HEAD_BYTES: usize = 2 + 4;
/// Ends take four bytes.
const WIDE: u8 = 1;
pub(crate) const DECODE_LIMIT: usize = 1 << 20;

/// A value as it is stored, borrowed from the row or from what is to become one.
#[derive(Clone, Debug, PartialEq, Encode, BorrowDecode)]
pub(crate) enum Part<'b> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Numeric([u8; 16]),
    Text(&'b str),
    Uuid([u8; 16]),
    Timestamp(i64),
    Date(i32),
    Json(&'b str),
    TextArray(Vec<Option<&'b str>>),
    UuidArray(Vec<Option<[u8; 16]>>),
    /// A text or JSON kept as a blob.
    Spilled {
        is_json: bool,
        hash: [u8; 32],
    },
}

impl Part<'_> {
    /// The blob that it was spilled to.
    pub fn blob(&self) -> Option<BlobHash> {
        match self {
            Part::Spilled { hash, .. } => Some(BlobHash(*hash)),
            _ => None,
        }
    }
}

/// What values of each kind begin with.
const BOOL: u8 = 1;
const TEXT: u8 = 5;
const UUID: u8 = 6;
const JSON: u8 = 9;
const SPILLED: u8 = 12;

/// A value of a kind that most columns have, without the decoder that knows all; `None` for any other.
fn frequent(value: &[u8]) -> Option<Part<'_>> {
    match value {
        [BOOL, truth @ 0..=1] => Some(Part::Bool(*truth == 1)),
        [UUID, bytes @ ..] => bytes.try_into().ok().map(Part::Uuid),
        [kind @ (TEXT | JSON), rest @ ..] => {
            let (len, text) = match rest {
                [len @ 0..=250, text @ ..] => (usize::from(*len), text),
                [251, low, high, text @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), text),
                _ => return None,
            };
            let text = std::str::from_utf8(text).ok().filter(|text| text.len() == len)?;
            Some(if *kind == TEXT { Part::Text(text) } else { Part::Json(text) })
        }
        _ => None,
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Why bytes are no row.
#[derive(Debug)]
pub(crate) struct Damaged(pub String);

impl Damaged {
    /// In a row of this table.
    pub fn of(self, table: &str) -> StoreError {
        StoreError::Corrupt(format!("a row of {table}: {}", self.0))
    }
}

fn damaged(what: impl Into<String>) -> Damaged {
    Damaged(what.into())
}

/// Writes a row of a table version; `parts` are ordered by column id, and none is [`Part::Null`].
pub(crate) fn write(version: u16, parts: &[(u16, Part)]) -> Result<Vec<u8>, Damaged> {
    let bitmap_len = parts.last().map_or(0, |(id, _)| usize::from(*id) / 8 + 1);
    let len = u8::try_from(bitmap_len).map_err(|_| damaged("a column has too high a number"))?;
    let mut bitmap = vec![0u8; bitmap_len];
    let (mut values, mut ends) = (Vec::with_capacity(256), Vec::with_capacity(parts.len()));
    for (id, part) in parts {
        bitmap[usize::from(*id) / 8] |= 1 << (id % 8);
        bincode::encode_into_std_write(part, &mut values, config())
            .map_err(|error| damaged(error.to_string()))?;
        ends.push(values.len());
    }
    let is_wide = values.len() > usize::from(u16::MAX);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + 2 + bitmap_len + 4 * ends.len() + values.len());
    bytes.push(MARK);
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(if is_wide { WIDE } else { 0 });
    bytes.push(len);
    bytes.extend_from_slice(&bitmap);
    for end in ends {
        let end = u32::try_from(end).map_err(|_| damaged("too long"))?.to_le_bytes();
        bytes.extend_from_slice(if is_wide { &end } else { &end[..2] });
    }
    bytes.extend_from_slice(&values);
    let checksum = crc32c::crc32c(&bytes[HEAD_BYTES..]).to_be_bytes();
    bytes[3..HEAD_BYTES].copy_from_slice(&checksum);
    Ok(bytes)
}

/// Where the parts of a row lie in its bytes; made once its checksum was found right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub version: u16,
    is_wide: bool,
    /// The bits of the first columns, which are nearly always all of them, and how many of the first word are set.
    words: [u64; 2],
    in_first: u32,
    ends_at: usize,
    values_at: usize,
}

const BITMAP_AT: usize = HEAD_BYTES + 2;

impl Layout {
    /// Looks at a row; `None` for one of the older form.
    pub fn read(bytes: &[u8]) -> Result<Option<Layout>, Damaged> {
        if !is_current(bytes) {
            return Ok(None);
        }
        let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(|| damaged("too short"))?;
        if crc32c::crc32c(body).to_be_bytes() != head[3..] {
            return Err(damaged("checksum differs"));
        }
        let [flags, bitmap_len, ..] = body else { return Err(damaged("too short")) };
        if flags & !WIDE != 0 {
            return Err(damaged("of a later form"));
        }
        let bitmap = body.get(2..2 + usize::from(*bitmap_len)).ok_or_else(|| damaged("too short"))?;
        let count = bitmap.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
        let is_wide = flags & WIDE != 0;
        let ends_at = BITMAP_AT + bitmap.len();
        let words = [word(bitmap, 0), word(bitmap, 8)];
        let layout = Layout {
            version: u16::from_be_bytes([head[1], head[2]]),
            is_wide,
            words,
            in_first: words[0].count_ones(),
            ends_at,
            values_at: ends_at + count * if is_wide { 4 } else { 2 },
        };
        let last = count.checked_sub(1).map_or(Some(0), |last| layout.end(bytes, last));
        match last.and_then(|end| layout.values_at.checked_add(end)) {
            Some(end) if end == bytes.len() => Ok(Some(layout)),
            _ => Err(damaged("bytes left over or missing")),
        }
    }

    /// Where the value of this rank ends among the values.
    fn end(&self, bytes: &[u8], rank: usize) -> Option<usize> {
        if self.is_wide {
            let end = bytes.get(self.ends_at + 4 * rank..)?.first_chunk::<4>()?;
            usize::try_from(u32::from_le_bytes(*end)).ok()
        } else {
            let end = bytes.get(self.ends_at + 2 * rank..)?.first_chunk::<2>()?;
            Some(usize::from(u16::from_le_bytes(*end)))
        }
    }

    /// How many columns before this one have a value; `None` if it has none itself.
    fn rank(&self, bytes: &[u8], id: u16) -> Option<usize> {
        let bit = 1u64 << (id % 64);
        match id / 64 {
            0 if self.words[0] & bit == 0 => None,
            0 => Some((self.words[0] & (bit - 1)).count_ones() as usize),
            1 if self.words[1] & bit == 0 => None,
            1 => Some((self.in_first + (self.words[1] & (bit - 1)).count_ones()) as usize),
            further => {
                let bitmap = bytes.get(BITMAP_AT..self.ends_at)?;
                let at = 8 * usize::from(further);
                let own = word(bitmap, at);
                let before = bitmap.get(..at)?.iter().map(|byte| byte.count_ones()).sum::<u32>();
                (own & bit != 0).then_some((before + (own & (bit - 1)).count_ones()) as usize)
            }
        }
    }

    /// The value of a column; `None` if it has none.
    pub fn part<'b>(&self, bytes: &'b [u8], id: u16) -> Result<Option<Part<'b>>, Damaged> {
        self.rank(bytes, id).map(|rank| self.part_at(bytes, rank)).transpose()
    }

    fn value_at<'b>(&self, bytes: &'b [u8], rank: usize) -> Result<&'b [u8], Damaged> {
        let values = bytes.get(self.values_at..).unwrap_or_default();
        let from = rank.checked_sub(1).map_or(Some(0), |before| self.end(bytes, before));
        let value = match (from, self.end(bytes, rank)) {
            (Some(from), Some(to)) => values.get(from..to),
            _ => None,
        };
        value.ok_or_else(|| damaged("a value lies elsewhere"))
    }

    fn part_at<'b>(&self, bytes: &'b [u8], rank: usize) -> Result<Part<'b>, Damaged> {
        let value = self.value_at(bytes, rank)?;
        if let Some(part) = frequent(value) {
            return Ok(part);
        }
        let (part, read) =
            bincode::borrow_decode_from_slice(value, config()).map_err(|error| damaged(error.to_string()))?;
        if read == value.len() { Ok(part) } else { Err(damaged("bytes left over")) }
    }

    /// The columns that have a value, by id.
    fn ids<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = u16> + use<'b> {
        let bitmap = bytes.get(BITMAP_AT..self.ends_at).unwrap_or_default();
        let has = |byte: u8, bit: u16| byte & 1 << bit != 0;
        bitmap.iter().zip(0_u16..).flat_map(move |(byte, at)| {
            (0..8).filter(move |bit| has(*byte, *bit)).map(move |bit| at * 8 + bit)
        })
    }

    /// Every column that has a value, by id.
    pub fn parts<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = Result<(u16, Part<'b>), Damaged>> {
        let layout = *self;
        self.ids(bytes).enumerate().map(move |(rank, id)| Ok((id, layout.part_at(bytes, rank)?)))
    }

    /// The columns whose values lie in blobs.
    fn spilled(&self, bytes: &[u8]) -> Result<Vec<(u16, BlobHash)>, Damaged> {
        let mut found = Vec::new();
        for (rank, id) in self.ids(bytes).enumerate() {
            if self.value_at(bytes, rank)?.first() == Some(&SPILLED) {
                found.extend(self.part_at(bytes, rank)?.blob().map(|hash| (id, hash)));
            }
        }
        Ok(found)
    }
}

/// The eight bytes of a bitmap from here on, as far as it goes.
fn word(bitmap: &[u8], at: usize) -> u64 {
    let rest = bitmap.get(at..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Whether a row has the form in which columns are read one by one.
pub(crate) fn is_current(bytes: &[u8]) -> bool {
    bytes.first() == Some(&MARK)
}

/// The table version and all values of a row of either form.
pub(crate) fn read(bytes: &[u8]) -> Result<(u16, Vec<(u16, Part<'_>)>), Damaged> {
    if let Some(layout) = Layout::read(bytes)? {
        return Ok((layout.version, layout.parts(bytes).collect::<Result<_, _>>()?));
    }
    let (head, body) = bytes.split_at_checked(OLDER_HEAD_BYTES).ok_or_else(|| damaged("too short"))?;
    if crc32c::crc32c(body).to_be_bytes() != head[2..] {
        return Err(damaged("checksum differs"));
    }
    let (parts, read): (Vec<(u16, Part)>, usize) =
        bincode::borrow_decode_from_slice(body, config()).map_err(|error| damaged(error.to_string()))?;
    if read == body.len() {
        Ok((u16::from_be_bytes([head[0], head[1]]), parts))
    } else {
        Err(damaged("bytes left over"))
    }
}

/// The columns of a row of either form whose values lie in blobs.
pub(crate) fn spilled(bytes: &[u8]) -> Result<Vec<(u16, BlobHash)>, Damaged> {
    if let Some(layout) = Layout::read(bytes)? {
        return layout.spilled(bytes);
    }
    let (_, parts) = read(bytes)?;
    Ok(parts.iter().filter_map(|(id, part)| Some((*id, part.blob()?))).collect())
}

/// A row of the older form in the present one, of the same table version and with the same values.
pub(crate) fn renewed(bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
    let (version, mut parts) = read(bytes)?;
    // Of two values of one column the later one counts.
    parts.reverse();
    parts.sort_by_key(|(id, _)| *id);
    parts.dedup_by_key(|(id, _)| *id);
    parts.retain(|(_, part)| *part != Part::Null);
    write(version, &parts)
}

/// A row in the older form, as earlier versions wrote it.
#[cfg(test)]
pub(crate) fn write_older(version: u16, parts: &[(u16, Part)]) -> Vec<u8> {
    let body = bincode::encode_to_vec(parts.to_vec(), config()).expect("a body");
    let checksum = crc32c::crc32c(&body).to_be_bytes();
    [&version.to_be_bytes()[..], &checksum, &body].concat()
}

/// Whether arbitrary bytes are a row; for fuzzing, must never panic.
pub fn decodes(bytes: &[u8]) -> bool {
    // With a right checksum the fuzzer reaches the decoder behind it.
    let checksum = crc32c::crc32c(bytes).to_be_bytes();
    let older = [&[0, 1], &checksum[..], bytes].concat();
    let current = [&[MARK, 0, 1], &checksum[..], bytes].concat();
    let is_row = [bytes, &older, &current].map(|row| {
        if let Ok(Some(layout)) = Layout::read(row) {
            (0..=u16::MAX).step_by(7).for_each(|id| drop(layout.part(row, id)));
        }
        let is_row = read(row).is_ok();
        if let Ok(renewed) = renewed(row) {
            assert!(read(&renewed).is_ok(), "what was written anew is a row");
        }
        is_row
    });
    is_row.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(text: &str) -> impl Strategy<Value = Part<'_>> {
        prop_oneof![
            any::<bool>().prop_map(Part::Bool),
            any::<i64>().prop_map(Part::Int),
            any::<[u8; 16]>().prop_map(Part::Uuid),
            (0..=text.len()).prop_map(move |to| Part::Text(&text[..to])),
            (0..=text.len()).prop_map(move |to| Part::TextArray(vec![Some(&text[..to]), None, Some("")])),
            any::<[u8; 32]>().prop_map(|hash| Part::Spilled { is_json: true, hash }),
        ]
    }

    fn text() -> &'static str {
        static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "the fog lifts ".repeat(4000));
        &TEXT
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            decodes(&bytes);
        }

        #[test]
        fn each_column_is_read_alone_and_as_it_was_written(
            version: u16,
            parts in proptest::collection::btree_map(0_u16..300, part(text()), 0..40),
        ) {
            let parts: Vec<(u16, Part)> = parts.into_iter().collect();
            let bytes = write(version, &parts).expect("a row");
            let layout = Layout::read(&bytes).expect("a row").expect("of the present form");
            for id in 0..400 {
                let known = parts.iter().find(|(other, _)| *other == id).map(|(_, part)| part.clone());
                prop_assert_eq!(layout.part(&bytes, id).expect("a column"), known);
            }
            prop_assert_eq!(read(&bytes).expect("a row"), (version, parts.clone()));
            let in_blobs = parts.iter().filter_map(|(id, part)| Some((*id, part.blob()?)));
            prop_assert_eq!(spilled(&bytes).expect("a row"), in_blobs.collect::<Vec<_>>());
            // Table versions are small numbers.
            let older = write_older(version % 0xf200, &parts);
            prop_assert_eq!(read(&older).expect("a row"), (version % 0xf200, parts.clone()));
            prop_assert_eq!(renewed(&older).expect("a row"), write(version % 0xf200, &parts).expect("a row"));
        }

        #[test]
        fn a_damaged_row_is_refused(at: proptest::sample::Index, flip in 1_u8..) {
            let parts = [(0, Part::Int(7)), (3, Part::Text("fog")), (70, Part::Bool(true))];
            let mut bytes = write(3, &parts).expect("a row");
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            // The version is not part of the checksum, and says only which defaults a row shows.
            prop_assert!((1..3).contains(&at) || read(&bytes).is_err());
            bytes[at] ^= flip;
            prop_assert!(read(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    #[test]
    fn a_hostile_length_is_refused() {
        let mut body = vec![0xfd];
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(!decodes(&body));
        // One text of four gigabytes in the first column.
        assert!(!decodes(&[0, 1, 1, 6, 0, 5, 0xfc, 0xff, 0xff, 0xff, 0xff]));
    }
}

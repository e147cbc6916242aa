//! How many files a ZIP archive says that it has, before a reader makes room for them.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes of an archive's end in which its end records stand: the longest comment and the records themselves, and a few
/// more, since the reader of archives looks a little further.
const TAIL_BYTES_MAX: u64 = (64 << 10) + 256;
/// Bytes of an end record, of its ZIP64 form, and of what says where that one lies.
const END_BYTES: usize = 22;
const ZIP64_END_BYTES: usize = 56;
const ZIP64_LOCATOR_BYTES: usize = 20;

/// Refuses an archive of too many files by what its end records say, before its index is read, which takes memory for
/// each entry.
///
/// A reader that finds one record unsound goes on to an earlier one, so all of them count together. A ZIP64 record is
/// taken only right before what says where it lies: a reader can find no other one then.
pub fn check_entries(file: &mut (impl Read + Seek), most: usize) -> Result<(), String> {
    let (start, tail) = tail_of(file).map_err(|error| format!("no ZIP archive: {error}"))?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte));
    let ends = tail.windows(END_BYTES).enumerate().filter(|(_, end)| end.starts_with(b"PK\x05\x06"));
    let mut entries: u64 = 0;
    for (at, end) in ends {
        let mut count = number(&end[8..10]).max(number(&end[10..12]));
        let locator_at = at.checked_sub(ZIP64_LOCATOR_BYTES);
        if let Some(locator_at) = locator_at.filter(|at| tail[*at..].starts_with(b"PK\x06\x07")) {
            let is_here = |at: &usize| {
                let said = number(&tail[locator_at + 8..locator_at + 16]);
                let bytes_after = number(&tail[at + 4..at + 12]);
                let is_plain = bytes_after == ZIP64_END_BYTES as u64 - 12;
                tail[*at..].starts_with(b"PK\x06\x06") && is_plain && said == start + *at as u64
            };
            let Some(record_at) = locator_at.checked_sub(ZIP64_END_BYTES).filter(is_here) else {
                return Err("no ZIP archive that is read: its ZIP64 end record has an unknown form".into());
            };
            let record = &tail[record_at..locator_at];
            count = count.max(number(&record[24..32])).max(number(&record[32..40]));
        }
        entries = entries.saturating_add(count);
    }
    match entries > most as u64 {
        true => Err(format!("no ZIP archive that is read: {entries} files; at most {most} are read")),
        false => Ok(()),
    }
}

/// The last bytes of a file, and where they begin.
fn tail_of(file: &mut (impl Read + Seek)) -> io::Result<(u64, Vec<u8>)> {
    let start = file.seek(SeekFrom::End(0))?.saturating_sub(TAIL_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut tail)?;
    file.seek(SeekFrom::Start(0))?;
    Ok((start, tail))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("a/b.txt", SimpleFileOptions::default()).unwrap();
        writer.write_all(b"b").unwrap();
        writer.finish().unwrap().into_inner()
    }

    /// The same archive with a ZIP64 end record that says how many entries there are.
    fn with_zip64_end(mut bytes: Vec<u8>, entries: u64) -> Vec<u8> {
        let end = bytes.len() - END_BYTES;
        let none = [0_u8; 4];
        let directory =
            [&bytes[end + 12..end + 16], &none[..], &bytes[end + 16..end + 20], &none[..]].concat();
        let mut record = b"PK\x06\x06".to_vec();
        record.extend(44_u64.to_le_bytes());
        record.extend([45_u8, 0, 45, 0]);
        record.extend([0_u8; 8]);
        record.extend(entries.to_le_bytes().repeat(2));
        record.extend(directory);
        record.extend(b"PK\x06\x07\0\0\0\0");
        record.extend((end as u64).to_le_bytes());
        record.extend([1_u8, 0, 0, 0]);
        assert_eq!(record.len(), ZIP64_END_BYTES + ZIP64_LOCATOR_BYTES);
        bytes[end + 8..end + 12].fill(0xff);
        bytes.splice(end..end, record);
        bytes
    }

    #[test]
    fn too_many_entries_are_refused_by_the_end_record() {
        let reason = |bytes: Vec<u8>| check_entries(&mut Cursor::new(bytes), 70_000);
        let small = archive();
        assert_eq!(reason(small.clone()), Ok(()));
        assert_eq!(reason(with_zip64_end(small.clone(), 1)), Ok(()));
        let refused = reason(with_zip64_end(small.clone(), 70_001)).unwrap_err();
        assert!(refused.contains("70001 files; at most 70000"), "{refused}");
        // A sound record behind it hides nothing, and neither does one in another place.
        let hidden = [with_zip64_end(small.clone(), u64::MAX), small.clone()].concat();
        assert!(reason(hidden).unwrap_err().contains("at most 70000"));
        let moved = [b"before".to_vec(), with_zip64_end(small, 1)].concat();
        assert!(reason(moved).unwrap_err().contains("ZIP64"));
    }
}

//! Where files come from: a folder or a ZIP archive.

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use cards::archive_entries::check_entries;
use zip::ZipArchive;

/// Files of one source at most.
const FILES_MAX: usize = 500_000;
/// Folders inside each other at most.
const DEPTH_MAX: usize = 16;
/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// Files by their paths, with `/` between folders.
pub struct Source {
    /// All paths, sorted.
    pub paths: Vec<String>,
    /// What is there and is not looked at, with the reason.
    pub left_out: Vec<(String, String)>,
    /// Bytes of all files unpacked, as far as an archive says; of a folder 0.
    pub unpacked_bytes: u64,
    /// Bytes that are read of all files together, at most; what an archive says of its files is not to be trusted.
    pub read_bytes_max: u64,
    read_bytes: u64,
    kind: Kind,
}

enum Kind {
    Folder(PathBuf),
    Zip(Box<ZipArchive<Box<dyn ReadSeek>>>),
}

impl Source {
    /// Opens a folder, or a file as a ZIP archive. Blocks.
    pub fn open(path: &Path) -> Result<Source, String> {
        let shown = path.display();
        let facts = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
        if facts.is_dir() {
            let mut source = Source {
                paths: Vec::new(),
                left_out: Vec::new(),
                unpacked_bytes: 0,
                read_bytes_max: u64::MAX,
                read_bytes: 0,
                kind: Kind::Folder(path.to_path_buf()),
            };
            source.walk(path, "", 0)?;
            source.paths.sort();
            return Ok(source);
        }
        if !facts.is_file() {
            return Err(format!("{shown} is neither a folder nor a file"));
        }
        let file = File::open(path).map_err(|error| format!("{shown}: {error}"))?;
        Source::of_zip(Box::new(std::io::BufReader::new(file))).map_err(|error| format!("{shown}: {error}"))
    }

    /// Reads an archive in memory. Blocks.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Source, String> {
        Source::of_zip(Box::new(Cursor::new(bytes)))
    }

    fn of_zip(mut file: Box<dyn ReadSeek>) -> Result<Source, String> {
        check_entries(&mut file, FILES_MAX)?;
        let archive = ZipArchive::new(file).map_err(|error| format!("no ZIP archive: {error}"))?;
        if archive.len() > FILES_MAX {
            return Err(format!("{} files; at most {FILES_MAX} are read", archive.len()));
        }
        let (mut left_out, mut kept, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for name in archive.file_names() {
            match name {
                Ok(name) if name.ends_with('/') => {}
                Ok(name) => paths.push(name.into_owned()),
                Err(error) => left_out.push((String::new(), format!("a name that cannot be read: {error}"))),
            }
        }
        paths.sort();
        for path in paths {
            // Names are keys here and never paths of the disk; those that climb are no program's own.
            match path.split('/').any(|part| part == ".." || part.is_empty()) {
                true => left_out.push((path, "a name that leads out of the archive".into())),
                false => kept.push(path),
            }
        }
        // Archives that were written as a stream do not say it; what is read of them is counted all the same.
        let unpacked_bytes = archive.decompressed_size().map_or(0, |bytes| bytes.min(u64::MAX.into()) as u64);
        Ok(Source {
            paths: kept,
            left_out,
            unpacked_bytes,
            read_bytes_max: u64::MAX,
            read_bytes: 0,
            kind: Kind::Zip(Box::new(archive)),
        })
    }

    fn walk(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), String> {
        let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
            let Ok(name) = entry.file_name().into_string() else {
                let shown = entry.file_name().to_string_lossy().to_string();
                self.left_out.push((format!("{prefix}{shown}"), "a name that is not UTF-8".into()));
                continue;
            };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|error| format!("{path}: {error}"))?;
            if kind.is_dir() && depth < DEPTH_MAX {
                self.walk(&entry.path(), &format!("{path}/"), depth + 1)?;
            } else if kind.is_file() {
                if self.paths.len() >= FILES_MAX {
                    return Err(format!("more than {FILES_MAX} files"));
                }
                self.paths.push(path);
            } else {
                let reason = if kind.is_dir() { "too deep" } else { "a link, or something that is no file" };
                self.left_out.push((path, reason.into()));
            }
        }
        Ok(())
    }

    /// The bytes of a file that has at most `most`, which count for all files together. Blocks.
    pub fn read(&mut self, path: &str, most: u64) -> Result<Vec<u8>, String> {
        let rest = self.read_bytes_max.saturating_sub(self.read_bytes);
        let limit = most.min(FILE_BYTES_MAX).min(rest);
        let mut bytes = Vec::new();
        let read = match &mut self.kind {
            Kind::Folder(root) => {
                let file = File::open(root.join(path)).map_err(|error| error.to_string())?;
                file.take(limit + 1).read_to_end(&mut bytes)
            }
            Kind::Zip(archive) => {
                let file = archive.by_name(path).map_err(|error| error.to_string())?;
                file.take(limit + 1).read_to_end(&mut bytes)
            }
        };
        // What was unpacked counts, also where the file turns out to be damaged.
        self.read_bytes = self.read_bytes.saturating_add(bytes.len() as u64);
        if bytes.len() as u64 > limit {
            return Err(match limit == rest {
                true => format!("all files together are larger than {}", shown(self.read_bytes_max)),
                false => format!("larger than {}", shown(limit)),
            });
        }
        read.map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

/// A number of bytes, for people.
fn shown(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{bytes} bytes"),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes) in files {
            writer.start_file(*path, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn bytes_are_counted_as_they_come() {
        let zeros = vec![0; 1000];
        let bytes = archive(&[("a", &zeros), ("b", &zeros), ("c", &zeros)]);
        let Ok(mut source) = Source::of_bytes(bytes) else { panic!("it is no archive") };
        source.read_bytes_max = 2500;
        assert_eq!(source.read("a", 999), Err("larger than 999 bytes".into()));
        assert_eq!(source.read("a", 1000).map(|bytes| bytes.len()), Ok(1000));
        let reason = "all files together are larger than 2500 bytes";
        for path in ["b", "c", "a"] {
            assert_eq!(source.read(path, FILE_BYTES_MAX), Err(reason.into()), "{path}");
        }
    }
}

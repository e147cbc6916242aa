//! Thumbnails that are kept on disk: made once for each picture and size, found again after a restart, and made anew when
//! they are gone. Whether the caller may see the picture is asked before, each time.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use store::Store;
use store::blob::BlobHash;

/// The widths that are kept, in pixels: those that the page asks for. Others would be as many as anybody likes.
pub const WIDTHS_PX: [u32; 2] = [160, 480];
/// The folder in the data folder.
const FOLDER: &str = "thumbnails";
/// Bytes of the checksum at the beginning of each file: a power cut may leave half of one.
const CHECKSUM_BYTES: usize = 32;
/// A single one takes at most this share of the whole.
const SHARE: u64 = 16;

/// The thumbnails of one data folder.
#[derive(Debug)]
pub struct Thumbnails {
    folder: PathBuf,
    bytes_max: u64,
    kept: Mutex<Kept>,
}

/// What is there, by the name of its file.
#[derive(Debug, Default)]
struct Kept {
    bytes: u64,
    /// Counts uses.
    clock: u64,
    /// Bytes, and when it was used last.
    files: HashMap<String, (u64, u64)>,
    by_use: BTreeMap<u64, String>,
}

impl Kept {
    fn add(&mut self, name: String, bytes: u64) {
        self.remove(&name);
        self.clock += 1;
        self.bytes += bytes;
        self.by_use.insert(self.clock, name.clone());
        self.files.insert(name, (bytes, self.clock));
    }

    fn remove(&mut self, name: &str) {
        if let Some((bytes, used)) = self.files.remove(name) {
            self.bytes -= bytes;
            self.by_use.remove(&used);
        }
    }

    /// Notes a use; false of one that is not there.
    fn touch(&mut self, name: &str) -> bool {
        let Some((bytes, _)) = self.files.get(name).copied() else { return false };
        self.add(name.to_string(), bytes);
        true
    }
}

impl Thumbnails {
    /// Looks at what earlier runs have kept, and removes what is too much. `bytes_max` 0 keeps nothing.
    pub fn open(data: &Path, bytes_max: u64) -> Thumbnails {
        let folder = data.join(FOLDER);
        let mut thumbnails = Thumbnails { folder, bytes_max, kept: Mutex::default() };
        if let Err(error) = thumbnails.read() {
            tracing::warn!(%error, "thumbnails are not kept on disk");
            thumbnails.bytes_max = 0;
        }
        thumbnails
    }

    fn read(&self) -> io::Result<()> {
        store::folder::create_private(&self.folder).map_err(|error| io::Error::other(error.to_string()))?;
        let mut found: Vec<(SystemTime, String, u64)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match blob_of(&name) {
                Some(_) => found.push((about.modified()?, name, about.len())),
                // One that was being written.
                None if about.is_file() => fs::remove_file(entry.path())?,
                None => {}
            }
        }
        found.sort();
        let mut kept = self.kept();
        found.into_iter().for_each(|(_, name, bytes)| kept.add(name, bytes));
        self.shrink(&mut kept);
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thumbnail of a picture, with its media type. Blocks.
    pub fn find(&self, blob: &BlobHash, width: u32) -> Option<(Vec<u8>, &'static str)> {
        for (mime_type, ending) in ENDINGS {
            let name = name(blob, width, ending);
            if !self.kept().touch(&name) {
                continue;
            }
            let path = self.folder.join(&name);
            if let Ok(file) = fs::read(&path)
                && let Some((checksum, bytes)) = file.split_at_checked(CHECKSUM_BYTES)
                && blake3::hash(bytes).as_bytes() == checksum
            {
                return Some((bytes.to_vec(), mime_type));
            }
            // It was removed or damaged meanwhile.
            self.remove(&mut self.kept(), &name);
        }
        None
    }

    /// Keeps a thumbnail; those that were not used for longest go. Blocks.
    pub fn keep(&self, store: &Store, blob: &BlobHash, width: u32, bytes: &[u8], mime_type: &str) {
        let Some((_, ending)) = ENDINGS.iter().find(|(known, _)| *known == mime_type) else { return };
        let file_bytes = (bytes.len() + CHECKSUM_BYTES) as u64;
        if file_bytes > self.bytes_max / SHARE || !store.has_room_for(file_bytes) {
            return;
        }
        let name = name(blob, width, ending);
        let half = self.folder.join(format!("{name}.{:x}.partial", rand::random::<u64>()));
        let written = fs::write(&half, [&blake3::hash(bytes).as_bytes()[..], bytes].concat())
            .and_then(|()| fs::rename(&half, self.folder.join(&name)));
        match written {
            Ok(()) => {
                let mut kept = self.kept();
                kept.add(name, file_bytes);
                self.shrink(&mut kept);
            }
            Err(error) => {
                let _ = fs::remove_file(&half);
                tracing::debug!(%error, "a thumbnail is not kept");
            }
        }
    }

    /// Removes the thumbnails of pictures that are gone; how many. Blocks.
    pub fn forget_gone(&self, store: &Store) -> usize {
        let names: Vec<String> = self.kept().files.keys().cloned().collect();
        let is_gone = |name: &String| blob_of(name).is_some_and(|blob| !store.blobs().exists(&blob));
        let gone: Vec<String> = names.into_iter().filter(is_gone).collect();
        gone.iter().for_each(|name| self.remove(&mut self.kept(), name));
        gone.len()
    }

    fn shrink(&self, kept: &mut Kept) {
        while kept.bytes > self.bytes_max {
            let Some(name) = kept.by_use.values().next().cloned() else { break };
            self.remove(kept, &name);
        }
    }

    fn remove(&self, kept: &mut Kept, name: &str) {
        kept.remove(name);
        if let Err(error) = fs::remove_file(self.folder.join(name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, name, "a thumbnail cannot be removed");
        }
    }
}

/// Media types of thumbnails, and how their files end.
const ENDINGS: [(&str, &str); 3] = [("image/png", "png"), ("image/jpeg", "jpg"), ("image/webp", "webp")];

fn name(blob: &BlobHash, width: u32, ending: &str) -> String {
    format!("{}-{width}.{ending}", blob.hex())
}

/// The picture of a file of ours.
fn blob_of(name: &str) -> Option<BlobHash> {
    let (blob, rest) = name.split_once('-')?;
    let (width, ending) = rest.split_once('.')?;
    let is_ours = width.parse::<u32>().is_ok() && ENDINGS.iter().any(|(_, known)| *known == ending);
    BlobHash::parse(blob).filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use store::OpenOptions;

    use super::*;

    #[test]
    fn thumbnails_are_found_again_until_there_are_too_many_or_their_picture_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), models::schema(), &OpenOptions::default()).expect("a store").0;
        let open = |bytes_max| Thumbnails::open(folder.path(), bytes_max);
        let files = || fs::read_dir(folder.path().join(FOLDER)).expect("a folder").count();
        let pictures: Vec<BlobHash> =
            ["a", "b", "c"].map(|text| store.blobs().write(text.as_bytes()).expect("a file")).to_vec();
        let thumbnails = open(10_000);
        assert_eq!(thumbnails.find(&pictures[0], 160), None);
        for (number, picture) in pictures.iter().enumerate() {
            thumbnails.keep(&store, picture, 160, &[number as u8; 200], "image/png");
        }
        thumbnails.keep(&store, &pictures[0], 480, &[9; 300], "image/jpeg");
        thumbnails.keep(&store, &pictures[0], 480, &[9; 900], "image/webp");
        thumbnails.keep(&store, &pictures[0], 480, b"<svg>", "image/svg+xml");
        assert_eq!(files(), 4, "one that is too large a part of all, and other kinds, are not kept");
        let thumbnails = open(10_000);
        assert_eq!(thumbnails.find(&pictures[1], 160), Some((vec![1; 200], "image/png")));
        assert_eq!(thumbnails.find(&pictures[0], 480), Some((vec![9; 300], "image/jpeg")));
        // What was damaged or removed is not there.
        let file = |picture: &BlobHash| folder.path().join(FOLDER).join(name(picture, 160, "png"));
        fs::write(file(&pictures[2]), [7; 232]).expect("damage");
        assert_eq!(thumbnails.find(&pictures[2], 160), None);
        assert!(!file(&pictures[2]).exists());
        fs::remove_file(file(&pictures[0])).expect("a removal");
        assert_eq!(thumbnails.find(&pictures[0], 160), None);
        thumbnails.keep(&store, &pictures[0], 160, &[0; 200], "image/png");
        // With less room the one that was used longest ago goes first.
        thumbnails.find(&pictures[1], 160);
        let thumbnails = open(600);
        assert!(thumbnails.kept().bytes <= 600 && files() == 2, "{thumbnails:?}");
        fs::write(folder.path().join(FOLDER).join("half.partial"), b"x").expect("a file");
        let thumbnails = open(10_000);
        assert_eq!(files(), 2);
        assert_eq!(thumbnails.forget_gone(&store), 0);
        fs::remove_dir_all(folder.path().join("blobs")).expect("pictures are gone");
        assert_eq!((thumbnails.forget_gone(&store), files()), (2, 0));
        let none = open(0);
        none.keep(&store, &pictures[0], 160, b"x", "image/png");
        assert_eq!((files(), none.find(&pictures[0], 160)), (0, None));
    }
}

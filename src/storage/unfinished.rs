//! Uploads that may go on later: what has arrived lies in `uploads/` of the data folder, with a note beside it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use store::Store;
use store::blob::BlobHash;
use uuid::Uuid;

use super::error::StorageError;

/// How long an upload may rest.
pub(crate) const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Uploads that may be unfinished at one time; of one account at most a tenth.
const UPLOADS_MAX: usize = 1000;
/// Bytes copied at once.
const PIECE_BYTES: usize = 256 << 10;

static BUSY: Mutex<Option<HashSet<Uuid>>> = Mutex::new(None);

/// What an upload is to become.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Note {
    pub bucket: String,
    pub key: String,
    /// Its owner; absent for the service.
    pub owner: Option<Uuid>,
    /// Absent until the client says it.
    pub length: Option<u64>,
    pub mime_type: String,
    pub cache_control: Option<String>,
    pub metadata: Option<serde_json::Value>,
    pub upsert: bool,
}

/// What is left of a finished upload.
#[derive(Debug, Deserialize, Serialize)]
struct Done {
    length: u64,
    /// Tells its owner's requests from others, and names no account.
    owner: String,
    /// Tells the requests of a token for its file from others, and names no file.
    #[serde(default)]
    place: String,
}

fn place_hash(id: Uuid, place: &str) -> String {
    blake3::hash(format!("{id}/{place}").as_bytes()).to_hex().to_string()
}

fn owner_hash(id: Uuid, owner: Option<Uuid>) -> String {
    let owner = owner.map(|owner| owner.to_string()).unwrap_or_default();
    blake3::hash(format!("{id}/{owner}").as_bytes()).to_hex().to_string()
}

/// The folder of one server.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished {
    folder: PathBuf,
}

/// Keeps others from the same upload.
#[derive(Debug)]
pub(crate) struct Held(Uuid);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(busy) = BUSY.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            busy.remove(&self.0);
        }
    }
}

impl Unfinished {
    pub fn of(data: &Path) -> Unfinished {
        Unfinished { folder: data.join("uploads") }
    }

    /// Begins an upload.
    pub fn begin(&self, note: &Note) -> Result<Uuid, StorageError> {
        fs::create_dir_all(&self.folder).map_err(StorageError::internal)?;
        let (mut all, mut own) = (0, 0);
        for (_, other) in self.notes() {
            all += 1;
            own += usize::from(other.owner.is_some() && other.owner == note.owner);
        }
        if all >= UPLOADS_MAX || own >= UPLOADS_MAX / 10 {
            return Err(StorageError::too_many());
        }
        let id = Uuid::new_v4();
        // The note comes last: with it the upload exists.
        File::create_new(self.bytes_path(id)).map_err(StorageError::internal)?;
        self.write_note(id, note)?;
        Ok(id)
    }

    /// Writes the note of an upload, whole or not at all.
    pub fn write_note(&self, id: Uuid, note: &Note) -> Result<(), StorageError> {
        let text = serde_json::to_vec(note).map_err(StorageError::internal)?;
        let beside = self.folder.join(format!("{id}.new"));
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&beside, self.note_path(id))?;
            File::open(&self.folder)?.sync_all()
        });
        written.map_err(StorageError::internal)
    }

    /// Takes an upload for oneself; another request at it is an error of its own.
    pub fn hold(&self, id: Uuid) -> Result<(Held, Note, u64), StorageError> {
        let missing = || StorageError::new(404, "not_found", "NoSuchUpload", "The upload was not found");
        let is_free = {
            let mut busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
            busy.get_or_insert_with(HashSet::new).insert(id)
        };
        if !is_free {
            return Err(StorageError::new(423, "lock", "ResourceLocked", "The upload is in use"));
        }
        let held = Held(id);
        let text = match fs::read(self.note_path(id)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(StorageError::internal(error)),
        };
        let note: Note = serde_json::from_slice(&text).map_err(StorageError::internal)?;
        let len = fs::metadata(self.bytes_path(id)).map_err(StorageError::internal)?.len();
        Ok((held, note, len))
    }

    /// Adds bytes at the end.
    pub fn append(&self, id: Uuid, bytes: &[u8]) -> Result<(), StorageError> {
        let file = OpenOptions::new().append(true).open(self.bytes_path(id));
        file.and_then(|mut file| file.write_all(bytes)).map_err(StorageError::internal)
    }

    /// Makes durable what has arrived, before the client is answered.
    pub fn sync(&self, id: Uuid) -> Result<(), StorageError> {
        let file = OpenOptions::new().append(true).open(self.bytes_path(id));
        file.and_then(|file| file.sync_data()).map_err(StorageError::internal)
    }

    /// Copies what has arrived into a blob.
    pub fn to_blob(&self, id: Uuid, store: &Store) -> Result<BlobHash, StorageError> {
        let mut file = File::open(self.bytes_path(id)).map_err(StorageError::internal)?;
        let mut writer = store.blobs().writer()?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let len = file.read(&mut piece).map_err(StorageError::internal)?;
            if len == 0 {
                return Ok(writer.finish()?);
            }
            writer.write(&piece[..len])?;
        }
    }

    /// Forgets an upload that is whole, but for its length: the client whose last answer was lost asks for it.
    pub fn finished(&self, id: Uuid, note: &Note, length: u64) {
        let place = place_hash(id, &format!("{}/{}", note.bucket, note.key));
        let done = Done { length, owner: owner_hash(id, note.owner), place };
        let text = serde_json::to_vec(&done).unwrap_or_default();
        // Without it the client is told that the upload is not known, as before.
        if let Err(error) = fs::write(self.folder.join(format!("{id}.done")), text) {
            tracing::warn!(%id, %error, "the length of a finished upload is not kept");
        }
        self.remove(id);
    }

    /// The length of an upload of this owner that is whole already.
    pub fn length_of_finished(&self, id: Uuid, owner: Option<Uuid>) -> Option<u64> {
        self.done(id).filter(|done| done.owner == owner_hash(id, owner)).map(|done| done.length)
    }

    /// The length of an upload to a file, `bucket/key`, that is whole already.
    pub fn length_of_finished_at(&self, id: Uuid, place: &str) -> Option<u64> {
        self.done(id).filter(|done| done.place == place_hash(id, place)).map(|done| done.length)
    }

    fn done(&self, id: Uuid) -> Option<Done> {
        serde_json::from_slice(&fs::read(self.folder.join(format!("{id}.done"))).ok()?).ok()
    }

    /// Forgets an upload.
    pub fn remove(&self, id: Uuid) {
        let _ = fs::remove_file(self.note_path(id));
        let _ = fs::remove_file(self.bytes_path(id));
    }

    /// Forgets uploads that have rested too long, and what a crash left.
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            if age.is_none_or(|age| age < LIFE) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().to_string();
            match name.split('.').next().and_then(|stem| Uuid::parse_str(stem).ok()) {
                // The bytes tell when the upload last went on.
                Some(id) if name.ends_with(".json") && self.is_fresh(id) => {}
                Some(id) if name.ends_with(".json") || name.ends_with(".bytes") => {
                    if let Ok(held) = self.hold(id) {
                        self.remove(id);
                        drop(held);
                    } else {
                        let _ = fs::remove_file(entry.path());
                    }
                }
                _ => {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    /// Forgets uploads of accounts that are gone.
    pub fn forget_those_of(&self, is_gone: impl Fn(Uuid) -> bool) {
        for (id, owner) in self.owners().into_iter().filter(|(_, owner)| is_gone(*owner)) {
            match self.hold(id) {
                Ok(_held) => self.remove(id),
                // It is being written: the request ends with its account, and the next sweep finds what is left.
                Err(error) => {
                    tracing::debug!(%id, %owner, ?error, "an upload of a deleted account is in use")
                }
            }
        }
    }

    /// Uploads of accounts, each with the account.
    pub fn owners(&self) -> Vec<(Uuid, Uuid)> {
        let id = |path: &Path| Uuid::parse_str(path.file_stem()?.to_str()?).ok();
        self.notes().filter_map(|(path, note)| Some((id(&path)?, note.owner?))).collect()
    }

    fn is_fresh(&self, id: Uuid) -> bool {
        let modified = fs::metadata(self.bytes_path(id)).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|time| time.elapsed().unwrap_or_default() < LIFE)
    }

    fn notes(&self) -> impl Iterator<Item = (PathBuf, Note)> {
        fs::read_dir(&self.folder).into_iter().flatten().flatten().filter_map(|entry| {
            let path = entry.path();
            if path.extension()? != "json" {
                return None;
            }
            Some((path.clone(), serde_json::from_slice(&fs::read(path).ok()?).ok()?))
        })
    }

    fn note_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn bytes_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_goes_on_and_is_held_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Unfinished::of(folder.path());
        let note = Note {
            bucket: "b".into(),
            key: "k".into(),
            owner: Some(Uuid::nil()),
            length: Some(5),
            mime_type: "text/plain".into(),
            cache_control: None,
            metadata: None,
            upsert: false,
        };
        let id = uploads.begin(&note).expect("begun");
        uploads.append(id, b"he").expect("appended");
        {
            let (_held, found, len) = uploads.hold(id).expect("held");
            assert_eq!((found.key.as_str(), len), ("k", 2));
            assert_eq!(uploads.hold(id).expect_err("in use").status, 423);
        }
        // Rests for less than its life, and its account is there.
        uploads.sweep();
        uploads.forget_those_of(|_| false);
        assert!(uploads.hold(id).is_ok());
        uploads.remove(id);
        assert_eq!(uploads.hold(id).expect_err("gone").status, 404);
        for _ in 0..UPLOADS_MAX / 10 {
            uploads.begin(&note).expect("begun");
        }
        assert_eq!(uploads.begin(&note).expect_err("too many").status, 429);
        uploads.forget_those_of(|owner| owner == Uuid::nil());
        assert_eq!(uploads.owners(), []);
        assert_eq!(fs::read_dir(folder.path().join("uploads")).expect("a folder").count(), 0);
    }
}

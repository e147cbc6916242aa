//! Bytes on their way into a blob: counted, never all in memory, no thread waiting for a slow client.

use std::time::Duration;

use actors::file::FileRefusal;
use axum::body::Bytes;
use futures_util::{Stream, StreamExt};
use store::Store;
use store::blob::{BlobHash, BlobWriter};
use store::shares::Held;
use tokio::task::spawn_blocking;

use super::error::StorageError;

/// Bytes gathered before a thread writes them.
const PIECE_BYTES: usize = 256 << 10;
/// How long a client may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What is read and thrown away of a body that was refused, so that the client hears the refusal.
const DRAINED_BYTES_MAX: usize = 64 << 20;
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A blob that arrives in pieces.
pub(crate) struct Incoming {
    store: Store,
    bytes_max: u64,
    gathered: Vec<u8>,
    writer: Option<BlobWriter>,
    len: u64,
    _place: Held,
}

impl Incoming {
    /// Begins, in its place among all uploads.
    pub fn begin(store: &Store, bytes_max: u64, place: Held) -> Incoming {
        let store = store.clone();
        Incoming { store, bytes_max, gathered: Vec::new(), writer: None, len: 0, _place: place }
    }

    /// Adds bytes.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.len += bytes.len() as u64;
        if self.len > self.bytes_max {
            return Err(FileRefusal::TooLarge { bytes_max: self.bytes_max }.into());
        }
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < PIECE_BYTES {
            return Ok(());
        }
        let (store, gathered, writer) =
            (self.store.clone(), std::mem::take(&mut self.gathered), self.writer.take());
        let written = spawn_blocking(move || write(&store, writer, &gathered)).await??;
        self.writer = Some(written);
        Ok(())
    }

    /// Makes the blob durable; answers with its name and length.
    pub async fn finish(self) -> Result<(BlobHash, u64), StorageError> {
        let Incoming { store, gathered, writer, len, .. } = self;
        let hash = spawn_blocking(move || write(&store, writer, &gathered)?.finish()).await??;
        Ok((hash, len))
    }
}

fn write(store: &Store, writer: Option<BlobWriter>, bytes: &[u8]) -> Result<BlobWriter, store::StoreError> {
    let mut writer = match writer {
        Some(writer) => writer,
        None => store.blobs().writer()?,
    };
    writer.write(bytes)?;
    Ok(writer)
}

/// The next piece of a body; `None` at its end.
pub(crate) async fn next_piece<E: std::fmt::Display>(
    stream: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
) -> Result<Option<Bytes>, StorageError> {
    match tokio::time::timeout(SILENCE_MAX, stream.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => Err(StorageError::invalid(format!("the body cannot be read: {error}"))),
        Err(_) => Err(StorageError::new(408, "timeout", "RequestTimeout", "the body did not arrive in time")),
    }
}

/// Reads on for a while, so that a client that sends first and listens then hears why it was refused.
pub(crate) async fn drain<E>(stream: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) {
    let drained = async {
        let mut len = 0;
        while let Some(Ok(bytes)) = stream.next().await {
            len += bytes.len();
            if len > DRAINED_BYTES_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
}

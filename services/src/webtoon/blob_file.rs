//! A blob as a file that is written.

use std::io::{BufWriter, Write};

use store::blob::{BlobHash, BlobWriter};
use store::{Store, StoreError};

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// A blob whose bytes come in pieces.
pub(super) struct BlobFile(BufWriter<Sink>);

struct Sink(BlobWriter);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl BlobFile {
    /// An empty one.
    pub fn new(store: &Store) -> Result<BlobFile, StoreError> {
        Ok(BlobFile(BufWriter::with_capacity(BUFFER_BYTES, Sink(store.blobs().writer()?))))
    }

    /// Makes it durable; its name and how many bytes it has.
    pub fn finish(self) -> std::io::Result<(BlobHash, u64)> {
        let sink = self.0.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        let size = sink.0.len();
        Ok((sink.0.finish().map_err(std::io::Error::other)?, size))
    }
}

impl Write for BlobFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

//! Where files go: one file, or several in a ZIP archive.

use std::io::Write;

use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use crate::error::PageError;

/// Takes files one after the other; what is written goes to the one that was begun last.
pub trait Output: Write {
    /// Begins a file.
    fn begin(&mut self, name: &str) -> Result<(), PageError>;
}

/// One file and no more.
#[derive(Debug)]
pub struct SingleFile<W> {
    file: W,
    begun: bool,
}

impl<W: Write> SingleFile<W> {
    /// Writes into `file`.
    pub fn new(file: W) -> SingleFile<W> {
        SingleFile { file, begun: false }
    }

    /// What it wrote into.
    pub fn into_inner(self) -> W {
        self.file
    }
}

impl<W: Write> Write for SingleFile<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl<W: Write> Output for SingleFile<W> {
    fn begin(&mut self, name: &str) -> Result<(), PageError> {
        if std::mem::replace(&mut self.begun, true) {
            return Err(PageError::OutOfRange(format!("{name} is a second file, and there is room for one")));
        }
        Ok(())
    }
}

/// Files of an archive, written from its beginning to its end, as they are: pictures are compressed already. The same
/// files give the same bytes.
pub struct Archive<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
}

impl<W: Write> std::fmt::Debug for Archive<W> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Archive")
    }
}

impl<W: Write> Archive<W> {
    /// Writes an archive into `file`.
    pub fn new(file: W) -> Archive<W> {
        Archive { zip: ZipWriter::new_stream(file) }
    }

    /// A file that shrinks when it is compressed, such as text.
    pub fn add_text(&mut self, name: &str, text: &[u8]) -> Result<(), PageError> {
        let options = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Deflated);
        self.zip.start_file(name, options)?;
        Ok(self.zip.write_all(text)?)
    }

    /// Writes the directory of the archive; without it no program opens the file.
    pub fn finish(self) -> Result<W, PageError> {
        Ok(self.zip.finish()?.into_inner())
    }
}

impl<W: Write> Write for Archive<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.zip.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.zip.flush()
    }
}

impl<W: Write> Output for Archive<W> {
    fn begin(&mut self, name: &str) -> Result<(), PageError> {
        let options =
            SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored).large_file(true);
        Ok(self.zip.start_file(name, options)?)
    }
}

//! A comic book archive: numbered pictures in a ZIP, with what the book is as `ComicInfo.xml` (version 2.0).

use std::fmt::Write as _;
use std::io::Write;

use crate::error::PageError;
use crate::output::{Archive, Output};

/// What a book is. Empty texts and absent numbers are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookInfo {
    /// Title of the episode.
    pub title: String,
    /// What it belongs to.
    pub series: String,
    /// Its number within the series, from 1.
    pub number: Option<u32>,
    /// What happens.
    pub summary: String,
    /// Who made it.
    pub writer: String,
    /// Year, month and day.
    pub date: Option<(i32, u32, u32)>,
}

/// A book that grows page by page.
pub struct Book<W: Write> {
    archive: Archive<W>,
    /// Width, height and bytes of each page.
    pages: Vec<(u32, u32, usize)>,
}

impl<W: Write> std::fmt::Debug for Book<W> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Book({} pages)", self.pages.len())
    }
}

impl<W: Write> Book<W> {
    /// An empty book.
    pub fn new(file: W) -> Book<W> {
        Book { archive: Archive::new(file), pages: Vec::new() }
    }

    /// Adds a page: an encoded picture with its size and the end of its name.
    pub fn add(&mut self, picture: &[u8], size_px: (u32, u32), extension: &str) -> Result<(), PageError> {
        self.archive.begin(&format!("{:03}.{extension}", self.pages.len() + 1))?;
        self.archive.write_all(picture)?;
        self.pages.push((size_px.0, size_px.1, picture.len()));
        Ok(())
    }

    /// Adds what the book is, and ends the archive.
    pub fn finish(mut self, info: &BookInfo) -> Result<W, PageError> {
        let text = comic_info(info, &self.pages);
        self.archive.add_text("ComicInfo.xml", text.as_bytes())?;
        self.archive.finish()
    }
}

/// The document. Its schema wants the elements in this order.
fn comic_info(info: &BookInfo, pages: &[(u32, u32, usize)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    text.push_str("<ComicInfo xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" ");
    text.push_str("xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\n");
    let mut element = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "  <{name}>{}</{name}>", escaped(value));
        }
    };
    element("Title", &info.title);
    element("Series", &info.series);
    element("Number", &info.number.map(|number| number.to_string()).unwrap_or_default());
    element("Summary", &info.summary);
    if let Some((year, month, day)) = info.date {
        element("Year", &year.to_string());
        element("Month", &month.to_string());
        element("Day", &day.to_string());
    }
    element("Writer", &info.writer);
    element("PageCount", &pages.len().to_string());
    element("Format", "Web");
    text.push_str("  <Pages>\n");
    for (place, (width, height, bytes)) in pages.iter().enumerate() {
        let kind = if place == 0 { "FrontCover" } else { "Story" };
        let _ = writeln!(
            text,
            "    <Page Image=\"{place}\" Type=\"{kind}\" ImageSize=\"{bytes}\" ImageWidth=\"{width}\" ImageHeight=\"{height}\" />"
        );
    }
    text.push_str("  </Pages>\n</ComicInfo>\n");
    text
}

/// Text as it stands in XML, without the control characters that XML cannot hold.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\t' | '\n' => safe.push(one),
            one if one.is_control() || matches!(one, '\u{FFFE}' | '\u{FFFF}') => safe.push(' '),
            one => safe.push(one),
        }
    }
    safe
}

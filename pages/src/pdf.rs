//! A PDF with one picture on each page.

use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, TextStr};

use crate::error::PageError;

/// Points of a pixel: 96 pixels are an inch, and so are 72 points.
const POINTS: f32 = 0.75;

/// A PDF that grows page by page; what it holds are the compressed pictures.
pub struct PictureBook {
    pdf: Pdf,
    next: i32,
    pages: Vec<Ref>,
}

impl std::fmt::Debug for PictureBook {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "PictureBook({} pages)", self.pages.len())
    }
}

const CATALOG: i32 = 1;
const TREE: i32 = 2;
const INFO: i32 = 3;

impl Default for PictureBook {
    fn default() -> PictureBook {
        PictureBook { pdf: Pdf::new(), next: INFO + 1, pages: Vec::new() }
    }
}

impl PictureBook {
    /// Adds a page that a JPEG of colours fills.
    pub fn add(&mut self, jpeg: &[u8], size_px: (u32, u32)) {
        let mut fresh = || {
            self.next += 1;
            Ref::new(self.next - 1)
        };
        let (page_id, picture_id, content_id) = (fresh(), fresh(), fresh());
        let (width, height) = (size_px.0 as f32 * POINTS, size_px.1 as f32 * POINTS);
        let mut page = self.pdf.page(page_id);
        page.media_box(Rect::new(0.0, 0.0, width, height));
        page.parent(Ref::new(TREE));
        page.contents(content_id);
        page.resources().x_objects().pair(Name(b"P"), picture_id);
        page.finish();
        let mut picture = self.pdf.image_xobject(picture_id, jpeg);
        picture.filter(Filter::DctDecode);
        picture.width(size_px.0 as i32);
        picture.height(size_px.1 as i32);
        picture.color_space().device_rgb();
        picture.bits_per_component(8);
        picture.finish();
        let mut content = Content::new();
        content.save_state();
        content.transform([width, 0.0, 0.0, height, 0.0, 0.0]);
        content.x_object(Name(b"P"));
        content.restore_state();
        self.pdf.stream(content_id, &content.finish());
        self.pages.push(page_id);
    }

    /// The file.
    pub fn finish(mut self, title: &str, author: &str) -> Result<Vec<u8>, PageError> {
        if self.pages.is_empty() {
            return Err(PageError::NoScenes);
        }
        self.pdf.catalog(Ref::new(CATALOG)).pages(Ref::new(TREE));
        let count = self.pages.len() as i32;
        self.pdf.pages(Ref::new(TREE)).kids(self.pages.iter().copied()).count(count);
        let mut info = self.pdf.document_info(Ref::new(INFO));
        info.title(TextStr(title));
        if !author.is_empty() {
            info.author(TextStr(author));
        }
        info.producer(TextStr("Playhouse"));
        info.finish();
        Ok(self.pdf.finish())
    }
}

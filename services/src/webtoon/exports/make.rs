//! The file of an export: scenes are read, scaled and lettered one after the other, and written as they come.

use std::collections::BTreeSet;
use std::io::Write;

use actors::render::VideoEncoder;
use pages::PageError;
use pages::book::{Book, BookInfo};
use pages::encode::{PictureFormat, QUALITY, encoded};
use pages::frames::framed;
use pages::image::RgbImage;
use pages::lettering::{Bubble, Letterer};
use pages::output::{Archive, Output, SingleFile};
use pages::pdf::PictureBook;
use pages::scale::scaled;
use pages::slices::write_slices;
use pages::strip::{Strip, StripScene, gutter_below};
use pages::timeline::{FPS, FRAME_PX, film_scene, frames};
use serde_json::{Value as Json, json};
use store::Store;
use store::blob::BlobHash;

use super::super::blob_file::BlobFile;
use super::super::pictures::{self, FONTS};
use super::options::Kind;

/// Largest side of a page of a book, in pixels.
const PAGE_WIDTH_PX: u32 = 1080;
/// Frames of a film at most: half an hour.
const FILM_FRAMES_MAX: u64 = 30 * 60 * FPS as u64;

/// A scene whose picture is there.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub picture: BlobHash,
    /// Width and height of the picture.
    pub size_px: (u32, u32),
    /// What is said over it.
    pub bubbles: Vec<Bubble>,
    /// The gap below it in a strip, as a part of the strip's width.
    pub gutter: f32,
}

impl Source {
    /// A scene's source; the message says what is wrong with its picture.
    pub fn new(
        store: &Store,
        picture: BlobHash,
        importance: &str,
        bubbles: &[Json],
    ) -> Result<Source, String> {
        let size_px = pictures::size_px(store, &picture)?;
        let bubbles = bubbles.iter().filter_map(pictures::bubble).collect();
        Ok(Source { picture, size_px, bubbles, gutter: gutter_below(importance) })
    }

    fn strip_scene(&self) -> StripScene {
        StripScene { size_px: self.size_px, gutter: self.gutter }
    }
}

/// A file that was made.
#[derive(Debug)]
pub struct Made {
    /// Its bytes.
    pub blob: BlobHash,
    /// How many.
    pub size: u64,
    /// Its name.
    pub name: String,
    /// What it is.
    pub mime_type: &'static str,
    /// Files within it, where it holds several.
    pub files: Vec<Json>,
    /// What its owner should know.
    pub warnings: Vec<String>,
}

fn sink(store: &Store) -> Result<BlobFile, PageError> {
    Ok(BlobFile::new(store).map_err(std::io::Error::other)?)
}

fn kept(file: BlobFile) -> Result<(BlobHash, u64), PageError> {
    Ok(file.finish()?)
}

/// Makes scenes ready, and notes what there is to say of each.
struct Maker<'a> {
    store: &'a Store,
    scenes: &'a [Source],
    letterer: Letterer,
    warnings: BTreeSet<(usize, String)>,
    /// Hears how many scenes are ready, and says whether to go on.
    ready: &'a mut (dyn FnMut(usize) -> bool + Send),
}

impl Maker<'_> {
    /// A scene's picture without bubbles.
    fn bare(&self, scene: usize, (width, height): (u32, u32)) -> Result<RgbImage, PageError> {
        let failed = |reason: String| PageError::Picture(format!("scene {}: {reason}", scene + 1));
        let picture = pictures::pixels(self.store, &self.scenes[scene].picture).map_err(failed)?;
        Ok(scaled(&picture, width, height))
    }

    fn letter(&mut self, scene: usize, picture: RgbImage, bubbles: &[Bubble]) -> Result<RgbImage, PageError> {
        let (lettered, _, notes) = self.letterer.letter(picture, bubbles)?;
        self.warnings.extend(notes.into_iter().map(|note| (scene, format!("scene {}: {note}", scene + 1))));
        Ok(lettered)
    }

    /// A scene as readers see it.
    fn scene(&mut self, scene: usize, size_px: (u32, u32)) -> Result<RgbImage, PageError> {
        let scenes = self.scenes;
        let picture = self.bare(scene, size_px)?;
        let lettered = self.letter(scene, picture, &scenes[scene].bubbles)?;
        if (self.ready)(scene + 1) { Ok(lettered) } else { Err(PageError::Stopped) }
    }

    fn said(self) -> Vec<String> {
        self.warnings.into_iter().map(|(_, said)| said).collect()
    }
}

/// Makes the file of an export. `ready` hears how many scenes are ready and says whether to go on.
pub fn make(
    store: &Store,
    (kind, background): (Kind, [u8; 3]),
    info: &BookInfo,
    scenes: &[Source],
    ready: &mut (dyn FnMut(usize) -> bool + Send),
) -> Result<Made, PageError> {
    let warnings = BTreeSet::new();
    let mut maker = Maker { store, scenes, letterer: Letterer::new(&FONTS), warnings, ready };
    let placed: Vec<StripScene> = scenes.iter().map(Source::strip_scene).collect();
    if placed.is_empty() {
        return Err(PageError::NoScenes);
    }
    let mut made = match kind {
        Kind::Manifest => return Err(PageError::OutOfRange("a manifest is no file".into())),
        Kind::Strip { width, format } => strip(&mut maker, &Strip::new(width, &placed, background)?, format)?,
        Kind::Slices { format } => {
            let mut archive = Archive::new(sink(store)?);
            let slices = write_slices(
                &placed,
                background,
                format,
                |scene, size| maker.scene(scene, size),
                &mut archive,
            )?;
            let (blob, size) = kept(archive.finish()?)?;
            let files =
                slices.files.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes})).collect();
            let name = "slices.zip".to_string();
            Made { blob, size, name, mime_type: "application/zip", files, warnings: slices.warnings }
        }
        Kind::Frames { preset, format } => shaped(&mut maker, preset.size_px, background, format)?,
        Kind::Cbz { format } => {
            let mut book = Book::new(sink(store)?);
            for (scene, source) in scenes.iter().enumerate() {
                let size_px = page_px(source.size_px);
                let picture = maker.scene(scene, size_px)?;
                book.add(&encoded(&picture, format)?, size_px, format.extension())?;
            }
            let (blob, size) = kept(book.finish(info)?)?;
            plain(blob, size, "book.cbz", "application/vnd.comicbook+zip")
        }
        Kind::Pdf => {
            let mut book = PictureBook::default();
            for (scene, source) in scenes.iter().enumerate() {
                let size_px = page_px(source.size_px);
                let picture = maker.scene(scene, size_px)?;
                book.add(&encoded(&picture, PictureFormat::Jpeg(QUALITY))?, size_px);
            }
            let mut file = sink(store)?;
            file.write_all(&book.finish(&info.title, &info.writer)?)?;
            let (blob, size) = kept(file)?;
            plain(blob, size, "book.pdf", "application/pdf")
        }
    };
    made.warnings.extend(maker.said());
    Ok(made)
}

fn plain(blob: BlobHash, size: u64, name: &str, mime_type: &'static str) -> Made {
    Made { blob, size, name: name.into(), mime_type, files: Vec::new(), warnings: Vec::new() }
}

/// The size of a book's page: as wide as a screen, however large or small the picture is.
fn page_px((width, height): (u32, u32)) -> (u32, u32) {
    let tall = (f64::from(PAGE_WIDTH_PX) * f64::from(height) / f64::from(width.max(1))).round();
    (PAGE_WIDTH_PX, (tall as u32).clamp(1, 6 * PAGE_WIDTH_PX))
}

fn strip(maker: &mut Maker<'_>, strip: &Strip, format: PictureFormat) -> Result<Made, PageError> {
    let to = sink(maker.store)?;
    let parts = strip.parts(format).len();
    if parts == 1 {
        let mut file = SingleFile::new(to);
        strip.write(format, |scene, size| maker.scene(scene, size), &mut file)?;
        let (blob, size) = kept(file.into_inner())?;
        return Ok(plain(blob, size, &format!("strip.{}", format.extension()), format.mime_type()));
    }
    let mut archive = Archive::new(to);
    let names = strip.write(format, |scene, size| maker.scene(scene, size), &mut archive)?;
    let (blob, size) = kept(archive.finish()?)?;
    let said = format!(
        "no {} file holds {} rows, so the strip goes on in {parts} files",
        format.extension(),
        strip.height
    );
    let files = names.iter().map(|name| json!({"name": name})).collect();
    Ok(Made { files, warnings: vec![said], ..plain(blob, size, "strip.zip", "application/zip") })
}

fn shaped(
    maker: &mut Maker<'_>,
    frame_px: (u32, u32),
    background: [u8; 3],
    format: PictureFormat,
) -> Result<Made, PageError> {
    let scenes = maker.scenes;
    let frame = |maker: &mut Maker<'_>, scene: usize| {
        let picture = framed(frame_px, scenes[scene].size_px, background, |size| maker.scene(scene, size))?;
        encoded(&picture, format)
    };
    if scenes.len() == 1 {
        let mut file = sink(maker.store)?;
        file.write_all(&frame(maker, 0)?)?;
        let (blob, size) = kept(file)?;
        return Ok(plain(blob, size, &format!("frame.{}", format.extension()), format.mime_type()));
    }
    let (mut archive, mut files) = (Archive::new(sink(maker.store)?), Vec::new());
    for scene in 0..scenes.len() {
        let bytes = frame(maker, scene)?;
        let name = format!("{:03}.{}", scene + 1, format.extension());
        archive.begin(&name)?;
        archive.write_all(&bytes)?;
        files.push(json!({"name": name, "bytes": bytes.len()}));
    }
    let (blob, size) = kept(archive.finish()?)?;
    Ok(Made { files, ..plain(blob, size, "frames.zip", "application/zip") })
}

/// Makes the film of an export: each scene bare, then its bubbles one by one, on black.
pub fn film(
    store: &Store,
    scenes: &[Source],
    ready: &mut (dyn FnMut(usize) -> bool + Send),
) -> Result<Made, PageError> {
    let warnings = BTreeSet::new();
    let mut maker = Maker { store, scenes, letterer: Letterer::new(&FONTS), warnings, ready };
    let readings: Vec<(Vec<Bubble>, Vec<usize>)> = scenes
        .iter()
        .map(|scene| {
            let ordered =
                Bubble::reading_order(&scene.bubbles).into_iter().map(|place| scene.bubbles[place].clone());
            let ordered: Vec<Bubble> = ordered.collect();
            let characters = ordered.iter().map(|bubble| bubble.text.chars().count()).collect();
            (ordered, characters)
        })
        .collect();
    let total: u64 = readings.iter().map(|(_, characters)| u64::from(frames(characters))).sum();
    if total == 0 {
        return Err(PageError::NoScenes);
    }
    if total > FILM_FRAMES_MAX {
        let minutes = total / u64::from(FPS) / 60;
        return Err(PageError::OutOfRange(format!(
            "the film would last {minutes} minutes, and 30 are the most"
        )));
    }
    let mut encoder =
        VideoEncoder::new(FRAME_PX.0, FRAME_PX.1, u64::from(FPS)).map_err(PageError::Encoding)?;
    for (scene, (bubbles, characters)) in readings.iter().enumerate() {
        let size_px = scenes[scene].size_px;
        let mut bare = None;
        let picture = |seen: usize| {
            framed(FRAME_PX, size_px, [0; 3], |size| {
                let picture = match &bare {
                    Some(picture) => RgbImage::clone(picture),
                    None => maker.bare(scene, size)?,
                };
                bare.get_or_insert_with(|| picture.clone());
                maker.letter(scene, picture, &bubbles[..seen])
            })
        };
        film_scene(characters, picture, |frame| encoder.push(frame).map_err(PageError::Encoding))?;
        if !(maker.ready)(scene + 1) {
            return Err(PageError::Stopped);
        }
    }
    let mut file = sink(store)?;
    file.write_all(&encoder.finish().map_err(PageError::Encoding)?)?;
    let (blob, size) = kept(file)?;
    let mut made = plain(blob, size, "film.mp4", "video/mp4");
    made.files = vec![json!({"name": "film.mp4", "frames": total, "fps": FPS})];
    made.warnings = maker.said();
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_wide_as_a_screen() {
        assert_eq!(page_px((576, 1024)), (1080, 1920));
        assert_eq!(page_px((1, 4000)), (1080, 6480));
    }
}

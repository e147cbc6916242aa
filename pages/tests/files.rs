//! Files of pages, read back by programs and libraries that others wrote.

mod comic_info;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{Cursor, Read};
use std::process::Command;

use image::{Rgb, RgbImage};
use pages::book::{Book, BookInfo};
use pages::encode::{PictureFormat, encoded};
use pages::output::Archive;
use pages::pdf::PictureBook;
use pages::slices::{EPISODE_BYTES_MAX, SLICE_BYTES_MAX, write_slices};
use pages::strip::StripScene;

fn scene_colour(scene: usize) -> [u8; 3] {
    [[250, 10, 10], [10, 250, 10], [10, 10, 250]][scene % 3]
}

fn plain(scene: usize, (width, height): (u32, u32)) -> Result<RgbImage, pages::PageError> {
    Ok(RgbImage::from_pixel(width, height, Rgb(scene_colour(scene))))
}

/// Noise, which no encoder makes small.
fn noise(scene: usize, (width, height): (u32, u32)) -> Result<RgbImage, pages::PageError> {
    let mut state = 88172645463325252u64 + scene as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let bytes = (0..width as usize * height as usize * 3).map(|_| next()).collect();
    Ok(RgbImage::from_raw(width, height, bytes).expect("a picture"))
}

fn scenes(count: usize) -> Vec<StripScene> {
    vec![StripScene { size_px: (900, 1600), gutter: 0.1 }; count]
}

/// Names and bytes of an archive's files.
fn unzipped(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("a ZIP");
    (0..zip.len())
        .map(|place| {
            let mut file = zip.by_index(place).expect("a file");
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("read");
            (file.name().expect("a name").to_string(), bytes)
        })
        .collect()
}

/// A path that no other test has.
fn path(extension: &str) -> std::path::PathBuf {
    let unique = RandomState::new().build_hasher().finish();
    std::env::temp_dir().join(format!("pages-{}-{unique:x}.{extension}", std::process::id()))
}

/// What a program prints, or nothing where it is not installed.
fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(_) => {
            eprintln!("left out: {program} is not installed");
            None
        }
    }
}

#[test]
fn slices_are_800_by_1280_and_show_the_strip_without_a_gap() {
    let mut archive = Archive::new(Cursor::new(Vec::new()));
    let written =
        write_slices(&scenes(4), [255; 3], PictureFormat::Png, plain, &mut archive).expect("slices");
    assert_eq!(written.warnings, Vec::<String>::new());
    let files = unzipped(archive.finish().expect("an archive").into_inner());
    // Four pictures of 1422 rows and three gaps of 80.
    let total = 4 * 1422 + 3 * 80;
    assert_eq!(files.len(), 5);
    let mut rows = Vec::new();
    for (place, (name, bytes)) in files.iter().enumerate() {
        assert_eq!(name, &format!("{:03}.png", place + 1));
        let picture = image::load_from_memory(bytes).expect("a picture").to_rgb8();
        let tall = if place == 4 { total - 4 * 1280 } else { 1280 };
        assert_eq!(picture.dimensions(), (800, tall));
        rows.extend((0..tall).map(|y| picture.get_pixel(400, y).0));
    }
    for (y, shown) in rows.iter().enumerate() {
        let (scene, row) = (y / 1502, y % 1502);
        let expected = if row < 1422 { scene_colour(scene) } else { [255; 3] };
        assert_eq!(*shown, expected, "row {y}");
    }
}

#[test]
fn slices_that_would_be_too_large_are_lowered_and_the_answer_says_what() {
    let mut archive = Archive::new(Cursor::new(Vec::new()));
    let one = |scene: usize, size| if scene == 1 { noise(scene, size) } else { plain(scene, size) };
    let written = write_slices(&scenes(3), [255; 3], PictureFormat::Png, one, &mut archive).expect("slices");
    assert!(written.files.iter().all(|(_, bytes)| *bytes <= SLICE_BYTES_MAX), "{:?}", written.files);
    assert!(written.files.iter().any(|(name, _)| name.ends_with(".png")), "what fits stays as asked");
    assert!(
        written.warnings.iter().any(|said| said.starts_with("slice 2 is JPEG of quality")),
        "{:?}",
        written.warnings
    );
    // All of noise: the episode's limit.
    let mut archive = Archive::new(Cursor::new(Vec::new()));
    let written =
        write_slices(&scenes(14), [255; 3], PictureFormat::Jpeg(90), noise, &mut archive).expect("slices");
    let total: usize = written.files.iter().map(|(_, bytes)| bytes).sum();
    assert!(total <= EPISODE_BYTES_MAX, "{total}: {:?}", written.warnings);
    assert!(written.warnings[0].starts_with("all slices are JPEG of quality"), "{:?}", written.warnings);
    assert_eq!(unzipped(archive.finish().expect("an archive").into_inner()).len(), written.files.len());
}

#[test]
fn a_book_has_its_pages_and_a_comic_info_that_describes_them() {
    let mut book = Book::new(Cursor::new(Vec::new()));
    for scene in 0..3 {
        let picture = plain(scene, (90, 160)).expect("a picture");
        book.add(&encoded(&picture, PictureFormat::Jpeg(90)).expect("a JPEG"), (90, 160), "jpg")
            .expect("added");
    }
    let info = BookInfo {
        title: "Salt & <Iron>".into(),
        series: "The Lighthouse".into(),
        number: Some(3),
        date: Some((2026, 11, 30)),
        ..BookInfo::default()
    };
    let bytes = book.finish(&info).expect("a book").into_inner();
    let files = unzipped(bytes.clone());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["001.jpg", "002.jpg", "003.jpg", "ComicInfo.xml"]);
    assert_eq!(image::load_from_memory(&files[1].1).expect("a page").to_rgb8().dimensions(), (90, 160));
    let text = String::from_utf8(files[3].1.clone()).expect("UTF-8");
    let element = |name: &str| {
        let rest = text.split(&format!("<{name}>")).nth(1)?;
        rest.split(&format!("</{name}>")).next().map(str::to_string)
    };
    assert_eq!(element("Title").as_deref(), Some("Salt &amp; &lt;Iron&gt;"));
    assert_eq!(element("Number").as_deref(), Some("3"));
    assert_eq!(element("PageCount").as_deref(), Some("3"));
    assert_eq!(element("Summary"), None);
    let size = format!("ImageSize=\"{}\" ImageWidth=\"90\" ImageHeight=\"160\"", files[2].1.len());
    assert!(text.contains(&format!("<Page Image=\"2\" Type=\"Story\" {size} />")), "{text}");
    comic_info::check(&text);
    let file = path("cbz");
    std::fs::write(&file, bytes).expect("written");
    if let Some(said) = said_by("unzip", &["-t", &file.to_string_lossy()]) {
        assert!(said.contains("No errors"), "{said}");
    }
    let _ = std::fs::remove_file(file);
}

#[test]
fn a_pdf_has_a_page_for_each_picture_at_its_size() {
    let mut book = PictureBook::default();
    for scene in 0..3 {
        let picture = plain(scene, (400, 600)).expect("a picture");
        book.add(&encoded(&picture, PictureFormat::Jpeg(95)).expect("a JPEG"), (400, 600));
    }
    let bytes = book.finish("Маяк", "").expect("a PDF");
    assert!(bytes.starts_with(b"%PDF-1.") && bytes.windows(5).any(|end| end == b"%%EOF"));
    let count = bytes
        .windows(12)
        .filter(|part| part.starts_with(b"/Type /Page\n") || part.starts_with(b"/Type /Page "))
        .count();
    assert_eq!(count, 3);
    assert!(PictureBook::default().finish("", "").is_err(), "a PDF without pages");
    let file = path("pdf");
    std::fs::write(&file, bytes).expect("written");
    let target = path("page");
    let arguments = ["-r", "96", "-png", &file.to_string_lossy(), &target.to_string_lossy()];
    if said_by("pdftoppm", &arguments).is_some() {
        for scene in 0..3 {
            let page = format!("{}-{}.png", target.display(), scene + 1);
            let picture = image::open(&page).expect("a page").to_rgb8();
            assert_eq!(picture.dimensions(), (400, 600));
            let shown = picture.get_pixel(200, 300).0;
            let expected = scene_colour(scene);
            assert!((0..3).all(|part| shown[part].abs_diff(expected[part]) < 12), "{shown:?} {expected:?}");
            let _ = std::fs::remove_file(page);
        }
    }
    let _ = std::fs::remove_file(file);
}

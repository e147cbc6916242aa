use std::io::Cursor;

use super::*;
use crate::output::{Archive, SingleFile};

/// A colour that tells a scene.
fn colour(scene: usize) -> [u8; 3] {
    [(scene * 53 % 256) as u8, (scene * 97 % 256) as u8, 128]
}

fn make(scene: usize, (width, height): (u32, u32)) -> Result<RgbImage, PageError> {
    Ok(RgbImage::from_pixel(width, height, Rgb(colour(scene))))
}

fn strip(scenes: usize) -> Strip {
    let scenes: Vec<StripScene> = (0..scenes)
        .map(|place| StripScene {
            size_px: (90, 160),
            gutter: gutter_below(["setup", "build", "climax"][place % 3]),
        })
        .collect();
    Strip::new(96, &scenes, [255, 255, 255]).expect("a strip")
}

/// What a pixel of a strip of these scenes shows: a scene or the background.
fn expected(strip: &Strip, mut y: u32) -> Option<usize> {
    for (scene, (tall, gap)) in strip.scenes.iter().enumerate() {
        if y < *tall {
            return Some(scene);
        }
        y -= tall;
        if y < *gap {
            return None;
        }
        y -= gap;
    }
    panic!("below the strip")
}

#[test]
fn a_strip_shows_its_scenes_in_order_with_gutters_in_rhythm() {
    let strip = strip(7);
    assert_eq!(strip.shown_px(0), (96, 171));
    let gaps: Vec<u32> = strip.scenes.iter().map(|scene| scene.1).collect();
    assert_eq!(gaps, [12, 7, 27, 12, 7, 27, 0], "the last has none below it");
    for format in [PictureFormat::Png, PictureFormat::WebP, PictureFormat::Jpeg(95)] {
        let mut file = SingleFile::new(Cursor::new(Vec::new()));
        let names = strip.write(format, make, &mut file).expect("written");
        assert_eq!(names, [format!("strip.{}", format.extension())]);
        let bytes = file.into_inner().into_inner();
        let read = image::load_from_memory(&bytes).expect("a picture").to_rgb8();
        assert_eq!(read.dimensions(), (96, strip.height));
        let near = if matches!(format, PictureFormat::Jpeg(_)) { 12 } else { 0 };
        for y in 0..strip.height {
            // Edges within a block of JPEG ring.
            let is_edge = (y.saturating_sub(8)..(y + 8).min(strip.height))
                .any(|other| expected(&strip, other) != expected(&strip, y));
            if near > 0 && is_edge {
                continue;
            }
            let expected = expected(&strip, y).map_or([255, 255, 255], colour);
            let shown = read.get_pixel(50, y).0;
            assert!(
                (0..3).all(|part| shown[part].abs_diff(expected[part]) <= near),
                "{format:?} {y}: {shown:?} {expected:?}"
            );
        }
    }
}

#[test]
fn a_strip_longer_than_a_format_allows_goes_on_in_a_second_file_between_two_scenes() {
    let strip = strip(120);
    let parts = strip.parts(PictureFormat::WebP);
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].scenes.end, parts[1].scenes.start);
    assert!(parts.iter().all(|part| part.height <= 16_383));
    assert_eq!(parts.iter().map(|part| part.height).sum::<u32>(), strip.height);
    assert_eq!(strip.parts(PictureFormat::Png).len(), 1);
    let mut archive = Archive::new(Cursor::new(Vec::new()));
    let names = strip.write(PictureFormat::WebP, make, &mut archive).expect("written");
    assert_eq!(names, ["strip-01.webp", "strip-02.webp"]);
    let mut zip = zip::ZipArchive::new(archive.finish().expect("an archive")).expect("a ZIP");
    let mut second = Vec::new();
    std::io::copy(&mut zip.by_name("strip-02.webp").expect("the second"), &mut second).expect("read");
    let second = image::load_from_memory(&second).expect("a picture").to_rgb8();
    assert_eq!(second.height(), parts[1].height);
    assert_eq!(second.get_pixel(0, 0).0, colour(parts[1].scenes.start), "it begins with its first scene");
}

#[test]
fn one_scene_is_asked_for_once_and_few_are_made_ahead() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let strip = strip(20);
    let (made, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = |scene: usize, size: (u32, u32)| {
        assert_eq!(made.fetch_add(1, Ordering::SeqCst), scene, "in order, once");
        assert!(scene <= taken.load(Ordering::SeqCst) + 3, "scene {scene} is made too early");
        make(scene, size)
    };
    strip
        .bands(171, count, |_| {
            taken.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .expect("bands");
    assert_eq!(made.load(Ordering::SeqCst), 20);
}

#[test]
fn what_cannot_be_a_strip_is_refused() {
    let scene = StripScene { size_px: (90, 160), gutter: 0.1 };
    assert!(matches!(Strip::new(96, &[], [0; 3]), Err(PageError::NoScenes)));
    assert!(Strip::new(10, &[scene], [0; 3]).expect_err("narrow").to_string().contains("64 to 2048"));
    let tall = StripScene { size_px: (10, 1000), gutter: 0.1 };
    assert!(Strip::new(96, &[scene, tall], [0; 3]).expect_err("tall").to_string().starts_with("scene 2: "));
    // A failure while a scene is made is the strip's, in every format.
    for format in [PictureFormat::Png, PictureFormat::Jpeg(90), PictureFormat::WebP] {
        let torn = |scene: usize, size| match scene {
            4 => Err(PageError::Picture("torn".into())),
            scene => make(scene, size),
        };
        let failed = strip(9).write(format, torn, &mut SingleFile::new(std::io::sink()));
        assert_eq!(failed.expect_err("torn").to_string(), "torn", "{format:?}");
    }
}

//! How long a strip of 40 panels takes: each picture scaled to 800 px across, lettered with two bubbles, put on the strip,
//! and the strip written, in each format; and the same panels composed three to a page before, as scenes are. The yardstick
//! of the same run is the same pictures as bytes, only copied.
//! Files stay in the folder of `PLAYHOUSE_STRIP_DIR`, where that is set.

use std::io::Cursor;
use std::time::Instant;

use image::{Rgb, RgbImage};
use pages::encode::PictureFormat;
use pages::lettering::{Bubble, BubbleKind, Fonts, Letterer};
use pages::output::Archive;
use pages::page::{Fractions, PageLayout};
use pages::scale::scaled;
use pages::strip::{Strip, StripScene, gutter_below};

const PANELS: usize = 40;

/// A picture with slopes, edges and grain, as drawn ones have.
fn picture(place: usize) -> RgbImage {
    let mut state = 1442695040888963407u64 ^ place as u64;
    RgbImage::from_fn(512, 912, |x, y| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let grain = (state >> 60) as u8;
        let shape = if (x / 64 + y / 96 + place as u32).is_multiple_of(3) { 120 } else { 30 };
        Rgb([shape + grain, (x / 4) as u8 + grain, (y / 5) as u8 + grain])
    })
}

fn bubbles(place: usize) -> Vec<Bubble> {
    let said =
        ["The storm is early this year.", "Nobody has crossed this bridge since the lighthouse went dark."];
    let kinds = [BubbleKind::Chat, BubbleKind::Thought, BubbleKind::Narration, BubbleKind::Sfx];
    let second = if place % 4 == 1 { "BOOM" } else { said[1] };
    let kind = if place % 4 == 1 { BubbleKind::Sfx } else { kinds[place % 3] };
    vec![
        Bubble {
            kind: BubbleKind::Chat,
            text: said[0].into(),
            position: (0.06, 0.05),
            size: (0.42, 0.14),
            tail: Some((0.5, 0.3)),
        },
        Bubble {
            kind,
            text: second.into(),
            position: (0.4, 0.7),
            size: (0.55, 0.2),
            tail: Some((0.5, 0.55)),
        },
    ]
}

/// Three panels to a page of 1,080 × 1,920 px, each page lettered and put on a strip of JPEG.
fn composed(pictures: &[RgbImage], fonts: &Fonts) {
    let panel = |y: f32, h: f32| Fractions { x: 0.0, y, w: 1.0, h };
    let page = PageLayout {
        size_px: (1080, 1920),
        panels: vec![panel(0.0, 0.4), panel(0.42, 0.28), panel(0.72, 0.28)],
        gutter_px: 22,
        background: [255; 3],
    };
    let pages = PANELS.div_ceil(3);
    let scenes = vec![StripScene { size_px: (1080, 1920), gutter: gutter_below("build") }; pages];
    let strip = Strip::new(800, &scenes, [255; 3]).expect("a strip");
    let (mut letterer, mut archive) = (Letterer::new(fonts), Archive::new(Cursor::new(Vec::new())));
    let started = Instant::now();
    let make = |place: usize, (width, height): (u32, u32)| {
        let composed = page.compose(|panel| Ok(pictures[(3 * place + panel) % PANELS].clone()))?;
        let (lettered, ..) = letterer.letter(scaled(&composed, width, height), &bubbles(place))?;
        Ok(lettered)
    };
    strip.write(PictureFormat::Jpeg(90), make, &mut archive).expect("written");
    let took = started.elapsed().as_secs_f64();
    println!("jpg of {pages} composed pages: {:.1} panels/s (goal: at least 20)", PANELS as f64 / took);
}

fn main() {
    let pictures: Vec<RgbImage> = (0..PANELS).map(picture).collect();
    let importance = ["setup", "build", "climax", "release"];
    let scenes: Vec<StripScene> = (0..PANELS)
        .map(|place| StripScene { size_px: (512, 912), gutter: gutter_below(importance[place % 4]) })
        .collect();
    let strip = Strip::new(800, &scenes, [255; 3]).expect("a strip");
    let megapixels = f64::from(strip.width) * f64::from(strip.height) / 1e6;
    println!("{PANELS} panels, 800 × {} px, {megapixels:.0} megapixels", strip.height);
    let ready: Vec<RgbImage> = pictures.iter().map(|picture| scaled(picture, 800, 1425)).collect();
    let started = Instant::now();
    let mut copied = 0;
    strip
        .bands(
            1280,
            |place, _| Ok(ready[place].clone()),
            |band| {
                copied += band.as_raw().len();
                Ok(())
            },
        )
        .expect("bands");
    println!(
        "copied: {:.1} panels/s ({:.0} MB)",
        PANELS as f64 / started.elapsed().as_secs_f64(),
        copied as f64 / 1e6
    );
    let fonts = Fonts::shipped().and_installed();
    composed(&pictures, &fonts);
    for format in [PictureFormat::Jpeg(90), PictureFormat::Png, PictureFormat::WebP] {
        let mut letterer = Letterer::new(&fonts);
        let mut archive = Archive::new(Cursor::new(Vec::new()));
        let started = Instant::now();
        let make = |place: usize, (width, height): (u32, u32)| {
            let (lettered, ..) = letterer.letter(scaled(&pictures[place], width, height), &bubbles(place))?;
            Ok(lettered)
        };
        let names = strip.write(format, make, &mut archive).expect("written");
        let took = started.elapsed().as_secs_f64();
        let bytes = archive.finish().expect("an archive").into_inner();
        let kind = format.extension();
        println!(
            "{kind}: {:.1} panels/s, {:.1} MB in {} files",
            PANELS as f64 / took,
            bytes.len() as f64 / 1e6,
            names.len()
        );
        if let Some(folder) = std::env::var_os("PLAYHOUSE_STRIP_DIR") {
            let file = std::path::Path::new(&folder).join(format!("strip-{kind}.zip"));
            std::fs::write(file, bytes).expect("written");
        }
    }
}

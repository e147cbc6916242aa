use image::Rgb;

use super::*;

const BLUE: Rgb<u8> = Rgb([0, 0, 250]);

fn bubble(kind: BubbleKind, text: &str, position: (f32, f32), size: (f32, f32)) -> Bubble {
    Bubble { kind, text: text.into(), position, size, tail: None }
}

fn lettered(bubbles: &[Bubble]) -> (RgbImage, Vec<Placed>, Vec<Note>) {
    let picture = RgbImage::from_pixel(800, 1200, BLUE);
    Letterer::new(&Fonts::shipped()).letter(picture, bubbles).expect("lettered")
}

/// Left, top, right and bottom of all pixels that are like some colours.
fn bounds(picture: &RgbImage, is: impl Fn(&Rgb<u8>) -> bool) -> Option<[u32; 4]> {
    picture.enumerate_pixels().filter(|(_, _, pixel)| is(pixel)).fold(None, |found, (x, y, _)| {
        let [left, top, right, bottom] = found.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
    })
}

fn is_dark(pixel: &Rgb<u8>) -> bool {
    pixel.0.iter().all(|part| *part < 60)
}

#[test]
fn chat_is_white_at_0_4_with_a_black_border_of_2_px() {
    let (picture, placed, notes) = lettered(&[bubble(BubbleKind::Chat, "Hi", (0.25, 0.25), (0.5, 0.25))]);
    assert_eq!(notes, []);
    assert_eq!(placed[0].rect_px, [200.0, 300.0, 400.0, 300.0]);
    // 0.4 of white over the picture.
    assert_eq!(picture.get_pixel(260, 450), &Rgb([102, 102, 252]));
    assert_eq!(picture.get_pixel(150, 450), &BLUE, "outside of the bubble");
    assert_eq!(picture.get_pixel(205, 305), &BLUE, "corners are rounded");
    let column: Vec<u32> = (190..260).filter(|x| is_dark(picture.get_pixel(*x, 450))).collect();
    assert!((1..=3).contains(&column.len()) && column[0].abs_diff(200) <= 1, "{column:?}");
}

#[test]
fn thought_is_alice_blue_with_a_grey_border_and_circles_to_the_thinker() {
    let thought = Bubble {
        tail: Some((0.5, 0.9)),
        ..bubble(BubbleKind::Thought, "Where is it?", (0.25, 0.1), (0.5, 0.2))
    };
    let (picture, ..) = lettered(&[thought]);
    let inside = picture.get_pixel(260, 240).0;
    assert_eq!(inside, [96, 99, 252], "0.4 of #F0F8FF over the picture");
    let is_grey = |pixel: &Rgb<u8>| {
        let [red, green, blue] = pixel.0;
        (118..138).contains(&red) && (118..138).contains(&green) && (118..138).contains(&blue)
    };
    let [_, top, _, bottom] = bounds(&picture, is_grey).expect("a border");
    assert!(top < 140 && bottom > 900, "circles lead to the thinker: {top} {bottom}");
}

#[test]
fn narration_is_a_black_rectangle_at_0_6_with_white_text() {
    let (picture, ..) = lettered(&[bubble(BubbleKind::Narration, "Later.", (0.1, 0.1), (0.8, 0.1))]);
    assert_eq!(picture.get_pixel(82, 122), &Rgb([0, 0, 100]), "up to its corners");
    assert_eq!(picture.get_pixel(78, 122), &BLUE);
    assert!(bounds(&picture, |pixel| pixel.0 == [255, 255, 255]).is_some(), "white text");
}

#[test]
fn sounds_have_a_stroke_and_no_bubble() {
    let (picture, placed, _) = lettered(&[bubble(BubbleKind::Sfx, "BANG", (0.2, 0.2), (0.6, 0.2))]);
    let is_text = |pixel: &Rgb<u8>| pixel != &BLUE;
    let [left, top, right, bottom] = bounds(&picture, is_text).expect("text");
    let [x, y, width, height] = placed[0].rect_px;
    assert!(left as f32 >= x && right as f32 <= x + width && top as f32 >= y && bottom as f32 <= y + height);
    let dark = bounds(&picture, is_dark).expect("letters");
    assert!(dark[0] > left && dark[2] < right, "the stroke is around the letters: {dark:?} {left} {right}");
    assert!(placed[0].font_px > 80.0, "sounds are large: {}", placed[0].font_px);
}

#[test]
fn text_is_centred_within_its_bubble_for_any_length() {
    for text in ["Hm.", "Wait for me at the harbour.", &"The tide takes what it wants. ".repeat(8)] {
        let (picture, placed, notes) =
            lettered(&[bubble(BubbleKind::Narration, text, (0.1, 0.2), (0.8, 0.4))]);
        assert_eq!(notes, [], "{text}");
        let [left, top, right, bottom] =
            bounds(&picture, |pixel| pixel.0.iter().all(|part| *part > 200)).expect("text");
        let [x, y, width, height] = placed[0].rect_px;
        assert!(
            left as f32 > x && (right as f32) < x + width && top as f32 > y && (bottom as f32) < y + height
        );
        let away = ((left + right) as f32 / 2.0 - (x + width / 2.0)).abs();
        assert!(away < 6.0, "{text}: {away} px from the middle");
        let away = ((top + bottom) as f32 / 2.0 - (y + height / 2.0)).abs();
        assert!(away < 14.0, "{text}: {away} px from the middle");
    }
}

#[test]
fn a_bubble_that_is_too_small_grows_within_the_picture_and_says_so() {
    let text = "This is far too much to be said in so small a bubble as this one is.";
    let (picture, placed, notes) = lettered(&[bubble(BubbleKind::Chat, text, (0.93, 0.01), (0.05, 0.02))]);
    assert_eq!(notes, [Note::Enlarged { bubble: 0 }]);
    let [x, y, width, height] = placed[0].rect_px;
    assert!(x >= 0.0 && y >= 0.0 && x + width <= 800.0 && y + height <= 1200.0, "{placed:?}");
    assert!(placed[0].font_px >= 17.0, "readable: {}", placed[0].font_px);
    assert!(bounds(&picture, is_dark).is_some());
    let huge = "word ".repeat(4000);
    let (_, placed, notes) = lettered(&[bubble(BubbleKind::Chat, &huge, (0.4, 0.4), (0.1, 0.1))]);
    assert_eq!(notes, [Note::Small { bubble: 0 }, Note::Enlarged { bubble: 0 }]);
    assert!(placed[0].font_px < 17.0);
}

#[test]
fn a_bubble_that_leaves_the_picture_is_moved_inside_and_says_so() {
    let (_, placed, notes) = lettered(&[bubble(BubbleKind::Chat, "Hi", (0.8, 0.95), (0.4, 0.2))]);
    assert_eq!(notes, [Note::Moved { bubble: 0 }]);
    let [x, y, width, height] = placed[0].rect_px;
    assert!(x + width <= 800.0 && y + height <= 1200.0, "{placed:?}");
}

#[test]
fn latin_cyrillic_and_greek_are_in_the_fonts_that_ship() {
    for text in ["Żółć, façade — “naïve” größe…", "Где маяк? Їжак і ґанок.", "Πού είναι ο φάρος;"]
    {
        let (.., notes) = lettered(&[bubble(BubbleKind::Chat, text, (0.1, 0.1), (0.8, 0.3))]);
        assert_eq!(notes, [], "{text}");
    }
}

#[test]
fn what_no_font_has_is_drawn_as_a_box_and_named() {
    for (text, missing) in
        [("你好", vec!["你", "好"]), ("שלום", vec!["ם", "ו", "ל", "ש"]), ("🦊", vec!["🦊"])]
    {
        let (picture, _, notes) = lettered(&[bubble(BubbleKind::Chat, text, (0.1, 0.1), (0.8, 0.3))]);
        let mut named: Vec<&str> = notes
            .iter()
            .map(|note| match note {
                Note::NoGlyph { text } => text.as_str(),
                other => panic!("{text}: {other:?}"),
            })
            .collect();
        named.sort_unstable();
        let mut missing = missing;
        missing.sort_unstable();
        assert_eq!(named, missing, "{text}");
        let [left, top, right, bottom] = bounds(&picture, is_dark).expect("boxes");
        assert!(right - left > 10 && bottom - top > 10, "{text}");
        // Only the border of the bubble is there when it says nothing.
        let (empty, ..) = lettered(&[bubble(BubbleKind::Chat, " ", (0.1, 0.1), (0.8, 0.3))]);
        let dark = |picture: &RgbImage| picture.pixels().filter(|pixel| is_dark(pixel)).count();
        assert!(dark(&picture) > dark(&empty) + 50, "{text}: the boxes are seen");
    }
    let note = Note::NoGlyph { text: "你".into() }.to_string();
    assert!(note.contains("U+4F60") && note.contains('你'), "{note}");
}

#[test]
fn joiners_and_selectors_are_no_missing_glyphs() {
    let (.., notes) =
        lettered(&[bubble(BubbleKind::Chat, "so\u{200D} it\u{FE0F} is\u{200B}", (0.1, 0.1), (0.8, 0.3))]);
    assert_eq!(notes, []);
}

#[test]
fn fonts_of_a_folder_are_asked_for_what_those_that_ship_lack() {
    let folder = std::path::Path::new("/usr/share/fonts/truetype");
    let fonts = Fonts::shipped().and_folder(folder);
    let picture = || RgbImage::from_pixel(800, 1200, BLUE);
    let hebrew = [bubble(BubbleKind::Chat, "שלום", (0.1, 0.1), (0.8, 0.3))];
    let (_, _, notes) = Letterer::new(&fonts).letter(picture(), &hebrew).expect("lettered");
    let has = std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.path().join("DejaVuSans.ttf").is_file()))
    });
    match has {
        true => assert_eq!(notes, [], "DejaVu Sans has Hebrew"),
        false => eprintln!("left out: no DejaVu Sans is installed on this machine"),
    }
}

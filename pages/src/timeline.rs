//! How a film of scenes runs: each picture bare, then its bubbles one by one.

use image::RgbImage;

use crate::error::PageError;

/// Width and height of a film's frame, in pixels.
pub const FRAME_PX: (u32, u32) = (720, 1280);
/// Frames a second.
pub const FPS: u32 = 30;
/// Seconds for which a scene is shown without bubbles.
const BARE_S: f64 = 3.0;
/// Seconds in which a bubble comes to be seen.
const FADE_S: f64 = 0.2;
/// Seconds for which it is then there, whatever it says.
const HOLD_S: f64 = 0.7;
/// Further seconds for each of its characters.
const CHARACTER_S: f64 = 0.04;

/// A stretch of a scene in which nothing new begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// How many bubbles are seen, in reading order; while one fades in it is among them.
    pub bubbles: usize,
    /// Whether the last of them fades in.
    pub fades: bool,
    /// How many frames it lasts.
    pub frames: u32,
}

/// How a scene runs whose bubbles have so many characters, in reading order: 3 s without bubbles, then for each bubble
/// 0.2 s in which it comes and 0.7 s + 0.04 s a character in which it is there. Rounding does not add up.
pub fn stretches(characters: &[usize]) -> Vec<Stretch> {
    let (mut found, mut at_s, mut at_frame) = (Vec::with_capacity(1 + 2 * characters.len()), 0.0, 0);
    let mut add = |seconds: f64, bubbles, fades| {
        at_s += seconds;
        let until = (at_s * f64::from(FPS)).round() as u32;
        found.push(Stretch { bubbles, fades, frames: until - at_frame });
        at_frame = until;
    };
    add(BARE_S, 0, false);
    for (place, characters) in characters.iter().enumerate() {
        add(FADE_S, place + 1, true);
        add(HOLD_S + CHARACTER_S * *characters as f64, place + 1, false);
    }
    found
}

/// How many frames a scene has.
pub fn frames(characters: &[usize]) -> u32 {
    stretches(characters).iter().map(|stretch| stretch.frames).sum()
}

/// Hands on the frames of a scene. `picture` brings the scene with its first so many bubbles, in reading order; two
/// pictures are held at most.
pub fn film_scene(
    characters: &[usize],
    mut picture: impl FnMut(usize) -> Result<RgbImage, PageError>,
    mut push: impl FnMut(&RgbImage) -> Result<(), PageError>,
) -> Result<(), PageError> {
    let mut shown = picture(0)?;
    let mut seen = 0;
    for stretch in stretches(characters) {
        if stretch.bubbles != seen {
            let next = picture(stretch.bubbles)?;
            if stretch.fades {
                for frame in 1..=stretch.frames {
                    push(&mixed(&shown, &next, frame * 256 / (stretch.frames + 1)))?;
                }
            }
            (shown, seen) = (next, stretch.bubbles);
            if stretch.fades {
                continue;
            }
        }
        for _ in 0..stretch.frames {
            push(&shown)?;
        }
    }
    Ok(())
}

/// A picture `part` 256ths of the way from one to another.
fn mixed(from: &RgbImage, to: &RgbImage, part: u32) -> RgbImage {
    let mut mixed = from.clone();
    for (mixed, to) in mixed.iter_mut().zip(to.iter()) {
        *mixed = ((u32::from(*mixed) * (256 - part) + u32::from(*to) * part) / 256) as u8;
    }
    mixed
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn a_scene_without_bubbles_lasts_three_seconds_and_each_bubble_its_time() {
        assert_eq!(frames(&[]), 90);
        // 3 + .2 + .7 + .04 × 10 = 4.3 s.
        assert_eq!(frames(&[10]), 129);
        assert_eq!(
            stretches(&[10]).iter().map(|one| (one.bubbles, one.frames)).collect::<Vec<_>>(),
            [(0, 90), (1, 6), (1, 33)]
        );
        // 100 bubbles of 7 characters: 3 + 100 × 1.18 = 121 s, not a frame more.
        assert_eq!(frames(&[7; 100]), 3630);
    }

    #[test]
    fn a_bubble_fades_in_and_stays() {
        let picture = |bubbles: usize| Ok(RgbImage::from_pixel(2, 2, Rgb([100 * bubbles as u8; 3])));
        let mut levels = Vec::new();
        film_scene(&[5, 0], picture, |frame| {
            levels.push(frame.get_pixel(0, 0).0[0]);
            Ok(())
        })
        .expect("frames");
        assert_eq!(levels.len() as u32, frames(&[5, 0]));
        assert!(levels[..90].iter().all(|level| *level == 0));
        assert!(levels[90..96].is_sorted() && levels[90] > 0 && levels[95] < 100, "{:?}", &levels[88..98]);
        assert!(levels[96..123].iter().all(|level| *level == 100));
        assert_eq!(levels.last(), Some(&200));
    }
}

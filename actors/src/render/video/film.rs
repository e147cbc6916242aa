//! Clips to one film: each at the film's size and speed, one behind the other or melting into the next.

use std::collections::VecDeque;

use image::RgbImage;
use image::imageops::{FilterType, overlay, resize};

use super::decode::{ShownFrame, each_frame};
use super::h264::VideoEncoder;
use super::movement::{Movement, Still};
use super::{FPS, VIDEO_SIDES_PX};

/// Seconds for which two clips are seen together.
const MELT_S: f64 = 0.5;
/// Frames of a film at most: half an hour at 30 a second.
const FRAMES_MAX: u64 = 54_000;

/// How one clip gives way to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// At once.
    Cut,
    /// The end of one and the beginning of the next are seen together for half a second.
    Crossfade,
}

impl Transition {
    /// The names, in the order of the variants.
    pub const NAMES: [&'static str; 2] = ["cut", "crossfade"];

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Transition> {
        match name {
            "cut" => Some(Transition::Cut),
            "crossfade" => Some(Transition::Crossfade),
            _ => None,
        }
    }
}

/// The form of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilmForm {
    /// Pixels across and down; even, within what the encoder takes.
    pub size: (u32, u32),
    /// Frames a second.
    pub fps: u64,
    /// Between clips.
    pub transition: Transition,
}

/// What kind of clip a file holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipFacts {
    /// Pixels across and down.
    pub size: (u32, u32),
    /// Frames.
    pub frames: u64,
    /// Seconds.
    pub seconds: f64,
}

/// Decodes a clip to find out what it is; an error where it cannot be read.
pub fn clip_facts(file: &[u8]) -> Result<ClipFacts, String> {
    let (mut size, mut frames) = ((0, 0), 0);
    let seconds = each_frame(file, &mut |frame| {
        if frames == 0 {
            size = frame.picture.dimensions();
        }
        frames += 1;
        Ok(())
    })?;
    Ok(ClipFacts { size, frames, seconds })
}

/// The frame that a clip shows at a time, as a PNG file; its last one after its end. Answers with its time in seconds, too.
pub fn frame_at(file: &[u8], at_s: f64) -> Result<(Vec<u8>, f64), String> {
    let mut found: Option<(RgbImage, f64)> = None;
    each_frame(file, &mut |frame| {
        // The first one is kept whatever is asked for.
        if found.is_none() || frame.at_s <= at_s {
            found = Some((frame.picture, frame.at_s));
        }
        Ok(())
    })?;
    let (picture, at_s) = found.ok_or("the video has no frames")?;
    let mut png = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut png, image::ImageFormat::Png)
        .map_err(|error| format!("keeping a frame: {error}"))?;
    Ok((png.into_inner(), at_s))
}

/// A form that suits clips: the size of the first one and its speed, as far as the encoder takes them.
pub fn suitable_form(first: &ClipFacts, transition: Transition) -> FilmForm {
    let even = |side: u32| side.clamp(*VIDEO_SIDES_PX.start(), *VIDEO_SIDES_PX.end()) & !1;
    let fps = (first.frames as f64 / first.seconds.max(0.01)).round() as u64;
    FilmForm { size: (even(first.size.0), even(first.size.1)), fps: fps.clamp(FPS.0, FPS.1), transition }
}

/// A film that grows clip by clip.
pub struct Film {
    form: FilmForm,
    encoder: VideoEncoder,
    /// The end of the clip before, where it melts into the next.
    tail: VecDeque<RgbImage>,
    frames: u64,
}

impl Film {
    /// An empty film.
    pub fn new(form: FilmForm) -> Result<Film, String> {
        let encoder = VideoEncoder::new(form.size.0, form.size.1, form.fps)?;
        Ok(Film { form, encoder, tail: VecDeque::new(), frames: 0 })
    }

    /// Adds a clip. `goes_on` is asked at each frame.
    pub fn add(
        &mut self,
        file: &[u8],
        goes_on: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let (fps, melted) = (self.form.fps as f64, self.tail.len());
        let (mut written, mut met) = (0_u64, 0);
        each_frame(file, &mut |ShownFrame { picture, until_s, .. }| {
            goes_on()?;
            let mut fitted = None;
            // At least one, so that the shortest clip is seen.
            while (written as f64) / fps < until_s - 1e-6 {
                let frame = fitted.get_or_insert_with(|| fit(&picture, self.form.size)).clone();
                let before = if met < melted { self.tail.pop_front() } else { None };
                let frame = match before {
                    Some(before) => {
                        met += 1;
                        mix(&before, &frame, met as f64 / (melted + 1) as f64)
                    }
                    None => frame,
                };
                self.show(frame, met, melted)?;
                written += 1;
            }
            Ok(())
        })?;
        // A clip that is shorter than the time for which two are seen ends the one before.
        if met < melted {
            self.tail.clear();
        }
        Ok(())
    }

    /// Adds a picture that is seen for some frames, while the view moves slowly into it or out of it.
    pub fn add_still(
        &mut self,
        picture: &Still,
        frames: u64,
        movement: Movement,
        goes_on: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        for number in 0..frames {
            goes_on()?;
            let part = number as f64 / (frames - 1).max(1) as f64;
            self.push(&movement.view(picture, part, self.form.size))?;
        }
        Ok(())
    }

    fn push(&mut self, frame: &RgbImage) -> Result<(), String> {
        self.frames += 1;
        if self.frames > FRAMES_MAX {
            return Err(format!("a film of more than {FRAMES_MAX} frames"));
        }
        self.encoder.push(frame)
    }

    /// Keeps a frame back where it may melt with the next clip; else writes it.
    fn show(&mut self, frame: RgbImage, met: usize, melted: usize) -> Result<(), String> {
        let kept = match self.form.transition {
            Transition::Cut => 0,
            Transition::Crossfade => (MELT_S * self.form.fps as f64).round() as usize,
        };
        // While the beginning melts with the end before, it is not kept as an end itself.
        if kept == 0 || met < melted {
            return self.push(&frame);
        }
        self.tail.push_back(frame);
        match self.tail.len() > kept {
            true => self.tail.pop_front().map_or(Ok(()), |frame| self.push(&frame)),
            false => Ok(()),
        }
    }

    /// The MP4 file, and its length in seconds.
    pub fn finish(mut self) -> Result<(Vec<u8>, f64), String> {
        for frame in std::mem::take(&mut self.tail) {
            self.push(&frame)?;
        }
        let seconds = self.frames as f64 / self.form.fps as f64;
        Ok((self.encoder.finish()?, seconds))
    }
}

/// A picture as large as fits, in the middle of black.
fn fit(picture: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let (w, h) = picture.dimensions();
    let scale = (f64::from(width) / f64::from(w.max(1))).min(f64::from(height) / f64::from(h.max(1)));
    let side = |length: u32, most: u32| ((f64::from(length) * scale).round() as u32).clamp(1, most);
    let scaled = resize(picture, side(w, width), side(h, height), FilterType::Triangle);
    let mut frame = RgbImage::new(width, height);
    let (x, y) = ((width - scaled.width()) / 2, (height - scaled.height()) / 2);
    overlay(&mut frame, &scaled, i64::from(x), i64::from(y));
    frame
}

fn mix(before: &RgbImage, after: &RgbImage, part: f64) -> RgbImage {
    let mut mixed = before.clone();
    for (mixed, after) in mixed.iter_mut().zip(after.iter()) {
        *mixed = (f64::from(*mixed) * (1.0 - part) + f64::from(*after) * part).round() as u8;
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(size: (u32, u32), fps: u64, frames: u64, grey: u8) -> Vec<u8> {
        let mut encoder = VideoEncoder::new(size.0, size.1, fps).expect("an encoder");
        let frame = RgbImage::from_pixel(size.0, size.1, image::Rgb([grey; 3]));
        (0..frames).for_each(|_| encoder.push(&frame).expect("a frame"));
        encoder.finish().expect("a file")
    }

    fn greys(file: &[u8]) -> Vec<u8> {
        let mut greys = Vec::new();
        each_frame(file, &mut |frame| {
            let (w, h) = frame.picture.dimensions();
            greys.push(frame.picture.get_pixel(w / 2, h / 2).0[0]);
            Ok(())
        })
        .expect("it decodes");
        greys
    }

    #[test]
    fn clips_of_other_sizes_and_speeds_become_one_film() {
        let (dark, light) = (clip((48, 32), 8, 16, 40), clip((32, 48), 4, 4, 220));
        let facts = clip_facts(&dark).expect("a clip");
        assert_eq!((facts.size, facts.frames, facts.seconds), ((48, 32), 16, 2.0));
        let form = suitable_form(&facts, Transition::Cut);
        assert_eq!(form, FilmForm { size: (48, 32), fps: 8, transition: Transition::Cut });
        let make = |transition| {
            let mut film = Film::new(FilmForm { transition, ..form }).expect("a film");
            film.add(&dark, &mut || Ok(())).expect("a clip");
            film.add(&light, &mut || Ok(())).expect("a clip");
            film.finish().expect("a file")
        };
        let (file, seconds) = make(Transition::Cut);
        let greys_of_cut = greys(&file);
        assert_eq!((seconds, greys_of_cut.len()), (3.0, 24));
        assert!(greys_of_cut[..16].iter().all(|grey| *grey < 60), "{greys_of_cut:?}");
        assert!(greys_of_cut[16..].iter().all(|grey| *grey > 200), "{greys_of_cut:?}");
        let (file, seconds) = make(Transition::Crossfade);
        let melted = greys(&file);
        // Four frames of both are seen together.
        assert_eq!((melted.len(), (seconds * 8.0).round() as usize), (20, 20));
        assert!(melted[12..16].windows(2).all(|pair| pair[0] < pair[1]), "{melted:?}");
        assert_eq!(frame_at(&dark, 9.0).map(|(_, at)| at), Ok(1.875));
        let ended = Film::new(form).expect("a film").add(&dark, &mut || Err("stop".into()));
        assert_eq!(ended, Err("stop".into()));
    }

    #[test]
    fn what_is_no_video_is_refused_in_words() {
        let whole = clip((48, 32), 8, 4, 90);
        for file in [&b"not a video"[..], b"", &whole[..whole.len() - 40], &whole[..60]] {
            assert!(clip_facts(file).is_err());
        }
    }
}

//! H.264 in an MP4 file to frames, one at a time.

use std::io::Cursor;

use image::RgbImage;
use mp4_atom::{Any, Avcc, Codec, DecodeMaybe, Stbl, StszSamples, Trak};
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;

/// Frames of one file at most.
const FRAMES_MAX: usize = 20_000;
/// Longest side of a frame, in pixels.
const SIDE_PX_MAX: usize = 4096;

/// A frame, and how long it is shown.
pub struct ShownFrame {
    /// The picture.
    pub picture: RgbImage,
    /// When it comes, in seconds from the beginning.
    pub at_s: f64,
    /// When the next one comes.
    pub until_s: f64,
}

/// A frame of the file as it is stored.
pub(super) struct Stored {
    /// Where it begins, in bytes.
    pub offset: usize,
    /// How long it is, in bytes.
    pub size: usize,
    /// For how many ticks of its track it is shown.
    pub ticks: u64,
}

/// Decodes a file; `visit` gets its frames in order and may end the work with a reason. Answers with the length in seconds.
pub fn each_frame(
    file: &[u8],
    visit: &mut dyn FnMut(ShownFrame) -> Result<(), String>,
) -> Result<f64, String> {
    let track = video_track(file)?;
    let table = &track.mdia.minf.stbl;
    let Some(Codec::Avc1(avc1)) = table.stsd.codecs.first() else {
        return Err("the video is not H.264 in an MP4 file, and nothing else is read here".into());
    };
    let samples = samples(table)?;
    let timescale = f64::from(track.mdia.mdhd.timescale.max(1));
    let mut decoder = Decoder::new().map_err(failed)?;
    let (mut clock, mut total) = (Clock { next: 0, ticks: 0, timescale, samples: &samples }, 0.0);
    let mut show = |frame: &DecodedYUV<'_>| -> Result<(), String> {
        let frame = clock.shown(frame)?;
        total = frame.until_s;
        visit(frame)
    };
    decoder.decode(&parameters(&avc1.avcc)).map_err(failed)?;
    let length_size = usize::from(avc1.avcc.length_size);
    for sample in &samples {
        let bytes = file.get(sample.offset..sample.offset.saturating_add(sample.size));
        let unit = with_start_codes(bytes.ok_or("the video is cut off")?, length_size)?;
        if let Some(frame) = decoder.decode(&unit).map_err(failed)? {
            show(&frame)?;
        }
    }
    for frame in decoder.flush_remaining().map_err(failed)? {
        show(&frame)?;
    }
    match total > 0.0 {
        true => Ok(total),
        false => Err("the video has no frames".into()),
    }
}

fn failed(error: openh264::Error) -> String {
    format!("decoding the video: {error}")
}

/// Gives frames their times, in the order in which they come out.
struct Clock<'s> {
    next: usize,
    ticks: u64,
    timescale: f64,
    samples: &'s [Stored],
}

impl Clock<'_> {
    fn shown(&mut self, frame: &DecodedYUV<'_>) -> Result<ShownFrame, String> {
        let (width, height) = frame.dimensions();
        if width.max(height) > SIDE_PX_MAX {
            return Err(format!("a frame of {width} × {height} pixels; at most {SIDE_PX_MAX} are read"));
        }
        let mut pixels = vec![0; width * height * 3];
        frame.write_rgb8(&mut pixels);
        let picture = RgbImage::from_raw(width as u32, height as u32, pixels);
        let picture = picture.ok_or("a frame of an odd size")?;
        let at = self.ticks;
        self.ticks += self.samples.get(self.next).map_or(0, |sample| sample.ticks);
        self.next += 1;
        let seconds = |ticks: u64| ticks as f64 / self.timescale;
        Ok(ShownFrame { picture, at_s: seconds(at), until_s: seconds(self.ticks) })
    }
}

/// The first track with pictures.
pub(super) fn video_track(file: &[u8]) -> Result<Trak, String> {
    let mut rest = Cursor::new(file);
    loop {
        let atom = Any::decode_maybe(&mut rest).map_err(|error| format!("reading the video: {error}"))?;
        match atom {
            Some(Any::Moov(moov)) => {
                let is_video = |track: &Trak| track.mdia.hdlr.handler == mp4_atom::FourCC::new(b"vide");
                return moov
                    .trak
                    .into_iter()
                    .find(is_video)
                    .ok_or_else(|| "the file has no video track".into());
            }
            Some(_) => {}
            None => return Err("the file is no MP4 file".into()),
        }
    }
}

/// Where the frames lie, and how long each is shown.
pub(super) fn samples(table: &Stbl) -> Result<Vec<Stored>, String> {
    let sizes: Vec<usize> = match &table.stsz.samples {
        StszSamples::Different { sizes } => sizes.iter().map(|size| *size as usize).collect(),
        StszSamples::Identical { count, size } => {
            vec![*size as usize; (*count as usize).min(FRAMES_MAX + 1)]
        }
    };
    if sizes.len() > FRAMES_MAX {
        return Err(format!("more than {FRAMES_MAX} frames"));
    }
    let chunks: Vec<u64> = match (&table.stco, &table.co64) {
        (Some(places), _) => places.entries.iter().map(|place| u64::from(*place)).collect(),
        (None, Some(places)) => places.entries.clone(),
        (None, None) => return Err("the file says not where its frames lie".into()),
    };
    let mut ticks = Vec::with_capacity(sizes.len());
    for entry in &table.stts.entries {
        let room = sizes.len() - ticks.len();
        let count = (entry.sample_count as usize).min(room);
        ticks.extend(std::iter::repeat_n(u64::from(entry.sample_delta), count));
    }
    let mut stored = Vec::with_capacity(sizes.len());
    let mut groups = table.stsc.entries.iter().peekable();
    let mut in_chunk = 0;
    for (number, start) in (1_u32..).zip(&chunks) {
        while let Some(group) = groups.next_if(|group| group.first_chunk <= number) {
            in_chunk = group.samples_per_chunk as usize;
        }
        let mut offset = usize::try_from(*start).map_err(|_| "the file is too large")?;
        for _ in 0..in_chunk {
            let Some(size) = sizes.get(stored.len()) else { return Ok(stored) };
            let ticks = ticks.get(stored.len()).copied().unwrap_or(0);
            stored.push(Stored { offset, size: *size, ticks });
            offset = offset.saturating_add(*size);
        }
    }
    Ok(stored)
}

/// What the decoder must know before the first frame.
fn parameters(avcc: &Avcc) -> Vec<u8> {
    let sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
    sets.flat_map(|set| [&[0, 0, 0, 1], set.as_slice()].concat()).collect()
}

/// Units behind their lengths as units behind start codes.
fn with_start_codes(sample: &[u8], length_size: usize) -> Result<Vec<u8>, String> {
    let mut stream = Vec::with_capacity(sample.len() + 16);
    let mut rest = sample;
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(length_size).ok_or("a frame is cut off")?;
        let length = length.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
        let (unit, after) = after.split_at_checked(length).ok_or("a frame is cut off")?;
        stream.extend([0, 0, 0, 1]);
        stream.extend(unit);
        rest = after;
    }
    Ok(stream)
}

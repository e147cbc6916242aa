//! A video and its sound in one MP4 file, half a second of each by turns, so that it plays while it loads.

use mp4_atom::esds::{EsDescriptor, SLConfig};
use mp4_atom::{
    Audio, Codec, Dinf, Dref, Edts, Elst, ElstEntry, Encode, Esds, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf,
    Moov, Mp4a, Mvhd, Smhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stsz, StszSamples, Stts, SttsEntry, Tkhd,
    Trak, Url,
};
use sound::{Aac, FRAME_SAMPLES, RATE_HZ};

use super::decode::{samples, video_track};

/// Seconds of a track that lie together.
const CHUNK_S: f64 = 0.5;
/// MPEG-4 audio, of a decoder's configuration (ISO/IEC 14496-1).
const MPEG4_AUDIO: u8 = 0x40;
/// A stream of sound, of the same.
const AUDIO_STREAM: u8 = 5;

/// Pieces of a file, and for how many of its clock's ticks each lasts.
struct Pieces<'f> {
    bytes: Vec<&'f [u8]>,
    ticks: Vec<u64>,
    timescale: u32,
}

impl Pieces<'_> {
    /// For each part of [`CHUNK_S`]: when it begins, and which pieces it has.
    fn chunks(&self) -> Vec<(f64, std::ops::Range<usize>)> {
        let length = ((CHUNK_S * f64::from(self.timescale)) as u64).max(1);
        let (mut chunks, mut now, mut first) = (Vec::new(), 0_u64, 0);
        let mut begins = 0;
        for (place, ticks) in self.ticks.iter().enumerate() {
            if now - begins >= length {
                chunks.push((begins as f64 / f64::from(self.timescale), first..place));
                (first, begins) = (place, now);
            }
            now += ticks;
        }
        if first < self.ticks.len() {
            chunks.push((begins as f64 / f64::from(self.timescale), first..self.ticks.len()));
        }
        chunks
    }
}

/// Gives a video (H.264 in an MP4 file) a sound. Whatever sound it had is left out; a sound that is longer than the video is
/// heard to its end, over the last frame.
pub fn with_sound(file: &[u8], sound: &Aac) -> Result<Vec<u8>, String> {
    let failed = |reason: &dyn std::fmt::Display| format!("writing the video: {reason}");
    let mut picture = video_track(file)?;
    if !matches!(picture.mdia.minf.stbl.stsd.codecs.first(), Some(Codec::Avc1(_))) {
        return Err("the video is not H.264 in an MP4 file, and nothing else takes a sound here".into());
    }
    let stored = samples(&picture.mdia.minf.stbl)?;
    let frames: Option<Vec<&[u8]>> =
        stored.iter().map(|frame| file.get(frame.offset..frame.offset.checked_add(frame.size)?)).collect();
    let frames = Pieces {
        bytes: frames.ok_or("the video is cut off")?,
        ticks: stored.iter().map(|frame| frame.ticks).collect(),
        timescale: picture.mdia.mdhd.timescale.max(1),
    };
    let packets = Pieces {
        bytes: sound.packets.iter().map(Vec::as_slice).collect(),
        ticks: vec![u64::from(FRAME_SAMPLES); sound.packets.len()],
        timescale: RATE_HZ,
    };
    if frames.bytes.is_empty() || packets.bytes.is_empty() {
        return Err(failed(&"there is nothing to be seen or nothing to be heard"));
    }
    let timescale = frames.timescale;
    let shown: u64 = frames.ticks.iter().sum();
    let heard = (u128::from(sound.samples) * u128::from(timescale) / u128::from(RATE_HZ)) as u64;
    picture.tkhd.track_id = 1;
    picture.tkhd.duration = shown;
    picture.mdia.mdhd.duration = shown;
    let mut tracks = [(picture, frames), (sound_track(sound, heard), packets)];

    // Parts of both, by when they begin.
    let mut order: Vec<(f64, usize, std::ops::Range<usize>)> = Vec::new();
    for (number, (track, pieces)) in tracks.iter_mut().enumerate() {
        let chunks = pieces.chunks();
        let table = &mut track.mdia.minf.stbl;
        table.stsc = Stsc { entries: runs(&chunks) };
        table.stsz = Stsz {
            samples: StszSamples::Different {
                sizes: pieces.bytes.iter().map(|piece| piece.len() as u32).collect(),
            },
        };
        table.co64 = None;
        table.stco = Some(Stco { entries: vec![0; chunks.len()] });
        order.extend(chunks.into_iter().map(|(begins, range)| (begins, number, range)));
    }
    order.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let head = Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 512,
        compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec(),
    };
    let described = |tracks: &[(Trak, Pieces<'_>); 2]| -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        head.encode(&mut bytes).map_err(|error| failed(&error))?;
        let mvhd = Mvhd {
            creation_time: 0,
            modification_time: 0,
            timescale,
            duration: shown.max(heard),
            rate: 1.into(),
            volume: 1.into(),
            matrix: Default::default(),
            next_track_id: 3,
        };
        let trak = tracks.iter().map(|(track, _)| track.clone()).collect();
        Moov { mvhd, trak, ..Moov::default() }.encode(&mut bytes).map_err(|error| failed(&error))?;
        Ok(bytes)
    };
    // Places are as long whatever they say, so the length before them is known.
    let total: usize = tracks.iter().flat_map(|(_, pieces)| &pieces.bytes).map(|piece| piece.len()).sum();
    let length = u32::try_from(total + 8).map_err(|_| failed(&"more than 4 GiB"))?;
    let mut place = described(&tracks)?.len() + 8;
    let mut next = [0, 0];
    for (_, number, range) in &order {
        let (track, pieces) = &mut tracks[*number];
        if let Some(places) = &mut track.mdia.minf.stbl.stco {
            places.entries[next[*number]] = u32::try_from(place).map_err(|error| failed(&error))?;
        }
        next[*number] += 1;
        place += pieces.bytes[range.clone()].iter().map(|piece| piece.len()).sum::<usize>();
    }
    let mut whole = described(&tracks)?;
    whole.reserve(total + 8);
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(b"mdat");
    for (_, number, range) in order {
        tracks[number].1.bytes[range].iter().for_each(|piece| whole.extend_from_slice(piece));
    }
    Ok(whole)
}

/// How many pieces each part has, said where that changes.
fn runs(chunks: &[(f64, std::ops::Range<usize>)]) -> Vec<StscEntry> {
    let mut entries: Vec<StscEntry> = Vec::new();
    for (number, (_, range)) in (1_u32..).zip(chunks) {
        let samples_per_chunk = range.len() as u32;
        if entries.last().is_none_or(|entry| entry.samples_per_chunk != samples_per_chunk) {
            entries.push(StscEntry { first_chunk: number, samples_per_chunk, sample_description_index: 1 });
        }
    }
    entries
}

/// The track of a sound; `heard` is its length in ticks of the film.
fn sound_track(sound: &Aac, heard: u64) -> Trak {
    let count = sound.packets.len() as u32;
    let bytes: usize = sound.packets.iter().map(Vec::len).sum();
    let seconds = f64::from(count) * f64::from(FRAME_SAMPLES) / f64::from(RATE_HZ);
    let bitrate = (bytes as f64 * 8.0 / seconds.max(0.001)) as u32;
    let configuration = mp4_atom::esds::DecoderSpecific { raw: sound.config.clone(), ..Default::default() };
    let decoder = mp4_atom::esds::DecoderConfig {
        object_type_indication: MPEG4_AUDIO,
        stream_type: AUDIO_STREAM,
        max_bitrate: bitrate,
        avg_bitrate: bitrate,
        dec_specific: Some(configuration),
        ..Default::default()
    };
    let es_desc =
        EsDescriptor { es_id: 2, dec_config: decoder, sl_config: SLConfig {}, ..Default::default() };
    let audio = Audio {
        data_reference_index: 1,
        channel_count: 2,
        sample_size: 16,
        sample_rate: (RATE_HZ as u16).into(),
    };
    let stbl = Stbl {
        stsd: Stsd {
            codecs: vec![Codec::Mp4a(Mp4a { audio, esds: Esds { es_desc }, btrt: None, taic: None })],
        },
        stts: Stts { entries: vec![SttsEntry { sample_count: count, sample_delta: FRAME_SAMPLES }] },
        ..Stbl::default()
    };
    let minf = Minf {
        smhd: Some(Smhd::default()),
        dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
        stbl,
        ..Minf::default()
    };
    let mdhd = Mdhd {
        timescale: RATE_HZ,
        duration: u64::from(count) * u64::from(FRAME_SAMPLES),
        language: "und".into(),
        ..Mdhd::default()
    };
    let mdia = Mdia { mdhd, hdlr: Hdlr { handler: FourCC::new(b"soun"), name: "SoundHandler".into() }, minf };
    let tkhd = Tkhd {
        track_id: 2,
        duration: heard,
        enabled: true,
        in_movie: true,
        volume: 1.into(),
        ..Tkhd::default()
    };
    // What the encoder put before the sound is not played.
    let edit = ElstEntry { segment_duration: heard, media_time: Some(sound.priming), media_rate: 1.into() };
    let edts = Edts { elst: Some(Elst { entries: vec![edit] }) };
    Trak { tkhd, edts: Some(edts), mdia, ..Trak::default() }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::super::film::clip_facts;
    use super::super::h264::VideoEncoder;
    use super::*;

    fn silent(frames: usize) -> Vec<u8> {
        let mut encoder = VideoEncoder::new(64, 48, 12).expect("an encoder");
        for step in 0..frames {
            let frame = RgbImage::from_pixel(64, 48, image::Rgb([(step % 250) as u8; 3]));
            encoder.push(&frame).expect("a frame");
        }
        encoder.finish().expect("a file")
    }

    fn tone(seconds: f64) -> Aac {
        let count = (seconds * f64::from(RATE_HZ)) as usize;
        let samples = (0..count).map(|at| [((at as f64 * 0.06).sin() * 9000.0) as i16; 2]).collect();
        sound::encode(&sound::Sound { samples }).expect("packets")
    }

    #[test]
    fn a_video_with_sound_shows_what_it_showed() {
        let before = silent(40);
        let after = with_sound(&before, &tone(3.5)).expect("a file");
        assert_eq!(clip_facts(&after), clip_facts(&before));
        // And again, with another sound in place of that.
        let again = with_sound(&after, &tone(1.0)).expect("a file");
        assert_eq!(clip_facts(&again), clip_facts(&before));
        assert!(again.len() < after.len());
        let heard = sound::decode(&after).expect("its sound");
        assert!((heard.seconds() - 3.5).abs() < 0.05, "{}", heard.seconds());
    }

    #[test]
    fn what_is_no_video_gets_no_sound() {
        assert!(with_sound(b"no video", &tone(0.5)).is_err());
        let cut = silent(30);
        assert!(with_sound(&cut[..cut.len() - 40], &tone(0.5)).is_err());
    }
}

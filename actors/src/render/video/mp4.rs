//! H.264 to an MP4 file that plays while it loads: what describes the frames stands before them.

use mp4_atom::{
    Avc1, Avcc, Codec, Dinf, Dref, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvhd, Stbl, Stco,
    Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd,
};

/// Ticks of a frame.
const TICKS: u32 = 1000;

/// One encoded frame.
pub(super) struct Sample {
    /// Its units, each behind its length.
    pub bytes: Vec<u8>,
    /// Whether decoding may begin with it.
    pub is_key: bool,
}

/// The file of some frames; `parameters` are the sequence's and the pictures' sets.
pub(super) fn write_mp4(
    size: (u32, u32),
    fps: u64,
    (sequence, picture): (&[u8], &[u8]),
    samples: &[Sample],
) -> Result<Vec<u8>, String> {
    let failed = |reason: &dyn std::fmt::Display| format!("writing the video: {reason}");
    if samples.is_empty() || sequence.is_empty() || picture.is_empty() {
        return Err(failed(&"there are no frames"));
    }
    let avcc = Avcc::new(sequence, picture).map_err(|error| failed(&error))?;
    let head = Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 512,
        compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec(),
    };
    let described = |offset: u32| -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        head.encode(&mut bytes).map_err(|error| failed(&error))?;
        describe(size, fps, avcc.clone(), samples, offset)
            .encode(&mut bytes)
            .map_err(|error| failed(&error))?;
        Ok(bytes)
    };
    // The place of the frames is known once everything before them is; its number is as long whatever it says.
    let before = described(0)?.len() + 8;
    let mut file = described(u32::try_from(before).map_err(|error| failed(&error))?)?;
    let total: usize = samples.iter().map(|sample| sample.bytes.len()).sum();
    let length = u32::try_from(total + 8).map_err(|_| failed(&"more than 4 GiB"))?;
    file.extend_from_slice(&length.to_be_bytes());
    file.extend_from_slice(b"mdat");
    samples.iter().for_each(|sample| file.extend_from_slice(&sample.bytes));
    Ok(file)
}

fn describe(size: (u32, u32), fps: u64, avcc: Avcc, samples: &[Sample], offset: u32) -> Moov {
    let (width, height) = (size.0 as u16, size.1 as u16);
    let count = samples.len() as u32;
    // Times are left at zero: the same frames are the same file.
    let (timescale, duration) = (fps as u32 * TICKS, u64::from(count) * u64::from(TICKS));
    let keys = (1u32..).zip(samples).filter(|(_, sample)| sample.is_key).map(|(place, _)| place);
    let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let stbl = Stbl {
        stsd: Stsd { codecs: vec![Codec::Avc1(Avc1 { visual, avcc, ..Avc1::default() })] },
        stts: Stts { entries: vec![SttsEntry { sample_count: count, sample_delta: TICKS }] },
        stss: Some(Stss { entries: keys.collect() }),
        stsc: Stsc {
            entries: vec![StscEntry {
                first_chunk: 1,
                samples_per_chunk: count,
                sample_description_index: 1,
            }],
        },
        stsz: Stsz {
            samples: StszSamples::Different {
                sizes: samples.iter().map(|sample| sample.bytes.len() as u32).collect(),
            },
        },
        stco: Some(Stco { entries: vec![offset] }),
        ..Stbl::default()
    };
    let minf = Minf {
        vmhd: Some(Vmhd::default()),
        dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
        stbl,
        ..Minf::default()
    };
    let mdia = Mdia {
        mdhd: Mdhd { timescale, duration, language: "und".into(), ..Mdhd::default() },
        hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".into() },
        minf,
    };
    let tkhd = Tkhd {
        track_id: 1,
        duration,
        enabled: true,
        in_movie: true,
        width: width.into(),
        height: height.into(),
        ..Tkhd::default()
    };
    let mvhd = Mvhd {
        creation_time: 0,
        modification_time: 0,
        timescale,
        duration,
        rate: 1.into(),
        volume: 1.into(),
        matrix: Default::default(),
        next_track_id: 2,
    };
    Moov { mvhd, trak: vec![Trak { tkhd, mdia, ..Trak::default() }], ..Moov::default() }
}

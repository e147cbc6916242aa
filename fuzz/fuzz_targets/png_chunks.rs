//! Text chunks of PNG pictures: whatever the chunks are, a card is read from them or an error tells why not. The bytes are
//! taken as chunks, with signature and checksums put in, since no search would find those.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    let _ = cards::png::read(&[&picture, bytes].concat());
    for part in bytes.split(|byte| *byte == 0xff) {
        let Some((kind, data)) = part.split_first() else { continue };
        let kind: &[u8] = match kind % 4 {
            0 => b"tEXt",
            1 => b"zTXt",
            2 => b"iTXt",
            _ => b"IDAT",
        };
        let keyword: &[u8] = if data.len() % 2 == 0 { b"chara\0" } else { b"ccv3\0" };
        let body = [kind, keyword, data].concat();
        picture.extend((body.len() as u32 - 4).to_be_bytes());
        picture.extend(&body);
        picture.extend(crc32fast::hash(&body).to_be_bytes());
    }
    if let Ok((card, _, _)) = cards::png::read(&picture) {
        let written = cards::png::write(&picture, &card).expect("it takes a card");
        let (again, _, _) = cards::png::read(&written).expect("and gives it back");
        assert_eq!(again.name(), card.name());
    }
});

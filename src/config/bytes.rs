//! Sizes as people write them: `512MiB`.

/// Units, in lower case. Those with an `i` are powers of 1024, as everywhere.
const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

/// The bytes that a text such as `512MiB`, `8 GiB` or `4096` names; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
    let (number, bytes) = unit.unwrap_or((&text, 1));
    number.trim_end().parse::<u64>().ok()?.checked_mul(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("4096", Some(4096)),
            ("512MiB", Some(512 << 20)),
            ("8 GiB", Some(8 << 30)),
            ("64kb", Some(64_000)),
            ("7B", Some(7)),
            ("", None),
            ("MiB", None),
            ("1.5GiB", None),
            ("-1MiB", None),
            ("1 parsec", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }
}

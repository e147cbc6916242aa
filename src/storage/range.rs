//! Conditional and partial requests (RFC 9110).

use axum::http::HeaderMap;

use super::request::header;

/// What of a file to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// From the first byte to the last one, both included.
    Bytes(u64, u64),
    /// The client has it already.
    NotModified,
    /// Nothing of the file lies in the range.
    Unsatisfiable,
}

/// Decides from the request's headers.
pub(crate) fn part(headers: &HeaderMap, etag: &str, last_modified: &str, size: u64) -> Part {
    match header(headers, "if-none-match") {
        Some(given) if names(given, etag) => return Part::NotModified,
        Some(_) => {}
        // Clients send back the date they were given.
        None if header(headers, "if-modified-since") == Some(last_modified) => return Part::NotModified,
        None => {}
    }
    let still_same = header(headers, "if-range").is_none_or(|given| given == etag || given == last_modified);
    match header(headers, "range").filter(|_| still_same) {
        Some(range) => parse(range, size),
        None => Part::Whole,
    }
}

fn names(given: &str, etag: &str) -> bool {
    given.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

/// One range; what is not understood, or asks for several, gets the whole file.
fn parse(range: &str, size: u64) -> Part {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            let last = last.unwrap_or(u64::MAX);
            if last < first {
                return Part::Whole;
            }
            if first >= size { Part::Unsatisfiable } else { Part::Bytes(first, last.min(size - 1)) }
        }
        (Some(None), Some(Some(suffix))) => {
            if suffix == 0 || size == 0 {
                return Part::Unsatisfiable;
            }
            Part::Bytes(size.saturating_sub(suffix), size - 1)
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_the_standard() {
        for (range, size, expected) in [
            ("bytes=0-3", 10, Part::Bytes(0, 3)),
            ("bytes=4-", 10, Part::Bytes(4, 9)),
            ("bytes=-3", 10, Part::Bytes(7, 9)),
            ("bytes=-30", 10, Part::Bytes(0, 9)),
            ("bytes=8-99999999999999999999999", 10, Part::Bytes(8, 9)),
            ("bytes=10-", 10, Part::Unsatisfiable),
            ("bytes=-0", 10, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=5-2", 10, Part::Whole),
            ("bytes=0-1,4-5", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("lines=0-3", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
        ] {
            assert_eq!(parse(range, size), expected, "{range} of {size}");
        }
    }

    #[test]
    fn conditions_come_before_ranges() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
                .collect()
        };
        let decide = |pairs: &[(&'static str, &str)]| part(&headers(pairs), "\"a\"", "then", 10);
        assert_eq!(decide(&[]), Part::Whole);
        assert_eq!(decide(&[("if-none-match", "\"b\", W/\"a\""), ("range", "bytes=0-1")]), Part::NotModified);
        assert_eq!(decide(&[("if-none-match", "\"b\""), ("if-modified-since", "then")]), Part::Whole);
        assert_eq!(decide(&[("if-modified-since", "then")]), Part::NotModified);
        assert_eq!(decide(&[("if-range", "\"b\""), ("range", "bytes=0-1")]), Part::Whole);
        assert_eq!(decide(&[("if-range", "\"a\""), ("range", "bytes=0-1")]), Part::Bytes(0, 1));
    }
}

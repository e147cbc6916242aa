//! Which part of the bytes made so far may be shown? Never half a character, never part of a stop string.

use crate::error::LanguageError;

const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 256;

/// Turns the bytes of tokens into text that can be sent at once.
pub struct TextStream {
    stops: Vec<Vec<u8>>,
    /// Bytes that could still become part of a stop string or of a character.
    held: Vec<u8>,
    stopped: bool,
}

impl TextStream {
    /// A stream that ends before the first of `stops`.
    pub fn new(stops: &[String]) -> Result<TextStream, LanguageError> {
        let refused = |reason: String| Err(LanguageError::InvalidRequest { field: "stop", reason });
        if stops.len() > STOPS_MAX {
            return refused(format!("{} strings; at most {STOPS_MAX}", stops.len()));
        }
        if let Some(stop) = stops.iter().find(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
            return refused(format!("a string of {} bytes; 1 to {STOP_BYTES_MAX}", stop.len()));
        }
        let stops = stops.iter().map(|stop| stop.clone().into_bytes()).collect();
        Ok(TextStream { stops, held: Vec::new(), stopped: false })
    }

    /// Whether a stop string has come.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes a token's bytes and returns what may be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.extend_from_slice(bytes);
        let found = self.stops.iter().filter_map(|stop| find(&self.held, stop)).min();
        if let Some(at) = found {
            self.stopped = true;
            self.held.truncate(at);
            return self.finish();
        }
        let safe = self.held.len() - self.longest_beginning_of_a_stop();
        self.take_characters(safe)
    }

    /// What remains when no more tokens come; an incomplete character is dropped.
    pub fn finish(&mut self) -> String {
        let all = self.held.len();
        let text = self.take_characters(all);
        self.held.clear();
        text
    }

    /// How many bytes at the end are the beginning of some stop string.
    fn longest_beginning_of_a_stop(&self) -> usize {
        let longest = |stop: &Vec<u8>| {
            (1..stop.len()).rev().find(|len| self.held.ends_with(&stop[..*len])).unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }

    /// Removes whole characters from the first `end` bytes; bytes that can never become one turn into U+FFFD.
    fn take_characters(&mut self, end: usize) -> String {
        let mut text = String::new();
        let mut at = 0;
        while at < end {
            match std::str::from_utf8(&self.held[at..end]) {
                Ok(valid) => {
                    text.push_str(valid);
                    at = end;
                }
                Err(error) => {
                    let valid = at + error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.held[at..valid]));
                    at = valid;
                    let Some(wrong) = error.error_len() else { break };
                    text.push('\u{fffd}');
                    at += wrong;
                }
            }
        }
        self.held.drain(..at);
        text
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stops: &[&str]) -> TextStream {
        TextStream::new(&stops.iter().map(|stop| stop.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn characters_come_whole() {
        let mut stream = stream(&[]);
        let cat = "🐱".as_bytes();
        assert_eq!(stream.push(b"a"), "a");
        assert_eq!(stream.push(&cat[..1]), "");
        assert_eq!(stream.push(&cat[1..3]), "");
        assert_eq!(stream.push(&[cat[3], b'b']), "🐱b");
        assert_eq!(stream.push(&[0xff, b'c']), "\u{fffd}c");
        assert_eq!(stream.push(&cat[..2]), "");
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn no_part_of_a_stop_string_is_shown() {
        let mut stream = stream(&["\nUser:", "###"]);
        let mut shown = String::new();
        for piece in ["Hello", "\n", "Us", "ually #", "# ok\nUse", "r", ":", "more"] {
            shown += &stream.push(piece.as_bytes());
            assert!(!shown.contains("\nUser"), "{shown:?}");
        }
        assert!(stream.stopped());
        shown += &stream.finish();
        assert_eq!(shown, "Hello\nUsually ## ok");
    }

    #[test]
    fn what_only_looked_like_a_stop_is_shown_at_the_end() {
        let mut stream = stream(&["END"]);
        assert_eq!(stream.push(b"the EN"), "the ");
        assert_eq!(stream.finish(), "EN");
    }

    #[test]
    fn the_earliest_stop_wins_within_one_token() {
        let mut stream = stream(&["cd", "b"]);
        assert_eq!(stream.push(b"abcd"), "a");
        assert!(stream.stopped());
    }

    #[test]
    fn unreasonable_stops_are_refused() {
        assert!(TextStream::new(&[String::new()]).is_err());
        assert!(TextStream::new(&["x".repeat(257)]).is_err());
        assert!(TextStream::new(&vec!["x".to_string(); 17]).is_err());
    }
}

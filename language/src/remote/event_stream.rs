//! Where does one server-sent event end and the next begin?

const EVENT_BYTES_MAX: usize = 4 << 20;

/// Puts events together from pieces that may be cut anywhere.
#[derive(Default)]
pub(super) struct EventStream {
    /// An unfinished line.
    line: Vec<u8>,
    /// The data lines of an unfinished event.
    data: Option<String>,
}

impl EventStream {
    /// Takes a piece and returns the data of the events that it completes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<String>, String> {
        let mut complete = Vec::new();
        for byte in piece {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.data.as_ref().map_or(0, String::len) > EVENT_BYTES_MAX {
                    return Err("an event exceeds 4 MiB".into());
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8(line).map_err(|_| "an event is not UTF-8".to_string())?;
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                complete.extend(self.data.take());
            } else if let Some(data) = line.strip_prefix("data:") {
                let data = data.strip_prefix(' ').unwrap_or(data);
                match &mut self.data {
                    Some(held) => {
                        held.push('\n');
                        held.push_str(data);
                    }
                    None => self.data = Some(data.to_string()),
                }
            }
        }
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_any_cut() {
        let stream =
            ": hello\r\ndata: {\"a\":\"é🐱\"}\r\n\r\nevent: x\ndata:one\ndata: two\n\n\ndata: [DONE]\n\n";
        let expected = ["{\"a\":\"é🐱\"}", "one\ntwo", "[DONE]"];
        for size in 1..stream.len() {
            let mut events = EventStream::default();
            let found: Vec<String> =
                stream.as_bytes().chunks(size).flat_map(|piece| events.push(piece).unwrap()).collect();
            assert_eq!(found, expected, "pieces of {size}");
        }
    }

    #[test]
    fn endless_events_and_broken_text_are_refused() {
        let mut events = EventStream::default();
        assert!((0..6).map(|_| events.push(&vec![b'x'; 1 << 20])).any(|result| result.is_err()));
        assert!(EventStream::default().push(b"data: \xff\n\n").is_err());
    }
}

//! Frames of the realtime sockets: Phoenix's protocol in both serializations that the clients have.
//!
//! Version 1.0.0 is a JSON object, 2.0.0 a JSON array; broadcasts of 2.0.0 are binary. Payloads stay text: who forwards
//! one does not take it apart.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::half_characters;

/// Longest topic, event, key of a binary header, in bytes: their length is one byte.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 64;
/// Deepest JSON that is forwarded.
const DEPTH_MAX: usize = 64;

/// Kinds of binary frames: a broadcast from a client, and one to a client.
const KIND_PUSH: u8 = 3;
const KIND_BROADCAST: u8 = 4;
const ENCODING_BINARY: u8 = 0;
const ENCODING_JSON: u8 = 1;

/// The serialization that a socket was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `1.0.0`: objects.
    One,
    /// `2.0.0`: arrays, and binary broadcasts.
    Two,
}

/// What a client says.
#[derive(Debug)]
pub struct Message {
    /// The reference of the join that the channel of the message began with.
    pub join_ref: Option<String>,
    /// What an answer is to name.
    pub reference: Option<String>,
    /// The channel, `phoenix` for the socket itself.
    pub topic: String,
    /// What is said.
    pub event: String,
    /// More about it.
    pub payload: Payload,
}

/// The payload of a [`Message`].
#[derive(Debug)]
pub enum Payload {
    /// JSON, as it came.
    Json(Box<RawValue>),
    /// A broadcast in a binary frame.
    Broadcast(Broadcast),
}

/// What one client says to the others of a channel.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// Its name.
    pub event: String,
    /// What it carries.
    pub body: Body,
}

/// What a broadcast carries.
#[derive(Clone, Debug)]
pub enum Body {
    /// JSON.
    Json(Box<RawValue>),
    /// Anything else.
    Binary(Vec<u8>),
}

impl Body {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Body::Json(text) => text.get().len(),
            Body::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What goes to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
}

/// Why a frame is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The text is not what the serialization has.
    #[error("not a frame of version {version}: {reason}")]
    Text {
        /// The version.
        version: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The bytes are not what the serialization has.
    #[error("not a binary frame: {0}")]
    Binary(&'static str),
    /// A name is too long for a frame.
    #[error("{field} is longer than {NAME_BYTES_MAX} bytes")]
    Long {
        /// Which.
        field: &'static str,
    },
    /// JSON nests too deeply to be forwarded.
    #[error("payload nests deeper than {DEPTH_MAX} levels")]
    Deep,
    /// The payload of a broadcast is not one.
    #[error("payload: {0}")]
    Payload(String),
}

impl Version {
    /// Reads `vsn`; absent means 1.0.0.
    pub fn parse(text: Option<&str>) -> Option<Version> {
        match text {
            None | Some("" | "1.0.0") => Some(Version::One),
            Some("2.0.0") => Some(Version::Two),
            Some(_) => None,
        }
    }

    /// As `vsn` has it.
    pub fn name(self) -> &'static str {
        match self {
            Version::One => "1.0.0",
            Version::Two => "2.0.0",
        }
    }
}

/// A reference; clients count with numbers or with their digits.
struct Reference(Option<String>);

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Number(u64),
            Absent(()),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::Text(text) => Some(text),
            Form::Number(number) => Some(number.to_string()),
            Form::Absent(()) => None,
        };
        if text.as_ref().is_some_and(|text| text.len() > REFERENCE_BYTES_MAX) {
            return Err(serde::de::Error::custom(format!(
                "a ref is longer than {REFERENCE_BYTES_MAX} bytes"
            )));
        }
        Ok(Reference(text))
    }
}

fn absent() -> Reference {
    Reference(None)
}

/// A frame of version 1.0.0.
#[derive(Deserialize)]
struct Object {
    #[serde(default = "absent")]
    join_ref: Reference,
    #[serde(default = "absent", rename = "ref")]
    reference: Reference,
    topic: String,
    event: String,
    payload: Option<Box<RawValue>>,
}

/// Reads a text frame.
pub fn read_text(version: Version, text: &str) -> Result<Message, FrameError> {
    let wrong =
        |error: serde_json::Error| FrameError::Text { version: version.name(), reason: error.to_string() };
    // What is forwarded is text that every client reads.
    let text = half_characters::mend(text.as_bytes());
    let (join_ref, reference, topic, event, payload) = match version {
        // The library would take an array for the fields of an object.
        Version::One if !text.trim_ascii_start().starts_with(b"{") => {
            let reason = "it is no object".to_owned();
            return Err(FrameError::Text { version: version.name(), reason });
        }
        Version::One => {
            let object: Object = serde_json::from_slice(&text).map_err(wrong)?;
            (object.join_ref, object.reference, object.topic, object.event, object.payload)
        }
        Version::Two => {
            serde_json::from_slice::<(Reference, Reference, String, String, Option<Box<RawValue>>)>(&text)
                .map_err(wrong)?
        }
    };
    for (field, value) in [("topic", &topic), ("event", &event)] {
        if value.len() > NAME_BYTES_MAX {
            return Err(FrameError::Long { field });
        }
    }
    let payload = Payload::Json(payload.unwrap_or_else(null));
    Ok(Message { join_ref: join_ref.0, reference: reference.0, topic, event, payload })
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// Reads a binary frame: a broadcast of a client of version 2.0.0.
pub fn read_binary(version: Version, bytes: &[u8]) -> Result<Message, FrameError> {
    if version == Version::One {
        return Err(FrameError::Binary("version 1.0.0 has none"));
    }
    let Some((&[kind, join_ref, reference, topic, event, meta, encoding], rest)) =
        bytes.split_first_chunk::<7>()
    else {
        return Err(FrameError::Binary("the header is cut short"));
    };
    if kind != KIND_PUSH {
        return Err(FrameError::Binary("the kind is not 3, a broadcast"));
    }
    let mut rest = rest;
    let mut take = |length: u8| {
        let (name, after) =
            rest.split_at_checked(length.into()).ok_or(FrameError::Binary("a name is cut short"))?;
        rest = after;
        std::str::from_utf8(name).map_err(|_| FrameError::Binary("a name is not UTF-8"))
    };
    let (join_ref, reference) = (take(join_ref)?, take(reference)?);
    let (topic, event, _) = (take(topic)?, take(event)?, take(meta)?);
    let body = match encoding {
        ENCODING_BINARY => Body::Binary(rest.to_vec()),
        ENCODING_JSON => Body::Json(json(rest)?),
        _ => return Err(FrameError::Binary("the encoding is neither 0, bytes, nor 1, JSON")),
    };
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Message {
        join_ref: named(join_ref),
        reference: named(reference),
        topic: topic.to_owned(),
        event: "broadcast".to_owned(),
        payload: Payload::Broadcast(Broadcast { event: event.to_owned(), body }),
    })
}

/// JSON that may be forwarded.
pub fn json(bytes: &[u8]) -> Result<Box<RawValue>, FrameError> {
    let raw: Box<RawValue> = serde_json::from_slice(&half_characters::mend(bytes))
        .map_err(|error| FrameError::Payload(format!("not JSON: {error}")))?;
    check_depth(&raw)?;
    Ok(raw)
}

fn check_depth(raw: &RawValue) -> Result<(), FrameError> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in raw.get().bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(FrameError::Deep);
        }
    }
    Ok(())
}

/// The broadcast in the payload of an event `broadcast`: `{type, event, payload}`.
pub fn broadcast_of(payload: Payload) -> Result<Broadcast, FrameError> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        event: Cow<'a, str>,
        #[serde(borrow)]
        payload: Option<&'a RawValue>,
    }
    let raw = match payload {
        Payload::Broadcast(broadcast) => return Ok(broadcast),
        Payload::Json(raw) => raw,
    };
    let said: Said =
        serde_json::from_str(raw.get()).map_err(|error| FrameError::Payload(error.to_string()))?;
    if said.event.len() > NAME_BYTES_MAX {
        return Err(FrameError::Long { field: "event" });
    }
    let body = said.payload.map_or_else(|| RawValue::NULL.to_owned(), RawValue::to_owned);
    check_depth(&body)?;
    Ok(Broadcast { event: said.event.into_owned(), body: Body::Json(body) })
}

/// A text as JSON.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quoted)
}

/// A text frame to a client; `payload` is JSON.
pub fn write(
    version: Version,
    join_ref: Option<&str>,
    reference: Option<&str>,
    topic: &str,
    event: &str,
    payload: &str,
) -> Frame {
    let (topic, event, reference) = (quoted(topic), quoted(event), optional(reference));
    Frame::Text(match version {
        Version::One => {
            format!(r#"{{"topic":{topic},"event":{event},"payload":{payload},"ref":{reference}}}"#)
        }
        Version::Two => format!("[{},{reference},{topic},{event},{payload}]", optional(join_ref)),
    })
}

/// A broadcast to a client; `None` where the version has no form for it.
pub fn write_broadcast(version: Version, topic: &str, broadcast: &Broadcast) -> Option<Frame> {
    let event = &broadcast.event;
    match (version, &broadcast.body) {
        (Version::One, Body::Binary(_)) => None,
        (Version::One, Body::Json(body)) => {
            let payload =
                format!(r#"{{"type":"broadcast","event":{},"payload":{}}}"#, quoted(event), body.get());
            Some(write(version, None, None, topic, "broadcast", &payload))
        }
        (Version::Two, body) => {
            let (encoding, bytes) = match body {
                Body::Json(text) => (ENCODING_JSON, text.get().as_bytes()),
                Body::Binary(bytes) => (ENCODING_BINARY, bytes.as_slice()),
            };
            let lengths = [u8::try_from(topic.len()).ok()?, u8::try_from(event.len()).ok()?];
            let mut frame = Vec::with_capacity(5 + topic.len() + event.len() + bytes.len());
            frame.extend([KIND_BROADCAST, lengths[0], lengths[1], 0, encoding]);
            for part in [topic.as_bytes(), event.as_bytes(), bytes] {
                frame.extend_from_slice(part);
            }
            Some(Frame::Binary(frame))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(names: [&str; 5], encoding: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![KIND_PUSH];
        bytes.extend(names.iter().map(|name| name.len() as u8));
        bytes.push(encoding);
        names.iter().for_each(|name| bytes.extend_from_slice(name.as_bytes()));
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn halves_of_characters_are_replaced_and_pairs_stay() {
        for (version, text) in [
            (
                Version::One,
                r#"{"topic":"realtime:a\ud83d","event":"broadcast","payload":{"x":"\ud83d\ude00\ude00"},"ref":"1"}"#,
            ),
            (Version::Two, r#"[null,"1","realtime:a\ud83d","broadcast",{"x":"\ud83d\ude00\ude00"}]"#),
        ] {
            let message = read_text(version, text).expect("a frame");
            assert_eq!(message.topic, "realtime:a\u{fffd}");
            let Payload::Json(payload) = message.payload else { panic!("JSON") };
            let read: serde_json::Value = serde_json::from_str(payload.get()).expect("JSON");
            assert_eq!(read["x"], "\u{1f600}\u{fffd}");
        }
        assert_eq!(json(br#""\ude00""#).expect("JSON").get(), r#""\ufffd""#);
    }

    #[test]
    fn both_serializations_say_the_same() {
        let one = r#"{"topic":"realtime:a","event":"phx_join","payload":{"x":1},"ref":"2","join_ref":"1"}"#;
        let two = r#"["1","2","realtime:a","phx_join",{"x":1}]"#;
        for (version, text) in [(Version::One, one), (Version::Two, two)] {
            let message = read_text(version, text).expect(text);
            assert_eq!((message.join_ref.as_deref(), message.reference.as_deref()), (Some("1"), Some("2")));
            assert_eq!((message.topic.as_str(), message.event.as_str()), ("realtime:a", "phx_join"));
            assert!(matches!(message.payload, Payload::Json(raw) if raw.get() == r#"{"x":1}"#));
        }
        let bare =
            read_text(Version::One, r#"{"topic":"phoenix","event":"heartbeat","ref":7}"#).expect("a frame");
        assert_eq!((bare.reference.as_deref(), bare.join_ref), (Some("7"), None));
        let payload = "{}";
        let written = write(Version::Two, Some("1"), None, "t", "e\"", payload);
        assert_eq!(written, Frame::Text(r#"["1",null,"t","e\"",{}]"#.into()));
        let written = write(Version::One, Some("1"), Some("2"), "t", "e", payload);
        assert_eq!(written, Frame::Text(r#"{"topic":"t","event":"e","payload":{},"ref":"2"}"#.into()));
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let long = format!(r#"[null,null,"{}","e",{{}}]"#, "t".repeat(256));
        let reference = format!(r#"["{}",null,"t","e",{{}}]"#, "9".repeat(65));
        for text in [
            "",
            "{}",
            "[]",
            "[1,2,3]",
            "null",
            "[null,null,\"t\",\"e\",{}",
            &long,
            &reference,
            "[{},null,\"t\",\"e\",{}]",
        ] {
            assert!(read_text(Version::Two, text).is_err(), "{text}");
            assert!(read_text(Version::One, text).is_err(), "{text}");
        }
        assert!(read_text(Version::One, r#"["1","2","t","e",{}]"#).is_err());
    }

    #[test]
    fn broadcasts_travel_as_bytes() {
        let bytes =
            push(["1", "2", "realtime:a", "é", ""], ENCODING_JSON, br#"{"n":12345678901234567890123}"#);
        let message = read_binary(Version::Two, &bytes).expect("a frame");
        assert_eq!((message.topic.as_str(), message.event.as_str()), ("realtime:a", "broadcast"));
        let broadcast = broadcast_of(message.payload).expect("a broadcast");
        assert_eq!(broadcast.event, "é");
        let Some(Frame::Binary(frame)) = write_broadcast(Version::Two, "realtime:a", &broadcast) else {
            panic!()
        };
        assert_eq!(&frame[..5], [4, 10, 2, 0, 1]);
        assert!(frame.ends_with(br#"{"n":12345678901234567890123}"#));
        let Some(Frame::Text(text)) = write_broadcast(Version::One, "realtime:a", &broadcast) else {
            panic!()
        };
        assert!(text.contains(r#""payload":{"n":12345678901234567890123}"#), "{text}");

        let raw = push(["", "", "t", "e", ""], ENCODING_BINARY, &[0, 159]);
        let raw =
            broadcast_of(read_binary(Version::Two, &raw).expect("a frame").payload).expect("a broadcast");
        assert!(write_broadcast(Version::One, "t", &raw).is_none());
        assert!(write_broadcast(Version::Two, "t", &raw).is_some());
    }

    #[test]
    fn broken_bytes_are_an_error_wherever_they_break() {
        let whole = push(["1", "2", "realtime:a", "e", "{}"], ENCODING_JSON, b"{}");
        for end in 0..whole.len() {
            assert!(read_binary(Version::Two, &whole[..end]).is_err(), "{end}");
        }
        assert!(read_binary(Version::One, &whole).is_err());
        assert!(read_binary(Version::Two, &push(["", "", "t", "e", ""], 2, b"{}")).is_err());
        assert!(read_binary(Version::Two, &push(["", "", "t", "e", ""], ENCODING_JSON, b"{} {}")).is_err());
        assert!(
            read_binary(Version::Two, &push(["", "", "t", "e", ""], ENCODING_JSON, &[b'"', 255, b'"']))
                .is_err()
        );
        let deep = "[".repeat(99) + &"]".repeat(99);
        assert_eq!(json(deep.as_bytes()).expect_err("deep"), FrameError::Deep);
        assert!(
            json(br#""[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[""#).is_ok()
        );
    }

    #[test]
    fn a_broadcast_has_a_name() {
        let of = |text: &str| broadcast_of(Payload::Json(json(text.as_bytes()).expect("JSON")));
        assert!(of(r#"{"type":"broadcast","event":"e","payload":{"a":1}}"#).is_ok());
        assert!(matches!(of(r#"{"event":"e"}"#).expect("one").body, Body::Json(raw) if raw.get() == "null"));
        assert!(of(r#"{"payload":{}}"#).is_err() && of("[]").is_err() && of(r#"{"event":1}"#).is_err());
    }
}

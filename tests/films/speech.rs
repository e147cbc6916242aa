//! A remote server that speaks (`/v1/audio/speech`) and moves mouths (`/v1/lipsync`), and fails when a test says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use crate::common::Server;

/// Speaks a tone of 0.05 s a letter.
pub struct Speaker {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    asked: Vec<Json>,
    /// How many of the next requests fail, and with which status.
    failing: (usize, u16),
}

impl Speaker {
    pub fn start() -> Speaker {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Speaker { url, state }
    }

    /// Writes it into a server's catalogue.
    pub fn register(&self, server: &Server, lip_sync: bool) {
        self.register_as(server, "voices", lip_sync);
    }

    /// The same under a name.
    pub fn register_as(&self, server: &Server, name: &str, lip_sync: bool) {
        let provider = json!({"name": name, "display_name": name, "base_url": self.url});
        let (status, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&provider));
        assert_eq!(status, 201, "{rows}");
        let row = match lip_sync {
            false => json!({"provider_id": rows[0]["id"], "model_key": "tts-1", "display_name": "Voice",
                "modality": "audio", "task": "tts"}),
            true => json!({"provider_id": rows[0]["id"], "model_key": "lips", "display_name": "Lips",
                "modality": "video", "task": "generation", "endpoint_path": "/lipsync",
                "capabilities": {"lip_sync": true}}),
        };
        let (status, rows) = server.call("POST", "/rest/v1/api_models", &server.service, Some(&row));
        assert_eq!(status, 201, "{rows}");
    }

    /// Fails so many of the next requests with a status.
    pub fn fail_next(&self, times: usize, status: u16) {
        self.state.lock().expect("no panic").failing = (times, status);
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<Json> {
        self.state.lock().expect("no panic").asked.clone()
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut length, mut first) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        if first.is_empty() {
            first = line.clone();
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request: Json = serde_json::from_slice(&body).ok()?;
    let failure = {
        let mut state = state.lock().expect("no panic");
        state.asked.push(request.clone());
        let failure = (state.failing.0 > 0).then_some(state.failing.1);
        state.failing.0 = state.failing.0.saturating_sub(1);
        failure
    };
    let (status, kind, bytes) = match failure {
        Some(status) => (status, "application/json", br#"{"error": {"message": "not now"}}"#.to_vec()),
        None if first.contains("/lipsync") => (200, "video/mp4", fetch(request["video_url"].as_str()?)),
        None => (200, "audio/wav", tone(request["input"].as_str()?.chars().count() as f64 * 0.05)),
    };
    let mut out = stream;
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        bytes.len()
    );
    out.write_all(head.as_bytes()).ok()?;
    out.write_all(&bytes).ok()
}

/// The bytes behind an address.
fn fetch(url: &str) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = language::http_client().build().expect("a client");
        let answer = client.get(url).send().await.expect("an answer");
        answer.bytes().await.expect("bytes").to_vec()
    })
}

/// A WAV file with a tone of so many seconds.
pub fn tone(seconds: f64) -> Vec<u8> {
    let rate = 24_000_u32;
    let count = (seconds * f64::from(rate)) as usize;
    let samples = (0..count).map(|at| ((at as f64 * 0.1).sin() * 9000.0) as i16);
    let bytes: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((bytes.len() as u32).to_le_bytes());
    file.extend(bytes);
    file
}

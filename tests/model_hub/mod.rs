//! A hub of models on this machine: what it is asked, and how it answers or fails to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

/// How a file is given.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// All of it.
    Whole,
    /// So many times the line breaks after a third of what is left.
    Breaks { times: usize },
    /// Half of it, and then nothing more.
    Stalls,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

#[derive(Clone)]
enum Answer {
    File(Arc<Vec<u8>>, Behaviour),
    Redirect(String),
    Status(u16),
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    asked: Vec<Asked>,
}

/// A hub and the store beside it, which is another host: that of addresses that begin with `/store`.
pub struct Hub {
    pub url: String,
    store: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn start() -> Hub {
        let state = Arc::new(Mutex::new(State::default()));
        Hub { url: listen(&state), store: listen(&state), state }
    }

    /// Answers with JSON.
    pub fn say(&self, path: &str, answer: &Json) {
        self.give(path, answer.to_string().as_bytes(), Behaviour::Whole);
    }

    /// Answers with a file.
    pub fn give(&self, path: &str, bytes: &[u8], how: Behaviour) {
        self.answer(path, Answer::File(Arc::new(bytes.to_vec()), how));
    }

    /// Leads to another path, on the store's host where it is one of its own.
    pub fn lead(&self, path: &str, to: &str) {
        let host = if to.starts_with("/store") { &self.store } else { &self.url };
        self.answer(path, Answer::Redirect(format!("{host}{to}")));
    }

    /// Answers with a status.
    pub fn refuse(&self, path: &str, status: u16) {
        self.answer(path, Answer::Status(status));
    }

    fn answer(&self, path: &str, answer: Answer) {
        self.state.lock().expect("no panic").answers.insert(path.into(), answer);
    }

    /// What it was asked for a path, in order.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let state = self.state.lock().expect("no panic");
        state.asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listen(state: &Arc<Mutex<State>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let state = state.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || serve(socket, &state));
        }
    });
    url
}

fn serve(mut socket: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let (mut line, mut headers) = (String::new(), HashMap::new());
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_string();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let answer = {
        let mut state = state.lock().expect("no panic");
        let of = |name: &str| headers.get(name).cloned();
        state.asked.push(Asked {
            path: path.clone(),
            range: of("range"),
            authorization: of("authorization"),
        });
        let answer = state.answers.get(&path).cloned();
        if let Some(Answer::File(_, Behaviour::Breaks { times })) = state.answers.get_mut(&path) {
            *times = times.saturating_sub(1);
        }
        answer
    };
    match answer {
        None => socket.write_all(head(404, 0, "").as_bytes()),
        Some(Answer::Status(status)) => socket.write_all(head(status, 0, "").as_bytes()),
        Some(Answer::Redirect(to)) => {
            socket.write_all(head(302, 0, &format!("location: {to}\r\n")).as_bytes())
        }
        Some(Answer::File(bytes, how)) => {
            let etag = format!("\"{}\"", sha256(&bytes));
            let is_same = headers.get("if-range").is_none_or(|known| *known == etag);
            let from = headers
                .get("range")
                .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
            if is_same && from.is_some_and(|from: usize| from >= bytes.len()) {
                let length = format!("content-range: bytes */{}\r\n", bytes.len());
                return socket.write_all(head(416, 0, &length).as_bytes());
            }
            let from: usize = from.filter(|_| is_same).unwrap_or(0);
            let mut more = format!("etag: {etag}\r\n");
            if from > 0 {
                more += &format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
            }
            let rest = &bytes[from..];
            socket.write_all(head(if from > 0 { 206 } else { 200 }, rest.len(), &more).as_bytes())?;
            match how {
                Behaviour::Breaks { times } if times > 0 => socket.write_all(&rest[..rest.len() / 3]),
                Behaviour::Stalls => {
                    socket.write_all(&rest[..rest.len() / 2])?;
                    socket.set_read_timeout(Some(Duration::from_secs(120)))?;
                    // Until the client has gone.
                    let _ = socket.read(&mut [0; 1]);
                    Ok(())
                }
                _ => socket.write_all(rest),
            }
        }
    }
}

fn head(status: u16, length: usize, more: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n")
}

//! A chat model elsewhere, as slow as a test wants it, and a client that reads event streams.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::common::Server;

/// Speaks the OpenAI dialect: counts words, one at a time, and ends with what it heard last. Asked to answer slowly it
/// pauses so much longer that a test can do something meanwhile on any machine.
pub struct ModelServer {
    pub url: String,
    state: Arc<Mutex<State>>,
}

/// How many times longer a pause becomes.
const SLOWLY: u32 = 20;

/// Words for a request.
type Script = Box<dyn Fn(&Json) -> String + Send>;

#[derive(Default)]
struct State {
    script: Option<Script>,
    prompts: Vec<Json>,
    requests: Vec<Json>,
    says: Option<String>,
    calls: Option<(String, String)>,
    is_ill: bool,
}

impl ModelServer {
    pub fn start(pause: Duration, words: usize) -> ModelServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || answer(stream, &state, pause, words));
            }
        });
        ModelServer { url, state }
    }

    /// Makes it the default for roleplay in a server's catalogue.
    pub fn become_default(&self, server: &Server) {
        let provider = json!({"name": "test", "display_name": "Test", "base_url": self.url});
        let (status, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&provider));
        assert_eq!(status, 201, "{rows}");
        let row = json!({"provider_id": rows[0]["id"], "model_key": "slow", "display_name": "Slow",
            "modality": "chat", "tasks": ["roleplay", "vision"], "default_for_tasks": ["roleplay"]});
        let (status, rows) = server.call("POST", "/rest/v1/api_models", &server.service, Some(&row));
        assert_eq!(status, 201, "{rows}");
    }

    /// What it says from now on.
    pub fn say(&self, text: &str) {
        self.state.lock().expect("no panic").says = Some(text.into());
    }

    /// What it says to each request from now on.
    pub fn script(&self, script: impl Fn(&Json) -> String + Send + 'static) {
        self.state.lock().expect("no panic").script = Some(Box::new(script));
    }

    /// It counts words again.
    pub fn say_as_before(&self) {
        self.state.lock().expect("no panic").says = None;
    }

    /// Which tool it calls next, once.
    pub fn call(&self, name: &str, arguments: &str) {
        self.state.lock().expect("no panic").calls = Some((name.into(), arguments.into()));
    }

    /// The last request as it came.
    pub fn last_request(&self) -> Json {
        self.state.lock().expect("no panic").requests.last().cloned().expect("a request")
    }

    /// Whether it says from now on that it is not well.
    pub fn be_ill(&self, is_ill: bool) {
        self.state.lock().expect("no panic").is_ill = is_ill;
    }

    /// The messages of all requests.
    pub fn prompts(&self) -> Vec<Json> {
        self.state.lock().expect("no panic").prompts.clone()
    }

    /// The messages of the last request.
    pub fn last_prompt(&self) -> Json {
        self.prompts().pop().expect("a prompt")
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>, pause: Duration, words: usize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    if length == 0 {
        // A worker says whether it is well.
        let status = if state.lock().expect("no panic").is_ill { "503 Ill" } else { "200 OK" };
        let mut out = stream;
        let said = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        return out.write_all(said.as_bytes()).ok();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request: Json = serde_json::from_slice(&body).ok()?;
    let content = &request["messages"].as_array()?.last()?["content"];
    let heard = content.as_str().or(content[0]["text"].as_str())?.to_string();
    let (says, calls) = {
        let mut state = state.lock().expect("no panic");
        state.prompts.push(request["messages"].clone());
        state.requests.push(request.clone());
        let scripted = state.script.as_ref().map(|script| script(&request));
        (scripted.or_else(|| state.says.clone()), state.calls.take())
    };
    let pause = if heard.contains("slowly") { pause * SLOWLY } else { pause };
    let mut out = stream;
    out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").ok()?;
    if let Some((name, arguments)) = calls {
        // In pieces, as servers send it.
        let (begin, rest) = arguments.split_at(arguments.len() / 2);
        for call in [
            json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}),
            json!({"index": 0, "function": {"arguments": begin}}),
            json!({"index": 0, "function": {"arguments": rest}}),
        ] {
            let chunk = json!({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": null}]});
            out.write_all(format!("data: {chunk}\n\n").as_bytes()).ok()?;
        }
        let end = json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]});
        return out.write_all(format!("data: {end}\n\ndata: [DONE]\n\n").as_bytes()).ok();
    }
    let mut send = |text: &str| {
        let chunk = json!({"choices": [{"delta": {"content": text}, "finish_reason": null}]});
        out.write_all(format!("data: {chunk}\n\n").as_bytes()).ok()?;
        out.flush().ok()
    };
    match says {
        Some(text) => text.split_inclusive(' ').try_for_each(&mut send)?,
        None => {
            for number in 0..words {
                send(&format!("word {number} "))?;
                std::thread::sleep(pause);
            }
            send(&format!("heard {}", heard.lines().next().unwrap_or_default()))?;
        }
    }
    let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": words}});
    out.write_all(format!("data: {end}\n\ndata: [DONE]\n\n").as_bytes()).ok()
}

/// An event stream of a function.
pub struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    pub fn open(server: &Server, token: &str, function: &str, body: &Json) -> Stream {
        let address = server.url.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout");
        let body = body.to_string();
        let head = format!(
            "POST /functions/v1/{function} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\naccept: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("a request");
        let mut lines = BufReader::new(stream);
        let mut status = String::new();
        lines.read_line(&mut status).expect("a status");
        assert!(status.contains(" 200 "), "{status}");
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).expect("a header");
            if line.trim().is_empty() {
                return Stream { lines };
            }
        }
    }

    /// The next event's name and data.
    pub fn next(&mut self) -> Option<(String, Json)> {
        let (mut name, mut data) = (String::new(), Json::Null);
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(value) = line.strip_prefix("event: ") {
                name = value.to_string();
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = serde_json::from_str(value).expect("JSON");
            } else if line.is_empty() && !name.is_empty() {
                return Some((name, data));
            }
        }
    }

    /// All events that are still to come.
    pub fn all(mut self) -> Vec<(String, Json)> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

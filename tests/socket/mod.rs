//! A small realtime client: frames go out as they are given, and come in as JSON.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// However slow the machine is, it takes no longer.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A socket that is open.
pub struct Socket {
    runtime: Runtime,
    stream: WebSocketStream<TcpStream>,
    version: &'static str,
    reference: u64,
    /// Came while something else was waited for.
    came: VecDeque<Json>,
    /// With what code and reason the server has closed it.
    pub closed: Option<(u16, String)>,
}

impl Socket {
    /// Opens a socket of version 2.0.0; panics when it may not.
    pub fn open(url: &str, key: &str) -> Socket {
        Socket::open_as(url, key, "2.0.0")
    }

    /// The same in another version.
    pub fn open_as(url: &str, key: &str, version: &'static str) -> Socket {
        Socket::try_open(url, &format!("apikey={key}&vsn={version}"), version).expect("the socket opens")
    }

    /// Opens a socket with these parameters, or says with what status it was refused.
    pub fn try_open(url: &str, query: &str, version: &'static str) -> Result<Socket, u16> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let host = url.trim_start_matches("http://").to_string();
        let opened = runtime.block_on(async {
            let stream = TcpStream::connect(&host).await.expect("a connection");
            let target = format!("ws://{host}/realtime/v1/websocket?{query}");
            tokio_tungstenite::client_async(target, stream).await
        });
        match opened {
            Ok((stream, _)) => {
                let (reference, came) = (0, VecDeque::new());
                Ok(Socket { runtime, stream, version, reference, came, closed: None })
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("the socket does not open: {other}"),
        }
    }

    /// Sends a text frame.
    pub fn send_text(&mut self, text: impl Into<String>) {
        let message = Message::Text(text.into().into());
        // A socket that was closed meanwhile takes nothing; the reason is read.
        let _ = self.runtime.block_on(self.stream.send(message));
    }

    /// Sends a binary frame.
    pub fn send_bytes(&mut self, bytes: Vec<u8>) {
        let _ = self.runtime.block_on(self.stream.send(Message::Binary(bytes.into())));
    }

    /// Sends a message; answers with its reference.
    pub fn push(&mut self, topic: &str, event: &str, payload: &Json) -> String {
        self.reference += 1;
        let reference = self.reference.to_string();
        let frame = match self.version {
            "1.0.0" => json!({"topic": topic, "event": event, "payload": payload, "ref": reference}),
            _ => json!([null, reference, topic, event, payload]),
        };
        self.send_text(frame.to_string());
        reference
    }

    /// Sends a broadcast as a binary frame.
    pub fn push_binary(&mut self, topic: &str, event: &str, encoding: u8, payload: &[u8]) -> String {
        self.reference += 1;
        let reference = self.reference.to_string();
        let names = ["", reference.as_str(), topic, event, ""];
        let mut frame = vec![3];
        frame.extend(names.iter().map(|name| name.len() as u8));
        frame.push(encoding);
        names.iter().for_each(|name| frame.extend_from_slice(name.as_bytes()));
        frame.extend_from_slice(payload);
        self.send_bytes(frame);
        reference
    }

    /// Sends a message and waits for its reply: status and response.
    pub fn ask(&mut self, topic: &str, event: &str, payload: &Json) -> (String, Json) {
        let reference = self.push(topic, event, payload);
        let reply = self.until("a reply", |it| it["event"] == "phx_reply" && it["ref"] == reference.as_str());
        let payload = &reply["payload"];
        (payload["status"].as_str().unwrap_or_default().to_string(), payload["response"].clone())
    }

    /// Joins `realtime:<name>` with a configuration.
    pub fn join(&mut self, name: &str, token: Option<&str>, config: &Json) -> (String, Json) {
        let mut payload = json!({"config": config});
        if let Some(token) = token {
            payload["access_token"] = token.into();
        }
        self.ask(&format!("realtime:{name}"), "phx_join", &payload)
    }

    /// Joins for changes and waits for what the server says of it.
    pub fn listen(&mut self, name: &str, token: Option<&str>, bindings: &Json) -> Json {
        let (status, response) = self.join(name, token, &json!({"postgres_changes": bindings}));
        assert_eq!(status, "ok", "{response}");
        let topic = format!("realtime:{name}");
        self.until("a system message", |it| it["event"] == "system" && it["topic"] == topic.as_str())["payload"].clone()
    }

    /// The next message; `None` once the socket is closed.
    pub fn next(&mut self) -> Option<Json> {
        self.next_within(PATIENCE).expect("something comes")
    }

    /// The same, unless nothing comes for so long.
    pub fn next_within(&mut self, patience: Duration) -> Result<Option<Json>, tokio::time::error::Elapsed> {
        if let Some(first) = self.came.pop_front() {
            return Ok(Some(first));
        }
        loop {
            let next = async { tokio::time::timeout(patience, self.stream.next()).await };
            match self.runtime.block_on(next)? {
                Some(Ok(Message::Text(text))) => {
                    let frame: Json = serde_json::from_str(&text).expect("JSON");
                    return Ok(Some(match frame {
                        Json::Array(parts) => {
                            json!({"join_ref": parts[0], "ref": parts[1], "topic": parts[2],
                                                     "event": parts[3], "payload": parts[4]})
                        }
                        object => object,
                    }));
                }
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(broadcast(&bytes))),
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return Ok(None),
            }
        }
    }

    /// The first message that is wanted; what comes before is kept for later.
    pub fn until(&mut self, what: &str, is_wanted: impl Fn(&Json) -> bool) -> Json {
        let begun = Instant::now();
        let mut others = VecDeque::new();
        loop {
            let Some(message) = self.next() else {
                panic!("{what} did not come: {:?}, {others:?}", self.closed)
            };
            if is_wanted(&message) {
                others.append(&mut self.came);
                self.came = others;
                return message;
            }
            others.push_back(message);
            assert!(begun.elapsed() < PATIENCE, "{what} did not come: {others:?}");
        }
    }

    /// The next changed row: its ids and data.
    pub fn change(&mut self) -> (Vec<u64>, Json) {
        let found = self.until("a change", |it| it["event"] == "postgres_changes");
        let ids = found["payload"]["ids"].as_array().expect("ids").iter().filter_map(Json::as_u64);
        (ids.collect(), found["payload"]["data"].clone())
    }

    /// What has come and was not waited for.
    pub fn rest(&mut self) -> Vec<Json> {
        self.came.drain(..).collect()
    }

    /// Reads until the server closes the socket: code and reason.
    pub fn end(&mut self) -> (u16, String) {
        while self.next().is_some() {}
        self.closed.clone().unwrap_or_default()
    }
}

/// A broadcast from the server.
fn broadcast(bytes: &Bytes) -> Json {
    assert_eq!(bytes[0], 4, "{bytes:?}");
    let mut at = 5;
    let mut take = |length: u8| {
        let text = String::from_utf8(bytes[at..at + usize::from(length)].to_vec()).expect("UTF-8");
        at += usize::from(length);
        text
    };
    let (topic, event) = (take(bytes[1]), take(bytes[2]));
    let body = &bytes[at + usize::from(bytes[3])..];
    let payload = match bytes[4] {
        1 => serde_json::from_slice(body).expect("JSON"),
        _ => json!({"bytes": body}),
    };
    json!({"topic": topic, "event": "broadcast", "payload": {"event": event, "payload": payload}})
}

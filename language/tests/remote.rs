//! Does the remote engine cope with servers as they are: slow, busy, broken, or chatty?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::StreamExt;
use language::remote::{ApiKey, CircuitState, Endpoint, RemoteEngine, RemoteLimits};
use language::{ChatEngine, ChatEvent, ChatMessage, ChatRequest, FinishReason, LanguageError, Role};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// What the fake server does with each request.
#[derive(Clone, Copy)]
enum Mood {
    /// Answers in three pieces and tells its usage.
    Friendly,
    /// Fails with this status for so many requests, then is friendly.
    Failing(u16, usize),
    /// Sends one piece and then nothing.
    Stuck,
    /// Sends one piece and closes the connection.
    Broken,
    /// Accepts and never answers.
    Silent,
    /// Refuses by name each of these fields, then is friendly.
    Choosy(&'static [&'static str]),
    /// Sends this after a whole reply.
    Trailing(&'static str),
    /// Sends these events and closes.
    Saying(&'static [&'static str]),
    /// Answers with the whole reply as JSON.
    Whole,
}

struct Server {
    mood: Mood,
    requests: AtomicUsize,
    last: std::sync::Mutex<Option<(HeaderMap, Value)>>,
}

fn piece(text: &str) -> Bytes {
    let data = json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    Bytes::from(format!("data: {data}\n\n"))
}

fn friendly() -> Vec<Bytes> {
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}});
    vec![
        piece("Hello"),
        piece(", "),
        piece("world"),
        Bytes::from(format!("data: {end}\n\n")),
        Bytes::from(format!("data: {usage}\n\n")),
        Bytes::from_static(b"data: [DONE]\n\n"),
    ]
}

fn stream(pieces: Vec<Bytes>, then_wait: bool) -> Response {
    let sent = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    if then_wait {
        Body::from_stream(sent.chain(futures_util::stream::pending())).into_response()
    } else {
        Body::from_stream(sent).into_response()
    }
}

async fn complete(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let number = server.requests.fetch_add(1, Ordering::SeqCst);
    *server.last.lock().unwrap() = Some((headers, serde_json::from_slice(&body).unwrap()));
    match server.mood {
        Mood::Friendly => stream(friendly(), false),
        Mood::Failing(status, times) if number < times => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("retry-after", "0.05")], "no: your key is sk-secret").into_response()
        }
        Mood::Failing(..) => stream(friendly(), false),
        Mood::Stuck => stream(vec![piece("Hel")], true),
        Mood::Broken => stream(vec![piece("Hel")], false),
        Mood::Silent => std::future::pending().await,
        Mood::Choosy(fields) => {
            let sent: Value = serde_json::from_slice(&body).unwrap();
            match fields.iter().find(|field| sent.get(**field).is_some()) {
                Some(field) => {
                    let message =
                        format!("Unsupported parameter: '{field}' is not supported with this model.");
                    let error = json!({"error": {"message": message, "param": field}}).to_string();
                    (StatusCode::BAD_REQUEST, error).into_response()
                }
                None => stream(friendly(), false),
            }
        }
        Mood::Trailing(data) => {
            let mut pieces = friendly();
            pieces.truncate(4);
            pieces.push(Bytes::from(format!("data: {data}\n\n")));
            stream(pieces, false)
        }
        Mood::Saying(events) => {
            stream(events.iter().map(|data| Bytes::from(format!("data: {data}\n\n"))).collect(), false)
        }
        Mood::Whole => {
            let reply = json!({"choices": [{"message": {"content": "Hello, world"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3}});
            ([("content-type", "application/json; charset=utf-8")], reply.to_string()).into_response()
        }
    }
}

async fn serve(mood: Mood) -> (Arc<Server>, Endpoint) {
    let server = Arc::new(Server { mood, requests: AtomicUsize::new(0), last: Default::default() });
    let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let endpoint = Endpoint {
        name: format!("fake-{}", address.port()),
        base_url: format!("http://{address}/v1/"),
        api_key: Some(ApiKey::new("sk-secret")),
        model: "tiny".into(),
    };
    (server, endpoint)
}

fn limits() -> RemoteLimits {
    RemoteLimits {
        connect: Duration::from_secs(2),
        read: Duration::from_secs(2),
        total: Duration::from_secs(5),
        back_off: Duration::from_millis(10),
        ..RemoteLimits::default()
    }
}

fn engine(endpoints: Vec<Endpoint>, limits: RemoteLimits) -> RemoteEngine {
    RemoteEngine::new("remote", endpoints, limits, Handle::current()).unwrap()
}

fn request() -> ChatRequest {
    ChatRequest::new(vec![ChatMessage::new(Role::User, "hi")])
}

#[tokio::test]
async fn a_reply_streams_and_the_key_is_sent_but_never_shown() {
    let (server, endpoint) = serve(Mood::Friendly).await;
    assert!(!format!("{endpoint:?}").contains("sk-secret"));
    let engine = engine(vec![endpoint.clone()], limits());
    let mut reply = engine.submit(request()).unwrap();
    assert!(matches!(reply.next().await, Some(ChatEvent::Delta(text)) if text == "Hello"));
    let (text, outcome) = reply.collect().await.unwrap();
    assert_eq!(text, ", world");
    assert_eq!(outcome.finish_reason, FinishReason::Stop);
    assert_eq!((outcome.usage.prompt_tokens, outcome.usage.completion_tokens), (9, 3));
    assert_eq!(outcome.engine, endpoint.name);
    let (headers, body) = server.last.lock().unwrap().clone().unwrap();
    assert_eq!(headers["authorization"], "Bearer sk-secret");
    assert_eq!((&body["model"], &body["messages"][0]["content"]), (&json!("tiny"), &json!("hi")));
}

#[tokio::test]
async fn stop_texts_hold_even_where_the_server_ignores_them() {
    let (_server, endpoint) = serve(Mood::Friendly).await;
    let mut request = request();
    request.stop = vec![" w".into()];
    let (text, outcome) = engine(vec![endpoint], limits()).submit(request).unwrap().collect().await.unwrap();
    assert_eq!((text.as_str(), outcome.finish_reason), ("Hello,", FinishReason::Stop));
}

#[tokio::test]
async fn busy_and_failing_servers_are_asked_again() {
    for status in [429, 500, 503] {
        let (server, endpoint) = serve(Mood::Failing(status, 2)).await;
        let started = Instant::now();
        let reply = engine(vec![endpoint], limits()).submit(request()).unwrap();
        assert_eq!(reply.collect().await.unwrap().0, "Hello, world", "{status}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 3);
        assert!(started.elapsed() >= Duration::from_millis(100), "Retry-After is honoured");
    }
}

#[tokio::test]
async fn refusals_are_not_repeated_and_hide_the_key() {
    let (server, endpoint) = serve(Mood::Failing(401, 9)).await;
    let error = engine(vec![endpoint], limits()).submit(request()).unwrap().collect().await.unwrap_err();
    assert!(matches!(&error, LanguageError::RemoteStatus { status: 401, .. }));
    assert!(!error.to_string().contains("sk-secret"), "{error}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_next_endpoint_takes_over() {
    let (_silent, first) = serve(Mood::Silent).await;
    let (_broken, second) = serve(Mood::Failing(500, 99)).await;
    let (_good, third) = serve(Mood::Friendly).await;
    let closed = Endpoint { base_url: "http://127.0.0.1:9/v1".into(), ..first.clone() };
    let limits = RemoteLimits { attempts: 1, ..limits() };
    let reply = engine(vec![closed, first, second, third.clone()], limits).submit(request()).unwrap();
    let (text, outcome) = reply.collect().await.unwrap();
    assert_eq!((text.as_str(), outcome.engine), ("Hello, world", third.name));
}

#[tokio::test]
async fn text_once_shown_is_never_repeated() {
    for mood in [Mood::Stuck, Mood::Broken] {
        let (server, endpoint) = serve(mood).await;
        let (_good, other) = serve(Mood::Friendly).await;
        let mut reply = engine(vec![endpoint, other], limits()).submit(request()).unwrap();
        assert!(matches!(reply.next().await, Some(ChatEvent::Delta(text)) if text == "Hel"));
        assert!(matches!(reply.next().await, Some(ChatEvent::Failed(LanguageError::Remote { .. }))));
        assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn the_circuit_opens_and_closes_again() {
    let (server, endpoint) = serve(Mood::Failing(500, 2)).await;
    let limits = RemoteLimits { attempts: 1, failures_max: 2, rest: Duration::from_secs(2), ..limits() };
    let engine = engine(vec![endpoint], limits);
    for _ in 0..2 {
        assert!(engine.submit(request()).unwrap().collect().await.is_err());
    }
    assert!(matches!(engine.circuits()[0].1, CircuitState::Open { .. }));
    let error = engine.submit(request()).unwrap().collect().await.unwrap_err();
    assert!(matches!(error, LanguageError::CircuitOpen { .. }));
    assert_eq!(server.requests.load(Ordering::SeqCst), 2, "an open circuit spares the server");
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(engine.submit(request()).unwrap().collect().await.unwrap().0, "Hello, world");
    assert_eq!(engine.circuits()[0].1, CircuitState::Closed);
}

#[tokio::test]
async fn cancelling_and_time_limits_end_a_reply() {
    let (_server, endpoint) = serve(Mood::Silent).await;
    let patient = RemoteLimits { read: Duration::from_secs(60), ..limits() };
    let engine_ = engine(vec![endpoint.clone()], patient);
    let asked = request();
    let cancel = asked.cancel.clone();
    let reply = engine_.submit(asked).unwrap();
    cancel.cancel();
    assert_eq!(reply.collect().await.unwrap().1.finish_reason, FinishReason::Cancelled);

    let hasty = RemoteLimits { total: Duration::from_millis(100), ..patient };
    let error = engine(vec![endpoint], hasty).submit(request()).unwrap().collect().await.unwrap_err();
    assert!(error.to_string().contains("within 0.1 s"), "{error}");
}

#[tokio::test]
async fn beyond_what_a_server_takes_requests_wait_fairly_and_no_more_than_may() {
    let (server, endpoint) = serve(Mood::Silent).await;
    let patient = RemoteLimits { active_max: 1, waiting_max: 2, read: Duration::from_secs(60), ..limits() };
    let engine = engine(vec![endpoint], patient);
    let asked = |user: &str| {
        let mut asked = request();
        asked.user = user.into();
        let cancel = asked.cancel.clone();
        (engine.submit(asked), cancel)
    };
    let (first, end_first) = asked("ada");
    let (second, end_second) = asked("ada");
    let (third, _) = asked("bob");
    let (first, second, third) = (first.unwrap(), second.unwrap(), third.unwrap());
    assert_eq!(first.queue_position(), None);
    assert_eq!((second.queue_position(), third.queue_position()), (Some(0), Some(1)));
    assert!(matches!(asked("eve").0, Err(LanguageError::QueueFull { limit: 2 })));

    // One that gives up while it waits was never asked of the server.
    end_second.cancel();
    assert_eq!(second.collect().await.unwrap().1.finish_reason, FinishReason::Cancelled);
    assert_eq!(third.queue_position(), Some(0));
    assert!(server.requests.load(Ordering::SeqCst) <= 1);
    end_first.cancel();
    first.collect().await.unwrap();
    while third.queue_position().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_server_refuses_by_name_stays_out_and_is_remembered() {
    let (server, endpoint) = serve(Mood::Choosy(&["max_tokens", "seed", "temperature"])).await;
    let engine = engine(vec![endpoint], limits());
    let reply = engine.submit(request()).unwrap().collect().await.unwrap();
    assert_eq!(reply.0, "Hello, world");
    assert_eq!(server.requests.load(Ordering::SeqCst), 4);
    let body = server.last.lock().unwrap().clone().unwrap().1;
    assert_eq!(body["max_completion_tokens"], 512);
    assert!(body.get("max_tokens").is_none() && body.get("seed").is_none());
    engine.submit(request()).unwrap().collect().await.unwrap();
    assert_eq!(server.requests.load(Ordering::SeqCst), 5, "what was refused is not asked again");

    // What cannot be left out is refused as before, and one request is not asked without end.
    let (server, endpoint) = serve(Mood::Choosy(&["messages"])).await;
    let error =
        self::engine(vec![endpoint], limits()).submit(request()).unwrap().collect().await.unwrap_err();
    assert!(matches!(error, LanguageError::RemoteStatus { status: 400, .. }), "{error}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_follows_a_whole_reply_does_not_lose_it() {
    for data in [
        r#"{"choices":null,"usage":{"prompt_tokens":9,"completion_tokens":3}}"#,
        r#"{"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":null}}"#,
        r#"{"choices":[{"index":0,"delta":null}],"usage":{"prompt_tokens":9.0,"completion_tokens":3.0}}"#,
        r#"{"error":{"message":"counting failed"}}"#,
        "nonsense",
    ] {
        let (server, endpoint) = serve(Mood::Trailing(data)).await;
        let (text, outcome) =
            engine(vec![endpoint], limits()).submit(request()).unwrap().collect().await.unwrap();
        assert_eq!((text.as_str(), outcome.finish_reason), ("Hello, world", FinishReason::Stop), "{data}");
        assert_eq!(outcome.usage.completion_tokens, 3, "{data}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn odd_pieces_and_whole_replies_are_read() {
    let events: &[&str] = &[
        r#"{"choices":null}"#,
        r#"{"id":"x"}"#,
        r#"{"choices":[{"delta":null}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
        r#"{"choices":[{"delta":{"content":"Hello, world"},"finish_reason":""}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    for mood in [Mood::Saying(events), Mood::Whole] {
        let (_server, endpoint) = serve(mood).await;
        let (text, outcome) =
            engine(vec![endpoint], limits()).submit(request()).unwrap().collect().await.unwrap();
        assert_eq!((text.as_str(), outcome.finish_reason), ("Hello, world", FinishReason::Stop));
    }
}

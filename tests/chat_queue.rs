//! Many conversations at once: who waits knows their place, who is too many hears when to come back, people take
//! turns, and a slow server delays no other.

mod common;
mod model_server;
mod talk;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Server;
use common::files::{Answer, bearer, send};
use model_server::{ModelServer, Stream};
use serde_json::{Value as Json, json};
use talk::{assistant, conversation, invoke, messages_of, start, start_with, until, user};

fn post(server: &Server, token: &str, path: &str, body: &Json) -> Answer {
    let authorization = bearer(token);
    let headers = [
        ("authorization", authorization.as_str()),
        ("apikey", server.anon.as_str()),
        ("content-type", "application/json"),
    ];
    send(&format!("{}{path}", server.url), "POST", &headers, body.to_string().as_bytes()).expect("an answer")
}

/// The next event of this name; others are skipped.
fn next(stream: &mut Stream, name: &str) -> Json {
    loop {
        let (found, data) = stream.next().unwrap_or_else(|| panic!("the stream ended before {name}"));
        if found == name {
            return data;
        }
    }
}

fn under_way(server: &Server) -> u64 {
    let (_, health) = server.call("GET", "/health", &server.service, None);
    health["chat"]["replies_under_way"].as_u64().expect("a number")
}

#[test]
fn those_who_wait_know_their_place_and_those_too_many_when_to_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(50), 12_000);
    let limits = [("PLAYHOUSE_REMOTE_CHAT_REPLIES_MAX", "1"), ("PLAYHOUSE_REMOTE_CHAT_WAITING_MAX", "2")];
    let server = start_with(folder.path(), &limits);
    model.become_default(&server);
    let people: Vec<(String, String)> =
        ["ada", "bob", "eve"].iter().map(|name| server.sign_up(&format!("{name}@example.com"))).collect();
    let open = |(id, token): &(String, String)| {
        let chat = conversation(&server, id, token);
        let body = json!({"conversation_id": chat, "message": "Tell me a long story"});
        (Stream::open(&server, token, "playground-chat", &body), chat)
    };
    let stop = |person: usize, chat: &str| {
        let (status, stopped) =
            invoke(&server, &people[person].1, "stop-reply", json!({"conversation_id": chat}));
        assert_eq!((status, &stopped["state"]), (200, &json!("stopped")), "{stopped}");
    };
    let (mut first, first_chat) = open(&people[0]);
    next(&mut first, "delta");
    let (mut second, second_chat) = open(&people[0]);
    assert_eq!(next(&mut second, "queue")["position"], 0);
    let (mut third, third_chat) = open(&people[1]);
    assert_eq!(next(&mut third, "queue")["position"], 1);

    // One more is too many: the answer says when to come back, and nothing of it is stored.
    let (id, token) = &people[2];
    let chat = conversation(&server, id, token);
    let refused = post(
        &server,
        token,
        "/functions/v1/playground-chat",
        &json!({"conversation_id": chat, "message": "And me?"}),
    );
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"), "{}", refused.text());
    assert_eq!(refused.json()["code"], "BUSY");
    assert!(messages_of(&server, token, &chat).is_empty());
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "And me?"}]});
    let refused = post(&server, token, "/v1/chat/completions", &body);
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"), "{}", refused.text());
    let error = &refused.json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("rate_limit_error"), &json!("rate_limit_exceeded")));
    assert!(error["message"].as_str().is_some_and(|text| text.contains('2')), "{error}");

    // Those who wait move up as others end, and are answered in turn; who gives up leaves no gap.
    stop(0, &first_chat);
    next(&mut second, "delta");
    assert_eq!(next(&mut third, "queue")["position"], 0);
    let (mut fourth, fourth_chat) = open(&people[2]);
    assert_eq!(next(&mut fourth, "queue")["position"], 1);
    stop(1, &third_chat);
    assert_eq!(third.all().last().expect("an end").1["state"], "stopped");
    assert_eq!(next(&mut fourth, "queue")["position"], 0);
    stop(0, &second_chat);
    next(&mut fourth, "delta");
    stop(2, &fourth_chat);
    assert_eq!(model.prompts().len(), 3, "who gave up while waiting was never asked for");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn replies_end_with_their_account() {
    let folder = tempfile::tempdir().expect("a folder");
    // Ten minutes for each reply.
    let model = ModelServer::start(Duration::from_millis(500), 1200);
    let server = start(folder.path());
    model.become_default(&server);
    for (name, method, body) in
        [("gone", "DELETE", json!({})), ("banned", "PUT", json!({"ban_duration": "1h"}))]
    {
        let (id, token) = server.sign_up(&format!("{name}@example.com"));
        let chat = conversation(&server, &id, &token);
        let body_of_turn = json!({"conversation_id": chat, "message": "Tell me a long story"});
        let mut stream = Stream::open(&server, &token, "playground-chat", &body_of_turn);
        next(&mut stream, "delta");
        assert_eq!(under_way(&server), 1, "{name}");
        let path = format!("/auth/v1/admin/users/{id}");
        assert_eq!(server.call(method, &path, &server.service, Some(&body)).0, 200, "{name}");
        // Both the stream and the reply end by themselves.
        while stream.next().is_some() {}
        let waiting = Instant::now();
        while under_way(&server) > 0 {
            assert!(waiting.elapsed() < Duration::from_secs(60), "{name}: the reply goes on");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_slow_server_elsewhere_delays_nobody_else() {
    const SLOW: usize = 40;
    let folder = tempfile::tempdir().expect("a folder");
    // Ten minutes for each reply.
    let model = ModelServer::start(Duration::from_millis(500), 1200);
    let server = start(folder.path());
    model.become_default(&server);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let own = conversation(&server, &bob, &bob_token);
    let local = |message: String| {
        let body =
            json!({"conversation_id": own, "message": message, "model_provider": "local", "max_tokens": 16});
        invoke(&server, &bob_token, "playground-chat", body)
    };
    // The model is loaded before the clock runs.
    assert_eq!(local("Hello".into()).0, 200);
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let chat = conversation(&server, &ada, &ada_token);
        let body = json!({"conversation_id": chat, "message": "Tell me a long story"});
        slow.push((Stream::open(&server, &ada_token, "playground-chat", &body), chat));
    }
    assert_eq!(under_way(&server), SLOW as u64);
    let mut longest = Duration::ZERO;
    for number in 0..20 {
        let mut timed = |what: &str, done: &dyn Fn() -> u16, wanted: u16| {
            let started = Instant::now();
            assert_eq!(done(), wanted, "{what}");
            longest = longest.max(started.elapsed());
        };
        let path = format!("/rest/v1/conversations?user_id=eq.{bob}");
        timed("a read", &|| server.call("GET", &path, &bob_token, None).0, 200);
        let line = json!({"conversation_id": own, "sender": "user", "content": format!("line {number}")});
        timed("a write", &|| server.call("POST", "/rest/v1/messages", &bob_token, Some(&line)).0, 201);
        timed("a local reply", &|| local(format!("Say {number}")).0, 200);
    }
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    assert_eq!(under_way(&server), SLOW as u64, "the slow ones are still under way");
    for (_, chat) in &slow {
        invoke(&server, &ada_token, "stop-reply", json!({"conversation_id": chat}));
    }
    until("all have ended", || under_way(&server) == 0);
    assert_eq!(server.check()["faults"], 0);
}

/// Memory of a process, in megabytes.
fn megabytes(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).expect("a number") / 1024
}

#[test]
fn fifty_conversations_at_once_take_turns_and_never_cross() {
    const HOG: usize = 30;
    const OTHERS: usize = 20;
    const AT_ONCE: usize = 4;
    // This process may hear of an end later than of those after it.
    const SEEN_LATE: usize = 5;
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let people: Vec<(String, String)> =
        (0..5).map(|number| server.sign_up(&format!("person{number}@example.com"))).collect();
    // Most belong to one person, who comes first.
    let owner = |number: usize| if number < HOG { 0 } else { 1 + number % 4 };
    let chats: Vec<String> = (0..HOG + OTHERS)
        .map(|number| conversation(&server, &people[owner(number)].0, &people[owner(number)].1))
        .collect();
    let words = |number: usize, round: usize| format!("mark{number}x{round} {}", "and so on ".repeat(60));
    // The first replies, as many as are written at once, are long: the rest come while these go on.
    let body = |chat: &str, number: usize, round: usize| {
        let tokens = if number < AT_ONCE { 1200 } else { 100 };
        json!({"conversation_id": chat, "message": words(number, round), "seed": number, "max_tokens": tokens})
    };
    // The model is loaded before anybody queues for it.
    let (id, token) = &people[0];
    let warm =
        json!({"conversation_id": conversation(&server, id, token), "message": "Hello", "max_tokens": 4});
    assert_eq!(invoke(&server, token, "playground-chat", warm).0, 200);
    let mut memory = Vec::new();
    for round in 0..3 {
        // How many of the first person's replies have ended, and the most that ended while one of the others waited.
        let (of_first, overtaken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for (number, chat) in chats.iter().enumerate() {
                let token = &people[owner(number)].1;
                let before = of_first.load(Ordering::SeqCst);
                // Opened one after the other, so that it is known who came first.
                let stream = Stream::open(&server, token, "playground-chat", &body(chat, number, round));
                let (of_first, overtaken) = (&of_first, &overtaken);
                scope.spawn(move || {
                    let (name, data) = stream.all().pop().expect("an end");
                    assert_eq!(name, "done", "{data}");
                    if number < HOG {
                        of_first.fetch_add(1, Ordering::SeqCst);
                    } else {
                        overtaken.fetch_max(of_first.load(Ordering::SeqCst) - before, Ordering::SeqCst);
                    }
                });
            }
        });
        // Who came last did not wait for all that came first: each of the others has five requests, and in each of
        // the rounds to their last one the first person has one turn, besides what was being written already.
        let overtaken = overtaken.into_inner();
        println!(
            "round {round}: at most {overtaken} of the first person's replies ended while another waited"
        );
        assert!(overtaken <= 5 + AT_ONCE + SEEN_LATE, "round {round}: {overtaken}");
        memory.push(megabytes(&server));
    }
    // Every conversation has what was said in it, and the replies that the same words get alone.
    for (number, chat) in chats.iter().enumerate() {
        let (id, token) = &people[owner(number)];
        let lines = messages_of(&server, token, chat);
        assert_eq!(lines.len(), 6, "{lines:?}");
        for round in 0..3 {
            assert_eq!(lines[2 * round], user(&words(number, round)));
        }
        if number % 5 == 0 {
            let alone = conversation(&server, id, token);
            let (status, answer) = invoke(&server, token, "playground-chat", body(&alone, number, 0));
            assert_eq!(status, 200, "{answer}");
            assert_eq!(lines[1], assistant(answer["response"].as_str().expect("text")));
        }
    }
    println!("memory after each round: {memory:?} MB");
    assert!(memory[2] < memory[0] + 96, "it grows: {memory:?}");
    let (_, health) = server.call("GET", "/health", &server.service, None);
    assert_eq!(health["chat"]["replies_under_way"], 0);
    for actor in health["actors"].as_array().expect("actors") {
        assert_eq!((&actor["refused_full"], &actor["panicked"]), (&json!(0), &json!(0)), "{actor}");
    }
    assert_eq!(server.check()["faults"], 0);
}

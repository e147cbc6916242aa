//! Chat in OpenAI's dialect: whole and streamed, with a model and with a character as the model.

mod common;
mod model_server;
mod talk;

use std::time::Duration;

use common::Server;
use common::files::{Answer, bearer, send};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::character;

fn complete(server: &Server, token: &str, body: &Json) -> Answer {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let url = format!("{}/v1/chat/completions", server.url);
    send(&url, "POST", &headers, body.to_string().as_bytes()).expect("an answer")
}

/// The data of every event; the last one is `[DONE]`.
fn chunks(answer: &Answer) -> Vec<Json> {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/event-stream"),
        "{}",
        answer.text()
    );
    let text = answer.text();
    let mut data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{text}");
    data.iter().map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

fn text_of(chunks: &[Json]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_string())
}

#[test]
fn the_local_model_answers_whole_and_streamed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = talk::start(folder.path());
    let (id, token) = server.sign_up("ada@example.com");
    let asked = json!({"model": "tiny", "messages": [{"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"}], "max_tokens": 12, "seed": 5, "temperature": 0.8});
    let whole = complete(&server, &token, &asked);
    assert_eq!(whole.status, 200, "{}", whole.text());
    let whole = whole.json();
    let message = &whole["choices"][0]["message"];
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!("tiny")), "{whole}");
    assert!(
        message["role"] == "assistant" && message["content"].as_str().is_some_and(|text| !text.is_empty())
    );
    let usage = &whole["usage"];
    let tokens = |name: &str| usage[name].as_u64().expect("a number");
    assert!(tokens("completion_tokens") <= 12 && tokens("prompt_tokens") > 2, "{usage}");
    assert_eq!(tokens("total_tokens"), tokens("completion_tokens") + tokens("prompt_tokens"));

    // A seed says the same again, piece by piece.
    let mut streamed = asked.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let all = chunks(&complete(&server, &token, &streamed));
    assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(json!(text_of(&all)), message["content"]);
    let last = all.last().expect("a chunk");
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &usage["total_tokens"]));
    assert_eq!(all[all.len() - 2]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
    let mut other = asked.clone();
    other["seed"] = json!(6);
    assert_ne!(complete(&server, &token, &other).json()["choices"][0]["message"], *message);

    // Several replies to a seed begin with the one that a single request gets.
    let mut two = asked.clone();
    two["n"] = json!(2);
    let both = complete(&server, &token, &two).json();
    let choices = both["choices"].as_array().expect("choices");
    assert_eq!(
        (choices.len(), &choices[0]["message"], &choices[1]["index"]),
        (2, message, &json!(1)),
        "{both}"
    );
    assert_ne!(choices[1]["message"], *message);
    assert_eq!(both["usage"]["prompt_tokens"], usage["prompt_tokens"]);
    two["stream"] = json!(true);
    let all = chunks(&complete(&server, &token, &two));
    let text_at = |index: u64| -> String {
        let choices = all.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == index);
        choices.filter_map(|choice| choice["delta"]["content"].as_str()).collect()
    };
    assert_eq!(
        json!([text_at(0), text_at(1)]),
        json!([message["content"], choices[1]["message"]["content"]])
    );

    // A seed of the server's choice comes back whole from a client that counts in doubles.
    let mut unseeded = asked.clone();
    unseeded.as_object_mut().expect("an object").remove("seed");
    let seed = complete(&server, &token, &unseeded).json()["seed"].as_u64().expect("a seed");
    assert!(seed < 1 << 53, "{seed}");

    // A stop text ends the reply before it.
    let text = message["content"].as_str().expect("text");
    let stop: String = text.chars().skip(4).take(3).collect();
    let mut stopped = asked.clone();
    stopped["stop"] = json!([stop]);
    let answer = complete(&server, &token, &stopped).json();
    let short = answer["choices"][0]["message"]["content"].as_str().expect("text");
    assert!(short.len() < text.len() && !short.contains(&stop), "{short:?} {text:?} {stop:?}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");

    // The model is the default too, and is listed.
    let mut unnamed = asked.clone();
    unnamed.as_object_mut().expect("an object").remove("model");
    assert_eq!(complete(&server, &token, &unnamed).json()["choices"][0]["message"], *message);
    let (_, models) = server.call("GET", "/v1/models", &token, None);
    let listed =
        |id: &str| models["data"].as_array().is_some_and(|models| models.iter().any(|it| it["id"] == id));
    assert!(listed("tiny"), "{models}");
    let mira = format!("character:{}", character(&server, &id, &token, json!({})));
    let mut as_character = asked.clone();
    as_character["model"] = json!(mira);
    let answer = complete(&server, &token, &as_character).json();
    assert_eq!(answer["model"], json!(mira), "{answer}");
    as_character["max_tokens"] = json!(3);
    let short = complete(&server, &token, &as_character).json();
    assert!(short["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| tokens <= 3), "{short}");
    assert!(answer["usage"]["prompt_tokens"].as_u64() > usage["prompt_tokens"].as_u64(), "{answer}");

    let with = |field: &str, value: Json| {
        let mut body = asked.clone();
        body[field] = value;
        refusal(&complete(&server, &token, &body))
    };
    assert_eq!(with("model", json!("gpt-9")), (404, "model_not_found".into()));
    assert_eq!(with("model", json!("character:x")), (404, "model_not_found".into()));
    assert_eq!(with("messages", json!([])), (400, "invalid_value".into()));
    assert_eq!(with("temperature", json!(-1)), (400, "invalid_value".into()));
    assert_eq!(with("temperature", json!("hot")), (400, "invalid_value".into()));
    assert_eq!(with("n", json!(9)), (400, "invalid_value".into()));
    let picture = json!([{"role": "user", "content": [{"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]);
    assert_eq!(with("messages", picture), (400, "invalid_value".into()));
    assert_eq!(with("tools", json!([{"type": "function"}])), (400, "invalid_value".into()));
    assert_eq!(with("tool_choice", json!("required")), (400, "invalid_value".into()));
    let long = json!([{"role": "user", "content": "word ".repeat(20_000)}]);
    assert_eq!(with("messages", long), (400, "context_length_exceeded".into()));
    let (_, stranger) = server.sign_up("eve@example.com");
    assert_eq!(refusal(&complete(&server, &stranger, &as_character)), (404, "model_not_found".into()));
    assert_eq!(refusal(&complete(&server, &server.anon, &asked)).0, 401);
    // Nothing of it is kept: the client has the conversation.
    let (_, kept) = server.call("GET", "/rest/v1/messages?select=id", &server.service, None);
    assert_eq!(kept, json!([]));
}

#[test]
fn a_character_is_a_model_with_its_sheet_its_lore_and_its_rating() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (id, token) = server.sign_up("ada@example.com");
    let card = json!({"spec": "chara_card_v2", "data": {"name": "Mira", "description": "{{char}} keeps the light.",
        "character_book": {"entries": [{"keys": ["storm"], "content": "Storms come from the north.", "enabled": true,
            "insertion_order": 1, "extensions": {}}], "extensions": {}}}});
    let (status, made) = server.call("POST", "/functions/v1/import-character", &token, Some(&card));
    assert_eq!(status, 200, "{made}");
    let mira = format!("character:{}", made["characterId"].as_str().expect("an id"));
    let ask = |model: &str, text: &str| {
        let messages =
            json!([{"role": "system", "content": "It is night."}, {"role": "user", "content": text}]);
        complete(&server, &token, &json!({"model": model, "messages": messages}))
    };
    let none = ask(&mira, "Hello");
    assert_eq!((refusal(&none), none.header("x-should-retry")), ((503, "no_chat_model".into()), "false"));

    let model = ModelServer::start(Duration::from_millis(1), 4);
    model.become_default(&server);
    let answer = ask(&mira, "A storm!").json();
    assert_eq!(
        answer["choices"][0]["message"]["content"], "word 0 word 1 word 2 word 3 heard A storm!",
        "{answer}"
    );
    let prompt = model.last_prompt();
    let system = prompt[0]["content"].as_str().expect("instructions");
    for part in ["Mira keeps the light.", "Storms come from the north.", "It is night."] {
        assert!(system.contains(part), "{part}: {system}");
    }
    assert_eq!(prompt.as_array().map(Vec::len), Some(2), "{prompt}");
    ask(&mira, "All quiet.");
    assert!(!model.last_prompt().to_string().contains("from the north"));

    // A model elsewhere gets the pictures too; a character would not know what to do with them.
    let look = json!([{"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    let look = json!([{"role": "user", "content": look}]);
    assert_eq!(complete(&server, &token, &json!({"model": "slow", "messages": look})).status, 200);
    assert_eq!(model.last_prompt(), look);
    let shown = complete(&server, &token, &json!({"model": mira, "messages": look}));
    assert_eq!(refusal(&shown), (400, "invalid_value".into()));

    // The rules hold for what is asked, for who answers, and for what is answered.
    let heard = model.prompts().len();
    assert_eq!(refusal(&ask(&mira, "Are you naked?")), (422, "content_refused".into()));
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let nsfw = json!({"model": "slow", "messages": messages, "content_rating": "nsfw"});
    let lowered = complete(&server, &token, &nsfw);
    assert_eq!(lowered.status, 200, "it runs as sfw: {}", lowered.text());
    assert!(lowered.json()["warnings"][0].as_str().is_some_and(|said| said.contains("ran as sfw")));
    let heard = heard + 1;
    let path = format!("/rest/v1/profiles?id=eq.{id}");
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&json!({"age_verified": true}))).0, 200);
    let young = character(&server, &id, &token, json!({"age_range": "teen"}));
    let young =
        json!({"model": format!("character:{young}"), "messages": messages, "content_rating": "nsfw"});
    assert_eq!(refusal(&complete(&server, &token, &young)), (422, "content_refused".into()));
    assert_eq!(model.prompts().len(), heard, "what is refused never reaches a model");
    assert_eq!(complete(&server, &token, &nsfw).status, 200);

    model.say("Look: they are all naked and more");
    assert_eq!(refusal(&ask("slow", "Hello")), (422, "content_refused".into()));
    let all =
        chunks(&complete(&server, &token, &json!({"model": "slow", "messages": messages, "stream": true})));
    assert_eq!(all.last().expect("a chunk")["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(text_of(&all), "Look: they are all ");
}

/// A tool that tells the wind.
fn wind() -> Json {
    json!([{"type": "function", "function": {"name": "wind", "description": "Tells the wind", "parameters": {
        "type": "object", "properties": {"sea": {"enum": ["north", "south"]}}, "required": ["sea"],
        "additionalProperties": false}}}])
}

#[test]
fn a_model_of_this_machine_calls_tools_by_a_grammar() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = talk::start(folder.path());
    let (_, token) = server.sign_up("ada@example.com");
    let asked = json!({"model": "local", "messages": [{"role": "user", "content": "Which wind?"}], "seed": 3,
        "max_tokens": 400, "tools": wind(), "tool_choice": "required"});
    let answer = complete(&server, &token, &asked);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let choice = answer.json()["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("wind")), "{call}");
    assert!(choice["message"]["content"].is_null(), "{choice}");
    let arguments: Json =
        serde_json::from_str(call["function"]["arguments"].as_str().expect("a text")).expect("JSON");
    assert!(arguments == json!({"sea": "north"}) || arguments == json!({"sea": "south"}), "{arguments}");

    // The same as a stream: the call comes whole.
    let mut streamed = asked.clone();
    streamed["stream"] = json!(true);
    let all = chunks(&complete(&server, &token, &streamed));
    let called: Vec<&Json> = all
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"])
        .filter(|it| !it.is_null())
        .collect();
    assert_eq!((called.len(), &called[0][0]["function"]), (1, &call["function"]), "{all:?}");
    assert_eq!(all.last().expect("a chunk")["choices"][0]["finish_reason"], "tool_calls");

    // Its result goes back in the conversation, and without a need for a call there are words.
    let mut next = asked.clone();
    next["messages"] = json!([{"role": "user", "content": "Which wind?"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "from the west"}]);
    next["tool_choice"] = json!("none");
    let answer = complete(&server, &token, &next);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let message = answer.json()["choices"][0]["message"].clone();
    assert!(message["content"].is_string() && message.get("tool_calls").is_none(), "{message}");
}

#[test]
fn a_server_elsewhere_is_told_of_the_tools() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 2);
    let server = Server::start(folder.path(), &[]);
    model.become_default(&server);
    let (_, token) = server.sign_up("ada@example.com");
    model.call("wind", r#"{"sea":"north"}"#);
    let messages = json!([{"role": "user", "content": "Which wind?"}]);
    let asked = json!({"model": "slow", "messages": messages, "tools": wind(), "tool_choice": "auto"});
    let answer = complete(&server, &token, &asked);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let choice = answer.json()["choices"][0].clone();
    let call = choice["message"]["tool_calls"][0].clone();
    assert_eq!(call["function"], json!({"name": "wind", "arguments": r#"{"sea":"north"}"#}), "{choice}");
    assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
    let heard = model.last_request();
    assert_eq!((&heard["tools"], &heard["tool_choice"]), (&wind(), &json!("auto")));
    model.say("From the west.");
    let next = json!({"model": "slow", "tools": wind(), "messages": [messages[0],
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "west"}]});
    let answer = complete(&server, &token, &next).json();
    assert_eq!(answer["choices"][0]["message"]["content"], "From the west.", "{answer}");
    let heard = model.last_request();
    assert_eq!(
        (&heard["messages"][1]["tool_calls"][0], &heard["messages"][2]["role"]),
        (&call, &json!("tool"))
    );
    assert_eq!(heard["messages"][2]["tool_call_id"], call["id"]);
}

#[test]
fn texts_are_continued_and_embeddings_say_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 2);
    let server = Server::start(folder.path(), &[]);
    model.become_default(&server);
    let (_, token) = server.sign_up("ada@example.com");
    let ask = |path: &str, body: &Json| {
        let authorization = bearer(&token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        send(&format!("{}/v1/{path}", server.url), "POST", &headers, body.to_string().as_bytes())
            .expect("an answer")
    };
    let asked = json!({"model": "slow", "prompt": "The lamp went out, and"});
    // A slash at the end is forgiven.
    for path in ["completions", "completions/"] {
        let answer = ask(path, &asked);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["object"], "text_completion", "{answer}");
        let text = answer["choices"][0]["text"].as_str().expect("a text");
        assert!(text.contains("word 0") && text.contains("heard The lamp went out"), "{answer}");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    }
    let mut streamed = asked.clone();
    streamed["stream"] = json!(true);
    let all = chunks(&ask("completions", &streamed));
    let text: String = all.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert!(text.contains("heard The lamp") && all[0]["object"] == "text_completion", "{all:?}");
    for (field, value) in [
        ("prompt", json!([1, 2])),
        ("prompt", json!("")),
        ("echo", json!(true)),
        ("logprobs", json!(3)),
        ("suffix", json!("x")),
        ("best_of", json!(2)),
        ("n", json!(0)),
    ] {
        let mut body = asked.clone();
        body[field] = value;
        let refused = ask("completions", &body);
        assert_eq!(
            (refused.status, &refused.json()["error"]["param"]),
            (400, &json!(field)),
            "{}",
            refused.text()
        );
    }
    assert_eq!(
        refusal(&ask("completions", &json!({"prompt": "a naked man"}))),
        (422, "content_refused".into())
    );
    let missing = ask("embeddings/", &json!({"model": "x", "input": "a"}));
    assert_eq!(refusal(&missing), (501, "not_implemented".into()));
    let headers = [("content-type", "application/json")];
    let strange = send(&format!("{}/v1/embeddings", server.url), "POST", &headers, b"{}").expect("an answer");
    assert_eq!(strange.status, 401);
}

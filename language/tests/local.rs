//! Does the default chat model hold a conversation, within its limits and a schema?

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use language::{
    ChatEngine, ChatEvent, ChatMessage, ChatRequest, EngineLimits, FinishReason, LanguageError, LocalDevice,
    LocalEngine, Role, Sampling, describe_model, fetch_default_chat_model,
};
use serde_json::{Value, json};

/// The model file: named by the environment, or in the models folder, or fetched as a user would fetch it.
fn model_path() -> PathBuf {
    if let Some(path) = std::env::var_os("PLAYHOUSE_SMOLLM2") {
        return path.into();
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models_dir");
    fetch_default_chat_model(&models, &mut |_| {}).unwrap()
}

static ENGINE: LazyLock<LocalEngine> = LazyLock::new(|| {
    let limits = EngineLimits { context_tokens_max: 1024, ..EngineLimits::default() };
    LocalEngine::open(&model_path(), &LocalDevice::Cpu, limits).unwrap()
});

fn ask(question: &str) -> ChatRequest {
    let mut request = ChatRequest::new(vec![ChatMessage::new(Role::User, question)]);
    request.sampling = Sampling::greedy();
    request.max_tokens = 24;
    request.seed = Some(7);
    request
}

#[test]
fn it_answers_and_remembers_the_conversation() {
    let mut request = ask("What is the capital of France?");
    request.cache_key = Some("france".into());
    let (answer, outcome) = ENGINE.submit(request.clone()).unwrap().blocking_collect().unwrap();
    assert!(answer.contains("Paris"), "{answer}");
    assert_eq!(outcome.usage.cached_prompt_tokens, 0);
    assert!(outcome.tokens_per_second > 0.0);

    request.messages.push(ChatMessage::new(Role::Assistant, answer));
    request.messages.push(ChatMessage::new(Role::User, "And of Italy?"));
    let remembered = ENGINE.submit(request.clone()).unwrap().blocking_collect().unwrap();
    assert!(remembered.1.usage.cached_prompt_tokens > 30, "{:?}", remembered.1.usage);
    request.cache_key = None;
    let afresh = ENGINE.submit(request).unwrap().blocking_collect().unwrap();
    assert_eq!(afresh.1.usage.cached_prompt_tokens, 0);
    assert_eq!(afresh.0, remembered.0, "a remembered prompt gives the same reply");
}

#[test]
fn one_seed_gives_one_reply_also_among_others() {
    let mut request = ask("Tell me a very short story.");
    request.sampling = Sampling { temperature: 0.9, top_p: 0.95, ..Sampling::default() };
    let alone = ENGINE.submit(request.clone()).unwrap().blocking_collect().unwrap();
    let together: Vec<_> = (0..3).map(|_| ENGINE.submit(request.clone()).unwrap()).collect();
    for reply in together {
        assert_eq!(reply.blocking_collect().unwrap().0, alone.0);
    }
}

/// Requests whose replies repeat what was said: chosen freely or not, with penalties, and within a schema.
fn quoting() -> Vec<ChatRequest> {
    let text = "The old lighthouse keeper walked down to the harbour every morning at six to count the fishing boats.";
    let mut requests = Vec::new();
    for number in 0..6 {
        let mut request =
            ask(&format!("Repeat this text word for word, {} times: {text} {text}", number + 2));
        request.messages.push(ChatMessage::new(Role::Assistant, format!("{text} {text}")));
        request.messages.push(ChatMessage::new(Role::User, "And again, word for word."));
        request.max_tokens = 60;
        request.seed = Some(number);
        match number {
            0 => {}
            1 => request.sampling = Sampling { temperature: 0.7, top_p: 0.9, ..Sampling::default() },
            2 => request.sampling.repetition_penalty = 1.05,
            3 => request.sampling = Sampling { presence_penalty: 0.5, top_k: 20, ..Sampling::default() },
            4 => {
                let texts = json!({"type": "array", "items": {"enum": [text]}, "minItems": 2, "maxItems": 2});
                request.json_schema = Some(texts);
            }
            _ => request.stop = vec!["fishing".into()],
        }
        requests.push(request);
    }
    requests
}

#[test]
fn what_is_read_ahead_changes_no_reply() {
    let open = |drafted_tokens_max: usize| {
        let limits = EngineLimits { context_tokens_max: 1024, drafted_tokens_max, ..EngineLimits::default() };
        LocalEngine::open(&model_path(), &LocalDevice::Cpu, limits).unwrap()
    };
    let (plain, ahead) = (open(0), open(7));
    let written_by = |engine: &LocalEngine, request: ChatRequest| {
        let (text, outcome) = engine.submit(request).unwrap().blocking_collect().unwrap();
        (text, outcome.finish_reason, outcome.usage)
    };
    let expected: Vec<_> = quoting().into_iter().map(|request| written_by(&plain, request)).collect();
    assert_eq!((plain.load().drafted_tokens, plain.load().accepted_tokens), (0, 0));
    let alone: Vec<_> = quoting().into_iter().map(|request| written_by(&ahead, request)).collect();
    assert_eq!(alone, expected);
    let load = ahead.load();
    assert!(load.accepted_tokens > 30 && load.accepted_tokens <= load.drafted_tokens, "{load:?}");
    // Beside each other too.
    let together: Vec<_> = quoting().into_iter().map(|request| ahead.submit(request).unwrap()).collect();
    for (reply, expected) in together.into_iter().zip(&expected) {
        let (text, outcome) = reply.blocking_collect().unwrap();
        assert_eq!((&text, outcome.finish_reason), (&expected.0, expected.1));
    }
    assert!(ahead.load().accepted_tokens > load.accepted_tokens);
}

#[test]
fn a_schema_is_followed_to_the_letter() {
    let mut request = ask("Describe a cat as JSON with a name, a colour and an age.");
    request.max_tokens = 120;
    request.json_schema = Some(json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "colour": {"enum": ["black", "white", "ginger"]},
            "age": {"type": "integer", "minimum": 0, "maximum": 30}
        },
        "required": ["name", "colour", "age"],
        "additionalProperties": false
    }));
    for seed in 0..3 {
        request.seed = Some(seed);
        request.sampling = Sampling::default();
        let (text, outcome) = ENGINE.submit(request.clone()).unwrap().blocking_collect().unwrap();
        let cat: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(outcome.finish_reason, FinishReason::Stop);
        assert!(["black", "white", "ginger"].contains(&cat["colour"].as_str().unwrap()), "{text}");
        assert!((0..=30).contains(&cat["age"].as_i64().unwrap()), "{text}");
        assert_eq!(cat.as_object().unwrap().len(), 3);
    }
}

#[test]
fn unusable_schemas_are_refused() {
    let deep = (0..200).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
    for schema in [
        json!("text"),
        json!({"type": "nonsense"}),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"type": "string", "pattern": "(unclosed"}),
        json!({"type": "string", "description": "x".repeat(300_000)}),
        json!({"$ref": "#/definitions/missing"}),
    ] {
        let mut request = ask("hi");
        request.json_schema = Some(schema.clone());
        let result = ENGINE.submit(request);
        assert!(
            matches!(result, Err(LanguageError::Schema(_))),
            "{}",
            &schema.to_string()[..40.min(schema.to_string().len())]
        );
    }
    // A deep one is either compiled or refused; it must not bring the process down.
    let mut request = ask("hi");
    request.json_schema = Some(deep);
    request.max_tokens = 2;
    drop(ENGINE.submit(request));
}

#[test]
fn stop_texts_and_limits_end_the_reply() {
    let mut request = ask("Count from one to ten in words.");
    request.stop = vec!["three".into(), "3".into()];
    request.max_tokens = 60;
    let (text, _) = ENGINE.submit(request).unwrap().blocking_collect().unwrap();
    assert!(!text.contains("three") && !text.contains('3'), "{text}");

    let mut request = ask("Tell me a long story.");
    request.max_tokens = 3;
    let (_, outcome) = ENGINE.submit(request).unwrap().blocking_collect().unwrap();
    assert_eq!((outcome.finish_reason, outcome.usage.completion_tokens), (FinishReason::Length, 3));

    let result = ENGINE.submit(ask(&"word ".repeat(2000)));
    assert!(matches!(result, Err(LanguageError::ContextFull { context_tokens: 1024, .. })));
}

#[test]
fn cancelling_stops_between_tokens() {
    let mut request = ask("Tell me a long story.");
    request.max_tokens = 500;
    let cancel = request.cancel.clone();
    let mut reply = ENGINE.submit(request).unwrap();
    assert!(matches!(reply.blocking_next(), Some(ChatEvent::Delta(_))));
    cancel.cancel();
    let (_, outcome) = reply.blocking_collect().unwrap();
    assert_eq!(outcome.finish_reason, FinishReason::Cancelled);
    assert!(outcome.usage.completion_tokens < 100);
}

#[test]
fn a_model_can_be_described_before_it_is_used() {
    let description = describe_model(&model_path()).unwrap();
    assert_eq!(description.architecture, "llama");
    assert_eq!(description.parameters, 134_515_008);
    assert_eq!(description.context_tokens, 8192);
    assert!(description.hash.starts_with("blake3:"));
}

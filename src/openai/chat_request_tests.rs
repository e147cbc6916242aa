//! Are requests of programs understood, and are faults named?

use super::*;

fn options(body: &str) -> Result<ChatOptions, OpenAiError> {
    Body::read(body.as_bytes(), &mut Notes::default()).and_then(|body| body.options())
}

#[test]
fn the_dialects_fields_are_understood() {
    let options = options(
        r#"{"model":"x","messages":[{"role":"developer","content":"be brief"},
           {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
           "stop":"END","seed":-1,"temperature":0,"max_completion_tokens":5,"user":"u","store":true,
           "response_format":{"type":"json_object"},"stream":true,"stream_options":{"include_usage":true}}"#,
    )
    .expect("a options");
    assert_eq!(options.messages[0], ChatMessage::new(Role::System, "be brief"));
    assert_eq!(options.messages[1].content, "a\nb");
    assert_eq!((options.stop.len(), options.seed, options.max_tokens), (1, None, 5));
    assert_eq!((options.sampling.temperature, options.stream, options.include_usage), (0.0, true, true));
    assert!(options.json_schema.is_some());
}

#[test]
fn odd_spellings_mean_what_programs_mean() {
    let with =
        |fields: &str| options(&format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{fields}}}"#));
    for (fields, tokens) in [
        (r#""max_tokens":-1"#, TOKENS_MAX),
        (r#""max_tokens":-1.0"#, TOKENS_MAX),
        (r#""max_tokens":12.0"#, 12),
        (r#""max_completion_tokens":7.0,"max_tokens":null"#, 7),
        (
            r#""max_tokens":null,"n":1.0,"top_k":-1,"seed":null,"stream":null,"stop":null,"tools":null"#,
            TOKENS,
        ),
        (r#""top_k":40.0,"logprobs":null,"logit_bias":null,"stream_options":{"include_usage":null}"#, TOKENS),
        (r#""response_format":null,"temperature":null,"tool_choice":null,"top_p":null,"min_p":null"#, TOKENS),
        (r#""response_format":{"type":"json_object","schema":null}"#, TOKENS),
    ] {
        assert_eq!(with(fields).expect(fields).max_tokens, tokens, "{fields}");
    }
    assert_eq!(with(r#""top_k":40.0"#).expect("options").sampling.top_k, 40);
    for fields in [
        r#""response_format":{"type":"json_object","schema":{"enum":[1]}}"#,
        r#""response_format":{"type":"json_schema","schema":{"enum":[1]}}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"schema":{"enum":[1]}}}"#,
    ] {
        let schema = with(fields).expect(fields).json_schema;
        assert_eq!(schema, Some(serde_json::json!({"enum": [1]})), "{fields}");
    }
    for (fields, param) in [
        (r#""max_tokens":-2"#, "max_tokens"),
        (r#""max_tokens":1.5"#, "max_tokens"),
        (r#""max_tokens":"7""#, "max_tokens"),
        (r#""top_k":-3"#, "top_k"),
        (r#""n":1.5"#, "n"),
        (r#""response_format":{"type":"json_object","schema":7}"#, "response_format"),
        (r#""continue_final_message":true,"add_generation_prompt":true"#, "continue_final_message"),
    ] {
        let error = with(fields).expect_err(fields);
        assert_eq!(error.body()["error"]["param"], serde_json::json!(param), "{fields}");
    }
}

#[test]
fn a_last_reply_is_continued_unless_it_is_said_otherwise() {
    let with = |role: &str, fields: &str| {
        let body = format!(r#"{{"messages":[{{"role":"{role}","content":"a"}}]{fields}}}"#);
        options(&body).expect("options").beginning
    };
    for (role, fields, beginning) in [
        ("assistant", "", None),
        ("assistant", r#","continue_final_message":true"#, Some(Beginning::LastMessage)),
        (
            "assistant",
            r#","continue_final_message":true,"add_generation_prompt":false"#,
            Some(Beginning::LastMessage),
        ),
        ("assistant", r#","add_generation_prompt":true"#, Some(Beginning::NewMessage)),
        ("assistant", r#","continue_final_message":false"#, Some(Beginning::NewMessage)),
        ("assistant", r#","add_generation_prompt":false"#, Some(Beginning::LastMessage)),
        ("user", r#","add_generation_prompt":false"#, Some(Beginning::Unmarked)),
    ] {
        assert_eq!(with(role, fields), beginning, "{role} {fields}");
    }
}

#[test]
fn pictures_stand_beside_the_text() {
    let options = options(
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},
           {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]}],
           "n":2,"seed":18446744073709551615,"logit_bias":{}}"#,
    )
    .expect("a options");
    let expected = ChatMessage::new(Role::User, "a").with_image("data:image/png;base64,AAAA");
    assert_eq!(options.messages, [expected]);
    assert_eq!((options.choices, options.seed), (2, Some(u64::MAX)));
}

#[test]
fn what_cannot_be_is_named() {
    let user = r#""messages":[{"role":"user","content":"a"}]"#;
    for (body, param) in [
        (r#"{}"#.to_string(), "messages"),
        (r#"{"messages":[{"role":"teller","content":"a"}]}"#.into(), "messages[0].role"),
        (r#"{"messages":[{"role":"tool","content":"a"}]}"#.into(), "messages[0].tool_call_id"),
        (r#"{"messages":[{"role":"user","content":7}]}"#.into(), "messages[0].content"),
        (r#"{"messages":[{"role":"user"}]}"#.into(), "messages[0].content"),
        (r#"{"messages":[{"role":"assistant","content":null}]}"#.into(), "messages[0].content"),
        (format!("{{{user},\"temperature\":9}}"), "temperature"),
        (format!("{{{user},\"temperature\":-0.5}}"), "temperature"),
        (r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#.into(), "messages[0].content"),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image_url",
                "image_url":{"url":"file:///etc/passwd"}}]}]}"#
                .into(),
            "messages[0].content",
        ),
        (format!("{{{user},\"n\":9}}"), "n"),
        (format!("{{{user},\"n\":0}}"), "n"),
        (format!("{{{user},\"logit_bias\":{{\"5\":1}}}}"), "logit_bias"),
        (format!("{{{user},\"tools\":[{{}}]}}"), "tools[0].type"),
        (format!("{{{user},\"stop\":7}}"), "stop"),
        (format!("{{{user},\"max_tokens\":0}}"), "max_tokens"),
        (format!("{{{user},\"logprobs\":true}}"), "logprobs"),
        (format!("{{{user},\"response_format\":{{\"type\":\"xml\"}}}}"), "response_format"),
    ] {
        let error = options(&body).expect_err("an error");
        assert_eq!(error.body()["error"]["param"], serde_json::json!(param), "{body}");
    }
}

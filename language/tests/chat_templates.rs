//! Do chat templates as models have them make prompts of any conversation?

use std::path::Path;

use language::chat_template::{ChatTemplate, TemplateMessage};
use language::{
    Beginning, ChatEngine, ChatMessage, ChatRequest, EngineLimits, LanguageError, LocalDevice, LocalEngine,
    Role,
};

const MARKS: (&str, &str) = ("<s>", "</s>");

/// Gemma's refuses instructions, and wants turns.
const NO_SYSTEM: &str = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";
/// Takes instructions first, and then wants turns.
const ALTERNATING: &str = "{%- if messages[0].role == 'system' %}{%- set system = messages[0].content %}{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}{{- bos_token }}{%- for m in rest %}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}{%- endif %}{%- if m.role == 'user' %}{%- if loop.last and system is defined %}{{- '[INST] ' + system + '\n\n' + m.content + '[/INST]' }}{%- else %}{{- '[INST] ' + m.content + '[/INST]' }}{%- endif %}{%- else %}{{- ' ' + m.content + eos_token }}{%- endif %}{%- endfor %}";
/// Leaves out what it does not know, without a word.
const SILENT: &str = "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }} {% elif m.role == 'assistant' %}ASSISTANT: {{ m.content }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}";
const LENIENT: &str = language::chat_template::CHATML;
const GENERATION: &str = include_str!("fixtures/generation_tags.jinja");
const TODAY: &str = include_str!("fixtures/strftime_now.jinja");

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, MARKS.0, MARKS.1).expect("it compiles")
}

fn messages<'a>(list: &[(&'a str, &'a str)]) -> Vec<TemplateMessage<'a>> {
    list.iter().map(|(role, text)| TemplateMessage::new(role, *text)).collect()
}

#[test]
fn every_template_takes_every_conversation_and_leaves_nothing_out() {
    let conversations: [&[(&str, &str)]; 11] = [
        &[("user", "uno")],
        &[("system", "rules"), ("user", "uno")],
        &[("system", "rules")],
        &[("system", "rules"), ("assistant", "greeting"), ("user", "uno")],
        &[("assistant", "greeting"), ("user", "uno")],
        &[("user", "uno"), ("user", "due")],
        &[("user", "uno"), ("assistant", "ah"), ("assistant", "beh"), ("user", "due")],
        &[("system", "rules"), ("user", "uno"), ("system", "late"), ("user", "due")],
        &[("system", "rules"), ("system", "more"), ("user", "uno"), ("assistant", "ah"), ("system", "late")],
        &[("user", "uno"), ("system", "late"), ("assistant", "ah"), ("system", "dopo")],
        &[("user", "uno"), ("assistant", "ah")],
    ];
    for source in [NO_SYSTEM, ALTERNATING, SILENT, LENIENT, GENERATION, TODAY] {
        let template = template(source);
        for conversation in conversations {
            let text = template.render(&messages(conversation), true);
            let text = text.unwrap_or_else(|error| panic!("{source}: {conversation:?}: {error}"));
            for (_, said) in conversation {
                assert_eq!(text.matches(said).count(), 1, "{said} in {text:?} of {source}");
            }
        }
    }
}

#[test]
fn what_a_template_takes_stays_as_it_is() {
    let accepted = template(LENIENT).accepted();
    assert!(accepted.system && accepted.later_system && accepted.repeated_roles && accepted.assistant_first);
    let accepted = template(ALTERNATING).accepted();
    assert!(accepted.system && !accepted.repeated_roles && !accepted.assistant_first);
    assert!(!template(NO_SYSTEM).accepted().system && !template(SILENT).accepted().system);
    assert_eq!(
        template(NO_SYSTEM).render(&messages(&[("system", "s"), ("user", "u")]), true).expect("a prompt"),
        "<s><start_of_turn>user\ns\n\nu<end_of_turn>\n<start_of_turn>model\n"
    );
    let twice =
        template(LENIENT).render(&messages(&[("user", "u"), ("user", "v")]), false).expect("a prompt");
    assert_eq!(twice, "<|im_start|>user\nu<|im_end|>\n<|im_start|>user\nv<|im_end|>\n");
}

#[test]
fn a_last_reply_is_continued_where_it_stops() {
    let talk = messages(&[("user", "e"), ("assistant", "The end ")]);
    for (source, end) in [
        (LENIENT, "<|im_start|>assistant\nThe end "),
        (NO_SYSTEM, "<start_of_turn>model\nThe end "),
        (ALTERNATING, "[INST] e[/INST] The end "),
        (SILENT, "USER: e ASSISTANT: The end "),
        (GENERATION, "<|im_start|>assistant\nThe end "),
    ] {
        let text = template(source).render_unfinished(&talk).expect("a prompt");
        assert!(text.ends_with(end), "{text:?}");
    }
    // One without words is a reply that has not begun.
    let empty = messages(&[("user", "u"), ("assistant", "")]);
    let begun = template(LENIENT).render_unfinished(&empty).expect("a prompt");
    assert_eq!(begun, "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
    assert!(template(LENIENT).render_unfinished(&messages(&[("user", "u")])).is_err());
    let forgetful = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
    let error = template(forgetful).render_unfinished(&talk).expect_err("it is left out").to_string();
    assert!(error.starts_with("messages: "), "{error}");
}

#[test]
fn the_extras_of_transformers_work() {
    let today = template(TODAY).render(&messages(&[("user", "u")]), true).expect("a prompt");
    let date = today.strip_prefix("Today: ").and_then(|rest| rest.get(..10)).expect("a date");
    assert!(date.split('-').map(str::len).eq([4, 2, 2]), "{date}");
    let rendered = template(GENERATION).render(&messages(&[("user", "u")]), true).expect("a prompt");
    assert_eq!(rendered, "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
    let render = |source: &str| template(source).render(&messages(&[("user", "u")]), true);
    // What is set within does not reach outside, as in transformers.
    let scoped = "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}";
    assert_eq!(render(scoped).expect("a prompt"), "21");
    assert_eq!(render("{{ tools is none and documents is none }}").expect("a prompt").to_lowercase(), "true");
    for format in ["%d %b %Y", "%A, %B %-d", "%H:%M:%S", "%%"] {
        assert!(render(&format!("{{{{ strftime_now('{format}') }}}}")).is_ok(), "{format}");
    }
    assert!(render("{{ strftime_now('%Q') }}").is_err());
    assert!(render("{{ strftime_now(7) }}").is_err());
}

/// The tiny model with a template of its own.
fn engine(template: &str) -> LocalEngine {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/language/llama-tiny");
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"] {
        std::fs::copy(fixture.join(name), folder.path().join(name)).expect("a fixture");
    }
    std::fs::write(folder.path().join("chat_template.jinja"), template).expect("a template");
    LocalEngine::open(folder.path(), &LocalDevice::Cpu, EngineLimits::default()).expect("it opens")
}

#[test]
fn a_model_with_a_strict_template_answers_and_goes_on() {
    let engine = engine(NO_SYSTEM);
    let said = |list: &[(Role, &str)]| {
        let messages = list.iter().map(|(role, text)| ChatMessage::new(*role, *text)).collect();
        let mut request = ChatRequest::new(messages);
        request.max_tokens = 4;
        request.seed = Some(1);
        request
    };
    let talk =
        [(Role::System, "Be kind."), (Role::Assistant, "Hi."), (Role::Assistant, "So?"), (Role::User, "A")];
    engine.submit(said(&talk)).and_then(|stream| stream.blocking_collect()).expect("a reply");

    // What is continued is read as it stands, without the marks that end it and open another message.
    let unfinished = said(&[(Role::User, "Count."), (Role::Assistant, "one, two")]);
    let tokens =
        |beginning| engine.count_tokens(&ChatRequest { beginning, ..unfinished.clone() }).expect("a prompt");
    let (goes_on, anew) = (tokens(Beginning::LastMessage), tokens(Beginning::NewMessage));
    assert!(goes_on < tokens(Beginning::Unmarked) && tokens(Beginning::Unmarked) < anew);
    let request = ChatRequest { beginning: Beginning::LastMessage, ..unfinished.clone() };
    engine.submit(request).and_then(|stream| stream.blocking_collect()).expect("a reply");
    let nothing_to_continue = ChatRequest { beginning: Beginning::LastMessage, ..said(&[(Role::User, "A")]) };
    let refused = engine.submit(nothing_to_continue).expect_err("refused");
    assert!(
        matches!(refused, LanguageError::InvalidRequest { field: "continue_final_message", .. }),
        "{refused}"
    );

    // A template that takes nothing at all is the request's fault, in words.
    let impossible = self::engine("{{ raise_exception('never') }}");
    let refused = impossible.submit(said(&[(Role::User, "A")])).expect_err("refused");
    assert!(matches!(&refused, LanguageError::Template(said) if said.contains("never")), "{refused}");
}

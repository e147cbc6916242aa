//! How does a list of messages become the text that a model was trained to continue?

mod accepted_messages;
mod bounded_syntax;
mod generation_tags;
mod value_bounds;

use std::borrow::Cow;
use std::io::Write;

use chrono::format::{Item, StrftimeItems};
use minijinja::machinery::{CodeGenerator, eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value, context};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

pub use accepted_messages::AcceptedMessages;

use crate::error::FormatError;

/// Real templates have a few kilobytes.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;
const RENDERED_BYTES_MAX: usize = 16 << 20;
/// What a template may take of time and memory: a step of its virtual machine costs one, and so do 64 bytes of what it
/// makes. A fixed part, one per message, and one for each byte that was said; at most 256 MiB in all. Lists pay for all
/// that they hold, and one of them is bounded too: see [`value_bounds`].
const FUEL_BASE: u64 = 200_000;
const FUEL_PER_MESSAGE: u64 = 2_000;
const FUEL_MAX: u64 = 4_000_000;
/// Of JSON, which takes longer to write than to copy: as minijinja's own filter has it.
const JSON_BYTES_PER_FUEL: usize = 4;
/// Longest format of a time, in bytes.
const TIME_FORMAT_BYTES_MAX: usize = 256;
const NAME: &str = "chat_template";
/// Written behind a text that is to be continued, to find its end in what the template makes of it. Private characters,
/// which no template looks for.
const CUT: &str = "\u{e0c0}\u{e0c1}\u{e0c2}\u{e0c3}";

/// Used where a model brings none: the ChatML form that most small models know.
pub const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// One message as templates see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateMessage<'a> {
    /// `system`, `user` or `assistant`.
    pub role: &'a str,
    /// What was said.
    pub content: Cow<'a, str>,
}

impl<'a> TemplateMessage<'a> {
    /// A message of `role`.
    pub fn new(role: &'a str, content: impl Into<Cow<'a, str>>) -> TemplateMessage<'a> {
        TemplateMessage { role, content: content.into() }
    }
}

/// A compiled Jinja template with the extras that transformers offers to templates.
pub struct ChatTemplate {
    environment: Environment<'static>,
    syntax: SyntaxConfig,
    source: String,
    bos_token: String,
    eos_token: String,
    accepted: AcceptedMessages,
}

impl ChatTemplate {
    /// Compiles `source`, and finds out which messages it takes; the two texts are what the template knows as `bos_token`
    /// and `eos_token`.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<ChatTemplate, FormatError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(FormatError::Template(format!("{} bytes of source", source.len())));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?;
        environment.set_recursion_limit(64);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        value_bounds::add_to(&mut environment);
        let source = generation_tags::as_scopes(source);
        bounded_syntax::parse_bounded(&source, NAME, &syntax).map_err(failed)?;
        let mut template = ChatTemplate {
            environment,
            syntax,
            source,
            bos_token: bos_token.into(),
            eos_token: eos_token.into(),
            accepted: AcceptedMessages::STRICT,
        };
        template.accepted = AcceptedMessages::probe(|messages| template.text(messages, true).ok());
        Ok(template)
    }

    /// Which messages it takes as they are; others are fitted to it.
    pub fn accepted(&self) -> AcceptedMessages {
        self.accepted
    }

    /// The text for `messages`, ending where the assistant begins if `add_generation_prompt`. Where the template takes no
    /// such list, it is fitted: instructions join the person's words, and neighbours of one role become one message.
    pub fn render(
        &self,
        messages: &[TemplateMessage<'_>],
        add_generation_prompt: bool,
    ) -> Result<String, FormatError> {
        let fitted = match self.accepted.takes_all() {
            true => Cow::Borrowed(messages),
            false => Cow::Owned(self.accepted.fit(messages)),
        };
        let text = self.text(&fitted, add_generation_prompt);
        // A template may refuse, or leave out, what the probes did not show.
        let is_whole = text.as_ref().is_ok_and(|text| has_instructions(text, messages));
        if is_whole {
            return text;
        }
        match self.text(&AcceptedMessages::STRICT.fit(messages), add_generation_prompt) {
            Ok(strict) if text.is_err() || has_instructions(&strict, messages) => Ok(strict),
            _ => text,
        }
    }

    /// The text for `messages`, the last of which is the assistant's, ending where that one does, so that the reply goes
    /// on with it.
    pub fn render_unfinished(&self, messages: &[TemplateMessage<'_>]) -> Result<String, FormatError> {
        let refused = |reason: &str| FormatError::Messages(reason.into());
        let mut messages = messages.to_vec();
        let last = messages.last_mut().filter(|last| last.role == "assistant");
        let last =
            last.ok_or_else(|| refused("the last one is not the assistant's, and cannot be continued"))?;
        if last.content.is_empty() {
            messages.pop();
            return self.render(&messages, true);
        }
        last.content.to_mut().push_str(CUT);
        let mut text = self.render(&messages, false)?;
        let end = text.rfind(CUT);
        let end =
            end.ok_or_else(|| refused("this model's chat template leaves out a last reply to continue"))?;
        text.truncate(end);
        Ok(text)
    }

    fn text(
        &self,
        messages: &[TemplateMessage<'_>],
        add_generation_prompt: bool,
    ) -> Result<String, FormatError> {
        let mut environment = self.environment.clone();
        let said: usize = messages.iter().map(|message| message.content.len()).sum();
        let fuel = FUEL_BASE + FUEL_PER_MESSAGE * messages.len() as u64 + said as u64;
        environment.set_fuel(Some(fuel.min(FUEL_MAX)));
        // The tree borrows from the source, so it is built for each text; templates are short.
        let tree = bounded_syntax::parse_bounded(&self.source, NAME, &self.syntax).map_err(failed)?;
        let mut generator = CodeGenerator::new(NAME, &self.source);
        generator.compile_stmt(&tree);
        let (instructions, blocks) = generator.finish();
        let known = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            // As transformers, which gives all templates these.
            tools => Value::from(()),
            documents => Value::from(()),
        };
        let mut text = String::new();
        let mut out = make_string_output(&mut text);
        eval(&environment, &instructions, known, &blocks, &mut out, AutoEscape::None).map_err(failed)?;
        match text.len() > RENDERED_BYTES_MAX {
            true => Err(FormatError::Template("the rendered prompt exceeds 16 MiB".into())),
            false => Ok(text),
        }
    }
}

/// Whether all instructions among `messages` are in `text`. What was said otherwise a template may shorten: many leave out
/// what a model thought.
fn has_instructions(text: &str, messages: &[TemplateMessage<'_>]) -> bool {
    let mut instructions = messages.iter().filter(|message| message.role == "system");
    instructions.all(|message| text.contains(message.content.trim()))
}

/// The local time in a format of `strftime`; one that is not known is refused.
fn strftime_now(format: &str) -> Result<String, Error> {
    let refused = |reason: String| Err(Error::new(ErrorKind::InvalidOperation, reason));
    if format.len() > TIME_FORMAT_BYTES_MAX {
        return refused(format!("strftime_now: a format of {} bytes", format.len()));
    }
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    if items.contains(&Item::Error) {
        return refused(format!("strftime_now: {format:?} is no format"));
    }
    Ok(chrono::Local::now().format_with_items(items.iter()).to_string())
}

/// Python's `json.dumps`, which is what transformers offers: blanks after separators, characters as they are.
fn to_json(state: &State, value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Python's other options, such as ensure_ascii, have no meaning here.
    let mut json = Paid { state, bytes: Vec::new(), unpaid: 0 };
    let written = match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let pretty = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut json, pretty))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut json, Spaced)),
    };
    let wrong = |reason: String| Error::new(ErrorKind::BadSerialization, reason);
    written.map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(json.bytes).map_err(|error| wrong(error.to_string()))
}

/// A text that costs fuel as it grows: a small list that holds itself twice, and again, is a large text.
struct Paid<'s, 'e, 't> {
    state: &'s State<'e, 't>,
    bytes: Vec<u8>,
    unpaid: usize,
}

impl Write for Paid<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.unpaid += bytes.len();
        let fuel = self.unpaid / JSON_BYTES_PER_FUEL;
        self.unpaid %= JSON_BYTES_PER_FUEL;
        self.state.consume_fuel(fuel as u64).map_err(std::io::Error::other)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

fn failed(error: Error) -> FormatError {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    FormatError::Template(format!("{}{detail}{line}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: [TemplateMessage<'static>; 2] = [
        TemplateMessage { role: "system", content: Cow::Borrowed(" Be kind. ") },
        TemplateMessage { role: "user", content: Cow::Borrowed("Hi") },
    ];

    fn render(source: &str) -> Result<String, FormatError> {
        ChatTemplate::new(source, "<s>", "</s>")?.render(&MESSAGES, true)
    }

    #[test]
    fn python_methods_and_transformers_extras_work() {
        let source = "{{ bos_token }}{% for m in messages -%}\n  {% if m['role'] == 'system' %}\n[{{ m.content.strip() }}]\
            {% elif loop.last %}({{ m['content'] | tojson }}){% endif %}\n{% endfor %}{{ eos_token }}";
        assert_eq!(render(source).unwrap(), "<s>[Be kind.](\"Hi\")</s>");
        assert_eq!(render("{{ messages[1] | tojson }}").unwrap(), r#"{"role": "user", "content": "Hi"}"#);
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err().to_string();
        assert!(error.contains("roles must alternate"), "{error}");
    }

    #[test]
    fn hostile_templates_end_in_errors() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = a * b %}{% endfor %}{% endfor %}";
        let recursive = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
        let cyclic = "{% include 'chat_template' %}";
        let parent = "{% extends 'chat_template' %}";
        let large = "{% for a in range(9999) %}{{ 'xxxxxxxxxxxxxxxx' * 10000 }}{% endfor %}";
        // Texts and lists that double: what is made counts, wherever it is kept.
        let again = |step: &str| {
            format!("{{% set ns = namespace(s='x', l=[1]) %}}{{% for i in range(99) %}}{step}{{% endfor %}}")
        };
        let doubled = [
            again("{% set ns.s = ns.s ~ ns.s %}"),
            again("{% set ns.s = ns.s + ns.s %}"),
            again("{% set ns.s = ns.s * 64 %}"),
            again("{% set ns.s = [ns.s, ns.s] | join(ns.s) %}"),
            again("{% set ns.s = ns.s | replace('x', ns.s ~ 'x') %}"),
            again("{% set ns.s = ns.s.replace('x', 'xx') %}"),
            again("{% set ns.s = ns.s.join([ns.s, ns.s]) %}"),
            again("{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}"),
            again("{% set ns.l = ns.l + ns.l | list %}"),
            again("{% set ns.l = [ns.l, ns.l] %}") + "{{ ns.l | tojson | length }}",
            "{% set s = '%999999999d' | format(1) %}".into(),
            "{% set s = 'x'.center(999999999) %}".into(),
            "{% set s = 'x' | indent(999999999, true) %}".into(),
            "{{ range(99999999) | list | length }}".into(),
            "{{ strftime_now('%c' * 1000) }}".into(),
        ];
        for source in &doubled {
            assert!(render(source).is_err(), "{source}");
        }
        for source in [endless, recursive, cyclic, parent, large, "{% for %}", "{{ messages[", "{{ none() }}"]
        {
            assert!(render(source).is_err(), "{source}");
        }
        assert!(ChatTemplate::new(&"x".repeat(TEMPLATE_BYTES_MAX + 1), "", "").is_err());
        assert!(render(&"(".repeat(100_000)).is_ok());
        assert!(render(&format!("{{{{ {}1 }}}}", "(".repeat(50_000))).is_err());
    }
}

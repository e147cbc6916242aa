//! Which tokens keep a reply within a JSON schema?

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use crate::error::LanguageError;
use crate::tokenizer::Tokenizer;

const SCHEMA_BYTES_MAX: usize = 256 << 10;
/// References in a schema: the compiler goes down one level for each that leads to another.
const REFERENCES_MAX: usize = 1000;
/// Named properties in a schema.
const PROPERTIES_MAX: usize = 1000;
/// `multipleOf`, and parts of one: each costs a state for every remainder.
const MULTIPLE_MAX: f64 = 10_000.0;
const MULTIPLE_MIN: f64 = 0.000_001;
/// What is told of an error of the library.
const ERROR_CHARS_MAX: usize = 300;
/// Stack of the compiler, enough for as many levels.
const STACK_BYTES: usize = 128 << 20;
/// Work of compiling, in the library's units: some tenths of a second at most.
const COMPILE_FUEL: u64 = 1_000_000;
/// Work for one token: some hundredths of a second.
const TOKEN_FUEL: u64 = 200_000;
/// States that one reply may need, of one or two kilobytes each.
const STATES_MAX: usize = 32_000;

/// Compiles schemas for one vocabulary.
pub struct GrammarFactory {
    factory: ParserFactory,
}

impl GrammarFactory {
    /// Arranges the vocabulary for fast masks; `vocab_size` is how many scores the model gives.
    pub fn new(tokenizer: &Tokenizer, vocab_size: usize) -> Result<GrammarFactory, LanguageError> {
        let end = tokenizer
            .ends()
            .first()
            .copied()
            .ok_or_else(|| LanguageError::Tokenizer("no token ends a turn".into()))?;
        let words: Vec<Vec<u8>> = (0..vocab_size as u32)
            .map(|token| {
                let bytes = tokenizer.token_bytes(token);
                if tokenizer.is_special(token) {
                    // Marked, so that no grammar can spell a special token as text.
                    [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
                } else {
                    bytes.to_vec()
                }
            })
            .collect();
        let trie = TokTrie::from(&TokRxInfo::new(vocab_size as u32, end), &words);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &[])
            .map_err(|error| LanguageError::Schema(error.to_string()))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.verbose_errors = false;
        limits.initial_lexer_fuel = COMPILE_FUEL;
        limits.step_lexer_fuel = TOKEN_FUEL;
        limits.max_lexer_states = STATES_MAX;
        Ok(GrammarFactory { factory })
    }

    /// A grammar for one reply.
    pub fn compile(&self, schema: &Value) -> Result<Grammar, LanguageError> {
        if !matches!(schema, Value::Object(_) | Value::Bool(true)) {
            return Err(LanguageError::Schema("a schema is an object".into()));
        }
        if schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(LanguageError::Schema(format!("larger than {SCHEMA_BYTES_MAX} bytes")));
        }
        let mut size = Size::default();
        size.add(schema)?;
        for (what, count, max) in
            [("references", size.references, REFERENCES_MAX), ("properties", size.properties, PROPERTIES_MAX)]
        {
            if count > max {
                return Err(LanguageError::Schema(format!("{count} {what}; at most {max}")));
            }
        }
        // Small models can fill a reply with blanks between elements; compact JSON leaves them no blanks.
        let mut schema = schema.clone();
        if let Value::Object(members) = &mut schema {
            members.entry("x-guidance").or_insert_with(|| serde_json::json!({"whitespace_flexible": false}));
        }
        // The compiler follows references by calling itself, deeper than the stacks of other threads allow.
        let matcher = std::thread::scope(|scope| {
            let compile =
                || Matcher::new(self.factory.create_parser(TopLevelGrammar::from_json_schema(schema)));
            let thread = std::thread::Builder::new().name("schema".into()).stack_size(STACK_BYTES);
            let running = thread.spawn_scoped(scope, compile);
            let running = running.map_err(|error| LanguageError::Panicked(error.to_string()))?;
            running.join().map_err(|_| LanguageError::Schema("it cannot be compiled".into()))
        })?;
        match matcher.get_error() {
            Some(error) => Err(told(&error)),
            None => Ok(Grammar { matcher }),
        }
    }
}

/// What makes a schema expensive beyond its bytes.
#[derive(Default)]
struct Size {
    references: usize,
    properties: usize,
}

impl Size {
    /// Adds a part; it is no deeper than JSON that was read.
    fn add(&mut self, schema: &Value) -> Result<(), LanguageError> {
        match schema {
            Value::Array(items) => items.iter().try_for_each(|item| self.add(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("$ref" | "$dynamicRef" | "$recursiveRef", _) => self.references += 1,
                        ("properties" | "patternProperties", Value::Object(named)) => {
                            self.properties += named.len();
                        }
                        ("multipleOf", Value::Number(number)) => {
                            let number = number.as_f64().unwrap_or(f64::INFINITY);
                            if !(MULTIPLE_MIN..=MULTIPLE_MAX).contains(&number) {
                                let allowed = format!("{MULTIPLE_MIN} to {MULTIPLE_MAX}");
                                return Err(LanguageError::Schema(format!(
                                    "multipleOf: {number}; {allowed}"
                                )));
                            }
                        }
                        _ => {}
                    }
                    self.add(value)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// An error of the library in its own words, without the traces that it adds.
fn told(error: &str) -> LanguageError {
    let text = match error.starts_with("panic") {
        true => "it cannot be compiled",
        false => error.split("\n<").next().unwrap_or_default(),
    };
    LanguageError::Schema(text.chars().take(ERROR_CHARS_MAX).collect())
}

/// Where one reply stands within its schema.
pub struct Grammar {
    matcher: Matcher,
}

impl Grammar {
    /// The tokens that may come next; only the end token once the value is complete.
    pub fn allowed(&mut self) -> Result<SimpleVob, LanguageError> {
        self.matcher.compute_mask_or_eos().map_err(|error| told(&error.to_string()))
    }

    /// Takes the token that was chosen.
    pub fn accept(&mut self, token: u32) -> Result<(), LanguageError> {
        self.matcher.consume_token(token).map_err(|error| told(&error.to_string()))
    }

    /// Whether the value is complete and nothing may follow.
    pub fn complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

//! Which tokens keep a reply within a JSON schema?

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use crate::error::LanguageError;
use crate::tokenizer::Tokenizer;

const SCHEMA_BYTES_MAX: usize = 256 << 10;

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
        factory.limits_mut().verbose_errors = false;
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
        // Small models can fill a reply with blanks between elements; compact JSON leaves them no blanks.
        let mut schema = schema.clone();
        if let Value::Object(members) = &mut schema {
            members.entry("x-guidance").or_insert_with(|| serde_json::json!({"whitespace_flexible": false}));
        }
        let parser = self.factory.create_parser(TopLevelGrammar::from_json_schema(schema));
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(error) => Err(LanguageError::Schema(error)),
            None => Ok(Grammar { matcher }),
        }
    }
}

/// Where one reply stands within its schema.
pub struct Grammar {
    matcher: Matcher,
}

impl Grammar {
    /// The tokens that may come next; only the end token once the value is complete.
    pub fn allowed(&mut self) -> Result<SimpleVob, LanguageError> {
        self.matcher.compute_mask_or_eos().map_err(|error| LanguageError::Schema(error.to_string()))
    }

    /// Takes the token that was chosen.
    pub fn accept(&mut self, token: u32) -> Result<(), LanguageError> {
        self.matcher.consume_token(token).map_err(|error| LanguageError::Schema(error.to_string()))
    }

    /// Whether the value is complete and nothing may follow.
    pub fn complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

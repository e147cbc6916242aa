//! How does a model on this machine answer? It is read once and then continues conversations on its own thread.

use std::path::Path;
use std::sync::Arc;

use crate::chat_template::{AcceptedMessages, ChatTemplate, TemplateMessage};
use crate::engine::{Beginning, ChatEngine, ChatRequest, ChatStream, QueuePlace};
use crate::engine_limits::EngineLimits;
use crate::engine_thread::{EngineLoad, EngineThread};
use crate::error::LanguageError;
use crate::generation::Job;
use crate::grammar::GrammarFactory;
use crate::model_files::ModelFiles;
use crate::models::configuration_llama::LlamaConfig;
use crate::sampling::Sampler;
use crate::text_stream::TextStream;
use crate::tokenizer::Tokenizer;

/// Where a local model computes.
#[derive(Debug, Clone)]
pub enum LocalDevice {
    /// On the processor.
    Cpu,
    /// On a burn device, such as a graphics card.
    Burn(burn::tensor::Device),
}

/// A chat model in this process.
pub struct LocalEngine {
    name: String,
    config: LlamaConfig,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    grammars: GrammarFactory,
    context_tokens: usize,
    thread: EngineThread,
}

impl LocalEngine {
    /// Reads a GGUF file or a Hugging Face folder and starts its thread. This takes seconds.
    pub fn open(
        path: &Path,
        device: &LocalDevice,
        limits: EngineLimits,
    ) -> Result<LocalEngine, LanguageError> {
        let files = ModelFiles::open(path)?;
        let tokenizer_name = files.name.clone();
        match device {
            LocalDevice::Cpu => {
                let mut model = files.load_cpu()?;
                model.keep_as(limits.kv_numbers);
                LocalEngine::start(
                    files,
                    |tokenizer, limits| EngineThread::start(&tokenizer_name, model, tokenizer, limits),
                    limits,
                )
            }
            LocalDevice::Burn(device) => {
                let model = files.load_on(device)?;
                LocalEngine::start(
                    files,
                    |tokenizer, limits| EngineThread::start(&tokenizer_name, model, tokenizer, limits),
                    limits,
                )
            }
        }
    }

    fn start(
        files: ModelFiles,
        thread: impl FnOnce(Arc<Tokenizer>, EngineLimits) -> Result<EngineThread, LanguageError>,
        limits: EngineLimits,
    ) -> Result<LocalEngine, LanguageError> {
        let ModelFiles { name, config, tokenizer, template, .. } = files;
        let context_tokens = limits.context_tokens(&config);
        let bytes = context_tokens * limits.token_bytes(&config);
        tracing::info!(
            model = name,
            context_tokens,
            trained = config.max_position_embeddings,
            conversation_bytes_max = bytes,
            "a chat model's context"
        );
        let tokenizer = Arc::new(tokenizer);
        mention_fitting(&name, template.accepted());
        Ok(LocalEngine {
            grammars: GrammarFactory::new(&tokenizer, config.vocab_size)?,
            context_tokens,
            thread: thread(tokenizer.clone(), EngineLimits { context_tokens_max: context_tokens, ..limits })?,
            name,
            config,
            tokenizer,
            template,
        })
    }

    /// The model's shape.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The model's vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Longest conversation with its reply.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// What the engine is busy with.
    pub fn load(&self) -> EngineLoad {
        self.thread.load()
    }

    /// How many tokens `request` makes, so that a caller can leave out old messages in time.
    pub fn count_tokens(&self, request: &ChatRequest) -> Result<usize, LanguageError> {
        Ok(self.prompt(request)?.len())
    }

    /// The prompt's tokens; a text that is far too long is refused before it is taken apart.
    fn prompt(&self, request: &ChatRequest) -> Result<Vec<u32>, LanguageError> {
        let messages: Vec<TemplateMessage<'_>> = request
            .messages
            .iter()
            .map(|message| TemplateMessage::new(message.role.as_str(), &message.content))
            .collect();
        let text = match request.beginning {
            Beginning::LastMessage => self.template.render_unfinished(&messages)?,
            Beginning::NewMessage => self.template.render(&messages, true)?,
            Beginning::Unmarked => self.template.render(&messages, false)?,
        };
        match self.tokenizer.at_least(&text) {
            prompt_tokens if prompt_tokens >= self.context_tokens => {
                Err(LanguageError::ContextFull { prompt_tokens, context_tokens: self.context_tokens })
            }
            _ => self.tokenizer.encode(&text).map(|tokens| self.tokenizer.with_bos(tokens)),
        }
    }
}

/// Says once in the log what becomes of messages that the model's template does not take as they are.
fn mention_fitting(model: &str, accepted: AcceptedMessages) {
    for (takes, fitting) in [
        (accepted.system, "takes no instructions: they join what the person says"),
        (
            !accepted.system || accepted.later_system,
            "takes instructions only first: later ones join what the person says",
        ),
        (accepted.repeated_roles, "wants turns: neighbouring messages of one role become one"),
        (accepted.assistant_first, "wants the person to begin: an opening line is put before a greeting"),
    ] {
        if !takes {
            tracing::warn!(model, "the chat template {fitting}");
        }
    }
}

impl ChatEngine for LocalEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn submit(&self, request: ChatRequest) -> Result<ChatStream, LanguageError> {
        request.check()?;
        if request.messages.iter().any(|message| !message.images.is_empty()) {
            let reason = format!("{} cannot look at pictures", self.name);
            return Err(LanguageError::InvalidRequest { field: "images", reason });
        }
        if request.tools.is_some() {
            let reason = format!("{} calls none", self.name);
            return Err(LanguageError::InvalidRequest { field: "tools", reason });
        }
        let text = TextStream::new(&request.stop)?;
        let prompt = self.prompt(&request)?;
        if prompt.is_empty() || prompt.len() >= self.context_tokens {
            return Err(LanguageError::ContextFull {
                prompt_tokens: prompt.len(),
                context_tokens: self.context_tokens,
            });
        }
        let grammar = request.json_schema.as_ref().map(|schema| self.grammars.compile(schema)).transpose()?;
        let seed = request.seed();
        let place = QueuePlace::default();
        let (events, stream) = ChatStream::pair(place.clone());
        self.thread.submit(Job {
            sampler: Sampler::new(request.sampling, seed, &prompt),
            prompt,
            seed,
            text,
            max_tokens: request.max_tokens,
            grammar,
            cache_key: request.cache_key,
            user: request.user,
            cancel: request.cancel,
            events,
            place,
        })?;
        Ok(stream)
    }
}

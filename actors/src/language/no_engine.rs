//! Why no model can answer, in words that say what to do about it.

use crate::catalog::provider_key::NoKey;

/// Why no engine could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum NoEngine {
    /// The default model is on its way.
    #[error("the chat model is being fetched ({megabytes} MB so far); try again in a moment")]
    Fetching {
        /// How much has arrived.
        megabytes: u64,
    },
    /// There is none.
    #[error(
        "there is no chat model: put a GGUF file into {models_dir}, set chat_model, let fetch_chat_model fetch the \
         default one, or add an active chat model to api_models"
    )]
    Absent {
        /// Where it could lie.
        models_dir: String,
    },
    /// Every one that there is was made inactive.
    #[error("every chat model is switched off: set is_active of one in api_models, or of the provider local")]
    SwitchedOff,
    /// There is one, but it cannot be used.
    #[error("the chat model cannot be used: {reason}")]
    Broken {
        /// Why.
        reason: String,
    },
    /// It does not fit the memory beside models that are busy.
    #[error(
        "no memory is free for the chat model {name}: others are busy; try again, or raise chat_memory_bytes"
    )]
    Busy {
        /// The model.
        name: String,
    },
    /// The catalogue names a model whose key is missing.
    #[error("{provider} needs a key: {reason}")]
    NoSecret {
        /// The provider.
        provider: String,
        /// Why it has none.
        reason: NoKey,
    },
    /// There is no such model.
    #[error("there is no active model {name}{}", known_in_words(known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// No model in the catalogue can do this.
    #[error("no active model in api_models has the task {task}: {advice}")]
    NoModelFor {
        /// What is to be done.
        task: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The catalogue cannot be read.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// Models that a message names; a catalogue may have hundreds.
const NAMED_MAX: usize = 20;

fn known_in_words(known: &[String]) -> String {
    let named = known.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => "; there is none yet".into(),
        count if count > NAMED_MAX => format!("; there are {named} and {} more", count - NAMED_MAX),
        _ => format!("; there is {named}"),
    }
}

impl NoEngine {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            NoEngine::Fetching { .. } => "MODEL_LOADING",
            NoEngine::Absent { .. } | NoEngine::Broken { .. } | NoEngine::SwitchedOff => "NO_CHAT_MODEL",
            NoEngine::Busy { .. } => "MODELS_BUSY",
            NoEngine::NoSecret { .. } => "NO_PROVIDER_KEY",
            NoEngine::Unknown { .. } => "MODEL_NOT_FOUND",
            NoEngine::NoModelFor { .. } => "NO_MODEL_FOR_TASK",
            NoEngine::Store(_) => "STORE",
        }
    }
}

//! Every way in which words can fail to be made, with the facts a reader needs.

use std::path::{Path, PathBuf};

use formats::FormatError;

/// Why a model could not be loaded or a reply could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LanguageError {
    /// The operating system refused a read or a write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not follow its format.
    #[error("{what} is malformed: {detail}")]
    Malformed {
        /// The file, section or field.
        what: String,
        /// What was found.
        detail: String,
    },
    /// A file is well formed, but describes something that is not implemented.
    #[error("{what} is not supported: {detail}")]
    Unsupported {
        /// The field concerned.
        what: String,
        /// Its value, and what is supported.
        detail: String,
    },
    /// A checkpoint lacks a tensor that its configuration calls for.
    #[error("tensor {name} is missing")]
    MissingTensor {
        /// The name as the file would spell it.
        name: String,
    },
    /// A tensor's shape contradicts the configuration.
    #[error("tensor {name} has shape {found:?} where {expected:?} is needed")]
    TensorShape {
        /// The name as the file spells it.
        name: String,
        /// What the configuration asks for, outermost dimension first.
        expected: Vec<usize>,
        /// What the file holds.
        found: Vec<usize>,
    },
    /// A downloaded file is not the one that was asked for.
    #[error("{path} has sha256 {found} where {expected} is needed")]
    HashMismatch {
        /// The file.
        path: PathBuf,
        /// The hash that was asked for.
        expected: String,
        /// The hash of what arrived.
        found: String,
    },
    /// No source could provide a model.
    #[error("could not fetch {what}: {detail}")]
    Fetch {
        /// The package or file.
        what: String,
        /// What each attempt said.
        detail: String,
    },
    /// Text could not be turned into tokens or back.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A chat template could not be compiled or rendered.
    #[error("chat template: {0}")]
    Template(String),
    /// A JSON schema cannot be enforced.
    #[error("json schema: {0}")]
    Schema(String),
    /// A field of a request has a value that cannot be honoured.
    #[error("{field}: {reason}")]
    InvalidRequest {
        /// The field's name.
        field: &'static str,
        /// Why its value is refused.
        reason: String,
    },
    /// The prompt leaves no room for a reply.
    #[error("the prompt has {prompt_tokens} tokens and the context holds {context_tokens}")]
    ContextFull {
        /// Tokens of the rendered prompt.
        prompt_tokens: usize,
        /// Tokens that the model can hold.
        context_tokens: usize,
    },
    /// Too many requests wait already.
    #[error("{limit} requests wait already")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Closed,
    /// The model panicked on this request; others go on.
    #[error("the model panicked: {0}")]
    Panicked(String),
    /// A remote server could not be reached or broke off.
    #[error("{endpoint}: {detail}")]
    Remote {
        /// The endpoint's name.
        endpoint: String,
        /// What went wrong.
        detail: String,
    },
    /// A remote server answered with an error status.
    #[error("{endpoint} answered {status}: {body}")]
    RemoteStatus {
        /// The endpoint's name.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer's body.
        body: String,
    },
    /// Who asks may not spend more on models today.
    #[error("{0}")]
    NotPaid(String),
    /// An endpoint failed too often of late and is left alone for a while.
    #[error("{endpoint} is resting for {seconds} s after repeated failures")]
    CircuitOpen {
        /// The endpoint's name.
        endpoint: String,
        /// Seconds until it is tried again.
        seconds: u64,
    },
}

impl From<FormatError> for LanguageError {
    fn from(error: FormatError) -> LanguageError {
        match error {
            FormatError::Io { name, source } => LanguageError::Io { path: name.into(), source },
            FormatError::Malformed { what, detail } => LanguageError::Malformed { what, detail },
            FormatError::Unsupported { what, detail } => LanguageError::Unsupported { what, detail },
            FormatError::Template(reason) => LanguageError::Template(reason),
            FormatError::Messages(reason) => LanguageError::InvalidRequest { field: "messages", reason },
        }
    }
}

impl LanguageError {
    /// A failure of the operating system at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> LanguageError + '_ {
        move |source| LanguageError::Io { path: path.to_path_buf(), source }
    }

    /// A file that does not follow its format.
    pub(crate) fn malformed(what: impl Into<String>, detail: impl Into<String>) -> LanguageError {
        LanguageError::Malformed { what: what.into(), detail: detail.into() }
    }

    /// A file that describes something not implemented.
    pub(crate) fn unsupported(what: impl Into<String>, detail: impl Into<String>) -> LanguageError {
        LanguageError::Unsupported { what: what.into(), detail: detail.into() }
    }
}

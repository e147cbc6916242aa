//! Every way in which a model's file or template can be wrong.

/// Why a header or a template could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The operating system refused a read.
    #[error("{name}: {source}")]
    Io {
        /// The file.
        name: String,
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
    /// A chat template could not be compiled or rendered.
    #[error("chat template: {0}")]
    Template(String),
    /// A chat template does not take such a list of messages.
    #[error("messages: {0}")]
    Messages(String),
}

impl FormatError {
    /// A file that does not follow its format.
    pub(crate) fn malformed(what: impl Into<String>, detail: impl Into<String>) -> FormatError {
        FormatError::Malformed { what: what.into(), detail: detail.into() }
    }
}

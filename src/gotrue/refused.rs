//! Why a browser that comes with a link or from a provider gets no session.

use axum::response::Redirect;

use crate::gotrue::error::AuthError;

/// Why a browser that comes with a link or from a provider gets no session.
pub(crate) struct Refused {
    pub error: &'static str,
    pub code: &'static str,
    pub description: String,
}

impl Refused {
    pub fn new(code: &'static str, description: impl Into<String>) -> Refused {
        Refused { error: "access_denied", code, description: description.into() }
    }

    /// To a page, which reads the reason from its address: clients look into the query or behind the hash.
    pub fn at(&self, page: &str) -> Redirect {
        let reason = form_urlencoded::Serializer::new(String::new())
            .append_pair("error", self.error)
            .append_pair("error_code", self.code)
            .append_pair("error_description", &self.description)
            .finish();
        let joint = if page.contains('?') { '&' } else { '?' };
        Redirect::to(&format!("{page}{joint}{reason}#{reason}"))
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Refused {
        let kind = if error.status.is_server_error() { "server_error" } else { "access_denied" };
        Refused { error: kind, code: error.code, description: error.message }
    }
}

//! The token of a channel: whom it stands for, and until when.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use models::Claims;
use serde::Deserialize;

use crate::app::Shared;
use crate::caller::{self, BadToken};

/// A token that counts.
#[derive(Clone, Debug)]
pub(super) struct Token {
    text: Option<Arc<str>>,
    /// Whom it stands for.
    pub claims: Claims,
    /// When it ends, in seconds since 1970.
    pub ends: Option<i64>,
}

impl Token {
    /// Reads a token or key; without one the caller is anonymous, where that is allowed.
    pub fn read(app: &Shared, text: Option<&str>) -> Result<Token, BadToken> {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => {
                let claims = caller::claims_of(text, app)?;
                Ok(Token { claims, ends: end_of(text), text: Some(text.into()) })
            }
            None if app.config.keyless_anon => {
                Ok(Token { text: None, claims: Claims::anonymous(), ends: None })
            }
            None => Err(BadToken::new("No API key found in request")),
        }
    }

    /// Whether its text is this.
    pub fn is(&self, text: &str) -> bool {
        self.text.as_deref() == Some(text)
    }

    /// Whether it still counts: it has not ended, nor has its account.
    pub fn stands(&self, app: &Shared) -> bool {
        self.text.as_deref().is_none_or(|text| caller::claims_of(text, app).is_ok())
    }
}

/// When a token ends that was verified before.
fn end_of(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Expiry {
        exp: Option<i64>,
    }
    let said = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Expiry>(&said).ok()?.exp
}

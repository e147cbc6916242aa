//! Tokens whose signature was checked before: a client sends the same one with each request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::token::TokenClaims;

/// Tokens remembered; then it begins anew.
const TOKENS_MAX: usize = 4096;

/// What checked tokens say, by their BLAKE3.
#[derive(Debug, Default)]
pub(crate) struct VerifiedTokens {
    claims: Mutex<HashMap<blake3::Hash, TokenClaims>>,
}

impl VerifiedTokens {
    /// What a token says that was checked before and has not ended since.
    pub fn get(&self, token: &str) -> Option<TokenClaims> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let known = claims.get(&blake3::hash(token.as_bytes()))?;
        known.exp.is_some_and(|ends| ends > now()).then(|| known.clone())
    }

    /// Remembers a token that was just checked.
    pub fn add(&self, token: &str, said: &TokenClaims) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.len() >= TOKENS_MAX {
            claims.clear();
        }
        claims.insert(blake3::hash(token.as_bytes()), said.clone());
    }
}

fn now() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ends: u64) -> TokenClaims {
        TokenClaims { exp: Some(ends), role: Some("anon".into()), sub: None, session_id: None }
    }

    #[test]
    fn only_tokens_that_last_are_known() {
        let (tokens, now) = (VerifiedTokens::default(), now());
        tokens.add("lasts", &said(now + 60));
        tokens.add("ended", &said(now));
        assert!(tokens.get("lasts").is_some());
        assert!(tokens.get("ended").is_none());
        assert!(tokens.get("lasts ").is_none());
    }

    #[test]
    fn memory_stays_bounded() {
        let (tokens, now) = (VerifiedTokens::default(), now());
        for number in 0..3 * TOKENS_MAX {
            tokens.add(&number.to_string(), &said(now + 60));
        }
        assert!(tokens.claims.lock().expect("no panic").len() <= TOKENS_MAX);
    }
}

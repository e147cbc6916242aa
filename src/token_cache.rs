//! Tokens whose signature was checked before: a client sends the same one with each request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use models::Claims;

/// Tokens remembered; then it begins anew.
const TOKENS_MAX: usize = 4096;

/// What checked tokens say, by their BLAKE3.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    claims: Mutex<HashMap<blake3::Hash, (Claims, u64)>>,
}

impl TokenCache {
    /// Whom a token stands for that was checked before and has not ended since.
    pub fn get(&self, token: &str) -> Option<Claims> {
        let known = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let (claims, ends) = known.get(&blake3::hash(token.as_bytes()))?;
        (*ends > now()).then(|| claims.clone())
    }

    /// Remembers a token that was just checked; `ends` is in seconds since 1970.
    pub fn add(&self, token: &str, claims: &Claims, ends: u64) {
        let mut known = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TOKENS_MAX {
            known.clear();
        }
        known.insert(blake3::hash(token.as_bytes()), (claims.clone(), ends));
    }
}

fn now() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_that_last_are_known() {
        let (tokens, now) = (TokenCache::default(), now());
        tokens.add("lasts", &Claims::anonymous(), now + 60);
        tokens.add("ended", &Claims::anonymous(), now);
        assert!(tokens.get("lasts").is_some());
        assert!(tokens.get("ended").is_none());
        assert!(tokens.get("lasts ").is_none());
    }

    #[test]
    fn memory_stays_bounded() {
        let (tokens, now) = (TokenCache::default(), now());
        for number in 0..3 * TOKENS_MAX {
            tokens.add(&number.to_string(), &Claims::anonymous(), now + 60);
        }
        assert!(tokens.claims.lock().expect("no panic").len() <= TOKENS_MAX);
    }
}

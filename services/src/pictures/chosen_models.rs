//! The picture model that an account's programs have chosen, for dialects in which that is a setting of the server: one
//! account's choice is nothing to another. It lasts as long as the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

/// Accounts whose choice is remembered; beyond, another account's is forgotten, and the default draws for it.
const ACCOUNTS_MAX: usize = 10_000;

/// The choices of all accounts. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ChosenModels(Arc<Mutex<HashMap<Uuid, String>>>);

impl ChosenModels {
    /// The model that an account has chosen.
    pub fn of(&self, user: Uuid) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&user).cloned()
    }

    /// Remembers a choice.
    pub fn choose(&self, user: Uuid, model: String) {
        let mut chosen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if chosen.len() >= ACCOUNTS_MAX
            && !chosen.contains_key(&user)
            && let Some(other) = chosen.keys().next().copied()
        {
            chosen.remove(&other);
        }
        chosen.insert(user, model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_choose_for_themselves_and_not_without_end() {
        let chosen = ChosenModels::default();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        chosen.choose(a, "one".into());
        chosen.choose(b, "two".into());
        chosen.choose(a, "three".into());
        assert_eq!((chosen.of(a).as_deref(), chosen.of(b).as_deref()), (Some("three"), Some("two")));
        for id in 0..2 * ACCOUNTS_MAX as u128 {
            chosen.choose(Uuid::from_u128(id), "x".into());
        }
        assert_eq!(chosen.0.lock().unwrap().len(), ACCOUNTS_MAX);
    }
}

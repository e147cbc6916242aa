//! What a person is called in stories: by the user name that they chose, and not by the half of a mail address that stands
//! in for one.

use models::{Value, schema};
use store::{Store, StoreError};
use uuid::Uuid;

use super::users::USERNAME_CHARS_MAX;

/// The name for a person who has none.
pub const UNNAMED: &str = "User";

/// What an account is called in stories.
pub fn story_name(store: &Store, user: Uuid) -> Result<String, StoreError> {
    let (profiles, users) = (schema().known("profiles"), schema().known("auth.users"));
    let reads = store.reads();
    let profile = reads.get(profiles, &[Value::Uuid(user)])?;
    let name = profile.as_ref().and_then(|row| row[profiles.at("username")].as_str()).unwrap_or_default();
    let account = reads.get(users, &[Value::Uuid(user)])?;
    let chosen =
        account.as_ref().and_then(|row| row[users.at("user_metadata")].as_json()).unwrap_or_default();
    let chosen = chosen["username"].as_str().is_some_and(|name| !name.trim().is_empty());
    let email = account.as_ref().and_then(|row| row[users.at("email")].as_str()).unwrap_or_default();
    let name = name.trim();
    let is_stand_in = !chosen && stands_in(name, email);
    Ok(if name.is_empty() || is_stand_in { UNNAMED.to_string() } else { name.to_string() })
}

/// Whether a user name was made of the address of its account: the part before the `@`, perhaps with a number.
fn stands_in(name: &str, email: &str) -> bool {
    let half: String = email.split('@').next().unwrap_or_default().chars().take(USERNAME_CHARS_MAX).collect();
    let Some(rest) = name.strip_prefix(half.trim()).filter(|_| !half.is_empty()) else { return false };
    let is_long = rest.strip_prefix('-').is_some_and(|id| id.len() == 32);
    is_long || rest.chars().all(|letter| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_address_is_no_name() {
        for name in ["ada.lovelace", "ada.lovelace2", "ada.lovelace-0123456789abcdef0123456789abcdef"] {
            assert!(stands_in(name, "ada.lovelace@example.com"), "{name}");
        }
        for (name, email) in [("Ada", "ada@example.com"), ("ada_l", "ada@example.com"), ("ada", ""), ("", "")]
        {
            assert!(!stands_in(name, email), "{name} {email}");
        }
    }
}

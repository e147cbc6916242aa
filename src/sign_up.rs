//! Who may make an account: what the configuration says, and what an administrator set while the server ran.

use models::{Value, schema};
use serde_json::Value as Json;
use store::{Store, StoreError};

use crate::app::App;

/// The member of `system_config.config` that holds it, and its name in requests.
pub(crate) const SIGN_UP: &str = "signUp";

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignUp {
    /// Anybody who reaches the server.
    Open,
    /// Those who have an invitation of an administrator.
    Invitation,
    /// None but those for whom an administrator makes one.
    Closed,
}

impl SignUp {
    /// The reverse of [`SignUp::name`].
    pub fn named(name: &str) -> Option<SignUp> {
        [SignUp::Open, SignUp::Invitation, SignUp::Closed].into_iter().find(|one| one.name() == name)
    }

    /// Its name in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            SignUp::Open => "open",
            SignUp::Invitation => "invitation",
            SignUp::Closed => "closed",
        }
    }
}

/// What an administrator may set: never more than the configuration opens.
pub(crate) fn accepted(configured: bool) -> Vec<&'static str> {
    let all = [SignUp::Open, SignUp::Invitation, SignUp::Closed];
    all.into_iter().filter(|one| configured || *one != SignUp::Open).map(SignUp::name).collect()
}

/// Who may make an account now, and whether an administrator said so.
pub(crate) fn current(store: &Store, configured: bool) -> Result<(SignUp, bool), StoreError> {
    let table = schema().known("system_config");
    let row = store.reads().get(table, &[Value::Int(1)])?;
    let config = row.and_then(|row| row[table.at("config")].as_json()).unwrap_or_default();
    Ok(effective(configured, &config[SIGN_UP]))
}

/// Whether anybody may make an account now; while that cannot be read, none may.
pub(crate) fn is_open(app: &App) -> bool {
    let current = current(app.services.actors.store(), app.config.signup_enabled);
    matches!(current, Ok((SignUp::Open, _)))
}

fn effective(configured: bool, stored: &Json) -> (SignUp, bool) {
    let by_configuration = if configured { SignUp::Open } else { SignUp::Closed };
    match stored {
        Json::Null => (by_configuration, false),
        // What no version here writes opens nothing.
        other => match other.as_str().and_then(SignUp::named) {
            Some(SignUp::Open) => (by_configuration, true),
            Some(one) => (one, true),
            None => (SignUp::Closed, true),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_administrator_opens_no_more_than_the_configuration() {
        assert_eq!(effective(true, &Json::Null), (SignUp::Open, false));
        assert_eq!(effective(false, &Json::Null), (SignUp::Closed, false));
        assert_eq!(effective(true, &json!("invitation")).0, SignUp::Invitation);
        assert_eq!(effective(false, &json!("invitation")).0, SignUp::Invitation);
        assert_eq!(effective(false, &json!("open")).0, SignUp::Closed);
        for other in [json!("openn"), json!(true), json!({})] {
            assert_eq!(effective(true, &other).0, SignUp::Closed, "{other}");
        }
        assert_eq!(accepted(false), ["invitation", "closed"]);
    }
}

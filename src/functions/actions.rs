//! Functions that do one of several things: fields of a request that the thing it asks for does not use.

use models::field_names::is_same_name;
use models::value_words::shown_text;
use serde_json::{Map, Value as Json, json};

use super::error::FunctionError;
use super::http_call::Call;
use crate::request_body;

/// What a function can be asked for, and the fields that each of it uses.
pub(super) struct Actions(pub &'static [(&'static str, &'static [&'static str])]);

impl Actions {
    /// The names of all actions.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    /// What is answered to an action that is none of them.
    pub fn refuse(&self, action: &str) -> FunctionError {
        let (accepted, action) = (self.names(), shown_text(action));
        let message = format!("Invalid action: {action} is not one of {}", accepted.join(", "));
        FunctionError::bad(message).with("details", json!({"field": "action", "accepted": accepted}))
    }

    /// Fields that are given, that some action uses and this one does not, as the function spells them. An action that is
    /// not known uses all.
    pub fn unused(&self, given: &Map<String, Json>, action: &str) -> Vec<&'static str> {
        let Some((_, used)) = self.0.iter().find(|(name, _)| *name == action) else { return Vec::new() };
        let is_given =
            |field: &str| given.iter().any(|(name, value)| !value.is_null() && is_same_name(name, field));
        let mut unused = Vec::new();
        for field in self.0.iter().flat_map(|(_, fields)| fields.iter().copied()) {
            if !used.contains(&field) && !unused.contains(&field) && is_given(field) {
                unused.push(field);
            }
        }
        unused
    }

    /// The actions that use a field, in words.
    pub fn users(&self, field: &str) -> String {
        let users = self.0.iter().filter(|(_, fields)| fields.contains(&field)).map(|(name, _)| *name);
        models::value_words::either(&users.collect::<Vec<_>>())
    }

    /// What is said of a field that an action does not use.
    pub fn warning(&self, place: &str, field: &str, action: &str) -> String {
        format!("{place}{field}: not used by {action}; it belongs to {}", self.users(field))
    }

    /// Names the fields in the warnings of the answer that the action of a request does not use.
    pub fn warn_unused(&self, call: &Call, action: &str) -> Result<(), FunctionError> {
        let given = request_body::object(&call.body)?;
        let unused = self.unused(&given, action);
        call.warnings.extend(unused.into_iter().map(|field| self.warning("", field, action)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: Actions =
        Actions(&[("save", &["assetId", "title"]), ("clear", &["title"]), ("clear_job", &["jobId"])]);

    #[test]
    fn fields_of_other_actions_are_found_in_either_spelling() {
        let given = json!({"asset_id": 1, "jobId": 2, "title": null, "colour": 3});
        let given = given.as_object().expect("an object");
        assert_eq!(ACTIONS.unused(given, "clear"), ["assetId", "jobId"]);
        assert_eq!(ACTIONS.unused(given, "save"), ["jobId"]);
        assert_eq!(ACTIONS.unused(given, "paint"), Vec::<&str>::new());
        let warning = ACTIONS.warning("params.", "title", "clear_job");
        assert_eq!(warning, "params.title: not used by clear_job; it belongs to save or clear");
    }
}

//! Asking the language model for one node: JSON by a schema, one repair, then a failure that says what was wrong.

use actors::language::Wanted;
use serde_json::{Value as Json, json};

use super::run::{Run, Stop, name_of};
use crate::error::{Kind, ServiceError};
use crate::prompts::ask_model::{self, Question};

/// Characters of an unusable answer that its repair shows.
const SHOWN_CHARS: usize = 2000;

/// A question of a node.
pub struct NodeQuestion<'q> {
    /// The node.
    pub node: &'q str,
    /// What the model is to do.
    pub system: &'q str,
    /// What it goes by.
    pub user: String,
    /// Members of the answer with the schema of each; all are needed.
    pub members: Vec<(&'static str, Json)>,
    /// Tokens at most.
    pub max_tokens: usize,
}

/// A text.
pub fn text() -> Json {
    json!({"type": "string"})
}

/// A list of texts.
pub fn texts() -> Json {
    list(text())
}

/// A list.
pub fn list(of: Json) -> Json {
    json!({"type": "array", "items": of})
}

/// A number within bounds.
pub fn number() -> Json {
    json!({"type": "number"})
}

/// One of some texts.
pub fn one_of(values: &[&str]) -> Json {
    json!({"enum": values})
}

/// An object with exactly these members.
pub fn object(members: &[(&str, Json)]) -> Json {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<String, Json> =
        members.iter().map(|(name, schema)| ((*name).to_string(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
}

/// Asks, and once more where the answer is not usable; `check` says what is wrong with one.
pub async fn ask(
    run: &Run,
    question: NodeQuestion<'_>,
    check: impl Fn(&Json) -> Result<(), String>,
) -> Result<Json, Stop> {
    let NodeQuestion { node, system, user, members, max_tokens } = question;
    let engines = run.context.services.chat.engines();
    let chosen = engines.choose(Wanted { name: None, task: "reasoning", strict: false }).await;
    let chosen = chosen.map_err(|error| {
        let error = ServiceError::from(error);
        run.failed(node, ServiceError::new(Kind::Upstream, error.to_string()))
    })?;
    let schema = object(&members);
    let mut wrong = String::new();
    let (chars, read) = (user.chars().count(), ask_model::room_for(&chosen, &user).chars().count());
    if read < chars {
        run.warn(format!(
            "{}: the model {} reads {read} of the {chars} characters that it is asked about",
            name_of(node),
            chosen.display_name
        ));
    }
    let mut asked = user.clone();
    for _ in 0..2 {
        let question = Question::new("webtoon", system, &asked, max_tokens);
        let answer = ask_model::object(&run.context, &chosen, question, schema.clone()).await;
        let (said, reason) = match answer {
            Ok(answer) => {
                let missing = members.iter().find(|(name, schema)| !is_like(&answer.said[*name], schema));
                let checked = match missing {
                    Some((name, _)) => Err(format!("{name} is missing or of another kind")),
                    None => check(&answer.said),
                };
                match checked {
                    Ok(()) => return Ok(answer.said),
                    Err(reason) => (answer.said.to_string(), reason),
                }
            }
            Err(error) if error.code() == Some("UNUSABLE_ANSWER") => (String::new(), error.to_string()),
            Err(error) => return Err(run.failed(node, ServiceError::new(Kind::Upstream, error.to_string()))),
        };
        let shown: String = said.chars().take(SHOWN_CHARS).collect();
        // First, since what a model does not hold is cut off at the end.
        asked = format!(
            "The answer before was not usable: {reason}.\nIt was: {shown}\nAnswer again, whole.\n\n{user}"
        );
        wrong = reason;
    }
    let error = ServiceError::new(Kind::Upstream, format!("the model gave no usable answer: {wrong}"));
    Err(run.failed(node, error))
}

/// Whether a value is of the kind that a schema names.
fn is_like(value: &Json, schema: &Json) -> bool {
    match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => schema["enum"].as_array().is_none_or(|known| known.contains(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_of_the_kind_that_their_schema_names() {
        assert!(is_like(&json!(["x"]), &texts()) && !is_like(&json!("x"), &texts()));
        assert!(is_like(&json!("a"), &one_of(&["a", "b"])) && !is_like(&json!("c"), &one_of(&["a", "b"])));
        assert!(!is_like(&Json::Null, &text()) && is_like(&json!(0.5), &number()));
        let schema = object(&[("a", text()), ("b", list(number()))]);
        assert_eq!(schema["required"], json!(["a", "b"]));
    }
}

//! Functions of scripts.

pub mod compare_scripts;
pub mod delete_script;
pub mod evaluate_script;
pub mod generate_script;
pub mod list_scripts;
pub mod script_transition;

use crate::functions::error::FunctionError;

/// A text of a request without spaces around it; none where it is empty.
fn given<'t>(
    field: &str,
    text: &'t Option<String>,
    chars_max: usize,
) -> Result<Option<&'t str>, FunctionError> {
    let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > chars_max => {
            let message = format!("{field}: longer than {chars_max} characters");
            Err(FunctionError::bad(message).of_field(field))
        }
        text => Ok(text),
    }
}

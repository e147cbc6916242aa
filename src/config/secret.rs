//! A secret that stands in the configuration itself, or in a file that it names.

use std::path::Path;

/// The secret; what stands in the configuration wins. A line end after a secret in a file is no part of it.
pub fn secret(given: Option<&str>, file: Option<&Path>) -> Result<Option<String>, String> {
    match (given, file) {
        (Some(given), _) => Ok(Some(given.to_string())),
        (None, None) => Ok(None),
        (None, Some(file)) => {
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_string()))
        }
    }
}

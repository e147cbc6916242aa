//! Which LoRAs there are, and which file a name means: `loras/NAME.safetensors` in the models folder.

use std::path::{Path, PathBuf};

use models::value_words::{Takes, is_not, shown, shown_text};
use serde_json::Value as Json;

use super::model_choice::first_names;

/// The folder of LoRAs within the models folder.
pub const LORAS_FOLDER: &str = "loras";
/// LoRAs of one job at most.
pub const LORAS_MAX: usize = 8;
/// Longest name of one, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Largest scale, either way.
pub const LORA_SCALE_MAX: f64 = 4.0;

/// A LoRA that a job names.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedLora {
    /// Its file without the ending.
    pub name: String,
    /// How much of it; 1 is all.
    pub scale: f64,
}

/// The LoRAs of a models folder, by name.
pub fn list_loras(models_dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(models_dir.join(LORAS_FOLDER)).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "safetensors"))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_string(), path)))
        .collect();
    found.sort();
    found
}

/// Reads the LoRAs that a job asks for: `[{"name": "ink", "scale": 0.8}, "grain"]`; a bare name is all of it. The
/// message names the field.
pub fn read_loras(value: &Json) -> Result<Vec<WantedLora>, String> {
    let wanted = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Array(wanted) => wanted,
        other => {
            let given = shown(other);
            return Err(format!("loras: {given} is not a list of names, or of objects with name and scale"));
        }
    };
    if wanted.len() > LORAS_MAX {
        return Err(format!("loras: {} are given; a job takes {LORAS_MAX} at most", wanted.len()));
    }
    let mut loras: Vec<WantedLora> = Vec::with_capacity(wanted.len());
    for (place, wanted) in wanted.iter().enumerate() {
        let field = |name: &str| format!("loras[{place}]{name}");
        if !wanted.is_string() && !wanted.is_object() {
            return Err(format!(
                "{}: {}",
                field(""),
                is_not(&shown(wanted), "a name, or an object with one")
            ));
        }
        let name = if wanted.is_string() { wanted } else { &wanted["name"] };
        Takes::Text.check(name).map_err(|reason| format!("{}: {reason}", field(".name")))?;
        let name = name.as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("{}: missing", field(".name")))?;
        if name.chars().count() > NAME_CHARS_MAX {
            return Err(format!("{}: longer than {NAME_CHARS_MAX} characters", field(".name")));
        }
        let scale = match (wanted.is_string(), &wanted["scale"], &wanted["weight"]) {
            (true, ..) | (_, Json::Null, Json::Null) => 1.0,
            (_, Json::Null, scale) | (_, scale, _) => {
                let not_a_number = || is_not(&shown(scale), Takes::Number.words());
                scale.as_f64().ok_or_else(|| format!("{}: {}", field(".scale"), not_a_number()))?
            }
        };
        if !(-LORA_SCALE_MAX..=LORA_SCALE_MAX).contains(&scale) {
            let limits = format!("{scale} is not within -{LORA_SCALE_MAX} to {LORA_SCALE_MAX}");
            return Err(format!("{}: {limits}", field(".scale")));
        }
        if loras.iter().any(|lora| lora.name == name) {
            return Err(format!("{}: {name:?} is given twice", field(".name")));
        }
        loras.push(WantedLora { name: name.into(), scale });
    }
    Ok(loras)
}

/// The LoRAs that a prompt names as A1111 writes them, `<lora:ink:0.8>` or `<lora:ink>`, and the prompt without them.
/// The message says which of them cannot be read.
pub fn lora_tags(prompt: &str) -> Result<(String, Vec<WantedLora>), String> {
    let (mut words, mut loras) = (String::new(), Vec::new());
    let mut rest = prompt;
    while let Some(at) = rest.find("<lora:") {
        let Some(end) = rest[at..].find('>') else { break };
        let tag = &rest[at..at + end + 1];
        let inner = &tag["<lora:".len()..tag.len() - 1];
        let (name, scale) = match inner.split_once(':') {
            None => (inner, Some(1.0)),
            Some((name, scale)) => (name, scale.trim().parse::<f64>().ok()),
        };
        let scale = scale.filter(|scale| (-LORA_SCALE_MAX..=LORA_SCALE_MAX).contains(scale));
        let Some(scale) = scale.filter(|_| !name.trim().is_empty()) else {
            return Err(format!("{tag} is not <lora:NAME:SCALE> with a scale within ±{LORA_SCALE_MAX}"));
        };
        if loras.len() >= LORAS_MAX {
            return Err(format!("more than {LORAS_MAX} LoRAs"));
        }
        loras.push(WantedLora { name: name.trim().into(), scale });
        words.push_str(&rest[..at]);
        rest = &rest[at + end + 1..];
        // The space before a tag and the one after it were one gap.
        if words.is_empty() || words.ends_with(char::is_whitespace) {
            rest = rest.trim_start();
        }
    }
    words.push_str(rest);
    let words = if loras.is_empty() { words } else { words.trim_end().to_string() };
    Ok((words, loras))
}

/// The files behind the names. Names come from clients: only listed files are opened.
pub fn lora_files(models_dir: &Path, wanted: &[WantedLora]) -> Result<Vec<(PathBuf, f64)>, String> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let there = list_loras(models_dir);
    let file = |(place, lora): (usize, &WantedLora)| {
        let found = there.iter().find(|(name, _)| *name == lora.name);
        found.map(|(_, path)| (path.clone(), lora.scale)).ok_or_else(|| {
            let names: Vec<String> = there.iter().map(|(name, _)| name.clone()).collect();
            let names = match names.as_slice() {
                [] => format!("the models folder has none in {LORAS_FOLDER}/"),
                names => format!("there is {}", first_names(names)),
            };
            format!("loras[{place}].name: there is no LoRA {} here; {names}", shown_text(&lora.name))
        })
    };
    wanted.iter().enumerate().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_read_and_what_is_wrong_is_named() {
        let loras =
            read_loras(&json!([{"name": "ink", "scale": -0.5}, "grain", {"name": "dust", "weight": 2}]));
        let loras = loras.expect("they read").into_iter().map(|lora| (lora.name, lora.scale));
        assert_eq!(
            loras.collect::<Vec<_>>(),
            [("ink".to_string(), -0.5), ("grain".into(), 1.0), ("dust".into(), 2.0)]
        );
        for (wrong, field) in [
            (json!("ink"), "loras:"),
            (json!([{"scale": 1}]), "loras[0].name"),
            (json!([{"name": ""}]), "loras[0].name"),
            (json!(["a", {"name": "b", "scale": "much"}]), "loras[1].scale"),
            (json!([{"name": "b", "scale": 1e300}]), "loras[0].scale"),
            (json!(["a", "a"]), "loras[1].name"),
            (json!(vec!["a"; 9]), "loras:"),
        ] {
            let error = read_loras(&wrong).expect_err("refused");
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn a_prompt_may_name_loras() {
        let (words, loras) =
            lora_tags("<lora:a b>a cat <lora:ink:0.5> on a mat <lora:dust:-1>").expect("it reads");
        assert_eq!(words, "a cat on a mat");
        let loras: Vec<(&str, f64)> = loras.iter().map(|lora| (lora.name.as_str(), lora.scale)).collect();
        assert_eq!(loras, [("a b", 1.0), ("ink", 0.5), ("dust", -1.0)]);
        for plain in ["a <lora: cat", "5 > 3, <hypernet:x:1>", " a "] {
            assert_eq!(lora_tags(plain).expect("it reads"), (plain.to_string(), Vec::new()));
        }
        for wrong in ["<lora:ink:much>", "<lora:ink:99>", "<lora::1>", "<lora:ink:1:2>"] {
            assert!(lora_tags(wrong).expect_err("refused").starts_with(wrong));
        }
    }

    #[test]
    fn only_listed_files_are_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(LORAS_FOLDER)).expect("a folder");
        std::fs::write(folder.path().join("secret.safetensors"), b"").expect("a file");
        std::fs::write(folder.path().join("loras/ink.safetensors"), b"").expect("a file");
        let files = |name: &str| lora_files(folder.path(), &[WantedLora { name: name.into(), scale: 1.0 }]);
        assert_eq!(files("ink").expect("it is there").len(), 1);
        for name in ["../secret", "ink.safetensors", "/etc/passwd", "INK", "loras/ink"] {
            let error = files(name).expect_err("refused");
            assert!(error.starts_with("loras[0].name") && error.ends_with("there is ink"), "{error}");
        }
    }
}

//! What a person should hear before a small model draws something that it was never trained for.

use diffusion::starter_about;

use super::model_choice::STARTER;

/// Warnings about a drawing with the model of this name (the server's default where a job names none): that no word
/// of the prompt means anything to it, and that the size is beyond what it was trained for. None for models of which no
/// such thing is known.
pub fn model_warnings(model: Option<&str>, prompt: &str, size: Option<(u32, u32)>) -> Vec<String> {
    if model.is_some_and(|model| model != STARTER) {
        return Vec::new();
    }
    let (about, mut warnings) = (starter_about(), Vec::new());
    if !about.knows_any_of(prompt) {
        let some = |kind: &str, count| {
            about.words.get(kind).into_iter().flatten().take(count).cloned().collect::<Vec<_>>().join(", ")
        };
        warnings.push(format!(
            "prompt: the starter model knows none of its words; it draws one of {} in a place such as {} (`playhouse \
             models list` shows all its words); for other pictures put a Stable Diffusion model into models_dir",
            some("character", 14),
            some("place", 10),
        ));
    }
    if let Some((width, height)) = size.filter(|(width, height)| *width.max(height) > about.trained_px) {
        let px = about.trained_px;
        warnings.push(format!(
            "width, height: the starter model was trained for {px} x {px}; at {width} x {height} it repeats itself"
        ));
    }
    if let Some((width, height)) = size.filter(|(width, height)| *width.min(height) < about.trained_px) {
        let px = about.trained_px;
        warnings.push(format!(
            "width, height: the starter model was trained for {px} x {px}; at {width} x {height} little can be made out"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_warns_of_what_it_does_not_know() {
        assert_eq!(model_warnings(None, "a cat on a beach", Some((64, 64))), Vec::<String>::new());
        let warnings = model_warnings(Some("starter"), "a dragon", Some((64, 512)));
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("prompt:") && warnings[0].contains("cat"), "{}", warnings[0]);
        assert!(warnings[1].contains("64 x 512"), "{}", warnings[1]);
        let small = model_warnings(None, "a cat", Some((32, 64)));
        assert!(small.len() == 1 && small[0].contains("32 x 64"), "{small:?}");
        assert!(model_warnings(Some("dream"), "a dragon", Some((512, 512))).is_empty());
    }
}

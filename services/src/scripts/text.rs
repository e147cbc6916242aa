//! The text of a script: scenes, and who says what in them. No IO.
//!
//! ```text
//! SCENE 1: A lighthouse at night, rain on the glass.
//! NARRATOR: The storm came early.
//! MIRA: Who is there?
//! ```
//!
//! What people write by hand is read as well as it goes: text before the first scene is a scene of its own, a line without
//! a speaker is the narrator's, and what stands in brackets belongs to the picture.

use serde_json::{Value as Json, json};

/// The speaker of what no character says.
pub const NARRATOR: &str = "NARRATOR";
/// Longest name of a speaker, in characters.
const SPEAKER_CHARS_MAX: usize = 40;

/// A scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// What is to be seen.
    pub description: String,
    /// What is to be heard, in order.
    pub lines: Vec<Line>,
}

/// Something that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who says it; `None` is the narrator.
    pub speaker: Option<String>,
    /// The words.
    pub words: String,
}

/// The text of scenes.
pub fn write(scenes: &[Scene]) -> String {
    let mut text = String::new();
    for (number, scene) in scenes.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text.push_str(&format!("SCENE {}: {}\n", number + 1, one_line(&scene.description)));
        for line in &scene.lines {
            let speaker = line.speaker.as_deref().map_or_else(|| NARRATOR.into(), speaker_name);
            text.push_str(&format!("{speaker}: {}\n", one_line(&line.words)));
        }
    }
    text
}

/// The scenes of a text; none of an empty one.
pub fn read(text: &str) -> Vec<Scene> {
    let mut scenes: Vec<Scene> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(description) = scene_heading(line) {
            scenes.push(Scene { description: description.to_string(), lines: Vec::new() });
            continue;
        }
        if scenes.is_empty() {
            scenes.push(Scene::default());
        }
        let Some(scene) = scenes.last_mut() else { continue };
        let direction = ['[', '('].iter().zip([']', ')']).find_map(|(open, close)| {
            line.strip_prefix(*open).and_then(|line| line.strip_suffix(close)).map(str::trim)
        });
        if let Some(direction) = direction {
            if !scene.description.is_empty() {
                scene.description.push(' ');
            }
            scene.description.push_str(direction);
            continue;
        }
        let (speaker, words) = match spoken(line) {
            Some((name, words)) if name.eq_ignore_ascii_case(NARRATOR) => (None, words),
            Some((name, words)) => (Some(name.to_string()), words),
            None => (None, line),
        };
        if !words.is_empty() {
            scene.lines.push(Line { speaker, words: words.to_string() });
        }
    }
    scenes
}

/// The description of a scene whose heading a line is.
fn scene_heading(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(['#', '*', ' ']).trim_end_matches('*');
    let word = line.get(..5).filter(|word| word.eq_ignore_ascii_case("scene"))?;
    let rest = line[word.len()..].trim_start();
    let rest = rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
    let is_heading = rest.is_empty() || rest.starts_with([':', '.', '-', '–']);
    is_heading.then(|| rest.trim_start_matches([':', '.', '-', '–', ' ', '*']).trim())
}

/// Who says a line, and what: names are written in capitals, or in letters that have none.
fn spoken(line: &str) -> Option<(&str, &str)> {
    let (name, words) = line.split_once([':', '：'])?;
    let name = name.trim().trim_matches('*');
    let is_name = !name.is_empty()
        && name.chars().count() <= SPEAKER_CHARS_MAX
        && name.chars().any(char::is_alphabetic)
        && !name.chars().any(char::is_lowercase);
    is_name.then(|| (name, words.trim().trim_start_matches('*').trim()))
}

fn speaker_name(name: &str) -> String {
    let name: String = one_line(name).replace([':', '：'], " ").chars().take(SPEAKER_CHARS_MAX).collect();
    name.to_uppercase()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Scenes as a model wrote them; what has neither picture nor words is left out.
pub fn from_model(made: &Json) -> Vec<Scene> {
    let text = |value: &Json| value.as_str().map(one_line).filter(|text| !text.is_empty());
    let mut scenes = Vec::new();
    for made in made["scenes"].as_array().into_iter().flatten() {
        let mut scene =
            Scene { description: text(&made["description"]).unwrap_or_default(), lines: Vec::new() };
        scene.lines.extend(text(&made["narration"]).map(|words| Line { speaker: None, words }));
        for said in made["dialogue"].as_array().into_iter().flatten() {
            let Some(words) = text(&said["line"]) else { continue };
            let speaker = text(&said["speaker"]).filter(|name| !name.eq_ignore_ascii_case(NARRATOR));
            scene.lines.push(Line { speaker, words });
        }
        if !scene.description.is_empty() || !scene.lines.is_empty() {
            scenes.push(scene);
        }
    }
    scenes
}

/// The names of who speaks, each once, in the order in which they begin to.
pub fn speakers(scenes: &[Scene]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in scenes.iter().flat_map(|scene| &scene.lines).filter_map(|line| line.speaker.as_ref()) {
        if !names.iter().any(|known| known.to_uppercase() == name.to_uppercase()) {
            names.push(name.clone());
        }
    }
    names
}

/// The schema of what a model is asked for.
pub fn schema(scenes_max: usize) -> Json {
    let said = json!({
        "type": "object",
        "properties": {"speaker": {"type": "string"}, "line": {"type": "string"}},
        "required": ["speaker", "line"], "additionalProperties": false,
    });
    let scene = json!({
        "type": "object",
        "properties": {
            "description": {"type": "string"}, "narration": {"type": "string"},
            "dialogue": {"type": "array", "items": said, "maxItems": 8},
        },
        "required": ["description", "narration", "dialogue"], "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {"scenes": {"type": "array", "items": scene, "minItems": 1, "maxItems": scenes_max}},
        "required": ["scenes"], "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(speaker: Option<&str>, words: &str) -> Line {
        Line { speaker: speaker.map(str::to_string), words: words.into() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let scenes = [
            Scene {
                description: "A lighthouse at night.".into(),
                lines: vec![line(None, "The storm came: early."), line(Some("MIRA"), "Who is there?")],
            },
            Scene { description: "The beach.".into(), lines: Vec::new() },
        ];
        assert_eq!(read(&write(&scenes)), scenes);
        assert_eq!(speakers(&scenes), ["MIRA"]);
    }

    #[test]
    fn what_people_write_is_read_as_well_as_it_goes() {
        let text = "It rained.\n\n**Scene 2 - The harbour**\n[Gulls everywhere]\nMIRA: Hello!\nHe said: no.\n小雨：你好\nSCENE";
        let scenes = read(text);
        assert_eq!(scenes.len(), 3, "{scenes:?}");
        assert_eq!(scenes[0].lines, [line(None, "It rained.")]);
        assert_eq!(scenes[1].description, "The harbour Gulls everywhere");
        assert_eq!(
            scenes[1].lines,
            [line(Some("MIRA"), "Hello!"), line(None, "He said: no."), line(Some("小雨"), "你好")]
        );
        assert_eq!(read(" \n"), []);
        // Words that begin alike are no headings.
        assert_eq!(read("Scenery is dull.")[0].lines, [line(None, "Scenery is dull.")]);
    }

    #[test]
    fn models_are_read_with_what_they_leave_out() {
        let made = json!({"scenes": [
            {"description": " A  pier ", "narration": "", "dialogue": [{"speaker": "Narrator", "line": "Dusk."}, {"speaker": "Mira", "line": ""}]},
            {"description": ""}, "x",
        ]});
        let scenes = from_model(&made);
        assert_eq!(scenes, [Scene { description: "A pier".into(), lines: vec![line(None, "Dusk.")] }]);
    }
}

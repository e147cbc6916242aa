//! Which pictures of characters a scene is drawn from.

use serde_json::Value as Json;

/// Pictures at most.
pub const REFERENCES_MAX: usize = 6;

/// A look of a character, as far as the choice goes by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Its id.
    pub id: String,
    /// `base`, a style's name, `default` …
    pub variant_type: String,
    /// Its picture.
    pub image_url: Option<String>,
    /// Whether it is the one that counts in the story.
    pub is_active: bool,
    /// Scenes that it is for.
    pub scene_ids: Vec<String>,
}

/// A picture of a character's face.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Face {
    /// Its address.
    pub image_url: String,
    /// Whether it is the primary one.
    pub is_primary: bool,
    /// When it was made; later ones compare greater.
    pub created_at: String,
}

/// A character of a story.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// Its id.
    pub id: String,
    /// Its looks in the story.
    pub looks: Vec<Look>,
    /// Its approved faces.
    pub faces: Vec<Face>,
}

/// A picture that a scene is drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The character.
    pub character: String,
    /// The look, where one was chosen.
    pub look: Option<String>,
    /// The picture's address.
    pub image_url: String,
}

/// The look of a character in a scene: one that is for the scene and has a picture, else the active one.
pub fn look_in_scene<'l>(cast: &'l Cast, scene: &str, style: &str) -> Option<&'l Look> {
    let active = || cast.looks.iter().filter(|look| look.is_active);
    let of_scene = |look: &&Look| look.image_url.is_some() && look.scene_ids.iter().any(|id| id == scene);
    cast.looks
        .iter()
        .find(of_scene)
        .or_else(|| active().find(|look| look.variant_type == style))
        .or_else(|| active().find(|look| look.variant_type == "default"))
        .or_else(|| active().next())
}

/// One picture for each character, six at most; of `active` characters alone where there are any. The look in the scene
/// comes first, then the primary face, then the newest.
pub fn choose(casts: &[Cast], active: &[String], scene: &str, style: &str) -> Vec<Reference> {
    let is_wanted = |cast: &&Cast| active.is_empty() || active.contains(&cast.id);
    let of = |cast: &Cast| {
        let look = look_in_scene(cast, scene, style).filter(|look| look.image_url.is_some());
        if let Some(look) = look {
            let image_url = look.image_url.clone().unwrap_or_default();
            return Some(Reference { character: cast.id.clone(), look: Some(look.id.clone()), image_url });
        }
        let best = cast.faces.iter().max_by(|one, other| {
            (one.is_primary, &one.created_at).cmp(&(other.is_primary, &other.created_at))
        })?;
        Some(Reference { character: cast.id.clone(), look: None, image_url: best.image_url.clone() })
    };
    casts.iter().filter(is_wanted).filter_map(of).take(REFERENCES_MAX).collect()
}

/// The names of characters in a scene, whether they stand there as names or as objects that have one.
pub fn names(characters: &Json) -> Vec<String> {
    let name = |entry: &Json| entry.as_str().or(entry["name"].as_str()).map(|name| name.trim().to_string());
    let mut found: Vec<String> = Vec::new();
    for name in characters.as_array().into_iter().flatten().filter_map(name) {
        if !name.is_empty() && !found.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            found.push(name);
        }
    }
    found
}

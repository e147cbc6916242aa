//! Which style a scene is drawn in, and what a style says with all that it inherits.

use serde_json::{Map, Value as Json};

/// The style that is always there.
pub const DEFAULT: &str = "default";

/// The first style that is named: by the request, by the scene, by the story; else the default.
pub fn resolve<'s>(requested: Option<&'s str>, scene: Option<&'s str>, story: Option<&'s str>) -> &'s str {
    let named = |style: &Option<&'s str>| style.is_some_and(|style| !style.trim().is_empty());
    [requested, scene, story].into_iter().find(named).flatten().unwrap_or(DEFAULT)
}

/// A style with its parent, as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset<I> {
    /// Its id.
    pub id: I,
    /// The id of the style that it inherits from.
    pub parent: Option<I>,
    /// What it says itself.
    pub config: Map<String, Json>,
}

/// A style and what it inherits from, itself first. A circle ends where it would begin again.
pub fn chain<I: Copy + PartialEq>(start: I, find: impl Fn(I) -> Option<Preset<I>>) -> Vec<Preset<I>> {
    let mut chain: Vec<Preset<I>> = Vec::new();
    let mut next = Some(start);
    while let Some(id) = next.filter(|id| !chain.iter().any(|seen| seen.id == *id)) {
        let Some(preset) = find(id) else { break };
        next = preset.parent;
        chain.push(preset);
    }
    chain
}

/// Whether a style that inherited from `parent` would inherit from itself.
pub fn is_circle<I: Copy + PartialEq>(style: I, parent: I, find: impl Fn(I) -> Option<Preset<I>>) -> bool {
    style == parent
        || chain(parent, find).iter().any(|ancestor| ancestor.id == style || ancestor.parent == Some(style))
}

/// What a style says with all that it inherits: members of its own stand over its parent's.
pub fn effective_config<I>(chain: &[Preset<I>]) -> Map<String, Json> {
    let mut config = Map::new();
    for preset in chain.iter().rev() {
        config.extend(preset.config.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    config
}

/// Whether a style has no colours.
pub fn is_monochrome(config: &Map<String, Json>) -> bool {
    config.get("monochrome").and_then(Json::as_bool) == Some(true)
}

//! How a clip of a storyboard is made, and what it takes. No IO.

/// A kind of clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipKind {
    /// Begins with a picture.
    Quick,
    /// Goes on from the last frame of another clip.
    Extended,
    /// Follows the movement of a motion preset.
    Controlled,
    /// One long take.
    Long,
    /// Passes from one picture to another.
    Keyframed,
}

impl ClipKind {
    /// All of them.
    pub const ALL: [ClipKind; 5] =
        [ClipKind::Quick, ClipKind::Extended, ClipKind::Controlled, ClipKind::Long, ClipKind::Keyframed];

    /// Their names, in the same order.
    pub const NAMES: [&'static str; 5] = ["quick", "extended", "controlled", "long", "keyframed"];

    /// The word of `clip_type`.
    pub fn name(self) -> &'static str {
        ClipKind::NAMES[self as usize]
    }

    /// Reads a word.
    pub fn parse(word: &str) -> Option<ClipKind> {
        ClipKind::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// The tasks that a model must have for it, any of which does, as `get_task_for_clip_type` says them.
    pub fn tasks(self) -> &'static [&'static str] {
        match self {
            ClipKind::Quick => &["i2v"],
            ClipKind::Extended => &["extend"],
            ClipKind::Controlled => &["multi"],
            ClipKind::Long => &["i2v", "extend"],
            ClipKind::Keyframed => &["i2i_multi", "multi"],
        }
    }

    /// How long it is where nothing else says, in seconds.
    pub fn seconds(self) -> f64 {
        if self == ClipKind::Long { 10.0 } else { 5.0 }
    }
}

/// Where a clip stands in its scene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position<'p> {
    /// Clips before it.
    pub index: u64,
    /// Whether it is said to be the first.
    pub is_first: bool,
    /// Whether it is the last.
    pub is_last: bool,
    /// The kind of the clip before.
    pub before: &'p str,
    /// Whether a motion preset is chosen.
    pub has_motion: bool,
}

/// The kind that suits a place, and why: the first is quick, a motion preset leads, after a quick one it goes on, the last
/// is quick, all others go on.
pub fn recommended(position: Position<'_>) -> (ClipKind, &'static str) {
    if position.index == 0 || position.is_first {
        (ClipKind::Quick, "the first clip starts from a picture")
    } else if position.has_motion {
        (ClipKind::Controlled, "a motion preset leads the movement")
    } else if position.before == "quick" {
        (ClipKind::Extended, "it goes on from the clip before")
    } else if position.is_last {
        (ClipKind::Quick, "the last clip ends with a new picture")
    } else {
        (ClipKind::Extended, "it keeps the scene in motion")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_words_and_tasks() {
        for (kind, name) in ClipKind::ALL.into_iter().zip(ClipKind::NAMES) {
            assert_eq!((kind.name(), ClipKind::parse(name)), (name, Some(kind)));
            assert!(!kind.tasks().is_empty() && kind.seconds() >= 5.0);
        }
        assert_eq!(ClipKind::parse("endless"), None);
    }
}

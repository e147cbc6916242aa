//! What is said where.

use std::fmt;

/// What a bubble is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BubbleKind {
    /// Spoken: white, 0.4 opaque, with a black border of 2 px and a pointed tail.
    #[default]
    Chat,
    /// Thought: #F0F8FF with a grey border, and a trail of circles as its tail.
    Thought,
    /// Narrated: white text on a black rectangle, 0.6 opaque; it has no tail.
    Narration,
    /// A sound: text with a stroke of 2 px and no bubble.
    Sfx,
}

impl BubbleKind {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            BubbleKind::Chat => "chat",
            BubbleKind::Thought => "thought",
            BubbleKind::Narration => "narration",
            BubbleKind::Sfx => "sfx",
        }
    }

    /// The kind of a name.
    pub fn named(name: &str) -> Option<BubbleKind> {
        let kinds = [BubbleKind::Chat, BubbleKind::Thought, BubbleKind::Narration, BubbleKind::Sfx];
        kinds.into_iter().find(|kind| kind.name() == name)
    }
}

/// A bubble. Places are fractions of the whole picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Bubble {
    /// What it is.
    pub kind: BubbleKind,
    /// What it says.
    pub text: String,
    /// Its left upper corner.
    pub position: (f32, f32),
    /// Its width and height.
    pub size: (f32, f32),
    /// Where its tail ends.
    pub tail: Option<(f32, f32)>,
}

impl Bubble {
    /// The order in which a scene's bubbles are read: from the top, then from the left.
    pub fn reading_order(bubbles: &[Bubble]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..bubbles.len()).collect();
        let place = |bubble: usize| bubbles[bubble].position;
        order.sort_by(|one, other| {
            let ((x, y), (other_x, other_y)) = (place(*one), place(*other));
            y.total_cmp(&other_y).then(x.total_cmp(&other_x))
        });
        order
    }
}

/// What an owner should know of how a bubble was drawn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// No font has a character; a box with its number stands for it.
    NoGlyph {
        /// What is missing, perhaps several characters that are written as one.
        text: String,
    },
    /// The text did not fit at the smallest readable size, so the bubble is larger than it was asked to be.
    Enlarged {
        /// Which bubble, from 0.
        bubble: usize,
    },
    /// Not even the whole picture holds the text at a readable size, so it is smaller than that.
    Small {
        /// Which bubble, from 0.
        bubble: usize,
    },
    /// The bubble left the picture, so it was moved.
    Moved {
        /// Which bubble, from 0.
        bubble: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NoGlyph { text } => {
                let numbers: Vec<String> = text.chars().map(|one| format!("U+{:04X}", one as u32)).collect();
                let numbers = numbers.join(" ");
                write!(
                    to,
                    "no font has {numbers} ({text}): a box with its number stands for it; a font that is installed on the server is used"
                )
            }
            Note::Enlarged { bubble } => {
                write!(
                    to,
                    "bubble {}: its text did not fit at a readable size, so it was drawn larger",
                    bubble + 1
                )
            }
            Note::Small { bubble } => {
                write!(
                    to,
                    "bubble {}: its text fills the whole picture and is smaller than is readable",
                    bubble + 1
                )
            }
            Note::Moved { bubble } => {
                write!(to, "bubble {}: it left the picture and was moved inside", bubble + 1)
            }
        }
    }
}

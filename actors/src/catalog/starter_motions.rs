//! The ten movements of a fresh catalogue. They have no clip to copy yet: their words go into the prompt of a clip.

use models::{Row, TableInfo, Value};

/// A movement.
pub(super) struct Motion {
    name: &'static str,
    category: &'static str,
    description: &'static str,
    seconds: &'static str,
}

const fn motion(
    name: &'static str,
    category: &'static str,
    description: &'static str,
    seconds: &'static str,
) -> Motion {
    Motion { name, category, description, seconds }
}

impl Motion {
    pub fn row(&self, table: &TableInfo) -> Row {
        let mut row = table.default_row();
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        set("name", Value::text(self.name));
        set("category", Value::text(self.category));
        set("description", Value::text(self.description));
        set(
            "duration_seconds",
            models::convert::from_text(models::ColumnType::Numeric, self.seconds).unwrap_or(Value::Null),
        );
        set("video_url", Value::text(""));
        set("is_builtin", Value::Bool(true));
        row
    }
}

pub(super) static MOTIONS: &[Motion] = &[
    motion("Calm Breathing", "breathing", "standing still, chest and shoulders rise and fall slowly", "5"),
    motion("Deep Breath", "breathing", "one deep breath in, a short pause, and a long breath out", "4"),
    motion("Head Turn", "turn", "the head turns slowly from the side to the viewer", "3"),
    motion("Full Turn", "turn", "the whole body turns once around itself", "5"),
    motion("Walk Forward", "walk", "walks towards the viewer at an even pace", "5"),
    motion("Walk Past", "walk", "walks through the picture from left to right", "5"),
    motion("Slow Push In", "camera", "the camera moves slowly closer, the subject keeps still", "5"),
    motion("Slow Pan", "camera", "the camera pans slowly from left to right", "5"),
    motion("Smile", "expression", "a calm face that begins to smile", "3"),
    motion("Surprise", "expression", "eyebrows rise, eyes widen, the mouth opens a little", "2"),
];

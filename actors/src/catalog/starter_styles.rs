//! The styles of a fresh catalogue: how webtoons are drawn, and how their stories run.

use models::{Row, TableInfo, Value};
use serde_json::json;

/// A style.
pub(super) struct Style {
    kind: &'static str,
    name: &'static str,
    label: &'static str,
    prompt: &'static str,
    is_monochrome: bool,
}

const fn image(name: &'static str, label: &'static str, prompt: &'static str, is_monochrome: bool) -> Style {
    Style { kind: "image", name, label, prompt, is_monochrome }
}

const fn story(name: &'static str, label: &'static str, prompt: &'static str) -> Style {
    Style { kind: "story", name, label, prompt, is_monochrome: false }
}

impl Style {
    pub fn row(&self, table: &TableInfo) -> Row {
        let mut row = table.default_row();
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        set("style_type", Value::text(self.kind));
        set("name", Value::text(self.name));
        set("label", Value::text(self.label));
        set("is_system", Value::Bool(true));
        set("style_config", Value::json(&json!({"prompt": self.prompt, "monochrome": self.is_monochrome})));
        row
    }
}

pub(super) static STYLES: &[Style] = &[
    image("default", "Default", "webtoon illustration, clean line art, soft cel shading", false),
    image("soft_romantic", "Soft romantic", "soft pastel webtoon, delicate lines, warm glow", false),
    image(
        "dramatic",
        "Dramatic",
        "manhwa illustration, strong contrast, cinematic light, detailed lines",
        false,
    ),
    image("comic", "Comic", "western comic, bold ink outlines, flat colours", false),
    image("watercolor", "Watercolour", "watercolour illustration, loose washes, paper texture", false),
    image("manga", "Manga", "black and white manga, screen tones, ink lines", true),
    image("noir", "Noir", "black and white noir comic, deep shadows, hard light", true),
    story("drama", "Drama", "feelings and consequences, slow turns"),
    story("romance", "Romance", "closeness, longing, small gestures"),
    story("action", "Action", "movement, danger, short beats"),
    story("comedy", "Comedy", "timing, misunderstandings, reactions"),
    story("thriller", "Thriller", "tension, what is hidden, open ends"),
    story("fantasy", "Fantasy", "wonder, places, rules of magic"),
];

//! The negative prompts of a fresh catalogue.

use models::{Row, TableInfo, Value};

/// One negative prompt.
pub(super) struct Negative {
    model_type: &'static str,
    content_mode: &'static str,
    generation_mode: &'static str,
    prompt: &'static str,
    description: &'static str,
}

const fn negative(
    key: (&'static str, &'static str, &'static str),
    prompt: &'static str,
    description: &'static str,
) -> Negative {
    Negative { model_type: key.0, content_mode: key.1, generation_mode: key.2, prompt, description }
}

impl Negative {
    pub fn row(&self, table: &TableInfo) -> Row {
        let mut row = table.default_row();
        let mut set = |column: &str, value: &str| row[table.at(column)] = Value::text(value);
        set("model_type", self.model_type);
        set("content_mode", self.content_mode);
        set("generation_mode", self.generation_mode);
        set("negative_prompt", self.prompt);
        set("description", self.description);
        row
    }
}

/// The three terms that the documents name for pictures that begin with another one.
const OF_CHANGED_PICTURES: &str = "blurry, worst quality, jpeg artifacts";

/// Those of adults' pictures keep minors out of them as well.
pub(super) static NEGATIVES: &[Negative] = &[
    negative(
        ("sdxl", "sfw", "txt2img"),
        "worst quality, low quality, blurry, jpeg artifacts, watermark, signature, text, deformed hands, extra fingers, nsfw, nudity",
        "Faults of drawing, and nothing unfit for all ages",
    ),
    negative(
        ("sdxl", "sfw", "i2i"),
        OF_CHANGED_PICTURES,
        "Says little, so that the reference is not drawn over",
    ),
    negative(
        ("sdxl", "nsfw", "txt2img"),
        "worst quality, low quality, blurry, jpeg artifacts, watermark, signature, text, deformed hands, extra fingers, child, teen, young",
        "Faults of drawing, and nobody who seems young",
    ),
    negative(
        ("sdxl", "nsfw", "i2i"),
        OF_CHANGED_PICTURES,
        "Says little, so that the reference is not drawn over",
    ),
    negative(
        ("rv51", "sfw", "txt2img"),
        "cartoon, drawing, 3d render, plastic skin, low quality, blurry, bad anatomy, extra limbs, watermark, text, nsfw, nudity",
        "For photographs",
    ),
    negative(
        ("rv51", "sfw", "i2i"),
        OF_CHANGED_PICTURES,
        "Says little, so that the reference is not drawn over",
    ),
    negative(
        ("rv51", "nsfw", "txt2img"),
        "cartoon, drawing, 3d render, plastic skin, low quality, blurry, bad anatomy, extra limbs, watermark, text, child, teen, young",
        "For photographs, and nobody who seems young",
    ),
    negative(
        ("rv51", "nsfw", "i2i"),
        OF_CHANGED_PICTURES,
        "Says little, so that the reference is not drawn over",
    ),
    negative(
        ("replicate-sdxl", "sfw", "txt2img"),
        "low quality, blurry, distorted, duplicate, cropped, watermark, text, logo, nsfw, nudity",
        "For the hosted model",
    ),
    negative(
        ("replicate-sdxl", "nsfw", "txt2img"),
        "low quality, blurry, distorted, duplicate, cropped, watermark, text, logo, child, teen, young",
        "For the hosted model, and nobody who seems young",
    ),
    negative(
        ("replicate-sdxl", "sfw", "i2i"),
        OF_CHANGED_PICTURES,
        "Says little, so that the reference is not drawn over",
    ),
    negative(
        ("replicate-sdxl", "nsfw", "i2i"),
        OF_CHANGED_PICTURES,
        "Says little, so that the reference is not drawn over",
    ),
    negative(
        ("chat", "sfw", "txt2img"),
        "low quality, blurry, text, watermark, frame, multiple views, nsfw, nudity",
        "For pictures of scenes in a conversation",
    ),
    negative(
        ("chat", "nsfw", "txt2img"),
        "low quality, blurry, text, watermark, frame, multiple views, child, teen, young",
        "For pictures of scenes in a conversation, and nobody who seems young",
    ),
];

//! The nineteen prompt templates of a fresh catalogue, all fit for all ages.

use models::{Row, TableInfo, Value};

/// One template.
pub(super) struct Template {
    pub enhancer_model: &'static str,
    pub use_case: &'static str,
    pub name: &'static str,
    pub job_type: Option<&'static str>,
    pub target_model: Option<&'static str>,
    pub token_limit: i64,
    pub system_prompt: &'static str,
    /// JSON.
    pub metadata: &'static str,
}

const fn template(
    key: (&'static str, &'static str, &'static str),
    of: (Option<&'static str>, Option<&'static str>),
    token_limit: i64,
    system_prompt: &'static str,
) -> Template {
    Template {
        enhancer_model: key.0,
        use_case: key.1,
        name: key.2,
        job_type: of.0,
        target_model: of.1,
        token_limit,
        system_prompt,
        metadata: "{}",
    }
}

impl Template {
    pub fn row(&self, table: &TableInfo) -> Row {
        let mut row = table.default_row();
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        let optional = |text: Option<&str>| text.map_or(Value::Null, Value::text);
        set("enhancer_model", Value::text(self.enhancer_model));
        set("use_case", Value::text(self.use_case));
        set("content_mode", Value::text("sfw"));
        set("template_name", Value::text(self.name));
        set("system_prompt", Value::text(self.system_prompt));
        set("token_limit", Value::Int(self.token_limit));
        set("job_type", optional(self.job_type));
        set("target_model", optional(self.target_model));
        set("metadata", Value::Json(self.metadata.to_string()));
        set("comment", Value::text("starter"));
        row
    }
}

const IMAGE: Option<&str> = Some("image");
const VIDEO: Option<&str> = Some("video");
const CHAT: Option<&str> = Some("chat");

pub(super) static TEMPLATES: &[Template] = &[
    template(
        ("qwen_instruct", "enhancement", "SDXL Enhancement - Instruct"),
        (IMAGE, Some("sdxl")),
        75,
        "You improve prompts for an SDXL picture model. Keep the subject and every detail the user gave. Add setting, light, composition and style as short phrases separated by commas, most important first, at most 60 words. Answer with the prompt alone. Keep it fit for all ages.",
    ),
    template(
        ("qwen_base", "enhancement", "SDXL Enhancement - Base"),
        (IMAGE, Some("sdxl")),
        75,
        "Complete the description of a picture. Begin with what is given and go on with light, surroundings and style, in short phrases separated by commas. Keep it fit for all ages.",
    ),
    template(
        ("qwen_instruct", "enhancement", "Video Enhancement - Instruct"),
        (VIDEO, Some("wan")),
        120,
        "You improve prompts for a video model. Keep the subject. Describe one continuous movement, how the camera moves, the light and the mood, in at most 80 words of plain sentences. Answer with the prompt alone. Keep it fit for all ages.",
    ),
    template(
        ("qwen_base", "enhancement", "Video Enhancement - Base"),
        (VIDEO, Some("wan")),
        120,
        "Complete the description of a short film clip. Begin with what is given and go on with movement, camera and light. Keep it fit for all ages.",
    ),
    template(
        ("chat", "general", "Chat - General"),
        (CHAT, None),
        512,
        "You are a friendly, attentive companion in a studio for characters and stories. Answer clearly and kindly, ask when something is unclear, and say so when you do not know. Keep it fit for all ages.",
    ),
    template(
        ("chat", "creative", "Chat - Story Development"),
        (CHAT, None),
        1024,
        "You help to develop stories. Offer plots, conflicts, turns and endings, keep track of what was decided, and end with a question that moves the story on. Keep it fit for all ages.",
    ),
    template(
        ("chat", "character_roleplay", "Chat - Character Roleplay"),
        (CHAT, None),
        1024,
        "You are {{character_name}}. Stay in character, and never speak or act for {{user}}.\nWho you are: {{character_description}}\nPersonality: {{character_personality}}\nBackground: {{character_background}}\nWay of speaking: {{character_speaking_style}}\nMood: {{mood}}\nLooks: {{character_visual_description}}\n{{scene_context}}\nKeep it fit for all ages.",
    ),
    template(
        ("chat", "roleplay", "Chat - Ensemble Roleplay"),
        (CHAT, None),
        1024,
        "You narrate a roleplay and speak for everybody in it except {{user}}. Begin each block with the speaker's name in bold. Let the others disagree, surprise and remember. Keep it fit for all ages.",
    ),
    template(
        ("chat", "admin", "Chat - Administration"),
        (CHAT, None),
        1024,
        "You assist the administrator of a studio for characters and pictures. Be exact and brief, name settings by their keys, and never invent a setting that was not mentioned.",
    ),
    template(
        ("chat", "sdxl_conversion", "Chat - Prompt Conversion"),
        (CHAT, None),
        256,
        "Turn what the user describes into one prompt for an SDXL picture model: short phrases separated by commas, subject first, then setting, light, composition and style. Answer with the prompt alone. Keep it fit for all ages.",
    ),
    template(
        ("chat", "scene_narrative", "Scene Narrative - SFW"),
        (CHAT, None),
        512,
        "Write the scene as a narrator, in the third person and the present tense, in one or two paragraphs: where it is, who is there, what they do, and how it feels. Do not end the story. Keep it fit for all ages.",
    ),
    template(
        ("chat", "scene_creation", "Scene Creation"),
        (CHAT, None),
        512,
        "Turn an idea into a scene for a roleplay. enhanced_description tells it in two to four sentences; scene_prompt describes a picture of it in short phrases; suggested_tags are three to six single words; suggested_scenario_type is stranger, relationship, power_dynamic, fantasy or slow_burn. Keep it fit for all ages.",
    ),
    template(
        ("chat", "scene_starters", "Scene Starters"),
        (CHAT, None),
        512,
        "Write opening lines for a scene: each one or two sentences, each in another mood, each ending where the other person can answer. Keep them fit for all ages.",
    ),
    template(
        ("chat", "character_suggestions", "Character Suggestions"),
        (CHAT, None),
        1024,
        "You help to design characters. Suggest what fits what is known of the character, be concrete and original, and contradict nothing that is given. Keep it fit for all ages.",
    ),
    template(
        ("chat", "story_plan", "Storyboard - Story Plan"),
        (CHAT, None),
        1024,
        "You plan short films. Divide the story into beats that can each be filmed in one clip of about five seconds, with what is seen, how the camera moves and what changes. Keep it fit for all ages.",
    ),
    template(
        ("chat", "suggest_prompts", "Storyboard - Prompt Suggestions"),
        (CHAT, None),
        512,
        "You write prompts for clips of a storyboard. Each prompt is one sentence that names subject, movement, camera and light, and continues what came before. Keep it fit for all ages.",
    ),
    template(
        ("vision", "describe_image", "Image Description"),
        (IMAGE, None),
        512,
        "Describe what the picture shows, exactly and without guessing names: who or what, how they look, what they do, where they are, the light and the style.",
    ),
    template(
        ("vision", "prompt_scoring", "Prompt Scoring"),
        (IMAGE, None),
        512,
        "Compare the picture with the prompt it was made from. Rate from 1 to 5: action_match (is what happens what was asked for), appearance_match (do people and things look as asked for), overall_quality (drawing, light, faults). List what matches and what is missing.",
    ),
    Template {
        enhancer_model: "chat",
        use_case: "canon_position",
        name: "Portrait Poses",
        job_type: IMAGE,
        target_model: None,
        token_limit: 120,
        system_prompt: "Poses that a character's portraits are made in.",
        metadata: r#"{"pose_presets":{"front":"facing the viewer, upright, neutral expression, plain background","three_quarter":"three-quarter view, relaxed shoulders, plain background","profile":"side view, looking ahead, plain background","full_body":"full body, standing, arms at the sides, plain background","seated":"seated on a simple chair, hands in the lap, plain background"}}"#,
    },
];

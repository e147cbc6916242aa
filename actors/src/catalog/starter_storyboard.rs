//! Templates that a storyboard chooses from: a pose, and how each kind of clip is prompted.

use super::starter_templates::Template;

const IMAGE: Option<&str> = Some("image");
const VIDEO: Option<&str> = Some("video");

const fn of_clip(name: &'static str, system_prompt: &'static str, metadata: &'static str) -> Template {
    Template {
        enhancer_model: "chat",
        use_case: "clip",
        name,
        job_type: VIDEO,
        target_model: None,
        token_limit: 160,
        system_prompt,
        metadata,
    }
}

const fn of_pose(name: &'static str, system_prompt: &'static str, metadata: &'static str) -> Template {
    Template {
        enhancer_model: "chat",
        use_case: "pose",
        name,
        job_type: IMAGE,
        target_model: None,
        token_limit: 120,
        system_prompt,
        metadata,
    }
}

pub(super) static STORYBOARD: &[Template] = &[
    of_pose(
        "Pose - Standing",
        "standing upright, weight on one leg, arms relaxed, full body",
        r#"{"pose":"standing"}"#,
    ),
    of_pose("Pose - Sitting", "sitting on a chair, back straight, hands in the lap", r#"{"pose":"sitting"}"#),
    of_pose("Pose - Walking", "walking in mid-step, one arm forward, full body", r#"{"pose":"walking"}"#),
    of_pose("Pose - Close-up", "head and shoulders, facing the viewer, soft light", r#"{"pose":"close_up"}"#),
    of_pose("Pose - From Behind", "seen from behind, looking into the distance", r#"{"pose":"from_behind"}"#),
    of_clip(
        "Clip - Quick",
        "Write the prompt of a short clip that begins with the given picture: one small movement, a camera that hardly moves, light as in the picture. One sentence. Answer with the prompt alone. Keep it fit for all ages.",
        r#"{"clip_type":"quick","tasks":["i2v"],"duration_seconds":5}"#,
    ),
    of_clip(
        "Clip - Extended",
        "Write the prompt of a clip that goes on from the last frame of the one before: the same people, place and light, and the movement continued. One or two sentences. Answer with the prompt alone. Keep it fit for all ages.",
        r#"{"clip_type":"extended","tasks":["extend"],"duration_seconds":5}"#,
    ),
    of_clip(
        "Clip - Controlled",
        "Write the prompt of a clip whose movement is given: say who or what moves that way, and leave the camera at rest unless the movement is the camera's. One sentence. Answer with the prompt alone. Keep it fit for all ages.",
        r#"{"clip_type":"controlled","tasks":["multi"],"duration_seconds":5}"#,
    ),
    of_clip(
        "Clip - Long",
        "Write the prompt of one long take: what happens first, what next, and how it ends, with one camera movement throughout. Two or three sentences. Answer with the prompt alone. Keep it fit for all ages.",
        r#"{"clip_type":"long","tasks":["i2v","extend"],"duration_seconds":10}"#,
    ),
    of_clip(
        "Clip - Keyframed",
        "Write the prompt of a clip that passes from one given picture to another: say what changes on the way, and nothing that is in neither. One sentence. Answer with the prompt alone. Keep it fit for all ages.",
        r#"{"clip_type":"keyframed","tasks":["i2i_multi","multi"],"duration_seconds":5}"#,
    ),
];

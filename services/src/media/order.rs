//! A video of a script is ordered: its row, a row for each line that is said and each scene that is seen, and the job, in one
//! commit.

use actors::character::card_rating::check_long;
use actors::content_rules::ContentRating;
use actors::job_scheduler::{NodeWrite, QueueJob, StoredPayload};
use actors::media::jobs::{MEDIA_JOBS, MEDIA_QUEUE};
use actors::media::queue::QueueMedia;
use models::Value;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::pieces::Piece;
use crate::context::Context;
use crate::error::ServiceError;
use crate::files::stored_address::stored_path;
use crate::ids::uuid;
use crate::rows::table;
use crate::scripts::{find, text};
use crate::storyboards::owned;

/// Scenes of a video at most.
const SCENES_MAX: usize = 60;
/// Lines of a video at most.
const LINES_MAX: usize = 400;
/// How often a job may begin again; each time it goes on where it stopped.
const ATTEMPTS_MAX: i64 = 10;
/// The states of `quality_tier`.
pub const TIERS: [&str; 6] = ["free", "basic", "standard", "standard_2", "pro", "master"];
/// The shapes of a film.
pub const SHAPES: [&str; 3] = ["16:9", "9:16", "1:1"];

/// What is asked for.
#[derive(Debug)]
pub struct Order {
    /// The script.
    pub script_id: Uuid,
    /// How large and smooth the film is: one of [`TIERS`].
    pub tier: String,
    /// One of [`SHAPES`].
    pub aspect_ratio: String,
    /// The voice of everyone without one of their own.
    pub voice: Option<String>,
    /// Voices by the names of who speaks; `NARRATOR` is the narrator.
    pub voices: Map<String, Json>,
    /// The model that speaks.
    pub speech_model: Option<String>,
    /// A file of the account that is heard throughout.
    pub music_url: Option<String>,
    /// `{scene, url, volume}`: files of the account that are heard when a scene begins.
    pub effects: Vec<Json>,
    /// What `queue-job` takes for the pictures.
    pub image_options: Map<String, Json>,
    /// The rating.
    pub rating: ContentRating,
}

/// A video that waits to be made.
#[derive(Debug)]
pub struct Ordered {
    /// Its row.
    pub video: Json,
    /// Its job.
    pub job: Uuid,
    /// How many clips of sound and how many pictures it takes.
    pub pieces: (usize, usize),
    /// What its owner should know.
    pub warnings: Vec<String>,
}

type Values = Vec<(&'static str, Value)>;

/// Orders a video.
pub async fn order(context: &Context, asked: Order) -> Result<Ordered, ServiceError> {
    let user = context.user()?;
    let script = find::script(context, asked.script_id)?;
    if uuid(&script["user_id"]) != Some(user) {
        // One that the caller may see without owning it is answered like what is missing.
        return Err(ServiceError::not_found("Script not found"));
    }
    let words = script["script"].as_str().unwrap_or_default();
    check_long(asked.rating, "the script", words)?;
    let scenes = text::read(words);
    let lines: usize = scenes.iter().map(|scene| scene.lines.len()).sum();
    if scenes.is_empty() {
        return Err(ServiceError::field("script_id", "the script has no scenes"));
    }
    for (field, count, most) in [("scenes", scenes.len(), SCENES_MAX), ("lines", lines, LINES_MAX)] {
        if count > most {
            return Err(ServiceError::field(
                "script_id",
                format!("the script has {count} {field}; at most {most} are made"),
            ));
        }
    }
    let (id, job, mut warnings) = (Uuid::new_v4(), Uuid::new_v4(), Vec::new());
    let cast = cast(context, &script)?;
    let speakers = text::speakers(&scenes);
    for name in asked.voices.keys() {
        let is_known = |known: &String| known.eq_ignore_ascii_case(name);
        if !name.eq_ignore_ascii_case(text::NARRATOR) && !speakers.iter().any(is_known) {
            warnings.push(format!("voices.{name}: nobody of this name speaks in the script"));
        }
    }
    let or_null = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    let of_all = |order: usize, scene: usize| -> Values {
        vec![
            ("id", Value::Uuid(Uuid::new_v4())),
            ("video_generation_id", Value::Uuid(id)),
            ("user_id", Value::Uuid(user)),
            ("script_id", Value::Uuid(asked.script_id)),
            ("chapter_id", uuid(&script["chapter_id"]).map_or(Value::Null, Value::Uuid)),
            ("sequence_order", Value::Int(order as i64)),
            ("scene_id", if scene == 0 { Value::Null } else { Value::text(scene.to_string()) }),
        ]
    };
    let (mut audio, mut images): (Vec<Values>, Vec<Values>) = (Vec::new(), Vec::new());
    for (number, scene) in (1..).zip(&scenes) {
        let mut seen = None;
        for line in &scene.lines {
            let name = line.speaker.as_deref();
            let character = name.and_then(|name| in_cast(&cast, name));
            seen = seen.or(character);
            let wanted = name.unwrap_or(text::NARRATOR);
            let voice = asked.voices.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted));
            let voice = voice.and_then(|(_, voice)| voice.as_str()).or(asked.voice.as_deref());
            let mut values = of_all(audio.len(), number);
            values.push(("audio_type", Value::text(if name.is_some() { "character" } else { "narrator" })));
            values.push(("character_name", or_null(name)));
            values.push(("character_id", character.map_or(Value::Null, Value::Uuid)));
            values.push(("text_content", Value::text(&*line.words)));
            values.push(("voice_id", or_null(voice)));
            values.push(("model_id", or_null(asked.speech_model.as_deref())));
            audio.push(values);
        }
        let mut description = scene.description.clone();
        if description.is_empty() {
            description = scene.lines.iter().map(|line| line.words.as_str()).collect::<Vec<_>>().join(" ");
            warnings
                .push(format!("scene {number}: it has no description, so its picture shows what is said"));
        }
        let notes = json!({"options": asked.image_options, "content_mode": asked.rating.name()});
        let mut values = of_all(images.len(), number);
        values.push(("image_type", Value::text("scene")));
        values.push(("scene_number", Value::Int(number as i64)));
        values.push(("scene_description", Value::text(&*scene.description)));
        values.push(("image_prompt", Value::text(description)));
        values.push(("style", or_null(script["video_style"].as_str())));
        values.push(("aspect_ratio", Value::text(&*asked.aspect_ratio)));
        values.push(("character_id", seen.map_or(Value::Null, Value::Uuid)));
        values.push(("meta", Value::json(&notes)));
        images.push(values);
    }
    let mut add_file = |url: String, scene: usize, kind: &str, volume: &Json| {
        let mut values = of_all(audio.len(), scene);
        values.push(("audio_type", Value::text(kind)));
        values.push(("audio_url", Value::text(url)));
        values.push(("status", Value::text("completed")));
        values.push(("audio_metadata", Value::json(&json!({"volume": volume}))));
        audio.push(values);
    };
    if let Some(url) = &asked.music_url {
        add_file(own_file(context, user, "music_url", url).await?, 0, "background_music", &Json::Null);
    }
    for (place, effect) in asked.effects.iter().enumerate() {
        let field = |name: &str| format!("effects[{place}].{name}");
        let scene = effect["scene"].as_u64().filter(|scene| (1..=scenes.len() as u64).contains(scene));
        let reason = || ServiceError::field(field("scene"), format!("a number from 1 to {}", scenes.len()));
        let scene = scene.ok_or_else(reason)? as usize;
        let url = effect["url"].as_str().ok_or_else(|| ServiceError::field(field("url"), "missing"))?;
        let url = own_file(context, user, &field("url"), url).await?;
        let is_loud = effect["volume"].as_f64().is_none_or(|volume| (0.0..=2.0).contains(&volume));
        if !is_loud {
            return Err(ServiceError::field(field("volume"), "a number from 0 to 2"));
        }
        add_file(url, scene, "sound_effects", &effect["volume"]);
    }

    let counts = (audio.len(), images.len());
    let ids =
        |rows: &[Values]| -> Vec<Option<Uuid>> { rows.iter().map(|values| values[0].1.as_uuid()).collect() };
    let metadata =
        json!({"video_generation_id": id, "audio": ids(&audio), "images": ids(&images), "nodes": {}});
    let notes = json!({
        "job_id": job, "aspect_ratio": asked.aspect_ratio,
        "progress": {"step": "audio", "done": 0, "total": counts.0},
    });
    let script_data =
        json!({"script_name": script["script_name"], "version": script["version"], "scenes": scenes.len()});
    let video = vec![
        ("id", Value::Uuid(id)),
        ("chapter_id", uuid(&script["chapter_id"]).map_or(Value::Null, Value::Uuid)),
        ("user_id", Value::Uuid(user)),
        ("script_id", Value::Uuid(asked.script_id)),
        ("quality_tier", Value::text(&*asked.tier)),
        ("script_data", Value::json(&script_data)),
        ("task_meta", Value::json(&notes)),
    ];
    let mut writes = vec![NodeWrite::Insert { table: "video_generations", values: video }];
    for (table, rows) in [(Piece::Audio.table(), audio), (Piece::Image.table(), images)] {
        writes.extend(rows.into_iter().map(|values| NodeWrite::Insert { table, values }));
    }
    let job_row = new_job(context, user, job, MEDIA_JOBS[0], &metadata, json!({"video_generation_id": id}));
    let decision = QueueMedia { writes, job: job_row, video: Some(id), from: &[] };
    context.ask(decision).await?;
    let video = context.row("video_generations", id).await?.unwrap_or_default();
    Ok(Ordered { video, job, pieces: counts, warnings })
}

/// A job of media, to be queued.
pub(super) fn new_job(
    context: &Context,
    user: Uuid,
    id: Uuid,
    kind: &'static str,
    metadata: &Json,
    payload: Json,
) -> QueueJob {
    let jobs = table("jobs");
    let mut job = jobs.default_row();
    let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
    set("id", Value::Uuid(id));
    set("user_id", Value::Uuid(user));
    set("job_type", Value::text(kind));
    set("max_attempts", Value::Int(ATTEMPTS_MAX));
    set("metadata", Value::json(metadata));
    QueueJob {
        job,
        queue: MEDIA_QUEUE,
        payload: StoredPayload::Graph(payload),
        priority: 0,
        idempotency_key: None,
        credits: 0,
        cost_usd: None,
        preset: None,
        ab_test: None,
        limits: context.services.settings.queue_limits,
    }
}

/// The characters of a script, by name.
fn cast(context: &Context, script: &Json) -> Result<Vec<(String, Uuid)>, ServiceError> {
    let mut cast = Vec::new();
    for id in script["character_ids"].as_array().into_iter().flatten().filter_map(uuid) {
        if let Some(character) = find::character(context, id)? {
            cast.push((character["name"].as_str().unwrap_or_default().to_string(), id));
        }
    }
    Ok(cast)
}

/// Who of a cast is meant: the whole name, or the first word of it.
fn in_cast(cast: &[(String, Uuid)], name: &str) -> Option<Uuid> {
    let is = |known: &str| known.to_lowercase() == name.to_lowercase();
    let whole = cast.iter().find(|(known, _)| is(known));
    whole
        .or_else(|| cast.iter().find(|(known, _)| known.split(' ').next().is_some_and(is)))
        .map(|(_, id)| *id)
}

/// The address of a file of the account's own, as rows name it.
async fn own_file(context: &Context, user: Uuid, field: &str, url: &str) -> Result<String, ServiceError> {
    let path = stored_path(&context.services.links.base(), url);
    let missing = || ServiceError::field(field, "there is no such file in a folder of this account");
    let path = path.ok_or_else(missing)?;
    let bytes = owned::file(context, &user.to_string(), url).await.map_err(|_| missing())?;
    let heard = tokio::task::spawn_blocking(move || sound::decode(&bytes).map(|_| ())).await;
    let heard = heard.unwrap_or_else(|_| Err("reading it failed unexpectedly".into()));
    heard.map(|()| path.to_string()).map_err(|reason| ServiceError::field(field, reason))
}

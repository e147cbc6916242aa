//! A LoRA of a character is asked for: pictures and captions are gathered, and the training is queued.

use std::collections::BTreeMap;
use std::path::Path;

use actors::Refusal;
use actors::content_rules::{self, ContentRating};
use actors::job_scheduler::{
    QueueJob, StoredPayload, TRAINING_JOB, TRAINING_QUEUE, TrainingPayload, TrainingSource, with_trigger,
};
use actors::render::{
    LoraTraining, STARTER, TRAINING_PICTURES, check_training_picture, loras_of, training_settings,
};
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::blob::BlobHash;
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::file_hash::hashes_of;
use crate::files::reference_picture;
use crate::ids::uuid;
use crate::jobs::picture_lineage::{refuse_minors_in_training, training_shows_minor};
use crate::jobs::training_owner::whose;
use crate::jobs::training_words::{sample_prompt, simple, slug, tags};
use crate::jobs::{depicted_characters, price_list};
use crate::rows::{position, table};

/// How often a training may begin again; each time it goes on where it stopped.
const ATTEMPTS_MAX: i64 = 10;
/// Longest caption, in characters.
const CAPTION_CHARS_MAX: usize = 1000;
/// Largest file of a picture, in bytes.
const PICTURE_BYTES_MAX: i64 = 20 << 20;
/// Most LoRAs of an account, with those that are being trained.
const LORAS_MAX: usize = 100;
/// An account whose LoRAs take so many bytes trains no more.
const LORAS_BYTES_MAX: u64 = 8 << 30;

/// What is asked for.
#[derive(Debug)]
pub struct TrainingRequest {
    /// Whom the pictures show.
    pub character_id: Uuid,
    /// Pictures with their captions, where there are any; those that are kept of the character if empty.
    pub pictures: Vec<(String, Option<String>)>,
    /// The LoRA's name; made of the character's without one.
    pub name: Option<String>,
    /// What prompts say for the character to appear; made of the character's name without one.
    pub trigger_word: Option<String>,
    /// The picture model; the server's own choice without one.
    pub model: Option<String>,
    /// Settings of the training by name; those that are not given suit the model.
    pub settings: Map<String, Json>,
    /// Whether pictures of the character are drawn with it from then on.
    pub is_default: bool,
    /// A second request with the same key is the first one.
    pub idempotency_key: Option<String>,
    /// The rating of the captions.
    pub rating: ContentRating,
}

/// A training in the queue.
#[derive(Debug)]
pub struct QueuedTraining {
    /// The job.
    pub job: Uuid,
    /// Whether its key was known.
    pub existed: bool,
    /// What it will be made from.
    pub payload: TrainingPayload,
    /// The model that it is trained on.
    pub model: String,
    /// Credits that are reserved for it.
    pub credits: i64,
    /// What its owner should know.
    pub warnings: Vec<String>,
}

/// A training that was checked as far as can be without captions.
#[derive(Debug)]
pub struct TrainingPlan {
    user: Uuid,
    asked: TrainingRequest,
    name: String,
    trigger: String,
    tags: String,
    model: String,
    settings: LoraTraining,
    sample_prompt: String,
    /// The files, as `bucket/path`, with the captions that there are.
    pictures: Vec<(String, Option<String>)>,
    /// Hashes of their bytes, as they were judged.
    judged: BTreeMap<String, String>,
    warnings: Vec<String>,
}

/// The training that an earlier request with the same key has queued for a character's account, as it was queued.
pub async fn known_training(
    context: &Context,
    character: Uuid,
    key: Option<&str>,
) -> Result<Option<QueuedTraining>, ServiceError> {
    let Some(key) = key else { return Ok(None) };
    let Some((user, _)) = whose(context, character).await? else { return Ok(None) };
    let entry = Query::all(position("queue.entries"))
        .equal("user_id", Value::Uuid(user))
        .equal("idempotency_key", Value::text(key))
        .limit(1);
    let Some(entry) = context.rows(entry).await?.pop() else { return Ok(None) };
    let Some(id) = uuid(&entry["id"]) else { return Ok(None) };
    let Some(job) = context.row("jobs", id).await? else { return Ok(None) };
    if job["job_type"] != TRAINING_JOB {
        let reason = "Idempotency-Key: a job that is no training has it";
        return Err(ServiceError::worded(Kind::Conflict, reason));
    }
    let payload = TrainingPayload::read(&entry["payload"]);
    let payload = payload.map_err(|message| ServiceError::new(Kind::Internal, message))?;
    let warnings = job["metadata"]["warnings"].as_array().into_iter().flatten();
    Ok(Some(QueuedTraining {
        job: id,
        existed: true,
        model: payload.model.clone().unwrap_or_else(|| STARTER.into()),
        payload,
        credits: entry["credits"].as_i64().unwrap_or_default(),
        warnings: warnings.filter_map(Json::as_str).map(str::to_string).collect(),
    }))
}

/// Checks what is asked for. Nothing is queued or spent.
pub async fn plan_training(context: &Context, asked: TrainingRequest) -> Result<TrainingPlan, ServiceError> {
    if context.services.render.is_none() {
        return Err(ServiceError::bad(
            "this server draws nothing itself (draw is off), and only there LoRAs are trained",
        ));
    }
    let unknown = || ServiceError::not_found("the account has no such character").of_field("character_id");
    let (user, character) = whose(context, asked.character_id).await?.ok_or_else(unknown)?;
    let shown = Map::from_iter([("character_id".to_string(), json!(asked.character_id))]);
    depicted_characters::refuse_minors(context, asked.rating, &[&shown]).await?;
    let mut warnings = Vec::new();
    let trigger = match &asked.trigger_word {
        Some(word) => simple("trigger_word", word)?,
        None => slug(character["name"].as_str().unwrap_or_default()).unwrap_or_else(|| {
            // Unlike that of another character of such a name.
            let id = asked.character_id.simple().to_string();
            let word = format!("character_{}", &id[..8]);
            warnings.push(format!(
                "trigger_word: the character's name has no letter of a to z and no digit, so that prompts say {word} \
                 for it"
            ));
            word
        }),
    };
    let name = match &asked.name {
        Some(name) => simple("name", name)?,
        None => trigger.clone(),
    };
    check_name(context, user, asked.character_id, &name, &mut warnings).await?;
    check_room(context, user, &name).await?;
    let (folder, model, given) =
        (context.services.settings.models_dir.clone(), asked.model.clone(), asked.settings.clone());
    let wanted = model.or_else(|| context.services.settings.image_model.clone());
    let settled = tokio::task::spawn_blocking(move || training_settings(&folder, wanted.as_deref(), &given));
    let unread = |_| Err("model: the models folder cannot be read".to_string());
    let (model, settings) =
        settled.await.unwrap_or_else(unread).map_err(|message| ServiceError::worded(Kind::Bad, message))?;
    let given = match asked.pictures.is_empty() {
        false => asked.pictures.clone(),
        true => kept_pictures(context, asked.character_id).await?,
    };
    check_count(given.len())?;
    let tags = tags(&character);
    let sample_prompt = sample_prompt(asked.rating, &trigger, &name, &tags)?;
    let mut pictures: Vec<(String, Option<String>)> = Vec::with_capacity(given.len());
    for (place, (url, caption)) in given.into_iter().enumerate() {
        let field = format!("pictures[{place}].url");
        let caption = caption.filter(|caption| !caption.trim().is_empty());
        if let Some(caption) = &caption {
            check_caption(asked.rating, place, &trigger, caption)?;
        }
        let reference = reference_picture::resolve(context, user, &url).await;
        let object = reference.map_err(|error| error.of_field(&*field))?.object;
        if let Some(first) = pictures.iter().position(|(known, _)| *known == object) {
            // Of those that are kept of a character one may be there under two addresses.
            if asked.pictures.is_empty() {
                continue;
            }
            let reason = format!("the same file as pictures[{first}]; each is taken once");
            return Err(ServiceError::field(field, reason));
        }
        check_file(context, &object).await.map_err(|reason| ServiceError::field(&*field, reason))?;
        pictures.push((object, caption));
    }
    check_count(pictures.len())?;
    let objects: Vec<String> = pictures.iter().map(|(object, _)| object.clone()).collect();
    let judged = hashes_of(context, &objects).await?;
    refuse_minors_in_training(context, &character, objects, &judged).await?;
    Ok(TrainingPlan {
        user,
        asked,
        name,
        trigger,
        tags,
        model,
        settings,
        sample_prompt,
        pictures,
        judged,
        warnings,
    })
}

fn check_count(pictures: usize) -> Result<(), ServiceError> {
    if TRAINING_PICTURES.contains(&pictures) {
        return Ok(());
    }
    let (min, max) = (TRAINING_PICTURES.start(), TRAINING_PICTURES.end());
    Err(ServiceError::field("pictures", format!("{pictures} are there; {min} to {max} are taken")))
}

/// What a picture's training says of it, by the rules.
fn check_caption(
    rating: ContentRating,
    place: usize,
    trigger: &str,
    words: &str,
) -> Result<String, ServiceError> {
    let field = format!("pictures[{place}].caption");
    let words = words.trim();
    if words.chars().count() > CAPTION_CHARS_MAX {
        return Err(ServiceError::field(field, format!("longer than {CAPTION_CHARS_MAX} characters")));
    }
    let caption = with_trigger(trigger, words);
    content_rules::check(rating, &field, &caption)?;
    Ok(caption)
}

impl TrainingPlan {
    /// The files without a caption, as `bucket/path`, by their places.
    pub fn uncaptioned(&self) -> Vec<(usize, String)> {
        let without = |(_, (_, caption)): &(usize, &(String, Option<String>))| caption.is_none();
        let all = self.pictures.iter().enumerate();
        all.filter(without).map(|(place, (object, _))| (place, object.clone())).collect()
    }

    /// Credits that it takes of its account.
    fn credits(&self, context: &Context) -> Result<i64, ServiceError> {
        let free = !context.services.settings.charge_credits || context.is_admin()?;
        Ok(if free { 0 } else { price_list::training_credits(&self.settings) })
    }

    /// Refuses an account that has not the credits, before a model looks at its pictures; nothing is reserved.
    pub async fn check_credits(&self, context: &Context) -> Result<(), ServiceError> {
        let credits = self.credits(context)?;
        let profile = if credits > 0 { context.row("profiles", self.user).await? } else { None };
        match profile.and_then(|row| row["token_balance"].as_i64()) {
            Some(balance) if balance < credits => {
                let message = format!("the job costs {credits} credits and the account has {balance}");
                Err(ServiceError::from(Refusal::raised("PT402", message)))
            }
            _ => Ok(()),
        }
    }

    /// Gives a picture its caption.
    pub fn caption(&mut self, place: usize, caption: String) {
        if let Some((_, known)) = self.pictures.get_mut(place) {
            *known = Some(caption).filter(|caption| !caption.trim().is_empty());
        }
    }

    /// Queues the training. Pictures that still have no caption have the character's tags.
    pub async fn queue(self, context: &Context) -> Result<QueuedTraining, ServiceError> {
        let credits = self.credits(context)?;
        let TrainingPlan { user, asked, name, trigger, tags, model, settings, sample_prompt, .. } = self;
        let mut warnings = self.warnings;
        let mut pictures = Vec::with_capacity(self.pictures.len());
        for (place, (object, caption)) in self.pictures.into_iter().enumerate() {
            let words = caption.as_deref().unwrap_or(&tags);
            let caption = check_caption(asked.rating, place, &trigger, words)?;
            let hash = self.judged.get(&object).cloned();
            pictures.push(TrainingSource { object, caption, hash });
        }
        if pictures.iter().all(|picture| picture.caption == pictures[0].caption) {
            warnings.push(
                "pictures: all have the same caption, so that what they show beside the character is learned with it"
                    .into(),
            );
        }
        let payload = TrainingPayload {
            shows_minor: training_shows_minor(context, asked.character_id, &pictures, &sample_prompt).await?,
            character_id: asked.character_id,
            name,
            sample_prompt,
            trigger_word: trigger,
            model: Some(model.clone()),
            pictures,
            settings,
            is_default: asked.is_default,
        };
        let job_id = Uuid::new_v4();
        let key = asked.idempotency_key;
        let decision = QueueJob {
            job: row(user, job_id, &payload, &warnings),
            queue: TRAINING_QUEUE,
            payload: StoredPayload::Graph(json!(payload)),
            priority: 0,
            idempotency_key: key.clone(),
            credits,
            cost_usd: None,
            preset: None,
            ab_test: None,
            limits: context.services.settings.queue_limits,
        };
        let queued = context.ask(decision).await?;
        if queued.existed
            && let Some(known) = known_training(context, asked.character_id, key.as_deref()).await?
        {
            return Ok(known);
        }
        let job = queued.job[table("jobs").at("id")].as_uuid().unwrap_or(job_id);
        Ok(QueuedTraining { job, existed: queued.existed, payload, model, credits, warnings })
    }
}

/// The row of `jobs`.
fn row(user: Uuid, id: Uuid, payload: &TrainingPayload, warnings: &[String]) -> models::Row {
    let jobs = table("jobs");
    let mut job = jobs.default_row();
    let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
    let metadata = json!({
        "character_id": payload.character_id, "name": payload.name, "trigger_word": payload.trigger_word,
        "model": payload.model, "pictures": payload.pictures.len(), "settings": payload.settings,
        "warnings": warnings,
    });
    set("id", Value::Uuid(id));
    set("user_id", Value::Uuid(user));
    set("job_type", Value::text(TRAINING_JOB));
    set("max_attempts", Value::Int(ATTEMPTS_MAX));
    set("metadata", Value::json(&metadata));
    job
}

/// Pictures that are kept of a character: references, anchors and portraits, the newest first.
async fn kept_pictures(
    context: &Context,
    character: Uuid,
) -> Result<Vec<(String, Option<String>)>, ServiceError> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for name in ["character_reference_images", "character_anchors", "character_portraits"] {
        let rows = Query::all(position(name))
            .equal("character_id", Value::Uuid(character))
            .order("created_at", true)
            .limit(*TRAINING_PICTURES.end() as u64);
        for row in context.rows(rows).await? {
            let Some(url) = row["image_url"].as_str().filter(|url| !url.is_empty()) else { continue };
            if found.iter().all(|(known, _)| known != url) {
                found.push((url.to_string(), row["prompt"].as_str().map(str::to_string)));
            }
        }
    }
    found.truncate(*TRAINING_PICTURES.end());
    Ok(found)
}

/// Whether `bucket/path` is a picture that a training reads; the message says why it is not. Its pixels are left alone.
async fn check_file(context: &Context, object: &str) -> Result<(), String> {
    let missing = || "there is no such file".to_string();
    let file = reference_picture::file_row(context, object).await;
    let file = file.map_err(|error| error.to_string())?.ok_or_else(missing)?;
    if file["size"].as_i64().is_none_or(|size| size > PICTURE_BYTES_MAX) {
        return Err(format!("larger than {PICTURE_BYTES_MAX} bytes"));
    }
    let hash = file["blob_hash"].as_str().and_then(BlobHash::parse).ok_or_else(missing)?;
    let store = context.services.actors.store().clone();
    let checked = tokio::task::spawn_blocking(move || {
        let bytes = store.blobs().read(&hash).map_err(|error| error.to_string())?;
        check_training_picture(&bytes)
    });
    checked.await.unwrap_or_else(|_| Err("it cannot be read".into()))
}

/// A LoRA of that name may be trained again, but not by pictures of another character.
async fn check_name(
    context: &Context,
    user: Uuid,
    character: Uuid,
    name: &str,
    warnings: &mut Vec<String>,
) -> Result<(), ServiceError> {
    for waiting in waiting(context, user).await? {
        let about = &waiting["metadata"];
        if about["name"] == name && about["character_id"] != character.to_string() {
            let reason = format!("{name} is being trained for another character; give another name");
            return Err(ServiceError::new(Kind::Conflict, reason).of_field("name"));
        }
    }
    let same = Query::all(position("character_loras"))
        .equal("name", Value::text(format!("accounts/{user}/{name}")))
        .limit(1);
    let Some(known) = context.rows(same).await?.pop() else { return Ok(()) };
    if known["character_id"] != character.to_string() {
        let reason = format!("{name} is the LoRA of another character; give another name");
        return Err(ServiceError::new(Kind::Conflict, reason).of_field("name"));
    }
    warnings.push(format!(
        "name: {name} is there already; it stays until this training ends and takes its place"
    ));
    Ok(())
}

/// The rows of an account's trainings that have not ended.
async fn waiting(context: &Context, user: Uuid) -> Result<Vec<Json>, ServiceError> {
    let mut found = Vec::new();
    for status in ["queued", "processing"] {
        let jobs = Query::all(position("jobs"))
            .equal("user_id", Value::Uuid(user))
            .equal("job_type", Value::text(TRAINING_JOB))
            .equal("status", Value::text(status))
            .limit(LORAS_MAX as u64);
        found.extend(context.rows(jobs).await?);
    }
    Ok(found)
}

/// What an account's LoRAs may be, with the trainings that wait.
async fn check_room(context: &Context, user: Uuid, name: &str) -> Result<(), ServiceError> {
    let (folder, own) = (context.services.settings.models_dir.clone(), format!("accounts/{user}/{name}"));
    let sizes = tokio::task::spawn_blocking(move || {
        let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
        let loras = loras_of(&folder, Some(user)).into_iter();
        let of_user = loras.filter(|(name, _)| name.starts_with("accounts/") && *name != own);
        of_user.map(|(_, path)| size(&path)).collect::<Vec<u64>>()
    });
    let sizes = sizes.await.unwrap_or_default();
    let waiting = waiting(context, user).await?.len();
    if sizes.len() + waiting >= LORAS_MAX {
        let reason = format!(
            "the account has {} LoRAs and {waiting} trainings under way; {LORAS_MAX} are the most. Deleting a row of \
             character_loras makes room",
            sizes.len()
        );
        return Err(ServiceError::worded(Kind::Conflict, reason));
    }
    if sizes.iter().sum::<u64>() >= LORAS_BYTES_MAX {
        let reason = format!(
            "the account's LoRAs take {} MiB and more, which is the most. Deleting a row of character_loras makes room",
            LORAS_BYTES_MAX >> 20
        );
        return Err(ServiceError::worded(Kind::Conflict, reason));
    }
    Ok(())
}

//! Whom a picture may show: the characters whose picture it is, whatever file it is copied to, and those in the jobs that drew
//! it and the pictures that these began with. One search for all pictures that a drawing begins with or is led by.

use std::collections::{BTreeMap, BTreeSet};

use actors::content_rules::{self, ContentRating};
use actors::job_scheduler::{JobPayload, TrainingSource};
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::file_hash::hash_of;
use crate::files::stored_address::stored_path;
use crate::jobs::depicted_characters::{self, refuse_minors};
use crate::jobs::job_fields::trained_loras;
use crate::rows::position;

/// Pictures that one search looks at.
const PICTURES_MAX: usize = 256;
/// Rows of one kind that a search looks at; where there are more it is not known whom a picture shows.
const ROWS_MAX: usize = 100_000;
/// Rows that are read at a time.
const PAGE: u64 = 1000;
/// The folder of an account's frames of clips.
const FRAMES: &str = "/frames/";
/// Where an account's library keeps pictures.
const LIBRARY: &str = "user-library/";
/// Tables of a character's pictures.
const PICTURES: [&str; 3] = ["character_portraits", "character_anchors", "character_reference_images"];
/// Columns of them, and of characters, that name a file.
const FILES: [&str; 4] = ["image_url", "reference_image_url", "preview_image_url", "thumbnail_url"];

/// Refuses nsfw content that begins with, is led by, or looks at a picture of a minor; each picture is `bucket/path` behind the field that
/// names it. `judged` has the hashes of those whose bytes the caller is bound to.
pub(crate) async fn refuse_pictures_of_minors(
    context: &Context,
    tier: ContentRating,
    pictures: Vec<(String, String)>,
    judged: &BTreeMap<String, String>,
) -> Result<(), ServiceError> {
    if tier == ContentRating::Sfw {
        return Ok(());
    }
    let mut search = Search::new(context, tier, judged);
    for (field, object) in pictures {
        if search.shows_minor(object).await? {
            let reason = "the picture comes from one of a minor, which can never be in nsfw content";
            return Err(ServiceError::content_refused(reason).of_field(field));
        }
    }
    Ok(())
}

/// Whether a minor is in an sfw job, by what names its characters or by its pictures. Where that cannot be known no is the
/// answer: a mark stays for good, and an nsfw job refuses such a picture when it comes to use it.
pub(crate) async fn shows_minor(
    context: &Context,
    said: &[&Map<String, Json>],
    pictures: Vec<(String, String)>,
    judged: &BTreeMap<String, String>,
) -> Result<bool, ServiceError> {
    let is_proven = |found: Result<bool, ServiceError>| match found {
        Err(error) if matches!(error.kind(), Kind::ContentRefused | Kind::Bad) => Ok(false),
        found => found,
    };
    let tier = ContentRating::Nsfw;
    let named = match refuse_minors(context, tier, said).await {
        Err(error) if error.kind() == Kind::ContentRefused => Ok(true),
        named => named.map(|()| false),
    };
    if is_proven(named)? {
        return Ok(true);
    }
    for (_, object) in pictures {
        // One that cannot be known leaves nothing of its search to the others.
        if is_proven(Search::new(context, tier, judged).shows_minor(object).await)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses pictures of a minor for the LoRA of a character that is none: jobs of any rating take that.
pub(crate) async fn refuse_minors_in_training(
    context: &Context,
    character: &Json,
    pictures: Vec<String>,
    judged: &BTreeMap<String, String>,
) -> Result<(), ServiceError> {
    let tier = ContentRating::Nsfw;
    if depicted_characters::check_character(tier, character).is_err() {
        return Ok(());
    }
    let mut search = Search::new(context, tier, judged);
    for (place, object) in pictures.into_iter().enumerate() {
        if search.shows_minor(object).await? {
            let reason =
                "the picture comes from one of a minor, and only LoRAs of minors are trained on such";
            return Err(ServiceError::content_refused(reason).of_field(format!("pictures[{place}].url")));
        }
    }
    Ok(())
}

/// Whether sample pictures of a character's training show a minor, by the character or the words that it learns.
pub(crate) async fn training_shows_minor(
    context: &Context,
    character: Uuid,
    pictures: &[TrainingSource],
    sample_prompt: &str,
) -> Result<bool, ServiceError> {
    let character = context.row("characters", character).await?.unwrap_or_default();
    Ok(depicted_characters::check_character(ContentRating::Nsfw, &character).is_err()
        || content_rules::seems_minor(sample_prompt)
        || pictures.iter().any(|picture| content_rules::seems_minor(&picture.caption)))
}

/// One search; what it has seen once shows no minor.
struct Search<'c> {
    context: &'c Context,
    tier: ContentRating,
    /// Hashes of files whose bytes the caller is bound to.
    judged: &'c BTreeMap<String, String>,
    seen: BTreeSet<String>,
    /// Jobs with the account whose file led to each: of another account's they say nothing.
    jobs: BTreeSet<(Uuid, Uuid)>,
    /// Stems of the pictures of an account's minors.
    of_minors: BTreeMap<Uuid, BTreeSet<String>>,
}

/// What leads from a picture to whom it shows.
#[derive(Default)]
struct Leads {
    said: Vec<Map<String, Json>>,
    jobs: BTreeSet<Uuid>,
    pictures: Vec<String>,
}

impl<'c> Search<'c> {
    fn new(context: &'c Context, tier: ContentRating, judged: &'c BTreeMap<String, String>) -> Search<'c> {
        let (seen, jobs, of_minors) = Default::default();
        Search { context, tier, judged, seen, jobs, of_minors }
    }

    async fn shows_minor(&mut self, object: String) -> Result<bool, ServiceError> {
        let mut waiting = vec![object];
        while let Some(object) = waiting.pop() {
            if !self.seen.insert(object.clone()) {
                continue;
            }
            if self.seen.len() > PICTURES_MAX {
                let reason = format!(
                    "it goes back over more than {PICTURES_MAX} pictures, so that it is not known whom it shows; only sfw \
                     content takes it"
                );
                return Err(ServiceError::content_refused(reason));
            }
            let hash = match self.judged.get(&object) {
                Some(hash) => Some(hash.clone()),
                None => hash_of(self.context, &object).await?,
            };
            if let Some(hash) = &hash {
                let noted = Query::all(position("storage.pictures_of_minors"))
                    .equal("blob_hash", Value::text(&**hash))
                    .limit(1);
                if !self.context.rows(noted).await?.is_empty() {
                    return Ok(true);
                }
            }
            let Some(owner) = ids_in(&object).next() else { continue };
            let copies = self.copies(&object, hash, owner).await?;
            let of_minors = self.pictures_of_minors(owner).await?;
            if copies.iter().any(|copy| of_minors.contains(stem(copy))) {
                return Ok(true);
            }
            let mut leads = Leads::default();
            for copy in &copies {
                self.named_by_rows(copy, owner, &mut leads).await?;
            }
            let jobs: Vec<Uuid> =
                leads.jobs.iter().copied().filter(|job| self.jobs.insert((*job, owner))).collect();
            for job in jobs {
                if self.of_job(job, owner, &mut leads).await? {
                    return Ok(true);
                }
            }
            let said: Vec<&Map<String, Json>> = leads.said.iter().collect();
            match refuse_minors(self.context, self.tier, &said).await {
                Ok(()) => waiting.append(&mut leads.pictures),
                Err(error) if error.kind() == Kind::ContentRefused => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The file and those of its owner that have the same bytes.
    async fn copies(
        &self,
        object: &str,
        hash: Option<String>,
        owner: Uuid,
    ) -> Result<BTreeSet<String>, ServiceError> {
        let mut copies = BTreeSet::from([object.to_string()]);
        let Some(hash) = hash else { return Ok(copies) };
        let same = Query::all(position("storage.objects"))
            .equal("owner", Value::Uuid(owner))
            .equal("blob_hash", Value::text(hash));
        for row in self.every(same).await? {
            if let (Some(bucket), Some(name)) = (row["bucket_id"].as_str(), row["name"].as_str()) {
                copies.insert(format!("{bucket}/{name}"));
            }
        }
        Ok(copies)
    }

    /// Stems of the pictures that rows of an account's minors name.
    async fn pictures_of_minors(&mut self, owner: Uuid) -> Result<&BTreeSet<String>, ServiceError> {
        if !self.of_minors.contains_key(&owner) {
            let found = self.read_pictures_of_minors(owner).await?;
            self.of_minors.insert(owner, found);
        }
        Ok(&self.of_minors[&owner])
    }

    async fn read_pictures_of_minors(&self, owner: Uuid) -> Result<BTreeSet<String>, ServiceError> {
        let base = self.context.services.links.base();
        let mut found = BTreeSet::new();
        let mut note = |row: &Json| {
            let files = FILES.iter().filter_map(|column| row[*column].as_str());
            found.extend(files.filter_map(|file| Some(stem(&stored_path(&base, file)?).to_string())));
        };
        let own = Query::all(position("characters")).equal("user_id", Value::Uuid(owner));
        for character in self.every(own).await? {
            if depicted_characters::check_character(self.tier, &character).is_ok() {
                continue;
            }
            note(&character);
            let Some(id) = crate::ids::uuid(&character["id"]) else { continue };
            let loras = Query::all(position("character_loras")).equal("character_id", Value::Uuid(id));
            for lora in self.every(loras).await? {
                let samples = lora["sample_urls"].as_array().into_iter().flatten();
                samples.for_each(|sample| note(&json!({"image_url": sample})));
            }
            for table in PICTURES.into_iter().chain(["character_scenes", "image_generations"]) {
                let pictures = Query::all(position(table)).equal("character_id", Value::Uuid(id));
                self.every(pictures).await?.iter().for_each(&mut note);
            }
            for column in ["character_id", "user_character_id"] {
                let chats = Query::all(position("conversations")).equal(column, Value::Uuid(id));
                for chat in self.every(chats).await? {
                    note(&json!({"image_url": chat["last_scene_image"]}));
                    let Some(chat) = crate::ids::uuid(&chat["id"]) else { continue };
                    let scenes =
                        Query::all(position("character_scenes")).equal("conversation_id", Value::Uuid(chat));
                    self.every(scenes).await?.iter().for_each(&mut note);
                }
            }
            let looks = Query::all(position("character_variants")).equal("character_id", Value::Uuid(id));
            for look in self.every(looks).await? {
                let drawn = look["generated_image_ids"].as_array().into_iter().flatten();
                for image in drawn.filter_map(crate::ids::uuid) {
                    self.context.row("images", image).await?.iter().for_each(&mut note);
                }
            }
        }
        Ok(found)
    }

    /// All rows of a query, page by page: a search that stops short would miss a minor.
    async fn every(&self, query: Query) -> Result<Vec<Json>, ServiceError> {
        let mut all = Vec::new();
        loop {
            let mut page = query.clone().order("id", false).limit(PAGE);
            page.offset = all.len() as u64;
            let rows = self.context.rows(page).await?;
            let is_last = (rows.len() as u64) < PAGE;
            all.extend(rows);
            if is_last {
                return Ok(all);
            }
            if all.len() >= ROWS_MAX {
                let reason = format!(
                    "more than {ROWS_MAX} rows would have to be read to know whom it shows; only sfw content takes it"
                );
                return Err(ServiceError::content_refused(reason));
            }
        }
    }

    /// What rows say of a file: those of the library and of scenes. The names of files of jobs have the job in them.
    async fn named_by_rows(&self, object: &str, owner: Uuid, leads: &mut Leads) -> Result<(), ServiceError> {
        leads.jobs.extend(ids_in(object).skip(1));
        if let Some(path) = object.strip_prefix(LIBRARY) {
            for column in ["storage_path", "thumbnail_path"] {
                let kept = Query::all(position("user_library"))
                    .equal("user_id", Value::Uuid(owner))
                    .equal(column, Value::text(path));
                for row in self.every(kept).await? {
                    leads
                        .said
                        .push(Map::from_iter([("character_id".to_string(), row["character_id"].clone())]));
                    for document in ["roleplay_metadata", "generation_metadata"] {
                        leads.said.extend(row[document].as_object().cloned());
                        leads.jobs.extend(crate::ids::uuid(&row[document]["job_id"]));
                    }
                }
            }
        }
        let scenes = Query::all(position("character_scenes")).equal("image_url", Value::text(object));
        for scene in self.every(scenes).await? {
            leads.said.push(Map::from_iter([("scene_id".to_string(), scene["id"].clone())]));
        }
        // Panels and pages of a webtoon lie in the folder of their scene.
        for id in ids_in(object).skip(1) {
            let Some(scene) = self.context.row("scenes", id).await? else { continue };
            let Some(story) = crate::ids::uuid(&scene["story_id"]) else { continue };
            let cast =
                Query::all(position("story_characters")).equal("story_id", Value::Uuid(story)).limit(PAGE);
            let cast = self.context.rows(cast).await?;
            let cast: Vec<&Json> = cast.iter().map(|row| &row["character_id"]).collect();
            leads.said.push(Map::from_iter([("character_ids".to_string(), json!(cast))]));
        }
        // A frame comes from its clip.
        if object.contains(FRAMES) {
            let frames = Query::all(position("storyboard_frames")).equal("frame_url", Value::text(object));
            for frame in self.every(frames).await? {
                let Some(clip) = crate::ids::uuid(&frame["clip_id"]) else { continue };
                let clip = self.context.row("storyboard_clips", clip).await?.unwrap_or_default();
                leads.jobs.extend(crate::ids::uuid(&clip["job_id"]));
                let base = self.context.services.links.base();
                let video = clip["video_url"].as_str().and_then(|video| stored_path(&base, video));
                leads.pictures.extend(video);
            }
        }
        Ok(())
    }

    /// Who is in a job of the account, and what it began with. Whether the queue or its words say that it shows a minor.
    async fn of_job(&self, job: Uuid, owner: Uuid, leads: &mut Leads) -> Result<bool, ServiceError> {
        let Some(row) = self.context.row("jobs", job).await? else { return Ok(false) };
        if row["user_id"] != owner.to_string() {
            return Ok(false);
        }
        leads.said.extend(row["metadata"].as_object().cloned());
        leads.said.extend(row["metadata"]["consistency"].as_object().cloned());
        let base = self.context.services.links.base();
        let given = row["metadata"]["reference_image_url"].as_str();
        leads.pictures.extend(given.and_then(|given| stored_path(&base, given)));
        // What the queue keeps is not the account's to change.
        let entry = self.context.row("queue.entries", job).await?.unwrap_or_default();
        // Until it has ended, no file of it has its mark; what a provider draws has its words in the row alone.
        let frames = entry["payload"]["config"]["keyframes"].as_array().into_iter().flatten();
        let mut words = [&entry["payload"]["prompt"], &row["original_prompt"], &row["enhanced_prompt"]]
            .into_iter()
            .chain(frames.map(|frame| &frame["prompt"]))
            .filter_map(Json::as_str);
        if entry["payload"]["shows_minor"] == true || words.any(content_rules::seems_minor) {
            return Ok(true);
        }
        let Ok(payload) = JobPayload::read(&entry["payload"]) else { return Ok(false) };
        leads.pictures.extend(payload.reference_objects().map(str::to_string));
        let config = payload.config;
        leads.pictures.extend(config.guides.pictures().map(|(_, picture)| picture.image_object.clone()));
        leads.said.push(payload.metadata);
        let trained = trained_loras(self.context, owner, &config.loras).await?;
        leads.said.push(trained.said());
        Ok(trained.on_minor)
    }
}

/// The ids in a path, the account's folder first.
fn ids_in(object: &str) -> impl Iterator<Item = Uuid> {
    let segments = object.split('/').flat_map(|segment| segment.split(['.', '_']));
    segments.filter(|segment| segment.len() == 36).filter_map(|segment| Uuid::parse_str(segment).ok())
}

/// A path without the ending of its file, so that a picture and its thumbnail have the same.
fn stem(object: &str) -> &str {
    if let Some(stem) = object.strip_suffix(".thumb.webp") {
        return stem;
    }
    let file = object.rfind('/').map_or(0, |slash| slash + 1);
    let end = object[file..].rfind('.').map_or(object.len(), |dot| file + dot);
    &object[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_whose_a_picture_is_and_which_job_drew_it() {
        let (user, job) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let ids = |path: String| ids_in(&path).collect::<Vec<_>>();
        assert_eq!(ids(format!("workspace-temp/{user}/{job}/0.thumb.webp")), [user, job]);
        assert_eq!(ids(format!("user-library/{user}/webtoon/x/{job}.png")), [user, job]);
        assert_eq!(ids(format!("user-library/{user}/{job}_2.png")), [user, job]);
        assert!(ids("system_assets/logo.png".into()).is_empty());
        assert_eq!(stem("user-library/u.v/a.thumb.webp"), "user-library/u.v/a");
        assert_eq!((stem("a/b"), stem("a/b.png")), ("a/b", "a/b"));
        assert_eq!((stem("a/b.v1.png"), stem("a/b.v1.thumb.webp")), ("a/b.v1", "a/b.v1"));
    }
}

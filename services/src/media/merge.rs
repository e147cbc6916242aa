//! Sound and film to one file: speech where its scene is, effects at its beginning, music throughout.

use std::collections::BTreeMap;

use actors::job_scheduler::NodeWrite;
use actors::render::with_sound;
use models::Value;
use serde_json::{Value as Json, json};
use sound::{Mix, Sound};
use store::blob::BlobHash;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::picture_video::{is_spoken, timing};
use super::run::{Run, Stop, internal, url};
use crate::error::ServiceError;

/// How loud music is beside speech, and effects, where their rows do not say.
const MUSIC_GAIN: f32 = 0.25;
const EFFECT_GAIN: f32 = 0.6;

/// A clip of sound with its place.
struct Placed {
    address: String,
    /// `None`: throughout.
    at_s: Option<f64>,
    gain: f32,
}

/// Makes the file.
pub(super) async fn make(run: &Run, id: Uuid) -> Result<(), Stop> {
    let video = run.video(id).await?;
    let clips = run.pieces("audio_generations", id).await?;
    let placed = places(&video, &clips);
    let seconds = video["video_data"]["seconds"].as_f64().unwrap_or(0.0);
    let count = placed.len();
    let addresses = placed.iter().map(|clip| clip.address.clone()).collect();
    // One file is in memory while the next is fetched.
    let (files, waiting) = mpsc::channel::<Vec<u8>>(1);
    let task = tokio::task::spawn_blocking(move || {
        language::give_way();
        sound::encode(&track(&placed, seconds, waiting)?)
    });
    let (fed, mixed) = tokio::join!(run.feed(addresses, files), task);
    fed?;
    let unexpected = |_| internal("mixing the sound failed unexpectedly");
    let track = mixed.map_err(unexpected)?.map_err(ServiceError::bad)?;
    let silent = run.read(video["video_data"]["url"].as_str().unwrap_or_default()).await?;
    let made_of = vec![BlobHash::of(&silent).hex()];
    let task = tokio::task::spawn_blocking(move || with_sound(&silent, &track));
    let bytes = task.await.map_err(unexpected)?.map_err(ServiceError::bad)?;
    let tries = video["retry_count"].as_i64().unwrap_or(0);
    let object = run.keep(run.place(id, &format!("film-{tries}.mp4")), bytes, "video/mp4").await?;
    let data = json!({"url": url(&object), "seconds": seconds, "clips": count, "size": object.size});
    let video = run.video(id).await?;
    let values = vec![("merge_data", Value::json(&data)), ("video_url", Value::text(url(&object)))];
    let mut writes = vec![NodeWrite::File { file: Box::new(object), made_of }];
    writes.extend(run.of_video(&video, values, ("audio_video_merge", 1, 1)));
    run.record(&format!("merge/{tries}"), writes).await
}

/// Where the clips are heard.
fn places(video: &Json, clips: &[Json]) -> Vec<Placed> {
    let scenes: BTreeMap<&str, f64> = video["video_data"]["scenes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|scene| Some((scene["scene"].as_str()?, scene["begins"].as_f64()?)))
        .collect();
    let mut spoken: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
    let mut placed = Vec::new();
    for clip in clips {
        let scene = clip["scene_id"].as_str().unwrap_or_default();
        if is_spoken(clip) {
            spoken.entry(scene).or_default().push(clip);
            continue;
        }
        let is_music = clip["audio_type"] == "background_music";
        let usual = if is_music { MUSIC_GAIN } else { EFFECT_GAIN };
        let gain =
            clip["audio_metadata"]["volume"].as_f64().map_or(usual, |volume| volume.clamp(0.0, 2.0) as f32);
        let begins = scenes.get(scene).copied().unwrap_or(0.0);
        placed.push(of(clip, (!is_music).then_some(begins), gain));
    }
    for (scene, clips) in spoken {
        let begins = scenes.get(scene).copied().unwrap_or(0.0);
        let lengths: Vec<f64> =
            clips.iter().map(|clip| clip["duration_seconds"].as_f64().unwrap_or(0.0)).collect();
        for (clip, after) in clips.into_iter().zip(timing(&lengths).begins) {
            placed.push(of(clip, Some(begins + after), 1.0));
        }
    }
    placed
}

fn of(clip: &Json, at_s: Option<f64>, gain: f32) -> Placed {
    Placed { address: clip["audio_url"].as_str().unwrap_or_default().to_string(), at_s, gain }
}

/// All of it as one sound; the files come in the order of the clips. Blocks.
fn track(placed: &[Placed], seconds: f64, mut files: mpsc::Receiver<Vec<u8>>) -> Result<Sound, String> {
    let mut mix = Mix::new(seconds)?;
    for clip in placed {
        let named = |reason: String| format!("{}: {reason}", clip.address);
        let file = files.blocking_recv().ok_or_else(|| named("the file did not come".into()))?;
        let sound = sound::decode(&file).map_err(named)?;
        drop(file);
        match clip.at_s {
            Some(at_s) => mix.add(&sound, at_s, clip.gain),
            None => mix.add_throughout(&sound, clip.gain),
        }
    }
    Ok(mix.finish())
}

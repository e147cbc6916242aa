//! Pictures to a film without sound: each scene is seen for as long as something is said in it.

use actors::job_scheduler::NodeWrite;
use actors::render::{Film, FilmForm, Movement, Still, Transition};
use models::Value;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::run::{Run, Stop, internal, url};
use crate::error::ServiceError;

/// Shortest scene, in seconds.
const SCENE_S_MIN: f64 = 2.0;
/// Silence before the first words of a scene, after each, and between scenes, in seconds.
const PAUSE_S: f64 = 0.3;

/// When the clips of a scene begin, in seconds from its beginning, and how long it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timing {
    pub begins: Vec<f64>,
    pub seconds: f64,
}

/// The timing of a scene in which clips of these lengths are heard one after the other.
pub(super) fn timing(lengths: &[f64]) -> Timing {
    let (mut begins, mut now) = (Vec::with_capacity(lengths.len()), PAUSE_S);
    for length in lengths {
        begins.push(now);
        now += length.max(0.0) + PAUSE_S;
    }
    Timing { begins, seconds: now.max(SCENE_S_MIN) }
}

/// Pixels and frames a second of a tier.
fn form(tier: &str, aspect_ratio: &str) -> FilmForm {
    let (long, fps) = match tier {
        "standard" | "standard_2" => (854, 24),
        "pro" | "master" => (1280, 24),
        _ => (640, 12),
    };
    let short = long * 9 / 16;
    let size = match aspect_ratio {
        "9:16" => (short, long),
        "1:1" => (short, short),
        _ => (long, short),
    };
    FilmForm { size: (size.0 & !1, size.1 & !1), fps, transition: Transition::Cut }
}

/// Whether a clip of sound is one of those that are heard one after the other.
pub(super) fn is_spoken(clip: &Json) -> bool {
    matches!(clip["audio_type"].as_str(), Some("narrator" | "character"))
}

/// Makes the film.
pub(super) async fn make(run: &Run, id: Uuid) -> Result<(), Stop> {
    let video = run.video(id).await?;
    let clips = run.pieces("audio_generations", id).await?;
    let pictures = run.pieces("image_generations", id).await?;
    let form = form(
        video["quality_tier"].as_str().unwrap_or_default(),
        video["task_meta"]["aspect_ratio"].as_str().unwrap_or_default(),
    );
    let mut scenes: Vec<(String, Vec<String>, f64)> = Vec::new();
    for picture in &pictures {
        let scene = picture["scene_id"].as_str().unwrap_or_default().to_string();
        let address = picture["image_url"].as_str().unwrap_or_default().to_string();
        match scenes.iter_mut().find(|(known, ..)| *known == scene) {
            Some((_, shots, _)) => shots.push(address),
            None => {
                let spoken =
                    clips.iter().filter(|clip| is_spoken(clip) && clip["scene_id"] == scene.as_str());
                let lengths: Vec<f64> =
                    spoken.map(|clip| clip["duration_seconds"].as_f64().unwrap_or(0.0)).collect();
                let seconds = timing(&lengths).seconds;
                scenes.push((scene, vec![address], seconds));
            }
        }
    }
    let (mut begins, mut now) = (Vec::new(), 0.0);
    for (scene, _, seconds) in &scenes {
        // Whole frames, so that sound and picture stay together however many scenes there are.
        let frames = (seconds * form.fps as f64).round().max(1.0);
        begins.push(json!({"scene": scene, "begins": now, "seconds": frames / form.fps as f64}));
        now += frames / form.fps as f64;
    }
    if now > sound::SECONDS_MAX {
        let message = format!("the video would last {now:.0} s; at most {} s are made", sound::SECONDS_MAX);
        return Err(ServiceError::bad(message).into());
    }
    let addresses = scenes.iter().flat_map(|(_, shots, _)| shots.clone()).collect();
    // One file is in memory while the next is fetched.
    let (files, waiting) = mpsc::channel::<Vec<u8>>(1);
    let task = tokio::task::spawn_blocking(move || {
        language::give_way();
        film(&scenes, form, waiting)
    });
    let (fed, made) = tokio::join!(run.feed(addresses, files), task);
    let made_of = fed?;
    let made = made.map_err(|_| internal("making the film failed unexpectedly"))?;
    let (bytes, seconds) = made.map_err(ServiceError::bad)?;
    let made = video["retry_count"].as_i64().unwrap_or(0);
    let object = run.keep(run.place(id, &format!("pictures-{made}.mp4")), bytes, "video/mp4").await?;
    let data = json!({
        "url": url(&object), "seconds": seconds, "width": form.size.0, "height": form.size.1, "fps": form.fps,
        "scenes": begins,
    });
    let video = run.video(id).await?;
    let values =
        vec![("generation_status", Value::text("video_completed")), ("video_data", Value::json(&data))];
    let mut writes = vec![NodeWrite::File { file: Box::new(object), made_of }];
    writes.extend(run.of_video(&video, values, ("video", 1, 1)));
    run.record(&format!("video/{made}"), writes).await
}

/// The film of scenes, each with its pictures and its length; the files of the pictures come in their order. Blocks.
fn film(
    scenes: &[(String, Vec<String>, f64)],
    form: FilmForm,
    mut files: mpsc::Receiver<Vec<u8>>,
) -> Result<(Vec<u8>, f64), String> {
    let mut film = Film::new(form)?;
    for (place, (scene, shots, seconds)) in scenes.iter().enumerate() {
        let frames = (seconds * form.fps as f64).round().max(1.0) as u64;
        let count = shots.len() as u64;
        for shot in 0..count {
            let named = |reason: String| format!("the picture of scene {scene}: {reason}");
            let file = files.blocking_recv().ok_or_else(|| named("its file did not come".into()))?;
            let picture = Still::read(&file).map_err(named)?;
            drop(file);
            let share = frames * (shot + 1) / count - frames * shot / count;
            film.add_still(&picture, share, Movement::of(place), &mut || Ok(()))?;
        }
    }
    film.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_each_other_within_their_scene() {
        let timed = timing(&[1.0, 2.0]);
        assert_eq!(timed.begins, [0.3, 1.6]);
        assert!((timed.seconds - 3.9).abs() < 1e-9);
        assert_eq!(timing(&[]).seconds, SCENE_S_MIN);
        assert_eq!(timing(&[0.1]).seconds, SCENE_S_MIN);
    }

    #[test]
    fn tiers_and_shapes_have_even_sides() {
        for tier in ["free", "basic", "standard", "standard_2", "pro", "master"] {
            for shape in ["16:9", "9:16", "1:1", ""] {
                let form = form(tier, shape);
                assert!(form.size.0.is_multiple_of(2) && form.size.1.is_multiple_of(2), "{tier} {shape}");
            }
        }
        assert_eq!(form("free", "9:16").size, (360, 640));
    }
}

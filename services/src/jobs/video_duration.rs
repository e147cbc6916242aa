//! How long a video is, in the frames that make it.

use actors::job_scheduler::Quality;
use actors::render::{VIDEO_FPS, VIDEO_FRAMES, frames_per_second};

use crate::error::ServiceError;
use crate::jobs::job_request::JobRequest;

/// Turns seconds into frames. Where the frames of so many seconds are too many, there are fewer of them a second. Answers
/// with a warning where the frames are given already.
pub(crate) fn settle(request: &mut JobRequest, quality: Quality) -> Result<Option<String>, ServiceError> {
    const FIELD: &str = "duration_seconds";
    let Some(seconds) = request.duration_seconds else { return Ok(None) };
    if request.num_frames.is_some() {
        return Ok(Some(format!("{FIELD}: given beside num_frames, and not used")));
    }
    let (_, frames_max) = VIDEO_FRAMES;
    let (fps_min, fps_max) = VIDEO_FPS;
    let asked = request.fps;
    if asked.is_some_and(|fps| !(fps_min..=fps_max).contains(&fps)) {
        // It is refused where the numbers of a video are.
        return Ok(None);
    }
    let fps = asked.unwrap_or_else(|| frames_per_second(quality));
    let slowest = asked.unwrap_or(fps_min);
    let (least, most) = (2.0 / fps_max as f64, frames_max as f64 / slowest as f64);
    if !(least..=most).contains(&seconds) {
        let reason = format!("{seconds} is not within {least:.2} to {most}");
        return Err(ServiceError::field(FIELD, reason));
    }
    let fps = (fps_min..=fps).rev().find(|fps| seconds * *fps as f64 <= frames_max as f64).unwrap_or(fps_min);
    // Two frames make the shortest video.
    let fps = (fps..=fps_max).find(|fps| (seconds * *fps as f64).round() >= 2.0).unwrap_or(fps_max);
    request.fps = Some(fps);
    request.num_frames = Some((seconds * fps as f64).round() as u64);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_frames() {
        for (seconds, fps, quality, expected) in [
            (5.0, None, Quality::Fast, Some((40, 8))),
            (5.0, None, Quality::High, Some((80, 16))),
            (5.0, Some(24), Quality::Fast, Some((120, 24))),
            (30.0, None, Quality::High, Some((240, 8))),
            (240.0, None, Quality::Fast, Some((240, 1))),
            (0.2, None, Quality::Fast, Some((2, 8))),
            (0.1, None, Quality::Fast, Some((2, 15))),
            (20.0, Some(24), Quality::Fast, None),
            (241.0, None, Quality::Fast, None),
            (0.0, None, Quality::Fast, None),
            (-5.0, None, Quality::Fast, None),
            (f64::NAN, None, Quality::Fast, None),
        ] {
            let mut request = JobRequest { duration_seconds: Some(seconds), fps, ..JobRequest::default() };
            match (settle(&mut request, quality), expected) {
                (Ok(None), Some((frames, fps))) => {
                    assert_eq!((request.num_frames, request.fps), (Some(frames), Some(fps)), "{seconds}");
                }
                (Err(error), None) => assert_eq!(error.field_name(), Some("duration_seconds")),
                (other, _) => panic!("{seconds}: {other:?}"),
            }
        }
        let both = JobRequest { duration_seconds: Some(5.0), num_frames: Some(8), ..JobRequest::default() };
        let mut request = both.clone();
        let said = settle(&mut request, Quality::Fast).expect("it reads").expect("a warning");
        assert!(said.starts_with("duration_seconds: "), "{said}");
        assert_eq!((request.num_frames, request.fps), (Some(8), None));
    }
}

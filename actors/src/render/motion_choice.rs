//! Which motion modules there are, and which one moves a video: `motion/NAME.safetensors` or `motion/NAME/` in the models
//! folder. Where none fits, or a job says `none`, the frames are drawn between key frames.

use std::path::{Path, PathBuf};

use diffusion::weights::motion_file::MotionFile;
use diffusion::{DiffusionModel, FRAMES_TOGETHER, FRAMES_TOGETHER_OWN, GenerateSpec, MotionSpec};
use serde_json::{Value as Json, json};

use super::free_memory::refuse_frames;
use super::guide_choice::{configured_or_single, guide_file};
use super::mistaken_file::mistaken_for;
use crate::job_scheduler::VideoConfig;

/// The folder of motion modules within the models folder.
pub const MOTION_FOLDER: &str = "motion";
/// The name of frames that are drawn between key frames.
pub const NO_MOTION: &str = "none";
/// How many frames are tried together where a job does not say and memory is short, from the most.
const TOGETHER: [usize; 3] = [FRAMES_TOGETHER_OWN, 12, 8];
/// Modules that a warning gives the reasons of at most.
const REASONS_MAX: usize = 3;

/// A motion module that moves a video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChosenMotion {
    /// How its file is called.
    pub name: String,
    /// Its file, and how many frames it sees together.
    pub spec: MotionSpec,
}

/// The motion modules of a models folder, by name.
pub fn list_motion_modules(models_dir: &Path) -> Vec<(String, PathBuf)> {
    configured_or_single(&models_dir.join(MOTION_FOLDER))
}

/// The file that a name means, `None` for frames between key frames. Names come from clients: only listed ones are opened.
pub fn motion_module_named(models_dir: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    if name.eq_ignore_ascii_case(NO_MOTION) {
        return Ok(None);
    }
    let plain = name.strip_suffix(".safetensors").unwrap_or(name);
    guide_file("motion_module", plain, list_motion_modules(models_dir), MOTION_FOLDER).map(Some)
}

/// Refuses a number of frames that no module sees together; the message names the field.
pub fn check_motion_context(together: Option<u32>) -> Result<(), String> {
    let (least, most) = FRAMES_TOGETHER;
    match together {
        Some(number) if !(least..=most).contains(&(number as usize)) => {
            Err(format!("motion_context: {number} is not within {least} to {most}"))
        }
        _ => Ok(()),
    }
}

/// What moves a video of so many frames: the module that the job names, which must fit, else the first that does. Memory is
/// looked at before anything is drawn: a module that the job does not name sees fewer frames together, or none is taken,
/// and `warnings` say so.
pub(super) fn motion_of(
    models_dir: &Path,
    model: &DiffusionModel,
    video: &VideoConfig,
    spec: &GenerateSpec,
    drawing_bytes_max: Option<u64>,
    warnings: &mut Vec<String>,
) -> Result<Option<ChosenMotion>, String> {
    let asked = video.motion_context.map(|number| number as usize);
    let given = usize::try_from(video.num_frames.unwrap_or(1)).unwrap_or(1);
    let try_one = |name: &str, file: &Path| {
        let positions = MotionFile::open(file, &model.networks().unet_config).map(|file| file.positions());
        let positions = positions.map_err(|error| format!("motion_module: {error}"))?;
        let own: Vec<usize> = TOGETHER.iter().map(|together| (*together).min(positions)).collect();
        let mut refused = String::new();
        for together in asked.map_or(own, |asked| vec![asked]) {
            let chosen =
                MotionSpec { file: file.into(), together: together.min(given.max(2)), frames: given };
            let mut moving = spec.clone();
            moving.guides.motion = Some(chosen.clone());
            model.check_motion(&moving).map_err(|error| error.to_string())?;
            match refuse_frames(model, &moving, chosen.together, drawing_bytes_max) {
                Ok(()) => return Ok(ChosenMotion { name: name.into(), spec: chosen }),
                Err(reason) => refused = reason,
            }
        }
        Err(refused)
    };
    let tell = |chosen: &ChosenMotion, warnings: &mut Vec<String>| {
        let together = chosen.spec.together;
        if asked.is_none() && together < FRAMES_TOGETHER_OWN.min(given) {
            warnings.push(format!(
                "motion_context: {together} frames are looked at together rather than {FRAMES_TOGETHER_OWN}, for more do \
                 not fit into the memory or into the motion module"
            ));
        }
    };
    if let Some(name) = &video.motion_module {
        let Some(file) = motion_module_named(models_dir, name)? else { return Ok(None) };
        let name = name.strip_suffix(".safetensors").unwrap_or(name);
        let chosen = try_one(name, &file)?;
        tell(&chosen, warnings);
        return Ok(Some(chosen));
    }
    let mut reasons = Vec::new();
    for (name, file) in list_motion_modules(models_dir) {
        match try_one(&name, &file) {
            Ok(chosen) => {
                tell(&chosen, warnings);
                return Ok(Some(chosen));
            }
            Err(reason) => {
                // A warning tells no place of this machine.
                let reason = reason.replace(&format!("{}/", models_dir.display()), "");
                let reason = reason.strip_prefix("motion_module: ").unwrap_or(&reason);
                reasons.push(format!("{name}: {reason}"));
            }
        }
    }
    if !reasons.is_empty() {
        let more = reasons.len().saturating_sub(REASONS_MAX);
        reasons.truncate(REASONS_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        warnings.push(format!(
            "motion_module: none of {MOTION_FOLDER}/ is taken, so the frames are drawn between key frames: {}{more}",
            reasons.join("; ")
        ));
    }
    if asked.is_some() {
        warnings.push("motion_context: no motion module moves this video, so it changes nothing".into());
    }
    Ok(None)
}

/// What the list of models says of each; reads headers only.
pub(super) fn describe_motion_modules(models_dir: &Path) -> Vec<Json> {
    let describe = |(name, path): (String, PathBuf)| {
        let mut about = json!({"type": "motion", "name": name});
        about["file_bytes"] = json!(path.metadata().ok().filter(|it| it.is_file()).map(|it| it.len()));
        match MotionFile::about(&path) {
            Ok(found) => {
                about["family"] = json!(found.family);
                about["frames_together"] = json!(found.positions);
                about["memory_bytes"] = json!(found.numbers * 4);
                about["sound"] = json!(true);
            }
            Err(error) => {
                about["sound"] = json!(false);
                about["problem"] =
                    json!(mistaken_for(&path).map_or_else(|| error.to_string(), str::to_string));
            }
        }
        about
    };
    list_motion_modules(models_dir).into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_by_name_and_what_is_none_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join(MOTION_FOLDER);
        std::fs::create_dir_all(inner.join("adapter")).expect("a folder");
        for name in ["mm_v2.safetensors", "mm.ckpt", "adapter/config.json", "adapter/model.safetensors"] {
            std::fs::write(inner.join(name), b"x").expect("a file");
        }
        let names: Vec<String> =
            list_motion_modules(folder.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["adapter", "mm_v2"]);
        assert_eq!(motion_module_named(folder.path(), "None"), Ok(None));
        let file = Some(inner.join("mm_v2.safetensors"));
        assert_eq!(motion_module_named(folder.path(), "mm_v2.safetensors"), Ok(file));
        for name in ["mm", "../mm_v2", ""] {
            let error = motion_module_named(folder.path(), name).expect_err("refused");
            assert!(error.starts_with("motion_module: ") && error.contains("adapter, mm_v2"), "{error}");
        }
        let listed = describe_motion_modules(folder.path());
        assert!(
            listed.iter().all(|about| about["type"] == "motion" && about["sound"] == false),
            "{listed:?}"
        );
        assert!(check_motion_context(Some(1)).is_err() && check_motion_context(Some(33)).is_err());
        assert!(check_motion_context(Some(32)).is_ok() && check_motion_context(None).is_ok());
    }
}

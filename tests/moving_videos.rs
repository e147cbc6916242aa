//! Videos whose frames a motion module draws together, and what happens where none fits.

mod common;

use std::path::{Path, PathBuf};

use common::Server;
use common::jobs::{one, queue, refused, result_of, wait_for};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(from, to).expect("a file");
        return;
    }
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

/// A server with the tiny model of Stable Diffusion 1.5, and an account.
struct Studio {
    server: Server,
    models: TempDir,
    _data: TempDir,
    user: String,
    token: String,
}

impl Studio {
    /// With the tiny motion module under these names.
    fn with(modules: &[&str], settings: &[(&str, &str)]) -> Studio {
        let (models, data) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        copy(&fixture("tests/fixtures/goldens/sd15-tiny"), &models.path().join("tiny"));
        copy(&fixture("tests/fixtures/goldens/sdxl-tiny"), &models.path().join("xl"));
        for name in modules {
            let to = models.path().join(format!("motion/{name}.safetensors"));
            copy(&fixture("diffusion/tests/fixtures/motion/module.safetensors"), &to);
        }
        let models_dir = models.path().to_string_lossy().into_owned();
        let own = [("PLAYHOUSE_MODELS_DIR", &*models_dir), ("PLAYHOUSE_CHARGE_CREDITS", "false")];
        let settings: Vec<(&str, &str)> = own.into_iter().chain(settings.iter().copied()).collect();
        let server = Server::start(data.path(), &settings);
        let (user, token) = server.sign_up("director@example.com");
        Studio { server, models, _data: data, user, token }
    }

    /// The file of a job, and what is kept of how it was made.
    fn made(&self, body: &Json) -> (Vec<u8>, Json) {
        let job = queue(&self.server, &self.token, body);
        let file = result_of(&self.server, &self.token, &job);
        let asset = one(&self.server, &self.token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
        (file, asset["generation_settings"].clone())
    }

    /// Why a job failed.
    fn failed(&self, body: &Json) -> String {
        let job = queue(&self.server, &self.token, body);
        let row = wait_for(&self.server, &self.token, &job, &["failed", "completed"]);
        let message = row["error_message"].as_str().unwrap_or_else(|| panic!("{body}: {row}")).to_string();
        assert!(!message.contains(&*self.models.path().to_string_lossy()), "{message}");
        message
    }

    /// What the latest job's owner is told.
    fn warnings(&self) -> String {
        let latest = "/rest/v1/jobs?select=metadata&order=created_at.desc&limit=1";
        let text = one(&self.server, &self.token, latest)["metadata"]["warnings"].to_string();
        assert!(!text.contains(&*self.models.path().to_string_lossy()), "{text}");
        text
    }
}

fn video(changes: Json) -> Json {
    let mut body = json!({"job_type": "video_fast", "prompt": "a red hat", "seed": 7, "steps": 2, "num_frames": 6,
        "fps": 4, "width": 32, "height": 32, "model": "tiny"});
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_module_that_fits_moves_the_frames_and_the_result_says_so() {
    let studio = Studio::with(&["wave", "other"], &[]);
    let (moved, made) = studio.made(&video(json!({"motion_context": 4})));
    assert_eq!(made["motion"], json!({"method": "module", "module": "other", "context": 4}), "first by name");
    assert_eq!((&made["num_frames"], &made["seed"]), (&json!(6), &json!(7)));
    assert_eq!(
        moved,
        studio.made(&video(json!({"motion_context": 4}))).0,
        "the same request is the same file"
    );
    let (plain, made) = studio.made(&video(json!({"motion_module": "none"})));
    assert_eq!(made["motion"], json!({"method": "interpolation"}));
    assert_ne!(moved, plain);
    // No more frames together than there are.
    let (_, made) = studio.made(&video(json!({"motion_module": "wave.safetensors"})));
    assert_eq!(made["motion"], json!({"method": "module", "module": "wave", "context": 6}));
    let frames = json!({"keyframes": [{}, {"prompt": "a blue robot", "seed": 8}], "motion_context": 4});
    assert_ne!(moved, studio.made(&video(frames)).0);

    for (changes, words) in [
        (json!({"motion_module": "none such"}), "motion_module: there is no"),
        (json!({"motion_module": "../tiny"}), "motion_module: there is no"),
        (json!({"motion_context": 1}), "motion_context: 1 is not within 2 to 32"),
        (json!({"motion_context": 33}), "motion_context: 33"),
        (
            json!({"job_type": "sdxl_image_fast", "num_frames": null, "fps": null, "motion_module": "wave"}),
            "motion_module: only videos have it",
        ),
    ] {
        refused(&studio.server, &studio.token, &video(changes), 400, words);
    }
    let positions =
        studio.failed(&video(json!({"motion_module": "wave", "motion_context": 25, "num_frames": 30})));
    assert!(positions.contains("motion_context: 25 is more than the 24"), "{positions}");
    // Other models: named it fails, else the frames lie between key frames and the job says why.
    let small = json!({"model": "starter", "num_frames": 2, "width": 64, "height": 64});
    let (_, made) = studio.made(&video(small.clone()));
    assert_eq!(made["motion"], json!({"method": "interpolation"}));
    let warnings = studio.warnings();
    assert!(
        warnings.contains("motion_module: none of motion/") && warnings.contains("[16, 32]"),
        "{warnings}"
    );
    let xl = studio.failed(&video(json!({"model": "xl", "motion_module": "wave"})));
    assert!(
        xl.contains("motion_module: motion/wave.safetensors") && xl.contains("the model is SDXL"),
        "{xl}"
    );
    assert_eq!(studio.server.check()["faults"], 0);
}

#[test]
fn a_clip_of_a_storyboard_moves_as_its_maker_says() {
    let studio = Studio::with(&["wave"], &[]);
    let row = |table: &str, row: Json| {
        let (status, rows) =
            studio.server.call("POST", &format!("/rest/v1/{table}"), &studio.token, Some(&row));
        assert_eq!(status, 201, "{table} {row}: {rows}");
        rows[0]["id"].clone()
    };
    let board = row("storyboard_projects", json!({"user_id": studio.user, "title": "Hats"}));
    let scene = json!({"project_id": board, "title": "A hat", "description": "a red hat", "scene_order": 1});
    let scene = row("storyboard_scenes", scene);
    let clip = |changes: Json| {
        let mut body = json!({"scene_id": scene, "clip_type": "quick", "num_frames": 6, "fps": 4, "steps": 1, "seed": 5,
            "width": 32, "height": 32, "model": "tiny"});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let (status, made) =
            studio.server.call("POST", "/functions/v1/make-clip", &studio.token, Some(&body));
        assert_eq!(status, 200, "{made}");
        wait_for(
            &studio.server,
            &studio.token,
            made["jobId"].as_str().expect("an id"),
            &["completed", "failed"],
        );
        let id = made["clip"]["id"].as_str().expect("an id");
        let row = one(&studio.server, &studio.token, &format!("/rest/v1/storyboard_clips?id=eq.{id}"));
        assert_eq!(row["status"], "completed", "{row}");
        row["generation_metadata"]["motion"].clone()
    };
    let moved = |context: u64| json!({"method": "module", "module": "wave", "context": context});
    assert_eq!(clip(json!({})), moved(6));
    assert_eq!(clip(json!({"motion_module": "wave", "motion_context": 3})), moved(3));
    assert_eq!(clip(json!({"motion_module": "none"})), json!({"method": "interpolation"}));
}

#[test]
fn frames_that_do_not_fit_the_memory_are_fewer_or_refused_by_name() {
    // Room for 8 frames of this size together, not for 12.
    let studio = Studio::with(&["wave"], &[("PLAYHOUSE_IMAGE_DRAWING_BYTES", "7500000")]);
    let (_, made) = studio.made(&video(json!({"num_frames": 20})));
    assert_eq!(made["motion"], json!({"method": "module", "module": "wave", "context": 8}));
    let warnings = studio.warnings();
    assert!(
        warnings.contains("motion_context: 8 frames are looked at together rather than 16"),
        "{warnings}"
    );
    let asked = json!({"num_frames": 20, "motion_module": "wave", "motion_context": 16});
    let refused = studio.failed(&video(asked));
    assert!(refused.starts_with("motion_context: drawing 16 frames of 32×32 together takes"), "{refused}");
    // Not named, and too much as it is asked: between key frames, and the job says why.
    let (_, made) = studio.made(&video(json!({"num_frames": 13, "motion_context": 13})));
    assert_eq!(made["motion"], json!({"method": "interpolation"}));
    assert!(studio.warnings().contains("takes about"), "{}", studio.warnings());
}

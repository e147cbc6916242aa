//! `playhouse worker`: the same binary draws the jobs of another one, each once, also when one of several is killed.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::jobs::{bytes_of, one, picture, queue, result_of, wait_for};
use common::webhooks::signed;
use common::{Server, binary, files};
use serde_json::{Value as Json, json};

const SECRET: &str = "between machines";
/// A server that draws nothing itself.
const ONLY_WORKERS: [(&str, &str); 3] = [
    ("PLAYHOUSE_CALLBACK_SECRET", SECRET),
    ("PLAYHOUSE_LOCAL_WORKER", "false"),
    ("PLAYHOUSE_CHARGE_CREDITS", "false"),
];

/// A worker, killed when it goes.
struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    fn start(folder: &Path, name: &str, server: &str, environment: &[(&str, &str)]) -> Worker {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).expect("a log");
        let mut command = Command::new(binary());
        command.args(["worker", "--server", server, "--name", name, "--lease-seconds", "10", "--data"]);
        command.arg(folder.join(name)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        command.env("PLAYHOUSE_CALLBACK_SECRET", SECRET).envs(environment.iter().copied());
        Worker { child: command.spawn().expect("the binary starts"), log }
    }

    /// How often its log has these words.
    fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches(words).count()
    }

    fn wait_until_it_said(&self, words: &str) {
        let started = Instant::now();
        while self.said(words) == 0 {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "it does not say {words:?}: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn asset(server: &Server, token: &str, job: &str) -> Json {
    one(server, token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}&order=asset_index"))
}

#[test]
fn a_worker_draws_what_the_server_would_have_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let drawing = Server::start(&folder.path().join("drawing"), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let asking = Server::start(&folder.path().join("asking"), &ONLY_WORKERS);
    let worker = Worker::start(folder.path(), "studio", &asking.url, &[]);
    let mut results = Vec::new();
    for server in [&drawing, &asking] {
        let (_, token) = server.sign_up("director@example.com");
        let mut two = picture("a fox in a forest");
        two["image_count"] = json!(2);
        let first = queue(server, &token, &two);
        let drawn = result_of(server, &token, &first);
        let reference = asset(server, &token, &first);
        let mut from_it = picture("a fox in the snow");
        from_it["reference_image_url"] =
            json!(format!("workspace-temp/{}", reference["temp_storage_path"].as_str().expect("a path")));
        let again = queue(server, &token, &from_it);
        let redrawn = result_of(server, &token, &again);
        let video = json!({"job_type": "video_fast", "prompt": "a fox runs", "seed": 7, "steps": 2,
            "metadata": {"num_frames": 4, "fps": 4}});
        let video = queue(server, &token, &video);
        let film = result_of(server, &token, &video);
        let assets: Vec<Json> = [&first, &again, &video].map(|job| asset(server, &token, job)).into();
        let row = wait_for(server, &token, &first, &["completed"]);
        assert_eq!((&row["attempts"], &row["error_message"]), (&json!(1), &Json::Null), "{row}");
        for asset in &assets {
            let thumbnail = asset["thumbnail_path"].as_str().expect("a thumbnail");
            assert!(bytes_of(server, &token, thumbnail).starts_with(b"RIFF"));
        }
        let about = |asset: &Json| {
            let mut settings = asset["generation_settings"].clone();
            let members = settings.as_object_mut().expect("settings");
            members.remove("generation_time_ms");
            // It has the account's own id.
            members.remove("reference_image_url");
            [
                "asset_type",
                "mime_type",
                "file_size_bytes",
                "duration_seconds",
                "generation_seed",
                "model_used",
                "width",
                "height",
            ]
            .map(|name| asset[name].clone())
            .into_iter()
            .chain([settings])
            .collect::<Vec<_>>()
        };
        results.push(((drawn, redrawn, film), assets.iter().map(about).collect::<Vec<_>>()));
        assert_eq!(server.check()["faults"], 0);
    }
    let ((here, of_here), (there, of_there)) = (&results[0], &results[1]);
    assert_eq!(of_here, of_there, "{}", worker.log());
    assert!(here == there, "the files are the same, byte for byte");
    assert_eq!(worker.said("claimed a job"), 3, "{}", worker.log());
}

#[test]
fn two_workers_draw_each_job_of_a_queue_once() {
    const JOBS: usize = 10;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("server"), &ONLY_WORKERS);
    let (_, token) = server.sign_up("director@example.com");
    let jobs: Vec<String> = (0..JOBS)
        .map(|number| {
            let mut job = picture("a castle on a hill");
            job["seed"] = json!(number);
            queue(&server, &token, &job)
        })
        .collect();
    let workers = ["one", "two"].map(|name| Worker::start(folder.path(), name, &server.url, &[]));
    for job in &jobs {
        let row = wait_for(&server, &token, job, &["completed", "failed"]);
        assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(1)), "{row}");
    }
    // A worker says so once its report is answered, which may be after the job is seen to be complete.
    let started = Instant::now();
    let drawn = loop {
        let drawn = workers.each_ref().map(|worker| worker.said("drew a job"));
        if drawn.iter().sum::<usize>() >= JOBS || started.elapsed() > Duration::from_secs(60) {
            break drawn;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(drawn.iter().all(|drawn| *drawn > 0), "both work: {drawn:?}");
    assert_eq!(drawn.iter().sum::<usize>(), JOBS, "each job once");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_job_whose_worker_was_killed_is_drawn_by_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("server"), &ONLY_WORKERS);
    let (_, token) = server.sign_up("director@example.com");
    let job = queue(&server, &token, &picture("a castle on a hill"));
    let dying = [("PLAYHOUSE_CRASH_AT", "job_rendering:2")];
    let mut killed = Worker::start(folder.path(), "killed", &server.url, &dying);
    let status = killed.child.wait().expect("it ends");
    assert!(!status.success() && killed.said("claimed a job") == 1, "{}", killed.log());
    let other = Worker::start(folder.path(), "other", &server.url, &[]);
    let row = wait_for(&server, &token, &job, &["completed", "failed"]);
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(2)), "{row}");
    other.wait_until_it_said("drew a job");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn what_a_worker_uploaded_and_never_reported_goes_with_the_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("server"), &ONLY_WORKERS);
    let (user, token) = server.sign_up("director@example.com");
    let job = queue(&server, &token, &picture("a castle on a hill"));
    let files = |attempt: &str| {
        let body = json!({"prefix": format!("{user}/{job}/{attempt}")});
        let path = "/storage/v1/object/list/workspace-temp";
        let (status, listed) = server.call("POST", path, &server.service, Some(&body));
        assert_eq!(status, 200, "{listed}");
        listed.as_array().map_or(0, Vec::len)
    };
    let dying = [("PLAYHOUSE_CRASH_AT", "worker_uploaded")];
    let mut killed = Worker::start(folder.path(), "killed", &server.url, &dying);
    assert!(!killed.child.wait().expect("it ends").success(), "{}", killed.log());
    assert!(files("1") > 0, "it uploaded before it died");
    let _other = Worker::start(folder.path(), "other", &server.url, &[]);
    let row = wait_for(&server, &token, &job, &["completed", "failed"]);
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(2)), "{row}");
    assert_eq!((files("1"), files("2")), (0, 2));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_worker_outlives_its_server_and_gives_up_what_was_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("server");
    let mut server = Server::start(&data, &ONLY_WORKERS);
    let (_, token) = server.sign_up("director@example.com");
    let worker = Worker::start(folder.path(), "patient", &server.url, &[]);
    // Minutes, unless it is given up.
    let mut long = picture("a castle on a hill");
    long["steps"] = json!(150);
    long["image_count"] = json!(6);
    let long = queue(&server, &token, &long);
    worker.wait_until_it_said("claimed a job");
    let started = Instant::now();
    while !one(&server, &token, &format!("/rest/v1/jobs?id=eq.{long}"))["metadata"]["progress"].is_object() {
        assert!(started.elapsed() < Duration::from_secs(120), "no step is reported: {}", worker.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let cancel = json!({"status": "cancelled"});
    let path = format!("/rest/v1/jobs?id=eq.{long}");
    assert_eq!(server.call("PATCH", &path, &token, Some(&cancel)).0, 200);
    worker.wait_until_it_said("it ended while it was drawn");

    let address = server.url.trim_start_matches("http://").to_string();
    server.kill();
    worker.wait_until_it_said("the server cannot be asked for jobs");
    let server = Server::start_at(&data, &address, Stdio::inherit(), &ONLY_WORKERS);
    let job = queue(&server, &token, &picture("a castle on a hill"));
    assert_eq!(wait_for(&server, &token, &job, &["completed", "failed"])["status"], "completed");
    assert_eq!(one(&server, &token, &path)["status"], "cancelled");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_worker_with_a_wrong_token_or_address_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("server"), &ONLY_WORKERS);
    for (address, token, words) in [
        (server.url.as_str(), "another", "the signature does not fit"),
        (server.url.as_str(), "", "--token is missing"),
        ("studio.local", SECRET, "--server studio.local"),
        ("ftp://studio.local", SECRET, "begins with http:// or https://"),
    ] {
        let output = Command::new(binary())
            .args(["worker", "--server", address, "--token", token, "--data"])
            .arg(folder.path().join("worker"))
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{words}: {said}");
    }
    assert!(!folder.path().join("worker").exists(), "a worker keeps nothing");
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

#[test]
fn a_worker_of_another_kind_makes_a_video_of_a_picture_over_http_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &ONLY_WORKERS);
    let (user, token) = server.sign_up("director@example.com");
    let mut frame = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(32, 32, image::Rgb([200, 90, 30]));
    picture.write_to(&mut frame, image::ImageFormat::Png).expect("a PNG");
    let frame = frame.into_inner();
    let path = format!("user-library/{user}/frame.png");
    assert_eq!(files::put(&server, &token, &path, "image/png", &frame).status, 200);
    let asked = json!({"job_type": "wan_video_fast", "prompt": "a fox runs", "seed": 7,
        "metadata": {"start_reference_url": path, "end_reference_url": path}});
    let job = queue(&server, &token, &asked);

    // What it does: claims, reads the pictures from the addresses in the payload, puts its film there, and reports.
    let claimed = signed(&server, SECRET, "claim-job", &json!({"queue": "wan_queue", "worker": "elsewhere"}));
    let payload = claimed.1["job"].clone();
    assert_eq!((claimed.0, &payload["job_id"]), (200, &json!(job)), "{payload}");
    for name in ["first_frame", "last_frame"] {
        let address = payload["config"][name].as_str().unwrap_or_else(|| panic!("{name}: {payload}"));
        let read = files::send(address, "GET", &[], &[]).expect("an answer");
        assert_eq!((read.status, &read.bytes), (200, &frame), "{name}");
    }
    let film = [b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2".as_slice(), &frame].concat();
    let place = format!("workspace-temp/{user}/{job}/0.mp4");
    let put = files::put(&server, &server.service, &place, "video/mp4", &film);
    assert_eq!(put.status, 200, "{}", put.text());
    let report = json!({"job_id": job, "status": "completed",
        "assets": [{"type": "video", "url": place, "metadata": {"frame_num": 81, "fps": 16, "seed": 7}}]});
    let (status, answer) = signed(&server, SECRET, "job-callback", &report);
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    assert_eq!(result_of(&server, &token, &job), film, "the account has its film");
    let made = asset(&server, &token, &job);
    assert_eq!((&made["asset_type"], &made["mime_type"]), (&json!("video"), &json!("video/mp4")), "{made}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_worker_makes_a_video_of_a_picture_with_the_motion_module_of_its_own_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&root.join("tests/fixtures/goldens/sd15-tiny"), &models.join("tiny"));
    let module = root.join("diffusion/tests/fixtures/motion/module.safetensors");
    copy(&module, &models.join("motion/wave.safetensors"));
    let models = models.to_string_lossy().into_owned();
    let asking = Server::start(&folder.path().join("asking"), &ONLY_WORKERS);
    let worker = Worker::start(folder.path(), "studio", &asking.url, &[("PLAYHOUSE_MODELS_DIR", &models)]);
    let (_, token) = asking.sign_up("director@example.com");
    let mut first = picture("a fox in a forest");
    first["model"] = json!("tiny");
    let first = queue(&asking, &token, &first);
    result_of(&asking, &token, &first);
    let reference = asset(&asking, &token, &first);
    let path = format!("workspace-temp/{}", reference["temp_storage_path"].as_str().expect("a path"));
    let video = json!({"job_type": "video_fast", "prompt": "a fox runs", "seed": 7, "steps": 2, "num_frames": 4,
        "fps": 4, "width": 32, "height": 32, "model": "tiny", "motion_module": "wave",
        "metadata": {"start_reference_url": path}});
    let video = queue(&asking, &token, &video);
    result_of(&asking, &token, &video);
    let made = asset(&asking, &token, &video)["generation_settings"].clone();
    let moved = json!({"method": "module", "module": "wave", "context": 4});
    assert_eq!((&made["motion"], made["reference_hash"].is_string()), (&moved, true), "{}", worker.log());
}

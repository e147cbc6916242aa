//! The first hour of a newcomer: README's quickstart and the programs of `examples/`, run as they stand there.

mod common;
mod talk;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::Server;
use serde_json::{Value as Json, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README's chapter on the first hour.
fn quickstart() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README");
    let chapter = readme.split("\n## ").find(|chapter| chapter.starts_with("Quickstart\n"));
    chapter.expect("a chapter named Quickstart").to_string()
}

/// The blocks to copy: the account that all of them need, a picture, a chat, a card.
fn blocks() -> [String; 4] {
    let chapter = quickstart();
    let blocks: Vec<String> = chapter
        .split("```bash\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_string())
        .collect();
    blocks.try_into().expect("an account, a picture, a chat, a card")
}

/// A server with a small chat model, and an empty folder to run programs in.
struct Newcomer {
    server: Server,
    folder: tempfile::TempDir,
}

impl Newcomer {
    fn start() -> Newcomer {
        Newcomer::with(talk::start)
    }

    fn with(start: impl FnOnce(&Path) -> Server) -> Newcomer {
        let folder = tempfile::tempdir().expect("a folder");
        let server = start(folder.path());
        for name in ["bin", "here"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let binary = folder.path().join("bin/playhouse");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_playhouse"), binary).expect("a link");
        Newcomer { server, folder }
    }

    /// Where programs run.
    fn here(&self) -> PathBuf {
        self.folder.path().join("here")
    }

    /// Runs a program to its end, which must be good; what it printed.
    fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let Output { status, stdout, stderr } = Command::new(program)
            .args(arguments)
            .current_dir(self.here())
            .env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()))
            .env("PLAYHOUSE_DATA", self.folder.path().join("data"))
            .env("PLAYHOUSE_URL", &self.server.url)
            .env("PLAYHOUSE_ANON_KEY", &self.server.anon)
            .output()
            .expect("the program runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{} {arguments:?}: {status}\n{stdout}\n{stderr}", program.display());
        stdout.to_string()
    }

    fn bash(&self, script: &str) -> String {
        self.run(Path::new("bash"), &["-euo", "pipefail", "-c", script])
    }

    /// A file that a program wrote, which must be a picture.
    fn picture(&self, name: &str) -> Vec<u8> {
        let bytes = std::fs::read(self.here().join(name)).expect("the file is written");
        let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png);
        assert!(picture.is_ok_and(|picture| picture.width() > 0), "{name} is a PNG");
        bytes
    }

    /// Rows of a table, as the operator sees them.
    fn rows(&self, table: &str) -> Vec<Json> {
        let (status, rows) =
            self.server.call("GET", &format!("/rest/v1/{table}"), &self.server.service, None);
        assert_eq!(status, 200, "{rows}");
        rows.as_array().expect("rows").clone()
    }
}

/// The last line of an output that says anything.
fn last_line(output: &str) -> &str {
    output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

#[test]
fn the_quickstart_draws_a_picture() {
    let [account, picture, _, _] = blocks();
    let newcomer = Newcomer::start();
    let output = newcomer.bash(&format!("{account}{picture}"));
    assert!(output.contains("event: done"), "its progress is shown: {output}");
    newcomer.picture("picture.png");
    let jobs = newcomer.rows("jobs");
    assert_eq!((jobs.len(), &jobs[0]["status"]), (1, &json!("completed")), "{jobs:?}");
    // An account that exists already is taken.
    newcomer.bash(&format!("{account}{picture}"));
    assert_eq!(newcomer.rows("jobs").len(), 2);
}

#[test]
fn the_quickstart_chats() {
    let [account, _, chat, _] = blocks();
    let newcomer = Newcomer::start();
    let output = newcomer.bash(&format!("{account}{chat}"));
    let said = last_line(&output);
    assert!(!said.is_empty() && said != "null", "a reply is printed: {output:?}");
}

#[test]
fn the_quickstart_does_not_wait_for_a_model_that_does_not_come() {
    let [account, _, chat, _] = blocks();
    let newcomer = Newcomer::with(|folder| Server::start(&folder.join("data"), &[]));
    let output = newcomer.bash(&format!("{account}{chat}"));
    assert!(last_line(&output).starts_with("there is no chat model: put a GGUF file into"), "{output:?}");
}

#[test]
fn the_quickstart_takes_a_card() {
    let [account, _, _, card] = blocks();
    let newcomer = Newcomer::start();
    let output = newcomer.bash(&format!("{account}{card}"));
    let said = last_line(&output);
    assert!(!said.is_empty() && said != "null", "the character answers: {output:?}");
    let characters = newcomer.rows("characters?name=eq.Mira");
    assert_eq!(characters.len(), 1, "{characters:?}");
    let bytes = newcomer.picture("mira.png");
    assert!(bytes.windows(5).any(|word| word == b"chara"), "the card lies in the picture");
}

#[test]
fn the_quickstart_names_every_kind_of_job() {
    let chapter = quickstart();
    let sentence = chapter.split("`job_type` is ").nth(1).and_then(|rest| rest.split(". ").next());
    let named: Vec<&str> =
        sentence.expect("a sentence about job_type").split('`').skip(1).step_by(2).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (_, token) = server.sign_up("newcomer@example.com");
    let queue = |job_type: &str| {
        let body = json!({"job_type": job_type, "prompt": "a cat"});
        server.call("POST", "/functions/v1/queue-job", &token, Some(&body)).0
    };
    assert!(named.len() >= 4, "{named:?}");
    for job_type in &named {
        assert_eq!(queue(job_type), 200, "{job_type}");
    }
    assert_eq!(queue("poem"), 400);
}

/// Runs `playhouse demo` in a folder of its own; what it said, and whether it was well.
fn demo(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_playhouse"))
        .arg("demo")
        .args(arguments)
        .current_dir(folder)
        .env("PLAYHOUSE_CHAT_MODEL", talk::tiny_model(folder))
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).to_string();
    (status.success(), text(stdout), text(stderr))
}

/// Whether a folder has what a demo leaves: the card, the chat and the pictures.
fn is_whole(out: &Path, summary: &str) {
    let summary: Json = serde_json::from_str(summary).expect("JSON");
    assert_eq!((&summary["replies"], &summary["warnings"]), (&json!(2), &json!([])), "{summary}");
    let files = ["portrait.png", "moment.png", "drawing.png", "card.png", "chat.jsonl"];
    assert_eq!(summary["files"], json!(files));
    for name in &files[..4] {
        let picture = image::open(out.join(name)).expect("a picture");
        assert!(picture.width() >= 64, "{name}");
    }
    let card = std::fs::read(out.join("card.png")).expect("a card");
    assert!(card.windows(5).any(|word| word == b"ccv3\0"), "the card lies in the picture");
    let chat = std::fs::read_to_string(out.join("chat.jsonl")).expect("a chat");
    let lines: Vec<Json> = chat.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<&str> = lines[1..].iter().filter_map(|line| line["name"].as_str()).collect();
    assert_eq!(names.len(), 5, "a greeting and two turns: {chat}");
    assert_eq!(names[0], "Odette Farrow");
    assert_eq!(
        lines[5]["swipes"].as_array().map(Vec::len),
        Some(2),
        "another version of the last reply: {chat}"
    );
}

#[test]
fn the_demo_leaves_what_a_newcomer_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (is_well, summary, said) = demo(folder.path(), &["--out", "out"]);
    assert!(is_well, "{said}");
    is_whole(&folder.path().join("out"), &summary);
    assert!(said.contains("7/7"), "{said}");
    assert!(!folder.path().join("data").exists(), "the server of the demo leaves nothing");
    let (is_well, _, said) = demo(folder.path(), &["--out", "out"]);
    assert!(!is_well && said.contains("is not empty; name another folder with --out"), "{said}");
    let (is_well, _, said) = demo(folder.path(), &["--out", "none", "--server", "http://127.0.0.1:9"]);
    assert!(!is_well && said.contains("no server answers at http://127.0.0.1:9"), "{said}");

    // Against a server that runs already the account stays there.
    let newcomer = Newcomer::start();
    let (is_well, summary, said) = demo(folder.path(), &["--out", "there", "--server", &newcomer.server.url]);
    assert!(is_well, "{said}");
    is_whole(&folder.path().join("there"), &summary);
    assert_eq!(newcomer.rows("characters?name=eq.Odette%20Farrow").len(), 1);
    assert_eq!(newcomer.server.check()["faults"], 0);
}

#[test]
fn the_worker_of_the_operators_guide_claims_a_job_and_reports() {
    let guide = std::fs::read_to_string(root().join("docs/operators.md")).expect("the guide");
    let chapter = guide.split("\n## ").find(|chapter| chapter.starts_with("Remote workers\n"));
    let worker = chapter.and_then(|chapter| chapter.split("```python\n").nth(1)?.split("```").next());
    let secret = "a secret of this test";
    let settings = [("PLAYHOUSE_CALLBACK_SECRET", secret), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let newcomer = Newcomer::with(|folder| Server::start(&folder.join("data"), &settings));
    let (_, token) = newcomer.server.sign_up("newcomer@example.com");
    let video = json!({"job_type": "video_fast", "prompt": "a cat"});
    let job = common::jobs::queue(&newcomer.server, &token, &video);
    // Nothing counts that was signed in the second of the start.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let names = format!("URL, SECRET = {:?}, {secret:?}\n", newcomer.server.url);
    newcomer.run(Path::new("python3"), &["-c", &(names + worker.expect("a worker in Python"))]);
    let row = newcomer.rows(&format!("jobs?id=eq.{job}")).remove(0);
    assert_eq!(row["status"], "processing", "{row}");
}

/// The programs of `examples/` beside the clients that the tests install.
fn examples(newcomer: &Newcomer) -> PathBuf {
    let clients = root().join("tests/clients");
    common::install::install("clients");
    let copy = newcomer.folder.path().join("examples");
    for language in ["javascript", "python", "curl"] {
        std::fs::create_dir_all(copy.join(language)).expect("a folder");
        for file in std::fs::read_dir(root().join("examples").join(language)).expect("examples").flatten() {
            if file.path().is_file() {
                std::fs::copy(file.path(), copy.join(language).join(file.file_name())).expect("a copy");
            }
        }
    }
    std::os::unix::fs::symlink(clients.join("node_modules"), copy.join("javascript/node_modules"))
        .expect("a link");
    copy
}

#[test]
fn the_examples_run() {
    let newcomer = Newcomer::start();
    let examples = examples(&newcomer);
    let at = |name: &str| examples.join(name).to_string_lossy().to_string();
    let node = |arguments: &[&str]| newcomer.run(Path::new("node"), arguments);
    let python = root().join("tests/clients/.venv/bin/python");

    let output = node(&[&at("javascript/picture.mjs"), "a cat on a beach, sunset", "cat.png"]);
    assert!(output.contains("step ") && output.contains("cat.png: a cat on a beach"), "{output}");
    newcomer.picture("cat.png");
    let output = node(&[&at("javascript/roleplay.mjs"), "Is the light on?"]);
    assert_eq!(last_line(&output), "2 messages stored", "{output}");
    let said = newcomer.rows("messages?sender=eq.assistant&select=content");
    assert!(said[0]["content"].as_str().is_some_and(|said| !said.is_empty()), "{said:?}");

    let output = newcomer.run(&python, &[&at("python/openai_client.py"), "robot.png"]);
    assert!(!last_line(&output).is_empty() && last_line(&output) != "robot.png", "a reply: {output}");
    newcomer.picture("robot.png");
    let output = newcomer.run(&python, &[&at("python/cards.py")]);
    assert!(output.contains("imported: Mira") && output.contains("'voice_tone': 'dry'"), "{output}");
    newcomer.picture("card.png");

    let asked = [&at("curl/redraw.sh"), "cat.png", "a cat in a city street, rain", "rain.png"];
    let output = newcomer.run(Path::new("bash"), &asked);
    assert!(
        output.contains("for an hour: http") && last_line(&output).starts_with("rain.png: seed "),
        "{output}"
    );
    assert_ne!(newcomer.picture("rain.png"), newcomer.picture("cat.png"));
}

/// The examples of a page in a language.
fn examples_of(page: &Path, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(page).expect("a page");
    let fence = format!("\n```{language}\n");
    let blocks = text.split(fence.as_str()).skip(1);
    blocks.map(|rest| rest.split("\n```").next().unwrap_or_default().to_string()).collect()
}

/// What the programs in JavaScript on those pages have at hand: a client that is signed in, and a job.
const BEFORE: &str = "
import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'
const realtime = { transport: WebSocket }
const supabase = createClient(process.env.PLAYHOUSE_URL, process.env.PLAYHOUSE_ANON_KEY, { realtime })
const { data: { user } } = await supabase.auth.signInWithPassword({ email: 'me@example.com', password: 'correct horse' })
const { data: queued } = await supabase.functions.invoke('queue-job', { body: { job_type: 'image_fast', prompt: 'a cat' } })
const [id, show, draw] = [queued.jobId, () => {}, () => {}]
";
const AFTER: &str = "
await new Promise((done) => setTimeout(done, 300))
console.log('the end of', id)
process.exit(0)
";

/// Each example of `docs/api`, as it stands there.
#[test]
fn the_examples_of_the_api_pages_run() {
    let [account, ..] = blocks();
    let newcomer = Newcomer::start();
    examples(&newcomer);
    let modules = root().join("tests/clients/node_modules");
    std::os::unix::fs::symlink(modules, newcomer.here().join("node_modules")).expect("a link");
    newcomer.bash(&account);
    let (_, token) = newcomer.server.sign_up("python@example.com");
    let mut pages: Vec<PathBuf> = std::fs::read_dir(root().join("docs/api"))
        .expect("pages")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() >= 6, "{pages:?}");
    let mut run = 0;
    for page in &pages {
        let shell = examples_of(page, "bash");
        let script: String = shell.iter().map(|block| format!("{block}\necho '== end'\n")).collect();
        let output = newcomer.bash(&format!("{account}{script}"));
        for (block, said) in shell.iter().zip(output.split("== end")) {
            let said = last_line(said);
            assert!(!said.is_empty() && said != "null", "{}: {block}: {output}", page.display());
        }
        for block in examples_of(page, "js") {
            let program = newcomer.here().join("example.mjs");
            std::fs::write(&program, format!("{BEFORE}{block}{AFTER}")).expect("a file");
            let output = newcomer.run(Path::new("node"), &[program.to_str().expect("a path")]);
            assert!(last_line(&output).starts_with("the end of "), "{block}: {output}");
            assert!(!output.to_lowercase().contains("error"), "{block}: {output}");
            run += 1;
        }
        for block in examples_of(page, "python") {
            let program = newcomer.here().join("example.py");
            let url = &newcomer.server.url;
            let before = format!(
                "import openai\nclient = openai.OpenAI(base_url=\"{url}/v1\", api_key=\"{token}\")\n"
            );
            std::fs::write(&program, format!("{before}{block}\n")).expect("a file");
            let python = root().join("tests/clients/.venv/bin/python");
            let output = newcomer.run(&python, &[program.to_str().expect("a path")]);
            assert!(!last_line(&output).is_empty(), "{block}: {output}");
            run += 1;
        }
        run += shell.len();
    }
    assert!(run >= 15, "{run} examples");
}

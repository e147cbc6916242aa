//! The page at `/`: how it is served, who becomes the first administrator, and what people do with it in a browser.

mod common;
mod model_server;
mod talk;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use common::{Server, files};
use model_server::ModelServer;
use serde_json::{Value as Json, json};

/// What a model says of a chapter, and of the script that it becomes.
static WRITTEN: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "scenes": [
            {"description": "A lighthouse at night, rain on the glass.", "narration": "The storm came early.",
                "dialogue": [{"speaker": "Mira", "line": "Who is there?"}]},
            {"description": "The stairs.", "narration": "", "dialogue": [{"speaker": "Mira", "line": "Come up."}]},
        ],
        "coherence": 82, "storytelling": 74, "character_consistency": 90, "video_suitability": 66,
        "feedback": "Clear pictures. Give the second scene more to see.",
    })
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> files::Answer {
    files::send(&format!("{}{path}", server.url), "GET", headers, b"").expect("the server answers")
}

/// A server whose log can be read, and the model that answers in it.
fn start(folder: &Path, listen: &str, log: &str) -> Server {
    let log = std::fs::File::create(folder.join(log)).expect("a file");
    let model = talk::tiny_model(folder);
    let backups = folder.join("backups").display().to_string();
    let environment = [
        ("PLAYHOUSE_BACKUP_DIR", backups.as_str()),
        ("PLAYHOUSE_LOG", "info"),
        ("PLAYHOUSE_CHAT_MODEL", model.as_str()),
        ("PLAYHOUSE_CHARGE_CREDITS", "false"),
        // The page fetches a model from this machine.
        ("PLAYHOUSE_FETCH_PRIVATE_ADDRESSES", "true"),
    ];
    Server::start_at(&folder.join("data"), listen, log.into(), &environment)
}

/// The token of the address that a log gives the first administrator.
fn token_in(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).expect("a log");
    let rest = text.split("/#/welcome?token=").nth(1)?;
    Some(rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter)).collect())
}

#[test]
fn the_page_is_a_page_and_apis_stay_apis() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let html = [("accept", "text/html,application/xhtml+xml")];
    for path in ["/", "/somewhere/else", "/resting"] {
        let page = ask(&server, path, &html);
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert!(page.text().contains("<title>Playhouse</title>"));
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert_eq!(page.header("x-frame-options"), "DENY");
    }
    let apis = [
        "/rest/v1/none",
        "/auth/v1/none",
        "/functions/v1/none",
        "/storage/v1/none",
        "/v1/none",
        "/realtime",
        "/assets/none.js",
    ];
    for path in apis {
        let answer = ask(&server, path, &html);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.json().is_object(), "{path}: {}", answer.text());
    }
    assert_eq!(ask(&server, "/somewhere", &[("accept", "application/json")]).json()["code"], "NOT_FOUND");

    // A file with a hash in its name is kept for good, and sent as small as the browser takes it.
    let page = ask(&server, "/", &[]).text();
    let script = page.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script");
    let plain = ask(&server, script, &[]);
    assert_eq!(plain.header("content-type"), "text/javascript; charset=utf-8");
    assert!(plain.header("cache-control").contains("immutable"));
    for (coding, least) in [("gzip", 2), ("br", 2)] {
        let small = ask(&server, script, &[("accept-encoding", coding)]);
        assert_eq!((small.status, small.header("content-encoding")), (200, coding));
        assert!(small.bytes.len() * least < plain.bytes.len(), "{coding}");
    }

    let known = ask(&server, "/studio/config.json", &[]).json();
    assert_eq!((&known["anon_key"], &known["sign_up"]), (&json!(server.anon), &json!(true)));
    assert!(!known.to_string().contains(&server.service));
}

#[test]
fn the_reader_of_the_log_becomes_the_administrator_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path(), "127.0.0.1:0", "first");
    let old = token_in(&folder.path().join("first")).expect("an address in the log");
    drop(first);
    let server = start(folder.path(), "127.0.0.1:0", "second");
    let token = token_in(&folder.path().join("second")).expect("an address in the log");
    assert_ne!(old, token, "each start has its own");
    let make = |token: &str, password: &str| {
        let body = json!({"token": token, "email": "ada@example.com", "password": password});
        server.call("POST", "/auth/v1/first-administrator", &server.anon, Some(&body))
    };
    for wrong in [old.as_str(), "", "x"] {
        let (status, refused) = make(wrong, "correct horse");
        assert!(matches!(status, 400 | 403), "{refused}");
    }
    assert_eq!(make(&token, "short").0, 422, "a bad password uses nothing up");
    // An account without the role does not close the way in.
    server.sign_up("eve@example.com");
    assert_eq!(
        common::get(&format!("{}/studio/config.json", server.url), &[]).expect("it").1["first_start"],
        true
    );
    let (status, session) = make(&token, "correct horse");
    assert_eq!(status, 200, "{session}");
    let access = session["access_token"].as_str().expect("a token");
    let id = session["user"]["id"].as_str().expect("an id");
    let path = format!("/rest/v1/user_roles?user_id=eq.{id}&select=role&order=role");
    let (_, roles) = server.call("GET", &path, access, None);
    assert_eq!(roles, json!([{"role": "admin"}, {"role": "basic_user"}]));
    assert_eq!(make(&token, "correct horse").0, 403, "the token is dead");
    assert_eq!(
        common::get(&format!("{}/studio/config.json", server.url), &[]).expect("it").1["first_start"],
        false
    );
    drop(server);
    let _third = start(folder.path(), "127.0.0.1:0", "third");
    assert_eq!(token_in(&folder.path().join("third")), None);
}

/// Makes the first administrator of a server; their token.
fn first_administrator(server: &Server, log: &Path) -> Option<String> {
    let token = token_in(log)?;
    let body = json!({"token": token, "email": "ada@example.com", "password": "correct horse"});
    let url = format!("{}/auth/v1/first-administrator", server.url);
    let (status, session) = common::send("POST", &url, &[("apikey", &server.anon)], Some(&body)).ok()?;
    assert_eq!(status, 200, "{session}");
    session["access_token"].as_str().map(str::to_string)
}

#[test]
fn a_new_server_begins_with_three_characters_which_go_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), "127.0.0.1:0", "log");
    let access = first_administrator(&server, &folder.path().join("log")).expect("an administrator");
    let list = |server: &Server| {
        let path = "/rest/v1/characters?select=id,name,image_url,content_rating,alternate_greetings,first_message&order=name";
        let (status, found) = server.call("GET", path, &access, None);
        assert_eq!(status, 200, "{found}");
        found.as_array().expect("rows").clone()
    };
    let made = list(&server);
    let names: Vec<&str> = made.iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["Mr Inkwhistle", "Odette Farrow", "Tock"]);
    for one in &made {
        assert_eq!(one["content_rating"], "sfw");
        assert!(one["first_message"].as_str().is_some_and(|text| !text.is_empty()), "{one}");
        assert_eq!(one["alternate_greetings"].as_array().map(Vec::len), Some(1), "{one}");
        let book = json!({"character_id": one["id"]});
        let (_, book) = server.call("POST", "/functions/v1/character-lorebook", &access, Some(&book));
        assert_eq!(book["book"]["entries"].as_array().map(Vec::len), Some(3), "{book}");
        let path = format!("/storage/v1/object/{}", one["image_url"].as_str().expect("a picture"));
        let picture = ask(&server, &path, &[("authorization", &format!("Bearer {access}"))]);
        let picture = image::load_from_memory(&picture.bytes).expect("a picture");
        assert_eq!((picture.width(), picture.height()), (64, 64));
    }
    // A greeting opens a chat with one of them, and other accounts see them.
    let talk = json!({"character_id": made[2]["id"]});
    let (status, opened) = server.call("POST", "/functions/v1/roleplay-chat", &access, Some(&talk));
    assert_eq!((status, &opened["greeting"]), (200, &json!(0)), "{opened}");
    let (_, other) = server.sign_up("bob@example.com");
    assert_eq!(
        server.call("GET", "/rest/v1/characters?select=id", &other, None).1.as_array().map(Vec::len),
        Some(3)
    );
    for one in &made {
        let body = json!({"character_id": one["id"], "confirm": true});
        let (status, gone) = server.call("POST", "/functions/v1/delete-character", &access, Some(&body));
        assert_eq!(status, 200, "{gone}");
    }
    assert_eq!(server.check()["faults"], 0);
    drop(server);
    let again = start(folder.path(), "127.0.0.1:0", "again");
    assert_eq!(list(&again), Vec::<Json>::new(), "what is deleted stays away");
    drop(again);

    let plain = tempfile::tempdir().expect("a folder");
    let log = plain.path().join("log");
    let file = std::fs::File::create(&log).expect("a file");
    let off = [("PLAYHOUSE_LOG", "info"), ("PLAYHOUSE_STARTER_CHARACTERS", "false")];
    let server = Server::start_at(&plain.path().join("data"), "127.0.0.1:0", file.into(), &off);
    let access = first_administrator(&server, &log).expect("an administrator");
    assert_eq!(server.call("GET", "/rest/v1/characters", &access, None).1, json!([]));
}

#[test]
fn the_first_characters_come_with_their_account_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("dies");
    let file = std::fs::File::create(&log).expect("a file");
    let environment = [("PLAYHOUSE_LOG", "info"), ("PLAYHOUSE_CRASH_AT", "first_administrator")];
    let mut dies = Server::start_at(&folder.path().join("data"), "127.0.0.1:0", file.into(), &environment);
    assert_eq!(first_administrator(&dies, &log), None, "it dies between the account and its characters");
    dies.wait_for_death();
    let server = start(folder.path(), "127.0.0.1:0", "lives");
    let count = |table: &str| {
        let (_, rows) = server.call("GET", &format!("/rest/v1/{table}"), &server.service, None);
        rows.as_array().map(Vec::len).expect("rows")
    };
    assert_eq!((count("user_roles"), count("characters")), (0, 0));
    first_administrator(&server, &folder.path().join("lives")).expect("the way in is still open");
    assert_eq!((count("user_roles?role=eq.admin"), count("characters")), (1, 3));
    assert_eq!(server.check()["faults"], 0);
}

/// Whether a program is there; where tests run for all, it must be.
fn is_there(program: &str, needed_for: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var("CI").is_err(), "{program} is missing: {needed_for}");
    eprintln!("NOT CHECKED: {needed_for}, since {program} is missing");
    false
}

fn bash(script: &str, folder: &Path) {
    let status = Command::new("bash").args(["-ec", script]).current_dir(folder).status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{script}: {status:?}");
}

/// Files below a folder by their paths.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    let name = path.strip_prefix(folder).expect("below it").to_path_buf();
                    found.insert(name, std::fs::read(path).expect("a file"));
                }
            }
        }
    }
    found
}

#[test]
fn the_committed_page_is_what_its_sources_make() {
    let version =
        Command::new("node").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).trim().trim_start_matches('v').to_string();
    let numbers: Vec<u32> = version.split('.').filter_map(|number| number.parse().ok()).collect();
    if numbers < vec![20, 19] {
        eprintln!(
            "NOT CHECKED: whether studio/dist is built from studio/src, which takes Node 20.19, found {version:?}"
        );
        return;
    }
    let built = tempfile::tempdir().expect("a folder");
    let out = built.path().join("dist").display().to_string();
    let install = "cmp -s package-lock.json node_modules/.installed || \
                   { npm ci --no-audit --no-fund --loglevel=error && cp package-lock.json node_modules/.installed; }";
    let studio = root().join("studio");
    bash(install, &studio);
    bash("npx svelte-check --tsconfig ./tsconfig.json --fail-on-warnings --output human", &studio);
    bash(&format!("npx vite build --logLevel warn --outDir '{out}' --emptyOutDir"), &studio);
    // How well a compressor does is its version's own affair; what it packs is not.
    let is_packed = |name: &Path| name.extension().is_some_and(|ending| ending == "br" || ending == "gz");
    let (fresh, committed) = (contents(Path::new(&out)), contents(&studio.join("dist")));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&fresh), names(&committed), "run `npm run build` in studio and commit what it makes");
    for (name, bytes) in &committed {
        assert!(
            is_packed(name) || fresh[name] == *bytes,
            "{}: run `npm run build` in studio",
            name.display()
        );
    }
    let unpack = "const z = require('zlib'), f = require('fs'); for (const n of f.readdirSync('dist', {recursive: true})) { \
                  const m = /^(.*)\\.(br|gz)$/.exec(n); if (!m) continue; const b = f.readFileSync('dist/' + n); \
                  const p = m[2] === 'br' ? z.brotliDecompressSync(b) : z.gunzipSync(b); \
                  if (!p.equals(f.readFileSync('dist/' + m[1]))) throw new Error(n + ' packs something else') }";
    let status = Command::new("node").args(["-e", unpack]).current_dir(&studio).status();
    assert!(status.is_ok_and(|status| status.success()), "run `npm run build` in studio");
}

/// What a mail to an account with a forgotten password would hold.
fn recovery_link(server: &Server, email: &str) -> String {
    let asked = json!({"type": "recovery", "email": email, "redirect_to": format!("{}/", server.url)});
    let (status, link) = server.call("POST", "/auth/v1/admin/generate_link", &server.service, Some(&asked));
    assert_eq!(status, 200, "{link}");
    link["action_link"].as_str().expect("a link").to_string()
}

#[test]
fn people_find_their_way_in_a_browser() {
    if !is_there("chromium", "the page in a browser") || !is_there("node", "the page in a browser") {
        return;
    }
    let tests = root().join("tests/studio");
    common::install::install("studio");
    let pictures = root().join("target/studio-pictures");
    std::fs::create_dir_all(&pictures).expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(100), 40);
    let mut server = start(folder.path(), &lasting_address(), "log");
    let token = token_in(&folder.path().join("log")).expect("an address in the log");
    model.become_default(&server);
    let script = |name: &str| {
        let mut command = Command::new("node");
        command.arg(name).current_dir(&tests);
        command.env("PLAYHOUSE_URL", &server.url).env("STUDIO_PICTURES", &pictures);
        command.env("WELCOME_TOKEN", &token);
        command
    };
    for name in [
        "journeys.mjs",
        "phone.mjs",
        "keeping.mjs",
        "upkeep.mjs",
        "scripts.mjs",
        "boards.mjs",
        "bringin.mjs",
        "leaving.mjs",
        "budgets.mjs",
    ] {
        match name {
            "scripts.mjs" => model.say(&WRITTEN.to_string()),
            "boards.mjs" => model.say_as_before(),
            _ => {}
        }
        let mut command = script(name);
        if name == "leaving.mjs" {
            command.env("RECOVERY_LINK", recovery_link(&server, "ben@example.com"));
        }
        let status = command.status();
        assert!(status.as_ref().is_ok_and(|status| status.success()), "{name}: {status:?}");
    }

    // In mid-reply and in mid-drawing the server is gone, and comes back at the same address.
    let restart = |listen: &str| start(folder.path(), listen, "again");
    assert!(walk(script("cut.mjs"), &mut server, restart), "a draft or a reply was lost");
    let faults: Json = server.check()["faults"].clone();
    assert_eq!(faults, 0);
}

#[test]
fn pictures_memories_and_sessions_are_kept_in_a_browser() {
    if !is_there("chromium", "the page in a browser") || !is_there("node", "the page in a browser") {
        return;
    }
    let tests = root().join("tests/studio");
    bash("bash install.sh", &tests);
    let pictures = root().join("target/studio-pictures");
    std::fs::create_dir_all(&pictures).expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(10), 40);
    let server = start(folder.path(), "127.0.0.1:0", "log");
    let token = token_in(&folder.path().join("log")).expect("an address in the log");
    model.become_default(&server);
    for name in ["talking.mjs", "collecting.mjs", "training.mjs", "operating.mjs"] {
        let mut script = Command::new("node");
        script.arg(name).current_dir(&tests).env("WELCOME_TOKEN", &token);
        script.env("PLAYHOUSE_URL", &server.url).env("STUDIO_PICTURES", &pictures);
        let status = script.status();
        assert!(status.as_ref().is_ok_and(|status| status.success()), "{name}: {status:?}");
        if name == "talking.mjs" {
            // What the model saw, and with which words.
            let shown: Vec<Json> = model
                .prompts()
                .into_iter()
                .filter(|prompt| prompt.to_string().contains("data:image/png"))
                .collect();
            let first =
                shown.first().and_then(Json::as_array).and_then(|prompt| prompt.last()).expect("a picture");
            assert_eq!(first["content"][0]["text"], "What is on it?\n\n[picture: red door]");
        }
    }
    assert_eq!(server.check()["faults"], 0);
}

/// An address that stays free while its server is away: outside of the ports that other connections are given.
fn lasting_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 20_000 + u16::try_from(std::process::id() % 5_000).expect("small") * 2;
    loop {
        let port = begin + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
}

/// Runs a script that says when the server shall be killed and when it shall come back; whether the script succeeded.
fn walk(mut script: Command, server: &mut Server, restart: impl Fn(&str) -> Server) -> bool {
    let mut running = script.stdout(Stdio::piped()).spawn().expect("node runs");
    let listen = server.url.trim_start_matches("http://").to_string();
    let said = BufReader::new(running.stdout.take().expect("its output"));
    for line in said.lines().map_while(Result::ok) {
        println!("{line}");
        match line.as_str() {
            "CUT" => server.kill(),
            "AWAY" => *server = restart(&listen),
            _ => {}
        }
    }
    running.wait().is_ok_and(|status| status.success())
}

#[test]
fn a_pasted_story_becomes_a_lettered_strip_in_a_browser() {
    if !is_there("chromium", "webtoons in a browser") || !is_there("node", "webtoons in a browser") {
        return;
    }
    let tests = root().join("tests/studio");
    common::install::install("studio");
    let pictures = root().join("target/studio-pictures");
    std::fs::create_dir_all(&pictures).expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    // Without a chat model: rules do all, and a request for the model says why it fails.
    let begin = |listen: &str| {
        let environment = [("PLAYHOUSE_LOG", "warn"), ("PLAYHOUSE_CHARGE_CREDITS", "false")];
        Server::start_at(&folder.path().join("data"), listen, Stdio::inherit(), &environment)
    };
    let mut server = begin(&lasting_address());
    let mut script = Command::new("node");
    script.arg("webtoon.mjs").current_dir(&tests);
    script.env("PLAYHOUSE_URL", &server.url).env("STUDIO_PICTURES", &pictures);
    assert!(walk(script, &mut server, begin), "the way from a text to a strip is broken");
    let mut script = Command::new("node");
    script.arg("places.mjs").current_dir(&tests);
    script.env("PLAYHOUSE_URL", &server.url).env("STUDIO_PICTURES", &pictures);
    assert!(walk(script, &mut server, begin), "places, styles or actors are broken");
    assert_eq!(server.check()["faults"], 0);
}

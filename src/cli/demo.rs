//! `playhouse demo`: a newcomer's first hour, played against a fresh server through the public dialects, and what came of
//! it in a folder.

mod visitor;

use std::path::Path;
use std::time::Duration;

use actors::character::starter_characters::starter_card_files;
use playhouse::config::Config;
use serde_json::{Value as Json, json};

use super::arguments::DemoFlags;
use super::output::print;
use super::running::serve_while;
use visitor::{Failure, Visitor};

/// What is said in the chat.
const LINES: [&str; 2] =
    ["Good morning! I did pass a hill. It was holding its breath.", "And the brook? Was it on time today?"];
/// What is drawn beside the portrait.
const MOMENT: &str = "a woman standing in a forest, day";
const DRAWING: &str = "a robot waving on a mountain peak, sunrise";
/// How long a chat model may take until it is there.
const MODEL_PATIENCE: Duration = Duration::from_secs(20 * 60);
const MODEL_CHECK: Duration = Duration::from_secs(3);

/// Plays it. Progress goes to standard error, a summary to standard output.
pub(super) async fn run(config: Config, flags: DemoFlags) -> Result<(), String> {
    let out = std::path::absolute(&flags.out).map_err(|error| error.to_string())?;
    make_folder(&out)?;
    let summary = match flags.server {
        Some(url) => play(url.trim_end_matches('/'), &out).await?,
        None => {
            let folder = tempfile::Builder::new().prefix("playhouse-demo-").tempdir();
            let folder = folder.map_err(|error| format!("no folder for the server's data: {error}"))?;
            let own = own_server(&config, folder.path());
            let data = own.data.clone();
            serve_while(own, async {
                let url = playhouse::running_at(&data).ok_or("the server did not say its address")?;
                play(&url, &out).await
            })
            .await?
        }
    };
    print(&summary)
}

/// A server for the demo alone. Models are those of the data folder, where there is one.
fn own_server(config: &Config, folder: &Path) -> Config {
    let has_models = config.models_dir.is_dir();
    Config {
        data: folder.join("data"),
        models_dir: if has_models { config.models_dir.clone() } else { folder.join("models") },
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        public_url: None,
        signup_enabled: true,
        autoconfirm: true,
        charge_credits: Some(false),
        local_worker: true,
        worker_probe_s: 0,
        open_page: false,
        ..config.clone()
    }
}

fn make_folder(out: &Path) -> Result<(), String> {
    let is_used = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if is_used {
        return Err(format!("{} is not empty; name another folder with --out", out.display()));
    }
    std::fs::create_dir_all(out).map_err(|error| format!("{} cannot be made: {error}", out.display()))
}

/// The journey: an account, a card, its portrait, a chat, the picture of a moment, a drawing, and all of it exported.
async fn play(url: &str, out: &Path) -> Result<Json, String> {
    let step = |number: usize, what: &str| eprintln!("{number}/7 {what}");
    step(1, "an account");
    let visitor = Visitor::sign_up(url).await?;
    let save = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        std::fs::write(&path, bytes)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        eprintln!("    {}", path.display());
        Ok::<_, String>(name.to_string())
    };
    let mut files = Vec::new();

    step(2, "a card comes in");
    let cards = starter_card_files().map_err(|error| error.to_string())?;
    let card = cards.into_iter().next().ok_or("there is no card")?;
    let imported = visitor.upload("functions/v1/import-character", card).await?;
    let character = text(&imported, "characterId")?;

    step(3, "its portrait is drawn");
    let asked = json!({"characterId": character, "numImages": 1});
    let drawn = visitor.post("functions/v1/character-portrait", &asked).await?;
    files.push(save("portrait.png", &visitor.file("user-library", &text(&drawn, "storagePath")?).await?)?);

    step(4, "a chat begins with its greeting");
    let opened = visitor.post("functions/v1/roleplay-chat", &json!({"character_id": character})).await?;
    let conversation = text(&opened, "conversation_id")?;
    said(&opened);
    let mut warnings = Vec::new();
    let mut replies = 0;
    for line in LINES {
        eprintln!("    > {line}");
        match turn(&visitor, &json!({"conversation_id": conversation, "message": line})).await {
            Ok(reply) => {
                said(&reply);
                replies += 1;
                if replies == LINES.len() {
                    let again = json!({"message_id": reply["message_id"]});
                    said(&visitor.post("functions/v1/regenerate-reply", &again).await?);
                }
            }
            Err(failure) if failure.code == "NO_CHAT_MODEL" => {
                eprintln!("    {}", failure.message);
                warnings.push(format!("the chat has its greeting alone: {}", failure.message));
                break;
            }
            Err(failure) => return Err(failure.message),
        }
    }

    step(5, "a picture of the moment");
    files.push(save("moment.png", &moment(&visitor, &character, &conversation).await?)?);

    step(6, "a drawing, kept in the library");
    let queued = json!({"job_type": "sdxl_image_fast", "prompt": DRAWING});
    let asset = draw(&visitor, &queued).await?;
    let kept = json!({"action": "save_to_library", "assetId": asset["id"]});
    visitor.post("functions/v1/workspace-actions", &kept).await?;
    let kept = visitor.get("rest/v1/user_library?select=storage_path&order=created_at.desc&limit=1").await?;
    files.push(save("drawing.png", &visitor.file("user-library", &text(&kept[0], "storage_path")?).await?)?);

    step(7, "card and chat go out");
    let asked = json!({"characterId": character, "format": "png"});
    files.push(save("card.png", &visitor.bytes("functions/v1/export-character", &asked).await?)?);
    let asked = json!({"conversationId": conversation});
    files.push(save("chat.jsonl", &visitor.bytes("functions/v1/export-chat", &asked).await?)?);
    Ok(
        json!({"folder": out, "files": files, "replies": replies, "account": visitor.email, "warnings": warnings}),
    )
}

/// One turn; waits for a chat model that is on its way.
async fn turn(visitor: &Visitor, body: &Json) -> Result<Json, Failure> {
    let started = std::time::Instant::now();
    let mut said_so = false;
    loop {
        match visitor.post("functions/v1/roleplay-chat", body).await {
            Err(failure) if failure.code == "MODEL_LOADING" && started.elapsed() < MODEL_PATIENCE => {
                if !said_so {
                    eprintln!("    {}", failure.message);
                    said_so = true;
                }
                tokio::time::sleep(MODEL_CHECK).await;
            }
            done => return done,
        }
    }
}

/// Draws a scene of the chat, which stays with it.
async fn moment(visitor: &Visitor, character: &str, conversation: &str) -> Result<Vec<u8>, Failure> {
    let scene = json!({"character_id": character, "conversation_id": conversation, "scene_prompt": MOMENT});
    let scenes = visitor.post("rest/v1/character_scenes", &scene).await?;
    let metadata = json!({
        "character_id": character, "conversation_id": conversation, "scene_id": scenes[0]["id"],
        "destination": "roleplay_scene",
    });
    let queued = json!({
        "job_type": "sdxl_image_fast", "prompt": MOMENT, "character_id": character, "metadata": metadata,
    });
    let asset = draw(visitor, &queued).await?;
    visitor.file("workspace-temp", &text(&asset, "temp_storage_path")?).await
}

/// Queues a drawing and follows it to its end; its picture.
async fn draw(visitor: &Visitor, body: &Json) -> Result<Json, Failure> {
    let queued = visitor.post("functions/v1/queue-job", body).await?;
    let path = format!("functions/v1/job-progress?job_id={}", text(&queued, "jobId")?);
    let done = visitor.last_event(&path, "done", |name, data| {
        if name == "step" && data["step"] == data["steps"] {
            eprintln!("    {} steps", data["steps"]);
        }
    });
    let done = done.await?;
    if done["job"]["status"] != "completed" {
        let reason = done["job"]["error_message"].as_str().unwrap_or("no reason is given");
        return Err(Failure::new(format!("the drawing failed: {reason}")));
    }
    Ok(done["assets"][0].clone())
}

fn said(answer: &Json) {
    let words = answer["response"].as_str().unwrap_or_default();
    let first: String = words.chars().take(200).collect();
    eprintln!("    {}{}", first.replace('\n', " "), if words.len() > first.len() { "…" } else { "" });
}

fn text(answer: &Json, member: &str) -> Result<String, Failure> {
    let text = answer[member].as_str().map(str::to_string);
    text.ok_or_else(|| Failure::new(format!("the server's answer has no {member}: {answer}")))
}

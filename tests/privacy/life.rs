//! What one account has: a little of everything that an account can say, draw or import, each with its own word in it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::common::files::{self, bearer, send};
use crate::common::jobs::{queue, wait_for};
use crate::common::{Server, jobs};
use crate::talk::{invoke, until};

/// An account and its things.
pub struct Life {
    pub name: &'static str,
    pub id: String,
    pub token: String,
    /// A word in everything of it that is private.
    pub marker: &'static str,
    /// Ids and paths, by what they name.
    pub things: BTreeMap<&'static str, String>,
}

impl Life {
    /// Signs up and makes everything that needs no other account.
    pub fn begin(server: &Server, name: &'static str, marker: &'static str) -> Life {
        let (id, token) = server.sign_up(&format!("{name}@example.com"));
        let mut life = Life { name, id, token, marker, things: BTreeMap::new() };
        life.things.insert("user", life.id.clone());
        life.keep(server);
        life.talk(server);
        life.import(server);
        life.draw(server);
        life
    }

    /// The id or path of a thing.
    pub fn thing(&self, name: &str) -> &str {
        self.things.get(name).unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    fn row(&mut self, server: &Server, name: &'static str, table: &str, mut row: Json) {
        row["user_id"] = json!(self.id);
        self.child(server, name, table, row);
    }

    /// A row that belongs to the account through another.
    fn child(&mut self, server: &Server, name: &'static str, table: &str, row: Json) {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &self.token, Some(&row));
        assert_eq!(status, 201, "{table}: {rows}");
        self.things.insert(name, rows[0]["id"].as_str().expect("an id").to_string());
    }

    fn call(&self, server: &Server, name: &str, body: Json) -> Json {
        let (status, answer) = invoke(server, &self.token, name, body);
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    /// Rows that are written as such, and a file.
    fn keep(&mut self, server: &Server) {
        let word = self.marker;
        self.row(server, "project", "projects", json!({"original_prompt": word, "media_type": "image"}));
        let private = json!({"name": word, "description": word, "system_prompt": word, "persona": word,
            "traits": word, "first_message": word, "is_public": false});
        self.row(server, "character", "characters", private);
        let public = json!({"name": "Mira", "description": "keeps a light", "is_public": true});
        self.row(server, "public_character", "characters", public);
        self.row(server, "collection", "user_collections", json!({"name": word}));
        self.row(server, "storyboard", "storyboard_projects", json!({"title": word}));
        let scene = json!({"project_id": self.thing("storyboard"), "scene_order": 1, "description": word});
        self.child(server, "board_scene", "storyboard_scenes", scene);
        let clip = json!({"scene_id": self.thing("board_scene"), "prompt": word});
        self.child(server, "board_clip", "storyboard_clips", clip);
        self.row(server, "book", "books", json!({"title": word, "book_type": word}));
        let chapter = json!({"book_id": self.thing("book"), "title": word, "content": word});
        self.child(server, "chapter", "chapters", chapter);
        let script = json!({"chapter_id": self.thing("chapter"), "script_style": word, "script": word, "script_name": word});
        self.row(server, "script", "scripts", script);
        let video = json!({"chapter_id": self.thing("chapter"), "script_id": self.thing("script"), "error_message": word});
        self.row(server, "script_video", "video_generations", video);
        let image = json!({"image_prompt": word, "script_id": self.thing("script")});
        self.row(server, "script_image", "image_generations", image);
        let sound =
            json!({"text_content": word, "audio_type": "narrator", "script_id": self.thing("script")});
        self.row(server, "script_sound", "audio_generations", sound);
        self.row(
            server,
            "playground_prompt",
            "playground_prompts",
            json!({"name": word, "prompt_text": word}),
        );
        let project = self.thing("project").to_string();
        self.child(server, "story", "stories", json!({"project_id": project, "title": word}));
        let character = self.thing("character").to_string();
        let scene = json!({"character_id": character, "scene_prompt": word});
        self.child(server, "own_scene", "character_scenes", scene);
        let book = json!({"entries": [{"keys": ["storm"], "content": word, "name": word}]});
        self.call(server, "character-lorebook", json!({"character_id": character, "book": book}));
        let token = self.call(server, "create-api-token", json!({"name": word}));
        self.things.insert("api_token", token["id"].as_str().expect("an id").to_string());
        self.things.insert("secret", token["token"].as_str().expect("a token").to_string());
        let session = json!({"p_user_id": self.id, "p_session_name": word});
        let (_, session) =
            server.call("POST", "/rest/v1/rpc/create_workspace_session", &self.token, Some(&session));
        let item = json!({"session_id": session, "prompt": word, "content_type": "image"});
        self.row(server, "item", "workspace_items", item);
        let activity = json!({"p_user_id": self.id, "p_action": word});
        assert_eq!(
            server.call("POST", "/rest/v1/rpc/log_user_activity", &self.token, Some(&activity)).0,
            200
        );
        let file = format!("user-library/{}/kept.png", self.id);
        let picture = image::RgbImage::from_pixel(8, 8, image::Rgb([1, 2, 3]));
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png).expect("a picture");
        assert_eq!(files::put(server, &self.token, &file, "image/png", &png.into_inner()).status, 200);
        self.things.insert("file", file);
    }

    /// A conversation with the private character, its reply in two versions, and what is remembered of it.
    fn talk(&mut self, server: &Server) {
        let word = self.marker;
        let character = self.thing("character").to_string();
        let talk = json!({"title": word, "character_id": character});
        self.row(server, "conversation", "conversations", talk);
        let chat = self.thing("conversation").to_string();
        let said = json!({"conversation_id": chat, "message": format!("the storm and the {word}")});
        let first = self.call(server, "playground-chat", said);
        let again = json!({"message_id": first["message_id"]});
        let reply = self.call(server, "regenerate-reply", again);
        self.things.insert("reply", reply["message_id"].as_str().expect("an id").to_string());
        self.things.insert("older_reply", first["message_id"].as_str().expect("an id").to_string());
        let path = format!("/rest/v1/messages?conversation_id=eq.{chat}&sender=eq.user&select=id");
        let (_, rows) = server.call("GET", &path, &self.token, None);
        self.things.insert("message", rows[0]["id"].as_str().expect("an id").to_string());
        let pin = json!({"conversation_id": chat, "action": "pin", "text": word});
        let memory = self.call(server, "conversation-memory", pin);
        let fact = memory["key_facts"][0]["id"].as_str().expect("an id");
        self.things.insert("fact", fact.to_string());
    }

    /// A card and a chat file.
    fn import(&mut self, server: &Server) {
        let word = self.marker;
        let card = json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": {
            "name": format!("Imported {word}"), "description": word, "first_mes": word, "creator_notes": word,
            "post_history_instructions": word}});
        let imported = self.upload(server, "import-character", &card.to_string());
        let id = imported["characterId"].as_str().expect("an id");
        self.things.insert("imported_character", id.to_string());
        let chat = format!(
            "{{\"user_name\":\"A\",\"character_name\":\"{word}\",\"chat_metadata\":{{}}}}\n\
             {{\"name\":\"A\",\"is_user\":true,\"mes\":\"{word}\",\"swipes\":[\"{word}\",\"other {word}\"],\"swipe_id\":0}}\n"
        );
        let imported = self.upload(server, "import-chat", &chat);
        let id = imported["conversationId"].as_str().expect("an id");
        self.things.insert("imported_chat", id.to_string());
    }

    fn upload(&self, server: &Server, function: &str, body: &str) -> Json {
        let authorization = bearer(&self.token);
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/octet-stream")];
        let url = format!("{}/functions/v1/{function}", server.url);
        let answer = send(&url, "POST", &headers, body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{function}: {}", answer.text());
        answer.json()
    }

    /// A picture, once in the workspace and once in the library.
    fn draw(&mut self, server: &Server) {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": self.marker, "steps": 1});
        let job = queue(server, &self.token, &body);
        let row = wait_for(server, &self.token, &job, &["completed", "failed"]);
        assert_eq!(row["status"], "completed", "{row}");
        let asset = jobs::one(server, &self.token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
        let id = asset["id"].as_str().expect("an id").to_string();
        let kept = json!({"action": "save_to_library", "assetId": id, "customTitle": self.marker});
        let kept = self.call(server, "workspace-actions", kept);
        self.things.insert("library", kept["libraryAssetId"].as_str().expect("an id").to_string());
        let path = asset["temp_storage_path"].as_str().expect("a path");
        self.things.insert("asset_file", format!("workspace-temp/{path}"));
        self.things.insert("asset", id);
        self.things.insert("job", job);
    }

    /// A roleplay with another account's public character, with the picture of a scene.
    pub fn play(&mut self, server: &Server, public: &str) {
        self.row(server, "played_chat", "conversations", json!({"title": self.marker}));
        let chat = self.thing("played_chat").to_string();
        let body = json!({"conversation_id": chat, "character_id": public, "message": self.marker,
            "memory_tier": "profile", "content_tier": "sfw", "scene_generation": true,
            "scene_context": self.marker});
        let answer = self.call(server, "roleplay-chat", body);
        self.things.insert("played_reply", answer["message_id"].as_str().expect("an id").to_string());
        let path = format!("/rest/v1/character_scenes?conversation_id=eq.{chat}");
        let scene = || jobs::one(server, &self.token, &path);
        until("the picture of a scene", || scene()["image_url"].is_string());
        let scene = scene();
        let (id, job) = (scene["id"].as_str().expect("an id"), scene["job_id"].as_str().expect("a job"));
        let row = wait_for(server, &self.token, job, &["completed", "failed"]);
        assert_eq!(row["status"], "completed", "{row}");
        self.things.insert("scene", id.to_string());
        self.things.insert("scene_job", job.to_string());
        self.things.insert("scene_file", scene["image_url"].as_str().expect("a path").to_string());
    }

    /// Every row that the account sees, as text, by table.
    pub fn all(&self, server: &Server) -> BTreeMap<&'static str, String> {
        let tables = models::TABLES.iter().filter(|table| table.schema == "public");
        let read = |table: &&&models::Table| {
            let order = table.primary_key.join(",");
            let path = format!("/rest/v1/{}?order={order}&limit=1000", table.name);
            let (status, mut rows) = server.call("GET", &path, &self.token, None);
            assert_eq!(status, 200, "{}: {rows}", table.name);
            if table.name == "characters" {
                // How often a public character is played is for everybody to see.
                for row in rows.as_array_mut().expect("rows") {
                    let counted = ["interaction_count", "likes_count", "updated_at"];
                    counted.iter().for_each(|column| row[*column] = Json::Null);
                }
            }
            rows.to_string()
        };
        tables.map(|table| (table.name, read(&table))).collect()
    }
}

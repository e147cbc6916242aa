//! Stories that are built, scenes that are planned: jobs that go on where they stopped. Rules stand in for the language
//! model here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::model_server::ModelServer;
use crate::rules::Stage;
use crate::{Account, id};

/// Some six hundred words in eight paragraphs, with names, quotes, a chase and an open end.
pub const STORY: &str = include_str!("story.txt");

/// Waits until a job has ended and answers with it.
pub fn ended(account: &Account, job: &str) -> Json {
    let started = Instant::now();
    loop {
        let (status, job) = account.get(&format!("/v1/jobs/{job}"));
        assert_eq!(status, 200, "{job}");
        if !matches!(job["status"].as_str(), Some("queued" | "running")) {
            return job;
        }
        assert!(started.elapsed() < Duration::from_secs(300), "the job did not end: {job}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn blueprint(stage: &Stage, change: Json) -> (u16, Json) {
    let mut body = json!({"source_text": STORY, "max_scenes": 4, "max_characters": 3, "offline": true});
    for (name, value) in change.as_object().expect("members") {
        body[name] = value.clone();
    }
    stage.ada.post(&format!("/v1/stories/{}/generate/blueprint_async", stage.story), &body)
}

fn empty_stage(server: &Server) -> Stage<'_> {
    let stage = Stage::new(server);
    assert_eq!(stage.ada.delete(&format!("/rest/v1/scenes?id=eq.{}", stage.scene)).0, 200);
    stage
}

/// Every scene has one version of each type, numbered from 1; how many there are by type.
fn versions(stage: &Stage) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
    for row in stage.ada.rows("artifacts?select=scene_id,type,version&limit=1000") {
        let key = (id(&row, "scene_id"), id(&row, "type"));
        assert!(
            found.entry(key).or_default().insert(row["version"].as_u64().expect("a version")),
            "doubled: {row}"
        );
    }
    let mut count = BTreeMap::new();
    for ((scene, kind), versions) in found {
        let whole: BTreeSet<u64> = (1..=versions.len() as u64).collect();
        assert_eq!(versions, whole, "{scene} {kind} has gaps");
        *count.entry(kind).or_insert(0) += versions.len();
    }
    count
}

#[test]
fn a_story_becomes_scenes_and_characters() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = empty_stage(&server);
    let ada = &stage.ada;
    let path = format!("/v1/stories/{}/generate/blueprint", stage.story);
    let body = json!({"source_text": STORY, "max_scenes": 4, "max_characters": 3, "offline": true});
    let made = ada.made(&path, &body);
    let scenes = made["scenes"].as_array().expect("scenes");
    assert_eq!(scenes.len(), 4, "{made}");
    assert_eq!(
        ada.get(&format!("/v1/stories/{}/scenes", stage.story)).1,
        made["scenes"],
        "in the story's order"
    );
    let names: Vec<&str> = made["characters"]
        .as_array()
        .expect("characters")
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert!(names.contains(&"Mira") && names.contains(&"Tomas"), "{names:?}");
    let codes: Vec<&Json> =
        made["characters"].as_array().expect("some").iter().map(|it| &it["canonical_code"]).collect();
    assert_eq!(codes[..2], [&json!("CHAR_A"), &json!("CHAR_B")]);
    let (_, progress) = ada.get(&format!("/v1/stories/{}/progress", stage.story));
    assert_eq!((&progress["status"], &progress["error"]), (&json!("completed"), &Json::Null));
    assert_eq!(
        (
            &progress["progress"]["current_node"],
            &progress["progress"]["step"],
            &progress["progress"]["total_steps"]
        ),
        (&json!("PersistStoryBundle"), &json!(7), &json!(7))
    );

    // Scenes are there: more come only where that is asked for, and known characters are not doubled.
    let (status, refused) = ada.post(&path, &body);
    assert_eq!(status, 400, "{refused}");
    assert!(
        refused["detail"].as_str().is_some_and(|detail| detail.contains("allow_append"))
            && refused["request_id"].is_string()
    );
    let mut again = body.clone();
    again["allow_append"] = json!(true);
    ada.made(&path, &again);
    assert_eq!(ada.rows("scenes").len(), 8);
    assert_eq!(ada.rows(&format!("characters?project_id=eq.{}", stage.project)).len(), names.len());
    for (change, place) in [
        (json!({"source_text": " "}), "source_text"),
        (json!({"source_text": "x".repeat(200_001)}), "source_text"),
        (json!({"max_scenes": 0}), "max_scenes"),
        (json!({"max_scenes": 21}), "max_scenes"),
        (json!({"panel_count": 4}), "panel_count"),
        (json!({"max_characters": 21}), "max_characters"),
        (json!({"planning_mode": "half"}), "planning_mode"),
    ] {
        let (status, answer) = blueprint(&stage, change.clone());
        assert_eq!((status, &answer["detail"][0]["loc"][1]), (422, &json!(place)), "{change}: {answer}");
    }
    assert_eq!(blueprint(&stage, json!({"style_id": "glitter", "allow_append": true})).0, 400);
    assert_eq!(ada.rows("scenes").len(), 8, "what is refused changes nothing");
}

#[test]
fn full_mode_plans_every_scene_and_says_how_it_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = empty_stage(&server);
    let asked =
        json!({"planning_mode": "full", "require_hero_single": true, "story_style": "thriller at sea"});
    let (status, job) = blueprint(&stage, asked);
    assert_eq!(status, 202, "{job}");
    let job = ended(&stage.ada, &id(&job, "job_id"));
    assert_eq!(job["status"], "succeeded", "{job}");
    assert!(job["result"]["gate"]["composite"].is_number(), "{job}");
    let scenes = stage.ada.rows("scenes?order=created_at");
    let parts: Vec<&str> = scenes.iter().filter_map(|scene| scene["scene_importance"].as_str()).collect();
    assert_eq!(parts, ["setup", "build", "build", "cliffhanger"]);
    let count = versions(&stage);
    for kind in [
        "visual_plan",
        "scene_intent",
        "art_direction",
        "panel_plan",
        "panel_plan_normalized",
        "layout_template",
        "panel_semantics",
        "qc_report",
        "dialogue_suggestions",
        "blind_test_report",
        "transition_map",
        "closure_plan",
        "vertical_rhythm_map",
        "metaphor_directions",
        "presence_map",
    ] {
        assert_eq!(count.get(kind), Some(&4), "{kind}: {count:?}");
    }
    // A page has as many rectangles as its plan has panels; a single panel is somewhere.
    let latest = |kind: &str| {
        stage.ada.rows(&format!("artifacts?type=eq.{kind}&select=scene_id,payload&order=scene_id"))
    };
    let (layouts, plans) = (latest("layout_template"), latest("panel_plan_normalized"));
    for (layout, plan) in layouts.iter().zip(&plans) {
        let panels = |row: &Json| row["payload"]["panels"].as_array().map(Vec::len);
        assert_eq!(panels(layout), panels(plan));
    }
    assert!(layouts.iter().any(|layout| layout["payload"]["template_id"] == "9x16_1"));
    // The request's name is in all that it made.
    let names: BTreeSet<String> =
        stage.ada.rows("artifacts?select=created_by").iter().map(|row| id(row, "created_by")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let (_, progress) = stage.ada.get(&format!("/v1/stories/{}/progress", stage.story));
    assert_eq!(
        (&progress["progress"]["current_node"], &progress["progress"]["total_steps"]),
        (&json!("BlindTestCritic"), &json!(11))
    );
}

#[test]
fn a_kill_at_each_node_loses_and_doubles_nothing() {
    let points = [
        "webtoon_claimed",
        "webtoon_ValidateStoryInputs",
        "webtoon_StoryPopulator",
        "webtoon_LLMCharacterExtractor_recorded",
        "webtoon_LLMCharacterProfileNormalizer",
        "webtoon_WebtoonScriptWriter_recorded",
        "webtoon_StudioDirector",
        "webtoon_PersistStoryBundle",
        "webtoon_PersistStoryBundle_recorded",
        "webtoon_LLMVisualPlanCompiler:2",
        "webtoon_LLMSceneIntent:3",
        "webtoon_ArtDirection_recorded",
        "webtoon_LLMPanelPlan",
        "webtoon_LLMPanelPlan_recorded",
        "webtoon_RulePanelPlanNormalize:2",
        "webtoon_RuleLayout",
        "webtoon_LLMPanelSemantics:4",
        "webtoon_QCReport_recorded",
        "webtoon_RhythmMetaphorsPresence:2",
        "webtoon_DialogueSuggestions:2",
        "webtoon_BlindTestRunner",
        "webtoon_BlindTestCritic_recorded",
        "webtoon_ending",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut whole: Option<BTreeMap<String, usize>> = None;
    for (number, point) in points.iter().enumerate() {
        let folder = folder.path().join(number.to_string());
        std::fs::create_dir(&folder).expect("a folder");
        let mut server = Server::start(&folder, &[("PLAYHOUSE_CRASH_AT", point)]);
        let (token, job) = {
            let stage = empty_stage(&server);
            let (status, job) = blueprint(&stage, json!({"planning_mode": "full"}));
            assert_eq!(status, 202, "{job}");
            (stage.ada.token.clone(), id(&job, "job_id"))
        };
        server.wait_for_death();
        let server = Server::start(&folder, &[]);
        let ada = Account { server: &server, user: String::new(), token };
        let job = ended(&ada, &job);
        assert_eq!(job["status"], "succeeded", "{point}: {job}");
        let stage = Stage { ada, project: String::new(), story: String::new(), scene: String::new() };
        assert_eq!(stage.ada.rows("scenes").len(), 4, "{point}");
        let count = versions(&stage);
        // What comes of it is what comes of a graph that nothing stopped, or of one that stopped elsewhere.
        assert_eq!(*whole.get_or_insert(count.clone()), count, "{point}");
    }
}

#[test]
fn a_cancelled_story_stops_and_without_a_model_the_node_and_the_reason_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = empty_stage(&server);
    let ada = &stage.ada;
    let path = format!("/v1/stories/{}/generate/blueprint", stage.story);
    let (status, failed) = ada.post(&path, &json!({"source_text": STORY}));
    assert_eq!(status, 502, "{failed}");
    assert!(
        failed["detail"].as_str().is_some_and(|detail| detail.starts_with("StoryPopulator: ")),
        "{failed}"
    );
    assert!(failed["request_id"].is_string());
    let (_, progress) = ada.get(&format!("/v1/stories/{}/progress", stage.story));
    assert_eq!(progress["status"], "failed");
    assert!(progress["error"].as_str().is_some_and(|error| error.contains("StoryPopulator")), "{progress}");
    assert_eq!(ada.rows("scenes"), Vec::<Json>::new());
    // Again, and it is another story.
    let (status, job) = blueprint(&stage, json!({"planning_mode": "full"}));
    assert_eq!(status, 202);
    let job = id(&job, "job_id");
    let (status, cancelled) = ada.post(&format!("/v1/jobs/{job}/cancel"), &json!({}));
    // It may have ended before; then it stays as it is.
    let state = ended(ada, &job);
    match status {
        202 => {
            assert_eq!((&cancelled["status"], &state["status"]), (&json!("cancelled"), &json!("cancelled")))
        }
        _ => assert_eq!(state["status"], "succeeded"),
    }
    let bob = Account::new(&server, "bob@example.com");
    assert_eq!(bob.get(&format!("/v1/jobs/{job}")).0, 404);
    assert_eq!(bob.post(&format!("/v1/jobs/{job}/cancel"), &json!({})).0, 404);
    // A job of this type is the server's to write.
    let row = json!({"user_id": ada.user, "job_type": "webtoon_story", "status": "completed"});
    assert_eq!(ada.post("/rest/v1/jobs", &row).0, 400);
}

#[test]
fn a_scene_is_planned_locked_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let scene = format!("/v1/scenes/{}", stage.scene);
    let (status, refused) = ada.post(&format!("{scene}/planning/lock"), &json!({}));
    assert_eq!(status, 400, "{refused}");
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|detail| detail.starts_with("cannot lock planning; missing artifacts: "))
    );
    let plan = json!({"panel_count": 2, "offline": true});
    let made = ada.made(&format!("{scene}/plan"), &plan);
    for kind in ["scene_intent", "panel_plan", "panel_plan_normalized", "layout_template", "panel_semantics"]
    {
        let (_, artifact) = ada.get(&format!("/v1/artifacts/{}", id(&made, kind)));
        assert_eq!((&artifact["type"], &artifact["version"]), (&json!(kind), &json!(1)));
    }
    let (_, status) = ada.get(&format!("{scene}/status"));
    assert_eq!(
        (&status["planning_complete"], &status["render_complete"]),
        (&json!(true), &json!(false)),
        "{status}"
    );
    ada.made(&format!("{scene}/planning/lock"), &json!({"locked": true}));
    let locked = ada.made(&format!("{scene}/plan"), &plan);
    assert_eq!(locked["panel_plan"], made["panel_plan"], "nothing runs, the latest are the answer");
    let (_, lineage) = ada.get(&format!("/v1/artifacts/{}/lineage", id(&made, "panel_plan")));
    assert_eq!(lineage.as_array().map(Vec::len), Some(1));
    assert_eq!(ada.get(&format!("{scene}/missing-artifacts")).1["missing"], json!([]));
    assert_eq!(ada.get(&format!("{scene}/artifacts?type=panel_plan")).1.as_array().map(Vec::len), Some(1));
}

#[test]
fn a_language_model_writes_and_is_asked_once_more_before_its_node_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = empty_stage(&server);
    let ada = &stage.ada;
    let model = ModelServer::start(Duration::ZERO, 0);
    model.become_default(&server);
    let path = format!("/v1/stories/{}/generate/blueprint", stage.story);
    let body = json!({"source_text": STORY, "max_scenes": 2, "max_characters": 2});
    // Words are no JSON: asked twice, then the node and the reason are said.
    model.say("I would rather not.");
    let (status, failed) = ada.post(&path, &body);
    assert_eq!(status, 502, "{failed}");
    let detail = failed["detail"].as_str().expect("words");
    assert!(detail.starts_with("StoryPopulator: ") && detail.contains("no usable"), "{detail}");
    assert_eq!(model.prompts().len(), 2, "one repair");
    let repair = model.last_prompt().to_string();
    assert!(repair.contains("was not usable"), "{repair}");
    // Members of another kind are sent back as well.
    model.say(r#"{"characters": "Mira"}"#);
    let (status, failed) = ada.post(&path, &body);
    assert_eq!(status, 502, "{failed}");
    assert!(
        failed["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("characters is missing or of another kind"))
    );

    let character = json!({"name": "Mira", "role": "protagonist", "gender": "female", "age_range": "adult",
        "description": "the keeper", "hair_description": "short grey hair", "base_outfit": "a red coat"});
    let beat = json!({"beat_type": "initial", "emotional_intensity": 0.5, "action_complexity": 2,
        "visual_action": "Mira opens the door.", "dialogue": "Who is there?", "sfx": "", "silence_candidate": false});
    let answer =
        json!({"characters": [character], "episode_intent": "a storm", "visual_beats": [beat, beat]});
    model.say(&answer.to_string());
    let made = ada.made(&path, &body);
    assert_eq!(made["scenes"][0]["source_text"], "Mira opens the door. \"Who is there?\"", "{made}");
    let mira = &made["characters"][0];
    assert_eq!(
        (&mira["base_outfit"], &mira["gender"], &mira["role"]),
        (&json!("a red coat"), &json!("female"), &json!("protagonist"))
    );
}

//! Graphs whose nodes ask a language model: a remote one that a test scripts, and the tiny local one, whose answers are
//! held to their schema.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::graphs::{STORY, ended};
use crate::model_server::ModelServer;
use crate::rules::Stage;
use crate::{id, talk};

/// Which node a request comes from, by the words that only its system prompt has.
const NODES: [(&str, &str); 8] = [
    ("StudioDirector", "You direct webtoons"),
    ("LLMVisualPlanCompiler", "what part it has in its story"),
    ("LLMSceneIntent", "You plan a webtoon scene"),
    ("LLMPanelPlan", "You plan the panels"),
    ("LLMPanelSemantics", "what is seen and said in each panel"),
    ("BlindTestRunner", "do not know its story"),
    ("WebtoonScriptWriter", "visual_beats"),
    ("StoryPopulator", "characters"),
];

fn node_of(request: &Json) -> &'static str {
    let system = request["messages"][0]["content"].as_str().expect("a system prompt");
    NODES.iter().find(|(_, words)| system.contains(words)).map_or("", |(node, _)| node)
}

/// An answer that each node takes; `speaks` says whether something is said in every panel.
fn usable(node: &str, speaks: bool) -> Json {
    let line = json!([{"speaker": "Mira", "type": "speech", "text": "The tide brought him home tonight."}]);
    let panel = |number: usize| {
        let grammar = if number == 0 { "establishing" } else { "dialogue_medium" };
        json!({
            "grammar_id": grammar, "panel_purpose": "dialogue", "has_dialogue": speaks, "utility_score": 0.8,
            "notes": "", "camera": "medium shot", "description": "Mira opens the door of the lighthouse",
            "characters": [{"name": "Mira", "position": "left", "expression": "calm", "action": "waits"}],
            "location": "lighthouse", "dialogue": if speaks || number == 1 { line.clone() } else { json!([]) },
        })
    };
    let beat = json!({
        "beat_type": "initial", "emotional_intensity": 0.5, "action_complexity": 2,
        "visual_action": "Mira opens the door of the lighthouse.", "dialogue": "Who is there?", "sfx": "",
        "silence_candidate": false,
    });
    match node {
        "StudioDirector" => json!({"action": "approve", "feedback": ""}),
        "LLMVisualPlanCompiler" => json!({
            "summary": "the door", "scene_importance": "build", "must_show": ["Mira"], "global_environment_anchors": [],
        }),
        "LLMSceneIntent" => json!({
            "summary": "Mira opens the door", "setting": "lighthouse", "beats": ["the door"], "characters": ["Mira"],
            "pacing": "normal", "visual_motifs": [],
        }),
        "LLMPanelPlan" | "LLMPanelSemantics" => json!({"panels": [panel(0), panel(1)]}),
        "BlindTestRunner" => json!({
            "reconstructed_story": "Mira opens a door", "emotional_takeaway": "calm",
        }),
        "WebtoonScriptWriter" => json!({"episode_intent": "a storm", "visual_beats": [beat, beat]}),
        _ => json!({"characters": [{
            "name": "Mira", "role": "protagonist", "gender": "female", "age_range": "adult",
            "description": "the keeper", "hair_description": "grey hair", "base_outfit": "a red coat",
        }]}),
    }
}

/// What a scripted model was asked, by node.
type Asked = Arc<Mutex<BTreeMap<&'static str, Vec<String>>>>;

/// A model that answers each node with what `answer` says, given how often that node was asked before.
fn scripted(
    server: &Server,
    answer: impl Fn(&str, usize) -> String + Send + 'static,
) -> (ModelServer, Asked) {
    let model = ModelServer::start(Duration::ZERO, 0);
    model.become_default(server);
    let asked = Asked::default();
    let heard = asked.clone();
    model.script(move |request| {
        let node = node_of(request);
        let mut heard = heard.lock().expect("no panic");
        let before = heard.entry(node).or_default();
        before.push(request["messages"][1]["content"].as_str().unwrap_or_default().to_string());
        answer(node, before.len() - 1)
    });
    (model, asked)
}

fn build<'s>(server: &'s Server, change: &Json) -> (Stage<'s>, Json) {
    let stage = Stage::new(server);
    assert_eq!(stage.ada.delete(&format!("/rest/v1/scenes?id=eq.{}", stage.scene)).0, 200);
    let job = build_again(&stage, change);
    (stage, job)
}

fn build_again(stage: &Stage, change: &Json) -> Json {
    let mut body = json!({
        "source_text": STORY, "max_scenes": 1, "panel_count": 2, "max_characters": 2, "planning_mode": "full",
    });
    for (name, value) in change.as_object().expect("members") {
        body[name] = value.clone();
    }
    let path = format!("/v1/stories/{}/generate/blueprint_async", stage.story);
    let (status, job) = stage.ada.post(&path, &body);
    assert_eq!(status, 202, "{job}");
    ended(&stage.ada, &id(&job, "job_id"))
}

fn times(asked: &Asked, node: &str) -> usize {
    asked.lock().expect("no panic").get(node).map_or(0, Vec::len)
}

#[test]
fn the_director_sends_a_script_back_and_every_draft_and_reason_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_model, asked) = scripted(&server, |node, before| match (node, before) {
        ("StudioDirector", 0) => json!({"action": "rewrite", "feedback": "show the sea first"}).to_string(),
        ("StudioDirector", 1) => json!({"action": "rewrite", "feedback": "less talk"}).to_string(),
        _ => usable(node, false).to_string(),
    });
    let (stage, job) = build(&server, &json!({}));
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!((times(&asked, "WebtoonScriptWriter"), times(&asked, "StudioDirector")), (3, 3));
    let last = asked.lock().expect("no panic")["WebtoonScriptWriter"][2].clone();
    for words in [
        "Draft 1 was sent back: show the sea first",
        "Draft 2 was sent back: less talk",
        "Draft 1: [",
        "Draft 2: [",
    ] {
        assert!(last.contains(words), "{words}: {last}");
    }
    assert_eq!(job["result"]["gate"]["passed"], true, "{job}");
    assert_eq!(stage.ada.rows("scenes").len(), 1);
    let versions = stage.ada.rows("artifacts?version=gt.1");
    assert_eq!(versions, Vec::<Json>::new(), "the director answers before anything is written");
}

#[test]
fn the_gate_has_the_script_written_again_three_times_at_most_and_scenes_are_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    // Something is said in every panel until the third script; then half of them are silent.
    let scripts = Arc::new(Mutex::new(0));
    let (_model, asked) = scripted(&server, move |node, before| {
        let mut scripts = scripts.lock().expect("no panic");
        if node == "WebtoonScriptWriter" {
            *scripts = before + 1;
        }
        usable(node, *scripts < 3).to_string()
    });
    let (stage, job) = build(&server, &json!({}));
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(times(&asked, "WebtoonScriptWriter"), 3);
    let second = asked.lock().expect("no panic")["WebtoonScriptWriter"][1].clone();
    assert!(second.contains("share of silent panels is 0.00, and 0.1 is the least"), "{second}");
    assert_eq!(job["result"]["gate"]["passed"], true, "{job}");
    // A retry deletes the scenes before it writes them again, with all that was made of them.
    assert_eq!(stage.ada.rows("scenes").len(), 1);
    let doubled = stage.ada.rows("artifacts?type=eq.panel_plan&version=gt.1");
    assert_eq!(doubled, Vec::<Json>::new());
    assert_eq!(stage.ada.rows("artifacts?type=eq.panel_plan").len(), 1);
    assert_eq!(
        stage.ada.rows("characters?name=eq.Mira").len(),
        1,
        "characters are linked again, not doubled"
    );
}

#[test]
fn a_gate_that_never_opens_ends_after_three_retries_and_says_what_was_not_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_model, asked) = scripted(&server, |node, _| usable(node, true).to_string());
    let (_stage, job) = build(&server, &json!({}));
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(times(&asked, "WebtoonScriptWriter"), 4, "one draft and three retries");
    assert_eq!(job["result"]["gate"]["passed"], false);
    assert!(job["result"]["gate"]["reasons"].as_array().is_some_and(|all| !all.is_empty()), "{job}");
}

#[test]
fn an_answer_that_breaks_the_schema_is_repaired_once_else_its_node_is_named_and_nothing_doubled() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let is_well = Arc::new(Mutex::new(false));
    let well = is_well.clone();
    let (_model, asked) = scripted(&server, move |node, before| match (node, before) {
        // Once of the wrong kind, and once with a panel too few: both are repaired.
        ("LLMPanelPlan", 0) => json!({"panels": "two"}).to_string(),
        ("LLMPanelSemantics", 0) => json!({"panels": [usable(node, false)["panels"][0]]}).to_string(),
        ("BlindTestRunner", _) if !*well.lock().expect("no panic") => "I see a boat.".to_string(),
        _ => usable(node, false).to_string(),
    });
    let (stage, job) = build(&server, &json!({}));
    assert_eq!(job["status"], "failed", "{job}");
    let error = job["error"].as_str().expect("a reason");
    assert!(error.starts_with("BlindTestRunner: the model gave no usable answer"), "{error}");
    let plans = asked.lock().expect("no panic")["LLMPanelPlan"].clone();
    assert_eq!(plans.len(), 2, "one scene, and one repair");
    assert!(plans[1].contains("panels is missing or of another kind"), "{}", plans[1]);
    let repair = asked.lock().expect("no panic")["LLMPanelSemantics"][1].clone();
    assert!(repair.contains("there are 1 panels, and 2 are planned"), "{repair}");
    let (_, progress) = stage.ada.get(&format!("/v1/stories/{}/progress", stage.story));
    assert_eq!((&progress["status"], &progress["error"]), (&json!("failed"), &job["error"]));
    // Once the model is well, the story is built where nothing stands in its way.
    *is_well.lock().expect("no panic") = true;
    let job = build_again(&stage, &json!({"allow_append": true}));
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(stage.ada.rows("characters?name=eq.Mira").len(), 1);
}

#[test]
fn the_small_local_model_is_held_to_the_schema_or_its_node_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = talk::start(folder.path());
    // Its weights are noise: what it writes has the schema's form or is cut off, and never ends in anything else.
    let (stage, job) = build(&server, &json!({"planning_mode": "characters_only"}));
    match job["status"].as_str() {
        Some("succeeded") => assert!(!stage.ada.rows("scenes").is_empty()),
        _ => {
            let error = job["error"].as_str().expect("a reason");
            let node = error.split(':').next().unwrap_or_default();
            let known =
                ["StoryPopulator", "LLMCharacterExtractor", "WebtoonScriptWriter", "PersistStoryBundle"];
            assert!(known.contains(&node), "{error}");
            assert_eq!(stage.ada.rows("scenes"), Vec::<Json>::new());
        }
    }
    // What it does not hold is said.
    let warned = job["result"]["warnings"].as_array().is_some_and(|all| !all.is_empty());
    assert!(warned || job["status"] == "failed", "{job}");
}

//! Rules of how panels follow each other: transitions, closure, rhythm, presence and metaphors, each by its name.

use serde_json::{Value as Json, json};
use webtoon::offline::metaphors::metaphor_directions;
use webtoon::planning::layout::Rect;
use webtoon::planning::panel::Panel;
use webtoon::planning::presence::presence_map;
use webtoon::planning::rhythm::vertical_rhythm_map;
use webtoon::planning::transitions::{closure_plan, kind, transition_map};

fn cast() -> Vec<String> {
    vec!["Mira".into(), "Tomas".into()]
}

#[test]
fn transition_map_names_place_subject_action_aspect_and_moment() {
    let cast = cast();
    for (before, after, expected) in [
        ("Mira waits in the tower.", "Mira sits on the beach.", "scene_to_scene"),
        ("Mira waits.", "Tomas reads.", "subject_to_subject"),
        ("Mira runs.", "Mira falls.", "action_to_action"),
        ("The sea is grey.", "The sky is white.", "aspect_to_aspect"),
        ("Mira waits.", "Mira looks up.", "moment_to_moment"),
    ] {
        assert_eq!(kind(before, after, &cast), expected, "{before} {after}");
    }
    let map = transition_map(
        2,
        Some("Tomas reads. Tomas waits."),
        "Mira waits. Mira looks up. Tomas reads.",
        &cast,
    );
    assert_eq!((&map["scene_index"], &map["into"]), (&json!(2), &json!("subject_to_subject")));
    let kinds: Vec<&Json> =
        map["transitions"].as_array().expect("a list").iter().map(|transition| &transition["type"]).collect();
    assert_eq!(kinds, [&json!("moment_to_moment"), &json!("subject_to_subject")]);
    assert_eq!(transition_map(0, None, "Mira waits.", &cast)["into"], "none", "nothing is before the first");
    assert_eq!(transition_map(0, None, "", &cast)["transitions"], json!([]));
}

#[test]
fn closure_plan_hints_where_a_transition_asks_for_much() {
    let text = "Mira waits in the tower. Mira looks up. Tomas sits on the beach.";
    let map = transition_map(0, None, text, &cast());
    let plan = closure_plan(&map, text);
    let closures = plan["closures"].as_array().expect("a list");
    assert_eq!((&closures[0]["effort"], &closures[0]["hint"]), (&json!(0.1), &json!("")));
    assert!(closures[1]["effort"].as_f64() >= Some(0.5) && closures[1]["hint"] != "", "{plan}");
    assert_eq!(closures[1]["after"], "Tomas sits on the beach.");
    let mean = (0.1 + closures[1]["effort"].as_f64().unwrap_or(0.0)) / 2.0;
    assert_eq!(plan["mean_effort"], json!((mean * 1000.0).round() / 1000.0));
    assert_eq!(closure_plan(&json!({}), "")["mean_effort"], json!(0.0), "nothing to close");
}

#[test]
fn vertical_rhythm_map_counts_area_and_words() {
    let rect = |y: f64, h: f64| Rect { x: 0.0, y, w: 1.0, h };
    let seen =
        [json!({"dialogue": []}), json!({"dialogue": [{"text": "one two three four five six seven eight"}]})];
    let panels = [Panel { must_be_large: true, ..Panel::default() }, Panel::default()];
    let map = vertical_rhythm_map(&panels, &[rect(0.0, 0.6), rect(0.62, 0.38)], &seen, 0.28);
    let beats = map["beats"].as_array().expect("a list");
    // Three seconds a page, and 3.5 words a second.
    assert_eq!((&beats[0]["seconds"], &beats[1]["seconds"]), (&json!(1.8), &json!(3.43)));
    assert_eq!((&beats[0]["pace"], &beats[1]["pace"]), (&json!("quick"), &json!("linger")));
    assert_eq!((&beats[0]["is_silent"], &beats[1]["is_silent"]), (&json!(true), &json!(false)));
    assert_eq!((&beats[0]["is_thumb_stop"], &map["gap_below"]), (&json!(true), &json!(0.28)));
    assert_eq!(map["is_uniform"], false);
    assert_eq!(vertical_rhythm_map(&[], &[], &[], 0.07)["beats"], json!([]));
}

#[test]
fn presence_map_says_who_enters_leaves_and_is_missing() {
    let seen = [
        json!({"characters": [{"name": "Mira", "position": "left"}]}),
        json!({"characters": ["mira", {"name": "Tomas", "position": "right"}]}),
        json!({"characters": []}),
    ];
    let cast = vec!["Mira".to_string(), "Tomas".into(), "Nell".into()];
    let map = presence_map(&seen, &cast, &["Nell".into(), "a lamp".into()]);
    assert_eq!(
        map["characters"][1],
        json!({"name": "Tomas", "panels": [2], "positions": ["right"], "share": 0.333, "enters": true, "leaves": true})
    );
    assert_eq!((&map["characters"][0]["panels"], &map["off_stage"]), (&json!([1, 2]), &json!(["Nell"])));
    assert_eq!(map["empty_panels"], json!([3]));
}

#[test]
fn metaphor_directions_follow_the_feeling_of_a_panel() {
    let text = "Mira cried and the tears fell. Tomas waits. \"Stop!\" he shouted in anger.";
    let found = metaphor_directions(text, 3);
    let feelings: Vec<(u64, &str)> = found["directions"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| Some((it["panel_index"].as_u64()?, it["emotion"].as_str()?)))
        .collect();
    assert_eq!(feelings, [(1, "grief"), (3, "anger")], "a panel without a feeling has none: {found}");
}

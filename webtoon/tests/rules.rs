//! Rules of the contract of webtoons about a story's text and the panels of its scenes, each by its name, with the numbers
//! that it gives.

use serde_json::{Value as Json, json};
use webtoon::planning::beats;
use webtoon::planning::panel::{GRAMMARS, Panel, story_function};
use webtoon::planning::panel_count::{limit, needs_many, panel_count};
use webtoon::planning::panel_plan::{DerivedFeatures, clean, derived_features, normalize, weigh};
use webtoon::text::chunker::chunk;
use webtoon::text::estimate::{Pacing, estimate};
use webtoon::text::importance::Importance;

fn words(count: usize) -> String {
    vec!["word"; count].join(" ")
}

#[test]
fn text_chunker_splits_at_headings_else_paragraphs_else_sentences() {
    let headed = "Scene 1\nA boat.\n\nScene 2\nA storm.\nchapter three\nHome.";
    let chunks = chunk(headed, 10);
    assert_eq!(chunks.scenes, ["Scene 1\nA boat.", "Scene 2\nA storm.", "chapter three\nHome."]);
    let cut = chunk(headed, 2);
    assert_eq!((cut.scenes.len(), cut.left_out), (2, 1), "surplus parts are counted, not silent");
    // One heading alone splits nothing, nor does a word that only begins like one.
    assert_eq!(chunk("Party time. Scenery is nice.", 5).scenes.len(), 2);
    let paragraphs = "one\n\ntwo\n\nthree\n\nfour\n\nfive";
    assert_eq!(chunk(paragraphs, 3).scenes, ["one\n\ntwo", "three\n\nfour", "five"]);
    assert_eq!(chunk("A. B! C? D.", 2).scenes, ["A. B!", "C? D."]);
    assert_eq!(chunk("no end", 6).scenes, ["no end"]);
    assert!(chunk("", 6).scenes.is_empty());
    assert_eq!(chunk("彼は来た。彼女は去った。", 2).scenes.len(), 2);
}

#[test]
fn importance_of_either_vocabulary() {
    for (stored, importance) in [
        ("critical", Importance::Climax),
        ("high", Importance::Build),
        ("medium", Importance::Build),
        ("low", Importance::Setup),
        ("release", Importance::Release),
        ("cliffhanger", Importance::Cliffhanger),
    ] {
        assert_eq!(Importance::of_stored(stored), Some(importance), "{stored}");
    }
    assert_eq!(Importance::of_stored("urgent"), None);
    for name in Importance::NAMES {
        assert_eq!(Importance::of_stored(name).map(Importance::name), Some(name));
    }
}

#[test]
fn importance_is_detected_by_families_of_words_in_this_order() {
    // Two hits in up to a hundred words are two per hundred.
    let filler = words(60);
    assert_eq!(Importance::detect(&format!("{filler} battle attack")), Importance::Climax);
    assert_eq!(Importance::detect(&format!("{filler} battle attack suddenly vanish")), Importance::Climax);
    assert_eq!(Importance::detect(&format!("{filler} suddenly vanished")), Importance::Cliffhanger);
    assert_eq!(Importance::detect(&format!("{filler} morning village")), Importance::Setup);
    assert_eq!(Importance::detect(&format!("{filler} calm smiles")), Importance::Release);
    assert_eq!(Importance::detect(&format!("{filler} love fear rage")), Importance::Climax);
    assert_eq!(Importance::detect(&filler), Importance::Build);
    // One hit is too few, and so are two in two hundred words.
    assert_eq!(Importance::detect(&format!("{filler} battle")), Importance::Build);
    assert_eq!(Importance::detect(&format!("{} battle attack", words(300))), Importance::Build);
    assert_eq!(Importance::detect(&format!("\"{}\"", words(30))), Importance::Climax, "nearly all is said");
    assert_eq!(
        Importance::detect("a\n\nb\n\nc\n\nd\n\ne\n\nf"),
        Importance::Climax,
        "impact pacing lifts build"
    );
}

#[test]
fn importance_by_position_without_a_model() {
    let of = |index| Importance::by_position(index, 4).name();
    assert_eq!([of(0), of(1), of(2), of(3)], ["setup", "build", "build", "cliffhanger"]);
    assert_eq!(Importance::by_position(0, 1), Importance::Setup);
}

#[test]
fn panel_count_of_each_kind_of_scene() {
    let busy = |count: usize| format!("{} chase", words(count - 1));
    for importance in [Importance::Climax, Importance::Cliffhanger] {
        assert_eq!(panel_count(3, importance, &busy(300)), 1);
    }
    for (text, count) in [(busy(220), 5), (busy(219), 4), (busy(120), 4), (busy(119), 2), (words(300), 2)] {
        assert_eq!(panel_count(3, Importance::Release, &text), count);
    }
    for (text, count) in [(busy(10), 4), (words(119), 2), (words(120), 3)] {
        assert_eq!(panel_count(1, Importance::Setup, &text), count);
    }
    for (requested, text, count) in [
        (1, words(50), 1),
        (9, words(50), 3),
        (0, words(50), 1),
        (1, busy(220), 5),
        (1, busy(120), 4),
        (2, busy(50), 2),
    ] {
        assert_eq!(panel_count(requested, Importance::Build, &text), count);
    }
}

#[test]
fn a_scene_needs_many_panels_with_seven_sentences_a_montage_or_a_fight() {
    assert!(needs_many("A. B. C. D. E. F. G."));
    assert!(!needs_many("A. B. C. D. E. F..."), "marks in a row are one end");
    assert!(needs_many("Meanwhile it rains"));
    assert!(needs_many("They fought"));
    assert!(!needs_many("They talk"));
}

#[test]
fn surplus_panels_are_cut_and_numbered_anew() {
    let mut panels = vec![Panel { panel_index: 9, ..Panel::default() }; 8];
    limit(&mut panels, 7);
    assert_eq!(panels.iter().map(|panel| panel.panel_index).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

fn one(written: Json) -> Panel {
    clean(&[written]).remove(0)
}

#[test]
fn plan_clean_up_settles_role_purpose_dialogue_and_utility() {
    let panel = one(json!({"grammar_id": "reaction", "panel_role": "hero"}));
    assert_eq!((panel.panel_role.as_str(), panel.panel_purpose.as_str()), ("main", "reaction"));
    let panel = one(json!({"grammar_id": "action", "panel_purpose": "wow", "story_function": "reveal"}));
    assert_eq!(panel.panel_purpose, "reveal", "the function where it names a purpose");
    assert_eq!(one(json!({"grammar_id": "nonsense"})).panel_purpose, "dialogue");
    assert!(one(json!({"grammar_id": "dialogue_medium", "has_dialogue": "yes"})).has_dialogue);
    assert!(one(json!({"grammar_id": "action", "panel_purpose": "dialogue"})).has_dialogue);
    assert!(!one(json!({"grammar_id": "dialogue_medium", "has_dialogue": false})).has_dialogue);
    for (written, utility) in [
        (json!({"has_dialogue": true}), 1.0),
        (json!({"panel_purpose": "reveal"}), 0.7),
        (json!({"panel_purpose": "reaction"}), 0.7),
        (json!({"panel_purpose": "action"}), 0.7),
        (json!({"panel_purpose": "silent_beat"}), 0.4),
        (json!({"panel_purpose": "establishing"}), 0.5),
        (json!({"panel_purpose": "dialogue", "has_dialogue": false}), 0.3),
        (json!({"panel_purpose": "reveal", "utility_score": 0.9}), 0.9),
    ] {
        assert!((one(written.clone()).utility_score - utility).abs() < 1e-9, "{written}");
    }
}

#[test]
fn plan_clean_up_drops_insets_without_meaning_and_keeps_the_two_best() {
    let inset = |purpose: &str, utility: f64| json!({"panel_role": "inset", "panel_purpose": purpose, "has_dialogue": false, "utility_score": utility});
    let panels = clean(&[
        json!({"grammar_id": "action"}),
        inset("establishing", 1.0),
        inset("reaction", 0.2),
        inset("reveal", 0.9),
        inset("silent_beat", 0.5),
        json!({"grammar_id": "reveal"}),
    ]);
    let kept: Vec<&str> = panels.iter().map(|panel| panel.panel_purpose.as_str()).collect();
    assert_eq!(kept, ["action", "reveal", "silent_beat", "reveal"]);
    assert_eq!(panels.iter().map(|panel| panel.panel_index).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn weights_are_given_ones_clamped_else_normalised_utility() {
    let mut panels = clean(&[json!({"importance_weight": 7}), json!({}), json!({"importance_weight": 0.01})]);
    weigh(&mut panels, Importance::Build);
    assert_eq!(panels.iter().map(|panel| panel.weight).collect::<Vec<_>>(), [1.0, 0.5, 0.1]);
    let mut panels = clean(&[
        json!({"has_dialogue": true}),
        json!({"panel_purpose": "establishing"}),
        json!({"panel_purpose": "reveal"}),
    ]);
    weigh(&mut panels, Importance::Build);
    assert_eq!(panels.iter().map(|panel| panel.weight).collect::<Vec<_>>(), [1.0, 0.56, 0.736]);
}

#[test]
fn widths_follow_size_weight_and_an_open_end() {
    let widths = |importance| {
        let mut panels = clean(&[
            json!({"has_dialogue": true}),
            json!({"grammar_id": "establishing"}),
            json!({"grammar_id": "reaction"}),
        ]);
        weigh(&mut panels, importance);
        panels
            .iter()
            .map(|panel| {
                (panel.panel_hierarchy.width_percentage, panel.panel_hierarchy.hierarchy_reason.clone())
            })
            .collect::<Vec<_>>()
    };
    let named = |list: [(u32, &str); 3]| list.map(|(width, reason)| (width, reason.to_string())).to_vec();
    assert_eq!(widths(Importance::Build), named([(80, "standard"), (60, "intimate"), (80, "standard")]));
    assert_eq!(widths(Importance::Climax), named([(80, "standard"), (60, "intimate"), (100, "impact")]));
    assert_eq!(widths(Importance::Cliffhanger)[2].0, 100);
}

#[test]
fn dominance_follows_the_grammar() {
    for (grammar, dominance) in [
        ("emotion_closeup", "character"),
        ("establishing", "environment"),
        ("object_focus", "object"),
        ("action", "character"),
    ] {
        let mut panels = clean(&[json!({"grammar_id": grammar})]);
        weigh(&mut panels, Importance::Build);
        assert_eq!(panels[0].panel_hierarchy.visual_dominance, dominance);
    }
}

#[test]
fn derived_features_count_large_panels_and_the_hero() {
    let mut panels = clean(&[json!({"has_dialogue": true}), json!({"panel_purpose": "establishing"})]);
    weigh(&mut panels, Importance::Build);
    let must_show = ["Mira at the door".to_string(), "the protagonist".into(), "mira's hand".into()];
    let features = derived_features(&panels, &must_show, &["Mira".to_string()]);
    assert_eq!(
        features,
        DerivedFeatures {
            panel_count: 2,
            max_weight: 1.0,
            avg_weight: 0.78,
            num_large: 1,
            has_strong_panel: true,
            is_single_panel: false,
            hero_count: 2
        }
    );
    assert_eq!(derived_features(&panels, &must_show, &[]).hero_count, 1);
}

#[test]
fn normalisation_knows_the_grammars_and_fills_in_functions() {
    let mut panels = clean(&[
        json!({"grammar_id": "wide"}),
        json!({"grammar_id": "reveal"}),
        json!({"grammar_id": "action", "story_function": "turn"}),
    ]);
    normalize(&mut panels);
    let found: Vec<(&str, &str)> =
        panels.iter().map(|panel| (panel.grammar_id.as_str(), panel.story_function.as_str())).collect();
    assert_eq!(found, [("dialogue_medium", "dialogue"), ("reveal", "climax"), ("action", "turn")]);
    let functions: Vec<&str> = GRAMMARS.iter().map(|grammar| story_function(grammar)).collect();
    assert_eq!(
        functions,
        ["setup", "dialogue", "emotion", "action", "reaction", "focus", "climax", "climax"]
    );
    assert_eq!(story_function("else"), "beat");
}

#[test]
fn scene_estimate_stays_within_five_and_fifteen() {
    let short = estimate("A short tale about a small boat that nobody ever sailed.");
    assert_eq!((short.scenes, short.status), (5, "too_short"));
    let paragraphs = vec!["The keeper lit the lamp and watched the dark water for a while."; 21].join("\n\n");
    let medium = estimate(&paragraphs);
    assert_eq!(
        (medium.pacing, medium.complexity, medium.scenes, medium.seconds, medium.status),
        (Pacing::Normal, "medium", 7, 63, "ok")
    );
    let fast = vec!["She ran. He ran. They hid."; 21].join("\n\n");
    assert_eq!(
        (estimate(&fast).pacing, estimate(&fast).scenes, estimate(&fast).seconds),
        (Pacing::Fast, 9, 54)
    );
    let long = vec!["The keeper lit the lamp and watched the dark water for a while."; 90].join("\n\n");
    assert_eq!(
        (estimate(&long).scenes, estimate(&long).status, estimate(&long).complexity),
        (15, "too_long", "complex")
    );
    let breaks = "one\n***\ntwo\n***\nthree\n***\nfour\n***\nfive\n***\nsix";
    assert_eq!(
        (estimate(breaks).beats, estimate(breaks).status),
        (6.0 * if Pacing::of(breaks) == Pacing::Fast { 1.2 } else { 1.0 }, "ok")
    );
}

#[test]
fn scene_splitter_groups_beats_and_words_them() {
    let beat = |action: &str, said: &str, sound: &str| json!({"visual_action": action, "dialogue": said, "sfx": sound});
    let list = vec![beat("A door.", "Who?", "KNOCK"), beat("A hand.", "", ""), beat("A face.", "", "")];
    assert_eq!(beats::split_scenes(&list, "", 2), ["A door. \"Who?\" (KNOCK) A hand.", "A face."]);
    assert_eq!(beats::grouped(&list, 9).len(), 3);
    assert_eq!(beats::split_scenes(&[], "One. Two.", 2), ["One.", "Two."]);
}

#[test]
fn silent_classifier_takes_dialogue_away() {
    let mut list = vec![
        json!({"action_complexity": 1, "silence_candidate": true, "dialogue": "x"}),
        json!({"beat_type": "release", "emotional_intensity": 0.81, "dialogue": "x"}),
        json!({"can_be_silent": true, "dialogue": "x"}),
        json!({"beat_type": "release", "emotional_intensity": 0.8, "action_complexity": 2, "silence_candidate": true, "dialogue": "x"}),
    ];
    beats::classify_silence(&mut list);
    let kinds: Vec<&Json> = list.iter().map(|beat| &beat["silence_type"]).collect();
    assert_eq!(kinds, [&json!("action"), &json!("reaction"), &json!("minimized"), &Json::Null]);
    assert_eq!(
        list.iter().map(|beat| beat["dialogue"].as_str()).collect::<Vec<_>>(),
        [Some(""), Some(""), Some(""), Some("x")]
    );
}

#[test]
fn what_two_characters_say_in_one_beat_stays_two_lines() {
    let beats = [
        json!({"visual_action": "They talk.", "dialogue": "You did. We did.", "dialogue_lines": ["You did.", "We did."]}),
    ];
    assert_eq!(beats::scene_text(&beats), "They talk. \"You did.\" \"We did.\"");
    let plain = [json!({"visual_action": "They talk.", "dialogue": "You did."})];
    assert_eq!(beats::scene_text(&plain), "They talk. \"You did.\"");
}

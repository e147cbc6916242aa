//! Rules of the contract of webtoons about quality control, the gate and what is said.

use serde_json::{Value as Json, json};
use webtoon::planning::dialogue::{Line, clean_lines, from_quotes, name_speakers};
use webtoon::planning::panel::Panel;
use webtoon::review::{gate, quality};

fn words(count: usize) -> String {
    vec!["word"; count].join(" ")
}

fn panels(widths: &[u32]) -> Vec<Panel> {
    let panel = |width: &u32| {
        let mut panel = Panel { grammar_id: "action".into(), ..Panel::default() };
        panel.panel_hierarchy.width_percentage = *width;
        panel
    };
    widths.iter().map(panel).collect()
}

fn codes(plan: &[Panel], semantics: Option<&[Json]>) -> Vec<String> {
    quality::check(plan, semantics).issues
}

#[test]
fn quality_control_thresholds() {
    let silent = json!({"dialogue": []});
    let said = |text: &str| json!({"dialogue": [{"text": text}]});
    assert_eq!(codes(&[], None), ["no_panels"]);
    let fine = [silent.clone(), said("Where were you last night?")];
    assert!(quality::check(&panels(&[60, 80]), Some(&fine)).passed);
    assert_eq!(codes(&panels(&[60, 80]), None), ["not_enough_silence"], "without semantics silence is 0");
    let two = panels(&[60, 80]);
    assert_eq!(codes(&two, Some(&[silent.clone(), said(&words(16))])), ["line_too_long"]);
    let many = json!({"dialogue": [words(13), words(13)]});
    assert_eq!(codes(&two, Some(&[silent.clone(), many])), ["word_count_violation"]);
    assert_eq!(
        codes(&panels(&[60, 60, 60]), Some(&[silent.clone(), silent.clone(), silent.clone()])),
        ["monotonous_layout"]
    );
    assert_eq!(
        codes(&two, Some(&[silent.clone(), said("Look at that tower over there")])),
        ["dialogue_redundancy"]
    );
    let close = json!({"camera": "extreme close-up"});
    assert_eq!(
        codes(&panels(&[60, 80, 60]), Some(&[close.clone(), close, silent.clone()])),
        ["too_many_closeups"]
    );
    let talk = || said("The tide took my brother");
    assert_eq!(codes(&panels(&[60, 80, 60]), Some(&[talk(), talk(), silent.clone()])), ["too_much_dialogue"]);
    assert_eq!(
        codes(&two, Some(&[silent.clone(), said("She was the last of her kin")])),
        ["narration_like_dialogue"]
    );
    assert_eq!(codes(&two, Some(&[silent, said("Okay")])), ["generic_dialogue"]);
}

#[test]
fn quality_gate_weighs_and_bounds() {
    let verdict = gate::judge(&gate::Measured::default());
    assert_eq!(
        (verdict.passed, verdict.composite),
        (true, 0.5),
        "what is missing counts a half and bounds nothing"
    );
    let measured = gate::Measured {
        blind_scores: vec![0.8, 0.6],
        rhythm_diversity: Some(1.0),
        silent_ratio: Some(0.25),
        thumb_stops: Some(0.5),
    };
    let verdict = gate::judge(&measured);
    assert_eq!((verdict.passed, verdict.composite), (true, 0.8));
    for (change, reason) in [
        (gate::Measured { blind_scores: vec![0.29], ..measured.clone() }, "mean blind score"),
        (gate::Measured { silent_ratio: Some(0.09), ..measured.clone() }, "share of silent panels"),
        (gate::Measured { rhythm_diversity: Some(0.1), ..measured.clone() }, "rhythm diversity"),
    ] {
        let verdict = gate::judge(&change);
        assert!(!verdict.passed && verdict.reasons[0].starts_with(reason), "{verdict:?}");
    }
    assert_eq!(gate::rhythm_diversity(&["a".into(), "b".into(), "b".into()]), 0.5);
}

#[test]
fn dialogue_script_keeps_three_clean_lines() {
    let lines = clean_lines(&[
        json!({"type": "shout", "text": "You came back."}),
        json!({"text": ""}),
        json!({"text": "He is walking to the door"}),
        json!({"text": "Okay"}),
        json!({"type": "caption", "text": "That night"}),
        json!({"type": "caption", "text": "Later"}),
        json!({"text": "you came back."}),
        json!({"type": "sfx", "text": words(20)}),
        json!({"text": "one too many for this panel"}),
    ]);
    let kinds: Vec<&str> = lines.iter().map(|line| line.kind.as_str()).collect();
    assert_eq!(kinds, ["speech", "caption", "sfx"]);
    assert_eq!(lines[2].text, format!("{}...", words(18)));
    let long = clean_lines(&[json!({"text": words(16)})]);
    assert_eq!(long[0].text, format!("{}...", words(15)));
}

#[test]
fn unknown_speakers_are_replaced_in_rotation() {
    let line = |speaker: &str| Line { speaker: speaker.into(), kind: "speech".into(), text: "x".into() };
    let mut lines = [line("ghost"), line("MIRA"), line(""), line("?")];
    name_speakers(lines.iter_mut(), &["Mira".into(), "Jo".into()]);
    let speakers: Vec<&str> = lines.iter().map(|line| line.speaker.as_str()).collect();
    assert_eq!(speakers, ["Mira", "Mira", "Jo", "Mira"]);
}

#[test]
fn quotes_are_the_dialogue_without_a_model_three_to_a_panel() {
    let text = "\"A\" he said. \"B\" “C” «D» and 'not this'";
    let panels = from_quotes(text, 2);
    let said: Vec<Vec<&str>> =
        panels.iter().map(|lines| lines.iter().map(|line| line.text.as_str()).collect()).collect();
    assert_eq!(said, [vec!["A", "B", "C"], vec!["D"]]);
}

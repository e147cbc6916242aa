//! Quality control of a scene's plan and of what is seen and said in it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::planning::dialogue::{is_generic, is_narration_like, is_redundant};
use crate::planning::panel::{Panel, rounded};
use crate::text::words::word_count;

/// Words of a panel.
pub const PANEL_WORDS_MAX: usize = 25;
/// Words of a line.
pub const LINE_WORDS_MAX: usize = 15;
/// Panels of one width in a row that are monotonous.
pub const MONOTONY: usize = 3;
/// The greatest share of close-ups.
pub const CLOSEUPS_MAX: f64 = 0.5;
/// The greatest share of panels in which something is said.
pub const DIALOGUE_MAX: f64 = 0.6;
/// The least share of panels in which nothing is said.
pub const SILENCE_MIN: f64 = 0.15;
/// The greatest share of lines that narrate.
pub const NARRATION_MAX: f64 = 0.35;
/// The greatest share of lines that say nothing.
pub const GENERIC_MAX: f64 = 0.4;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its name.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What would be better.
    pub hint: String,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Panels.
    pub panel_count: usize,
    /// Close-ups.
    pub closeup_count: usize,
    /// Their share.
    pub closeup_ratio: f64,
    /// Panels in which something is said.
    pub dialogue_count: usize,
    /// Their share.
    pub dialogue_ratio: f64,
    /// Panels in which nothing is said.
    pub silent_panel_count: usize,
    /// Their share; 0 where what is said was not planned.
    pub silent_panel_ratio: f64,
    /// The share of lines that narrate.
    pub narration_like_ratio: f64,
    /// The share of lines that say nothing.
    pub generic_dialogue_ratio: f64,
    /// Most panels of one width in a row.
    pub max_monotony: usize,
    /// Words in all lines.
    pub total_word_count: usize,
    /// Lines.
    pub total_dialogue_lines: usize,
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Whether nothing is wrong.
    pub passed: bool,
    /// The names of what is wrong.
    pub issues: Vec<String>,
    /// What is wrong, in words.
    pub issue_details: Vec<Issue>,
    /// What was measured.
    pub metrics: Metrics,
    /// In a sentence.
    pub summary: String,
}

/// The texts of a panel's lines, as its semantics have them.
pub fn line_texts(panel: &Json) -> Vec<String> {
    let lines = panel["dialogue"].as_array().into_iter().flatten();
    let text = |line: &Json| line.as_str().or(line["text"].as_str()).map(|text| text.trim().to_string());
    lines.filter_map(text).filter(|text| !text.is_empty()).collect()
}

/// Looks a plan over; `semantics` are its panels as they are seen, where that was planned.
pub fn check(panels: &[Panel], semantics: Option<&[Json]>) -> Report {
    let mut report = Report::default();
    let mut issue = |code: &str, message: String, hint: &str| {
        report.issues.push(code.into());
        report.issue_details.push(Issue { code: code.into(), message, hint: hint.into() });
    };
    if panels.is_empty() {
        issue("no_panels", "the plan has no panels".into(), "plan the scene again");
        report.summary = "failed: no panels".into();
        return report;
    }
    let metrics = measure(panels, semantics);
    let lines: Vec<Vec<String>> = semantics.into_iter().flatten().map(line_texts).collect();
    for (number, lines) in (1..).zip(&lines) {
        let words: usize = lines.iter().map(|line| word_count(line)).sum();
        if words > PANEL_WORDS_MAX {
            let message = format!("panel {number} has {words} words, and {PANEL_WORDS_MAX} are the most");
            issue("word_count_violation", message, "say less, or in more panels");
        }
        for line in lines.iter().filter(|line| word_count(line) > LINE_WORDS_MAX) {
            let message = format!("a line of panel {number} has {} words", word_count(line));
            issue("line_too_long", message, "break the line or shorten it");
        }
        if lines.iter().any(|line| is_redundant(line)) {
            let message = format!("a line of panel {number} says what the picture shows");
            issue("dialogue_redundancy", message, "let the picture show it");
        }
    }
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    for (is_wrong, code, message, hint) in [
        (
            metrics.max_monotony >= MONOTONY,
            "monotonous_layout",
            format!("{} panels in a row have one width", metrics.max_monotony),
            "vary the widths",
        ),
        (
            metrics.closeup_ratio > CLOSEUPS_MAX,
            "too_many_closeups",
            format!("{} of the panels are close-ups", percent(metrics.closeup_ratio)),
            "show where it happens",
        ),
        (
            metrics.dialogue_ratio > DIALOGUE_MAX,
            "too_much_dialogue",
            format!("something is said in {} of the panels", percent(metrics.dialogue_ratio)),
            "leave panels silent",
        ),
        (
            metrics.silent_panel_ratio < SILENCE_MIN,
            "not_enough_silence",
            format!("{} of the panels are silent", percent(metrics.silent_panel_ratio)),
            "add a panel without words",
        ),
        (
            metrics.narration_like_ratio > NARRATION_MAX,
            "narration_like_dialogue",
            format!("{} of the lines narrate", percent(metrics.narration_like_ratio)),
            "let characters speak",
        ),
        (
            metrics.generic_dialogue_ratio > GENERIC_MAX,
            "generic_dialogue",
            format!("{} of the lines say nothing", percent(metrics.generic_dialogue_ratio)),
            "give each line something of its speaker",
        ),
    ] {
        if is_wrong {
            issue(code, message, hint);
        }
    }
    report.passed = report.issues.is_empty();
    report.summary = match report.passed {
        true => "passed".into(),
        false => format!("failed: {}", report.issues.join(", ")),
    };
    report.metrics = metrics;
    report
}

fn measure(panels: &[Panel], semantics: Option<&[Json]>) -> Metrics {
    let count = panels.len();
    let share = |of: usize, all: usize| if all == 0 { 0.0 } else { rounded(of as f64 / all as f64, 4) };
    let camera = |place: usize| {
        let panel = semantics.and_then(|semantics| semantics.get(place));
        panel.and_then(|panel| panel["camera"].as_str()).unwrap_or_default().to_lowercase()
    };
    let closeups = (0..count)
        .filter(|place| {
            let camera = camera(*place);
            panels[*place].grammar_id == "emotion_closeup" || camera.contains("close")
        })
        .count();
    let lines: Vec<Vec<String>> = semantics.into_iter().flatten().map(line_texts).collect();
    let speaking = match semantics {
        Some(_) => lines.iter().filter(|lines| !lines.is_empty()).count(),
        None => panels.iter().filter(|panel| panel.has_dialogue).count(),
    };
    let silent = if semantics.is_some() { count.saturating_sub(speaking) } else { 0 };
    let all: Vec<&String> = lines.iter().flatten().collect();
    let (mut monotony, mut run) = (0, 0);
    let mut width = None;
    for panel in panels {
        let this = Some(panel.panel_hierarchy.width_percentage);
        run = if this == width { run + 1 } else { 1 };
        width = this;
        monotony = monotony.max(run);
    }
    Metrics {
        panel_count: count,
        closeup_count: closeups,
        closeup_ratio: share(closeups, count),
        dialogue_count: speaking,
        dialogue_ratio: share(speaking, count),
        silent_panel_count: silent,
        silent_panel_ratio: share(silent, count),
        narration_like_ratio: share(all.iter().filter(|line| is_narration_like(line)).count(), all.len()),
        generic_dialogue_ratio: share(all.iter().filter(|line| is_generic(line)).count(), all.len()),
        max_monotony: monotony,
        total_word_count: all.iter().map(|line| word_count(line)).sum(),
        total_dialogue_lines: all.len(),
    }
}

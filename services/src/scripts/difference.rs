//! What differs between two versions of a script, line by line. No IO.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use similar::{Algorithm, ChangeTag, TextDiff};

/// How long the smallest difference is looked for; a larger one is taken after that.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 3;
/// Fields of a script that are compared beside its text.
const FIELDS: [&str; 8] = [
    "script_name",
    "script_style",
    "video_style",
    "status",
    "evaluation_score",
    "evaluation_feedback",
    "character_ids",
    "scene_descriptions",
];

/// What differs: the fields that do, the lines that came and went, and the whole as a unified diff.
pub fn between(old: &Json, new: &Json) -> Json {
    let text = |script: &Json| script["script"].as_str().unwrap_or_default().to_string();
    let (before, after) = (text(old), text(new));
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .deadline(Instant::now() + PATIENCE)
        .diff_lines(&before, &after);
    let (mut added, mut removed, mut lines) = (0_u64, 0_u64, Vec::new());
    for group in diff.grouped_ops(CONTEXT_LINES) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let kind = match change.tag() {
                ChangeTag::Equal => "same",
                ChangeTag::Insert => {
                    added += 1;
                    "added"
                }
                ChangeTag::Delete => {
                    removed += 1;
                    "removed"
                }
            };
            let number = |index: Option<usize>| index.map(|index| index + 1);
            lines.push(json!({
                "change": kind, "text": change.value().trim_end_matches(['\n', '\r']),
                "old_line": number(change.old_index()), "new_line": number(change.new_index()),
            }));
        }
    }
    let fields: Vec<Json> = FIELDS
        .iter()
        .filter(|field| old[**field] != new[**field])
        .map(|field| json!({"field": field, "old": old[*field], "new": new[*field]}))
        .collect();
    let header = |script: &Json| script["script_name"].as_str().unwrap_or("script").replace('\n', " ");
    let unified =
        diff.unified_diff().context_radius(CONTEXT_LINES).header(&header(old), &header(new)).to_string();
    json!({"added": added, "removed": removed, "fields": fields, "lines": lines, "unified": unified})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_fields_that_differ_are_shown() {
        let old = json!({"script": "a\nb\nc\n", "script_name": "Cinematic 001", "status": "active"});
        let new = json!({"script": "a\nB\nc\nd\n", "script_name": "Cinematic 002", "status": "active"});
        let report = between(&old, &new);
        assert_eq!((&report["added"], &report["removed"]), (&json!(2), &json!(1)));
        assert_eq!(
            report["fields"],
            json!([{"field": "script_name", "old": "Cinematic 001", "new": "Cinematic 002"}])
        );
        let changes: Vec<&str> =
            report["lines"].as_array().into_iter().flatten().filter_map(|it| it["change"].as_str()).collect();
        assert_eq!(changes, ["same", "removed", "added", "same", "added"]);
        assert!(report["unified"].as_str().is_some_and(|text| text.contains("-b\n+B\n")), "{report}");
        let same = between(&old, &old);
        assert_eq!((&same["added"], &same["lines"], &same["unified"]), (&json!(0), &json!([]), &json!("")));
    }
}

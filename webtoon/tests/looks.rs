//! Looks that a story suggests for its characters.

use serde_json::{Value as Json, json};
use webtoon::offline::looks::suggest;

#[test]
fn looks_are_suggested_where_a_sentence_is_about_one_character_alone() {
    let cast = vec!["Mira".to_string(), "Tomas".into()];
    let scenes = [
        ("a".to_string(), "Mira waits. Her red coat is torn. Tomas wears a blue jacket.".to_string()),
        ("b".into(), "Mira and Tomas meet in hats. Mira pulls her red coat close. She cried.".into()),
    ];
    let found = suggest(&scenes, "Mira", &cast);
    let seen: Vec<(&str, &Json)> = found
        .iter()
        .filter_map(|it| Some((it["variant_type"].as_str()?, &it["override_attributes"])))
        .collect();
    assert_eq!(seen.len(), 3, "{found:?}");
    assert_eq!(
        (seen[0].0, &seen[0].1["outfit"], &seen[0].1["scene_ids"]),
        ("outfit_change", &json!("red coat"), &json!(["a", "b"]))
    );
    assert_eq!((&seen[1].1["condition"], &seen[1].1["scene_ids"]), (&json!("torn clothes"), &json!(["a"])));
    assert_eq!(
        (seen[2].0, &seen[2].1["mood"], &seen[2].1["scene_ids"]),
        ("mood_change", &json!("grief"), &json!(["b"]))
    );
    assert!(suggest(&scenes, "Nell", &cast).is_empty());
}

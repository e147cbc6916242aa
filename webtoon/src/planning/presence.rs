//! Who is seen where in a scene.

use serde_json::{Value as Json, json};

use super::panel::rounded;
use crate::drawing::references::names;

/// Of each character the panels in which it is seen and where it stands in them, its share of the panels, and whether it
/// `enters` after the first or `leaves` before the last; `off_stage` are those that must be shown and are in none.
pub fn presence_map(seen: &[Json], characters: &[String], must_show: &[String]) -> Json {
    let is_same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let mut present: Vec<Json> = Vec::new();
    for name in characters {
        let panels: Vec<usize> = (0..seen.len())
            .filter(|place| names(&seen[*place]["characters"]).iter().any(|it| is_same(it, name)))
            .collect();
        let (Some(first), Some(last)) = (panels.first(), panels.last()) else { continue };
        let positions: Vec<&Json> = panels
            .iter()
            .filter_map(|place| {
                let all = seen[*place]["characters"].as_array()?;
                all.iter().find(|it| it["name"].as_str().is_some_and(|it| is_same(it, name)))
            })
            .map(|character| &character["position"])
            .collect();
        present.push(json!({
            "name": name, "panels": panels.iter().map(|place| place + 1).collect::<Vec<_>>(),
            "positions": positions, "share": rounded(panels.len() as f64 / seen.len() as f64, 3),
            "enters": *first > 0, "leaves": last + 1 < seen.len(),
        }));
    }
    let is_seen =
        |name: &String| present.iter().any(|it| it["name"].as_str().is_some_and(|it| is_same(it, name)));
    let off_stage: Vec<&String> =
        must_show.iter().filter(|name| characters.contains(name) && !is_seen(name)).collect();
    let empty: Vec<usize> = (0..seen.len())
        .filter(|place| names(&seen[*place]["characters"]).is_empty())
        .map(|it| it + 1)
        .collect();
    json!({"characters": present, "off_stage": off_stage, "empty_panels": empty})
}

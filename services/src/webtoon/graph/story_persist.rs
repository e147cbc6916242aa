//! PersistStoryBundle: scenes, characters and their links in one commit.

use actors::job_scheduler::NodeWrite;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;
use webtoon::planning::beats::split_scenes;

use super::run::{Run, Stop};
use super::story::Story;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;
use crate::webtoon::{records, stories};

/// What a character's row takes from its profile: column and member. An existing character's empty ones are filled.
const PROFILE: [(&str, &str); 6] = [
    ("story_role", "role"),
    ("age_range", "age_range"),
    ("description", "description"),
    ("hair_description", "hair_description"),
    ("base_outfit", "base_outfit"),
    ("identity_line", "identity_line"),
];

/// Writes the scenes of a script and the characters of a story; answers with their ids.
pub async fn persist(
    run: &mut Run,
    story: &Story<'_>,
    script: &Json,
    characters: &[Json],
    round: u32,
) -> Result<Json, Stop> {
    let node = format!("PersistStoryBundle#{round}");
    if let Some(known) = run.done(&node) {
        return Ok(known);
    }
    let build = story.build;
    let row = stories::story(&run.context, build.story_id).await?;
    let project = uuid(&row["project_id"]).unwrap_or_default();
    let mut writes = Vec::new();
    // What an earlier round wrote goes first.
    let earlier = round.checked_sub(1).and_then(|round| run.done(&format!("PersistStoryBundle#{round}")));
    let earlier: Vec<Uuid> = earlier.iter().flat_map(|it| ids(&it["scenes"])).collect();
    writes.extend(earlier.iter().map(|id| NodeWrite::Delete { table: "scenes", id: *id }));
    let scenes = Query::all(position("scenes")).equal("story_id", Value::Uuid(build.story_id));
    let others = records::find(&run.context, scenes).await?;
    let others = others.iter().filter(|row| uuid(&row["id"]).is_none_or(|id| !earlier.contains(&id))).count();
    if others > 0 && !build.allow_append {
        let reason = "story already has scenes; set allow_append to true to append more";
        return Err(Stop::Failed(ServiceError::bad(reason)));
    }
    let beats = script["visual_beats"].as_array().cloned().unwrap_or_default();
    let texts = split_scenes(&beats, &build.story_text, build.max_scenes);
    if texts.is_empty() {
        return Err(run.failed(&node, ServiceError::bad("the story makes no scenes")));
    }
    let started = chrono::Utc::now().timestamp_micros();
    let request = run.context.claims.request_id.clone().map_or(Value::Null, Value::Text);
    let mut scene_ids = Vec::with_capacity(texts.len());
    for (place, text) in (0..).zip(&texts) {
        let id = Uuid::new_v4();
        scene_ids.push(id);
        writes.push(NodeWrite::Insert {
            table: "scenes",
            values: vec![
                ("id", Value::Uuid(id)),
                ("story_id", Value::Uuid(build.story_id)),
                ("source_text", Value::text(&**text)),
                // In the order of the story, which rows have by their time.
                ("created_at", Value::Timestamp(started + place)),
                ("created_by", request.clone()),
                ("updated_by", request.clone()),
            ],
        });
    }
    let character_ids = cast(run, story, project, characters, &mut writes).await?;
    let result = json!({"scenes": scene_ids, "characters": character_ids});
    run.record(&node, result, writes).await
}

/// Characters by their names within the project: known ones get what they lack, new ones a row; all a link.
async fn cast(
    run: &Run,
    story: &Story<'_>,
    project: Uuid,
    characters: &[Json],
    writes: &mut Vec<NodeWrite>,
) -> Result<Vec<Uuid>, Stop> {
    let query = Query::all(position("characters")).equal("project_id", Value::Uuid(project));
    let known = records::find(&run.context, query).await?;
    let links = Query::all(position("story_characters")).equal("story_id", Value::Uuid(story.build.story_id));
    let linked: Vec<Uuid> = records::find(&run.context, links)
        .await?
        .iter()
        .filter_map(|row| uuid(&row["character_id"]))
        .collect();
    let mut cast = Vec::with_capacity(characters.len());
    for character in characters {
        let name = character["name"].as_str().unwrap_or_default();
        let same =
            |row: &&Json| row["name"].as_str().is_some_and(|it| it.to_lowercase() == name.to_lowercase());
        let text = |member: &str| character[member].as_str().filter(|text| !text.trim().is_empty());
        let id = match known.iter().find(same) {
            Some(row) => {
                let id = uuid(&row["id"]).unwrap_or_default();
                let is_empty = |column: &str| row[column].as_str().is_none_or(|text| text.trim().is_empty());
                let values: Vec<(&'static str, Value)> = PROFILE
                    .iter()
                    .filter(|(column, _)| is_empty(column))
                    .filter_map(|(column, member)| Some((*column, Value::text(text(member)?))))
                    .collect();
                if !values.is_empty() {
                    writes.push(NodeWrite::Update { table: "characters", id, values });
                }
                id
            }
            None => {
                let id = Uuid::new_v4();
                let mut values = vec![
                    ("id", Value::Uuid(id)),
                    ("user_id", Value::Uuid(run.user)),
                    ("project_id", Value::Uuid(project)),
                    ("name", Value::text(name)),
                    ("is_public", Value::Bool(false)),
                    ("gender", Value::text(text("gender").unwrap_or("unspecified"))),
                ];
                values.extend(
                    PROFILE.iter().filter_map(|(column, member)| Some((*column, Value::text(text(member)?)))),
                );
                if character["appearance"].is_object() {
                    values.push(("appearance", Value::json(&character["appearance"])));
                }
                writes.push(NodeWrite::Insert { table: "characters", values });
                id
            }
        };
        if !linked.contains(&id) && !cast.contains(&id) {
            let values = vec![
                ("story_id", Value::Uuid(story.build.story_id)),
                ("character_id", Value::Uuid(id)),
                ("narrative_description", text("description").map_or(Value::Null, Value::text)),
            ];
            writes.push(NodeWrite::Insert { table: "story_characters", values });
        }
        cast.push(id);
    }
    Ok(cast)
}

/// The ids of a list.
pub fn ids(list: &Json) -> Vec<Uuid> {
    list.as_array().into_iter().flatten().filter_map(uuid).collect()
}

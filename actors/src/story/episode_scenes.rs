//! Scenes of an episode: of its story, in one order.

use models::{Command, Row, schema};
use store::{Caller, Event, StoreError, Transaction, guard};

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    let at = |name: &str| table.at(name);
    let moved = ["episode_id", "scene_id", "order_index"]
        .iter()
        .any(|name| event.old.is_none_or(|old| old[at(name)] != new[at(name)]));
    if !moved {
        return Ok(());
    }
    let (episodes, scenes) = (schema().known("episodes"), schema().known("scenes"));
    let reads = transaction.reads();
    let episode = reads.get(episodes, std::slice::from_ref(&new[at("episode_id")]))?;
    let scene = reads.get(scenes, std::slice::from_ref(&new[at("scene_id")]))?;
    // What is missing or hidden the policies and references say.
    let (Some(episode), Some(scene)) = (episode, scene) else { return Ok(()) };
    let caller = Caller::new(event.claims);
    for (table, row) in [(episodes, &episode), (scenes, &scene)] {
        if !guard::allows(&reads, &caller, table, Command::Select, row)? {
            return Ok(());
        }
    }
    let refused = |message: String| Err(StoreError::raised("PT400", message));
    if episode[episodes.at("story_id")] != scene[scenes.at("story_id")] {
        return refused("episode_scenes.scene_id: the scene is not of the episode's story".into());
    }
    let place = new[at("order_index")].as_i64().unwrap_or(0);
    if place < 0 {
        return refused(format!("episode_scenes.order_index: {place} is below 0"));
    }
    for other in reads.referring(table, at("episode_id"), &new[at("episode_id")])? {
        if other[at("id")] == new[at("id")] {
            continue;
        }
        if other[at("order_index")] == new[at("order_index")] {
            return refused(format!("episode_scenes.order_index: {place} is taken in the episode"));
        }
    }
    Ok(())
}

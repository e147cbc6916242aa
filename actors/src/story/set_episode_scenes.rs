//! The scenes of an episode, as a whole.

use std::collections::HashSet;

use models::{Aggregate, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Replaces the list of an episode's scenes; their order counts from 0.
#[derive(Debug)]
pub struct SetEpisodeScenes {
    /// The episode, which the caller sees.
    pub episode: Uuid,
    /// The scenes, each once, all of the episode's story.
    pub scenes: Vec<Uuid>,
}

impl Decision for SetEpisodeScenes {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Story
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let (episodes, scenes, listed) =
            (schema().known("episodes"), schema().known("scenes"), schema().known("episode_scenes"));
        let reads = transaction.reads();
        let missing = || Refusal::raised("PT404", "episode not found");
        let episode = reads.get(episodes, &[Value::Uuid(self.episode)])?.ok_or_else(missing)?;
        let story = &episode[episodes.at("story_id")];
        let mut seen = HashSet::new();
        for scene in &self.scenes {
            if !seen.insert(*scene) {
                return Err(Refusal::raised("PT409", format!("scene {scene} is in the list twice")));
            }
            let row = reads.get(scenes, &[Value::Uuid(*scene)])?;
            // A scene of another account is answered like one that is not there.
            if row.is_none_or(|row| row[scenes.at("story_id")] != *story) {
                let message = format!("scene {scene} is no scene of the episode's story");
                return Err(Refusal::raised("PT409", message));
            }
        }
        let caller = Caller::new(transaction.claims);
        let old = reads.referring(listed, listed.at("episode_id"), &Value::Uuid(self.episode))?;
        for row in &old {
            transaction.delete(&caller, listed, row)?;
        }
        for (place, scene) in self.scenes.iter().enumerate() {
            let mut row = listed.default_row();
            row[listed.at("id")] = Value::Uuid(Uuid::new_v4());
            row[listed.at("episode_id")] = Value::Uuid(self.episode);
            row[listed.at("scene_id")] = Value::Uuid(*scene);
            row[listed.at("order_index")] = Value::Int(place as i64);
            transaction.insert(&caller, listed, row)?;
        }
        Ok(())
    }
}

//! Who is in a topic, and what they say of themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::listener::ListenerId;

/// What one channel says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Under which key.
    pub key: Arc<str>,
    /// What it says, with `phx_ref`, which is new each time.
    pub said: Arc<Map<String, Json>>,
}

/// Who came and who went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresenceDiff {
    /// Came, or say something else.
    pub joins: Vec<Meta>,
    /// Went, or said something else.
    pub leaves: Vec<Meta>,
}

/// The presence of one topic; a channel is in it at most once.
#[derive(Debug, Default)]
pub(super) struct Presence(BTreeMap<ListenerId, Meta>);

impl Presence {
    pub fn track(&mut self, id: ListenerId, key: &str, mut said: Map<String, Json>) -> PresenceDiff {
        said.remove("phx_ref_prev");
        let before = self.0.remove(&id);
        if let Some(before) = &before {
            said.insert("phx_ref_prev".into(), before.said["phx_ref"].clone());
        }
        said.insert("phx_ref".into(), Uuid::new_v4().simple().to_string().into());
        let meta = Meta { key: key.into(), said: Arc::new(said) };
        self.0.insert(id, meta.clone());
        PresenceDiff { joins: vec![meta], leaves: before.into_iter().collect() }
    }

    pub fn untrack(&mut self, id: ListenerId) -> Option<PresenceDiff> {
        let gone = self.0.remove(&id)?;
        Some(PresenceDiff { joins: Vec::new(), leaves: vec![gone] })
    }

    pub fn all(&self) -> Vec<Meta> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn saying_something_else_is_a_leave_and_a_join() {
        let mut presence = Presence::default();
        let said =
            |value| Map::from_iter([("at".to_string(), json!(value)), ("phx_ref".into(), json!("forged"))]);
        let first = presence.track(1, "a", said(1));
        assert!(first.leaves.is_empty() && first.joins[0].said["phx_ref"] != json!("forged"));
        let second = presence.track(1, "a", said(2));
        assert_eq!(second.leaves, first.joins);
        assert_eq!(second.joins[0].said["phx_ref_prev"], first.joins[0].said["phx_ref"]);
        presence.track(2, "a", said(3));
        assert_eq!(presence.all().len(), 2);
        assert_eq!(presence.untrack(1).map(|diff| diff.leaves), Some(second.joins));
        assert!(presence.untrack(1).is_none());
    }
}

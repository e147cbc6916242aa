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
    /// How much it is on the wire, about.
    pub bytes: usize,
}

/// What a key and what is said under it take on the wire, with what is put around them.
pub(super) fn bytes(key: &str, said: &Map<String, Json>) -> usize {
    const AROUND: usize = 192;
    // An object of JSON can always be written.
    serde_json::to_string(said).map_or(0, |text| text.len()) + 2 * key.len() + AROUND
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
pub(super) struct Presence {
    metas: BTreeMap<ListenerId, Meta>,
    bytes: usize,
}

impl Presence {
    /// How much there is but for what one of them said.
    pub fn bytes_without(&self, id: ListenerId) -> usize {
        self.bytes - self.metas.get(&id).map_or(0, |meta| meta.bytes)
    }

    pub fn track(
        &mut self,
        id: ListenerId,
        key: &str,
        mut said: Map<String, Json>,
        bytes: usize,
    ) -> PresenceDiff {
        said.remove("phx_ref_prev");
        self.bytes = self.bytes_without(id) + bytes;
        let before = self.metas.remove(&id);
        if let Some(before) = &before {
            said.insert("phx_ref_prev".into(), before.said["phx_ref"].clone());
        }
        said.insert("phx_ref".into(), Uuid::new_v4().simple().to_string().into());
        let meta = Meta { key: key.into(), said: Arc::new(said), bytes };
        self.metas.insert(id, meta.clone());
        PresenceDiff { joins: vec![meta], leaves: before.into_iter().collect() }
    }

    pub fn untrack(&mut self, id: ListenerId) -> Option<PresenceDiff> {
        self.bytes = self.bytes_without(id);
        let gone = self.metas.remove(&id)?;
        Some(PresenceDiff { joins: Vec::new(), leaves: vec![gone] })
    }

    pub fn all(&self) -> Vec<Meta> {
        self.metas.values().cloned().collect()
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
        let first = presence.track(1, "a", said(1), 10);
        assert!(first.leaves.is_empty() && first.joins[0].said["phx_ref"] != json!("forged"));
        let second = presence.track(1, "a", said(2), 20);
        assert_eq!(second.leaves, first.joins);
        assert_eq!(second.joins[0].said["phx_ref_prev"], first.joins[0].said["phx_ref"]);
        presence.track(2, "a", said(3), 3);
        assert_eq!((presence.bytes, presence.bytes_without(1)), (23, 3));
        assert_eq!(presence.all().len(), 2);
        assert_eq!(presence.untrack(1).map(|diff| diff.leaves), Some(second.joins));
        assert!(presence.untrack(1).is_none());
    }
}

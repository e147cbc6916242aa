//! What channels hear, as frames.

use actors::events::presence::{Meta, PresenceDiff};
use serde_json::{Map, Value as Json, json};
use syntax::phoenix::{self, Broadcast, Frame, Version};

use super::outbox::Names;

/// Something for a channel that is no answer.
pub(super) fn to_channel(version: Version, names: &Names, event: &str, payload: &str) -> Frame {
    phoenix::write(version, names.join_ref.as_deref(), None, &names.topic, event, payload)
}

/// A changed row.
pub(super) fn changed(version: Version, names: &Names, ids: &[u64], data: &str) -> Frame {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    let payload = format!(r#"{{"ids":[{}],"data":{data}}}"#, ids.join(","));
    to_channel(version, names, "postgres_changes", &payload)
}

/// A broadcast. What the version has no form for is not dropped in silence.
pub(super) fn said(version: Version, names: &Names, message: &Broadcast) -> Frame {
    phoenix::write_broadcast(version, &names.topic, message).unwrap_or_else(|| {
        let channel = names.topic.split_once(':').map_or("", |(_, name)| name);
        let what =
            format!("a binary broadcast {:?} was left out: version 1.0.0 has no form for it", message.event);
        let payload = json!({"extension": "broadcast", "status": "ok", "message": what, "channel": channel});
        to_channel(version, names, "system", &payload.to_string())
    })
}

/// Who is there.
pub(super) fn presence_state(version: Version, names: &Names, present: &[Meta]) -> Frame {
    to_channel(version, names, "presence_state", &by_key(present).to_string())
}

/// Who came and who went.
pub(super) fn presence_diff(version: Version, names: &Names, diff: &PresenceDiff) -> Frame {
    let payload = json!({"joins": by_key(&diff.joins), "leaves": by_key(&diff.leaves)});
    to_channel(version, names, "presence_diff", &payload.to_string())
}

fn by_key(metas: &[Meta]) -> Json {
    let mut keys = Map::new();
    for meta in metas {
        let entry = keys.entry(&*meta.key).or_insert_with(|| json!({"metas": []}));
        if let Some(metas) = entry["metas"].as_array_mut() {
            metas.push(Json::Object((*meta.said).clone()));
        }
    }
    Json::Object(keys)
}

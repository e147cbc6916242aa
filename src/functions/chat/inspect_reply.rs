//! inspect-reply: what went into a reply's prompt, how it ended, and which other versions there are.

use models::Value;
use serde_json::{Value as Json, json};
use services::conversations::messages;
use services::ids::uuid;
use services::rows::position;
use store::query::Query;

use super::named_reply::{self, ReplySelector};
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let named: ReplySelector = call.read()?;
    let id = named.message_id.or(named.reply_id);
    let id = id.ok_or_else(|| FunctionError::missing_one_of(&["message_id", "reply_id"]))?;
    let reply = match named.row(&call).await {
        Ok(reply) => reply,
        // Messages of people and of clients were not generated.
        Err(_) => Json::Null,
    };
    let message = messages::message(&call.context, id).await;
    if reply.is_null()
        && let Err(error) = message
    {
        return Err(error.into());
    }
    let message = message.ok().map(|(_, row)| row);
    let versions = match &message {
        Some(row) => versions(&call, row).await?,
        None => Vec::new(),
    };
    let said = if reply["state"] == "streaming" { parts(&call, &reply).await? } else { Json::Null };
    ok(json!({
        "success": true,
        "message_id": id,
        "conversation_id": message.as_ref().map_or(&reply["conversation_id"], |row| &row["conversation_id"]),
        "state": reply["state"],
        "content": message.as_ref().map_or(said, |row| row["content"].clone()),
        "content_tier": reply["content_tier"],
        "provider": reply["provider"],
        "model": reply["model"],
        "engine": reply["engine"],
        "seed": reply["seed"],
        "finish_reason": reply["finish_reason"],
        "error": reply["error"],
        "usage": reply["usage"],
        "prompt": reply["prompt"],
        "answers": reply["answers"],
        "replaces": reply["replaces"],
        "created_at": reply["created_at"],
        "finished_at": reply["finished_at"],
        "alternatives": versions,
    }))
}

/// What has been kept of a reply under way.
async fn parts(call: &Call, reply: &Json) -> Result<Json, FunctionError> {
    let id = uuid(&reply["id"]).map_or(Value::Null, Value::Uuid);
    let query = Query::all(position("chat.reply_parts")).equal("reply_id", id).order("position", false);
    let rows = call.context.rows(query).await?;
    Ok(json!(rows.iter().filter_map(|row| row["content"].as_str()).collect::<String>()))
}

/// All versions of a message: those that follow the same one, on whatever branch.
async fn versions(call: &Call, message: &Json) -> Result<Vec<Json>, FunctionError> {
    let conversation = uuid(&message["conversation_id"]).map_or(Value::Null, Value::Uuid);
    let active = |order_descending: bool| {
        let query = Query::all(position("messages")).equal("conversation_id", conversation.clone());
        query.order("created_at", order_descending)
    };
    let is_shelved = message.get("parent_id").is_some();
    let time = time(message);
    let messages = services::rows::table("messages").at("created_at");
    use store::query::{Comparison, Filter};
    let parent = if is_shelved {
        message["parent_id"].clone()
    } else {
        let before = Filter::compare(messages, Comparison::Less, time);
        call.context
            .rows(active(true).filter(before).limit(1))
            .await?
            .pop()
            .map_or(Json::Null, |row| row["id"].clone())
    };
    let inactive = Query::all(position("chat.shelved_messages"))
        .equal("conversation_id", conversation.clone())
        .equal("parent_id", uuid(&parent).map_or(Value::Null, Value::Uuid))
        .order("created_at", false)
        .order("shelved_at", false);
    let shelved = call.context.rows(inactive).await?;
    let mut all: Vec<Json> = shelved.iter().map(|row| named_reply::version(row, false)).collect();
    if !is_shelved {
        all.push(named_reply::version(message, true));
        return Ok(all);
    }
    // What is active instead follows the same message.
    let after = match uuid(&parent) {
        None => Filter::All,
        Some(parent) => match call.context.row("messages", parent).await? {
            None => return Ok(all),
            Some(row) => Filter::compare(messages, Comparison::Greater, self::time(&row)),
        },
    };
    let next = call.context.rows(active(false).filter(after).limit(1)).await?.pop();
    all.extend(next.map(|row| named_reply::version(&row, true)));
    Ok(all)
}

fn time(row: &Json) -> Value {
    let kind = models::ColumnType::Timestamptz;
    models::convert::from_json(kind, &row["created_at"]).unwrap_or(Value::Null)
}

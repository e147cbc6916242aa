//! Rolling summaries: once enough messages lie outside what a prompt tells in full, the oldest are summed up.

use language::{ChatMessage, Role, Sampling};
use uuid::Uuid;

use super::chat::{Chat, Turn};
use super::history::{History, MemoryTier};
use super::memory;
use super::prompt::Said;
use super::update_memory::{MemoryChange, UpdateMemory};
use crate::content_rules;
use crate::language::{CallOf, Completion};
use crate::rows;

/// Messages that are never summed up, because prompts tell them in full.
const LATEST: usize = 16;
/// Messages of one summary.
const BATCH: usize = 12;
/// Messages looked at.
const LOOKED_AT: u64 = 120;
/// Longest summary, in tokens.
const TOKENS_MAX: usize = 160;
/// So much of a message goes into a summary, in characters.
const MESSAGE_CHARS: usize = 600;

const INSTRUCTIONS: &str = "Sum up this part of a conversation in at most four sentences. Keep names, promises, places \
                            and what changed. Write in the past tense, and add nothing.";

/// The messages to sum up, if it is time.
fn due(history: &History) -> Option<Vec<Said>> {
    let uncovered = history.uncovered();
    (uncovered.len() >= LATEST + BATCH)
        .then(|| uncovered[..BATCH].iter().map(|said| (*said).clone()).collect())
}

/// What is to be summed up.
pub(super) struct Due {
    batch: Vec<Said>,
    /// Whether facts are looked for in it.
    may_learn: bool,
}

impl Chat {
    /// What is to be summed up after this reply, if it is time.
    pub(super) async fn summary_due(&self, turn: &Turn) -> Option<Due> {
        let store = self.inner.actors.store().clone();
        let id = turn.conversation_id;
        let read = tokio::task::spawn_blocking(move || {
            let conversation = rows::get(&store, "conversations", id).ok()??;
            History::read(&store, &conversation, None, LOOKED_AT, MemoryTier::Conversation).ok()
        });
        let history = read.await.ok().flatten()?;
        let batch = due(&history)?;
        Some(Due { batch, may_learn: memory::may_learn(&history.memory) })
    }

    /// Sums up; a failure only means that it is tried again after the next reply.
    pub(super) async fn sum_up(&self, turn: &Turn, due: Due) {
        let Due { batch, may_learn } = due;
        let ids: Vec<Uuid> = batch.iter().filter_map(|said| said.id).collect();
        let room = turn.chosen.context_tokens.saturating_sub(TOKENS_MAX + 120);
        let mut text = String::new();
        let mut lines = Vec::new();
        for said in &batch {
            let speaker = if said.role == Role::User { "User" } else { "Character" };
            let words: String = said.text.chars().take(MESSAGE_CHARS).collect();
            let line = format!("{speaker}: {words}\n");
            if turn.chosen.count_tokens(&text) + turn.chosen.count_tokens(&line) > room {
                break;
            }
            text.push_str(&line);
            lines.push(line);
        }
        if text.is_empty() {
            return;
        }
        let completion = Completion {
            messages: vec![ChatMessage::new(Role::System, INSTRUCTIONS), ChatMessage::new(Role::User, text)],
            sampling: Sampling::greedy(),
            max_tokens: TOKENS_MAX,
            json_schema: None,
            user: turn.user_id.to_string(),
            call: CallOf::new(Some(turn.user_id), "summary"),
        };
        let summary = match self.inner.engines.complete(&turn.chosen, completion).await {
            Ok((summary, _)) => summary.trim().to_string(),
            Err(error) => {
                tracing::warn!(%error, "a conversation could not be summed up");
                return;
            }
        };
        if summary.is_empty()
            || content_rules::check(turn.tier.of_own_words(), "a summary", &summary).is_err()
        {
            return;
        }
        let update = UpdateMemory {
            conversation_id: turn.conversation_id,
            user_id: turn.user_id,
            change: MemoryChange::Summarise(summary, ids),
        };
        match self.inner.actors.ask(&turn.claims, update).await {
            Ok(Some(_)) if may_learn => self.find_facts(turn, &batch, &lines).await,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a summary could not be stored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_oldest_uncovered_messages_are_due_and_the_latest_never() {
        let said =
            |number: u128| Said { id: Some(Uuid::from_u128(number)), role: Role::User, text: "x".into() };
        let mut history = History { memory: json!({}), ..History::default() };
        history.said = (0..27).map(said).collect();
        assert!(due(&history).is_none());
        history.said.push(said(27));
        let first = due(&history).expect("it is time");
        assert_eq!(first.len(), BATCH);
        let ids: Vec<Uuid> = first.iter().filter_map(|said| said.id).collect();
        assert_eq!(ids[0], Uuid::from_u128(0));
        memory::summarise(&mut history.memory, "s", &ids);
        assert!(due(&history).is_none(), "what is covered is not summed up again");
    }
}

//! A conversation opens with a greeting of its character, never with a model's words: with one that was asked for by its
//! number, or with the first that there is, before the first turn.

use std::sync::Arc;

use actors::Refusal;
use actors::content_rules::{self, ContentRating};
use actors::conversation::chat::{ReplyHandle, ReplyIds, Turn, TurnError};
use actors::conversation::open_conversation::{OpenConversation, Opened, greeting_id};
use actors::conversation::setting::Setting;
use actors::conversation::sheet::Sheet;
use models::{Row, Value};
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::conversations::participants;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::{position, table};

/// What is wanted of an opening.
pub struct Opening<'o> {
    /// The conversation; its row is new unless it is stored.
    pub conversation: &'o Json,
    /// Whether it is not stored yet.
    pub is_new: bool,
    /// Whose greetings they are.
    pub character: &'o Sheet,
    /// Who the person plays.
    pub persona: Option<Sheet>,
    /// The rating.
    pub tier: ContentRating,
    /// The number of a greeting; the first that there is without.
    pub greeting: Option<usize>,
    /// Decides what macros leave to chance.
    pub seed: u64,
}

/// Who is in an opening.
#[derive(Clone, Debug)]
pub struct OpeningFacts {
    /// Whose greetings they are.
    pub character: Sheet,
    /// Who the person plays.
    pub persona: Option<Sheet>,
    /// The rating.
    pub tier: ContentRating,
}

/// How a conversation opens, not written yet.
pub struct Chosen {
    open: OpenConversation,
    facts: OpeningFacts,
    is_asked_for: bool,
    seed: u64,
}

/// A greeting that begins a conversation.
pub struct Greeting {
    /// Its number: 0 is the first message of the card, the alternates follow.
    pub number: usize,
    /// Its message, as a reply that needed no model.
    pub reply: Arc<ReplyHandle>,
    /// All that there are, with the messages that choose-reply takes.
    pub all: Json,
}

impl Opening<'_> {
    /// Chooses a greeting, if the conversation has not begun or one is asked for.
    pub async fn choose(self, context: &Context) -> Result<Chosen, ServiceError> {
        let id = uuid(&self.conversation["id"]).unwrap_or_default();
        let user_id = participants::owner(self.conversation)?;
        let mut open = OpenConversation {
            conversation_id: id,
            user_id,
            create: None,
            character_id: self.character.id,
            greetings: Vec::new(),
            chosen: 0,
            may_change: self.greeting.is_some(),
        };
        if self.is_new {
            open.create = Some(row(self.conversation)?);
        }
        if self.is_new || self.greeting.is_some() || !has_begun(context, id).await? {
            let setting = Setting {
                user_name: participants::user_name(context, user_id)?,
                character: Some(self.character.clone()),
                persona: self.persona.clone(),
                ..Setting::default()
            };
            setting.admit(self.tier, context.may_have_nsfw()?)?;
            let mut greetings = setting.greetings(id, self.seed);
            let chosen = self.number(&greetings)?;
            greetings.retain(|(_, text)| self.may_be_said(text).is_ok());
            open.chosen = chosen.unwrap_or_default();
            open.greetings = greetings;
        }
        let facts = OpeningFacts {
            character: self.character.clone(),
            persona: self.persona.clone(),
            tier: self.tier,
        };
        Ok(Chosen { open, facts, is_asked_for: self.greeting.is_some(), seed: self.seed })
    }

    fn may_be_said(&self, text: &str) -> Result<(), Refusal> {
        content_rules::check(self.tier, "the greeting", text)
    }

    /// Which greeting opens; `None` when there is none.
    fn number(&self, greetings: &[(usize, String)]) -> Result<Option<usize>, ServiceError> {
        let Some(wanted) = self.greeting else {
            let first = greetings.iter().find(|(_, text)| self.may_be_said(text).is_ok());
            if let (None, Some((_, text))) = (first, greetings.first()) {
                // All that there are break the rules of this rating: that is said, not passed over.
                self.may_be_said(text)?;
            }
            return Ok(first.map(|(number, _)| *number));
        };
        let Some((_, text)) = greetings.iter().find(|(number, _)| *number == wanted) else {
            let numbers: Vec<String> = greetings.iter().map(|(number, _)| number.to_string()).collect();
            let reason = match numbers.is_empty() {
                true => format!("{wanted}, but the character has none"),
                false => format!("{wanted} is none of {}", numbers.join(", ")),
            };
            let numbers: Vec<usize> = greetings.iter().map(|(number, _)| *number).collect();
            let error = ServiceError::field("greeting", reason).with("accepted", numbers);
            return Err(error.with("success", false));
        };
        self.may_be_said(text)?;
        Ok(Some(wanted))
    }
}

impl Chosen {
    /// Whether a greeting opens the conversation.
    pub fn greets(&self) -> bool {
        !self.open.greetings.is_empty()
    }

    /// Who is in it.
    pub fn facts(&self) -> OpeningFacts {
        self.facts.clone()
    }

    /// The same without a greeting: a model's words open it.
    pub fn without_greeting(mut self) -> Chosen {
        self.open.greetings.clear();
        self
    }

    /// Writes what was chosen. A conversation that has begun stays as it is; asked for another greeting, it says 409.
    pub async fn write(self, context: &Context) -> Result<Option<Greeting>, ServiceError> {
        if !self.greets() && self.open.create.is_none() {
            return Ok(None);
        }
        let (conversation_id, user_id) = (self.open.conversation_id, self.open.user_id);
        let (number, greetings) = (self.open.chosen, self.open.greetings.clone());
        let opened = context.ask(self.open).await.map_err(TurnError::from)?;
        let all = listed(conversation_id, &greetings);
        let message_id = match opened {
            Opened::With(message_id) => message_id,
            Opened::BegunBefore if !self.is_asked_for => return Ok(None),
            Opened::BegunBefore => {
                let message = "the conversation has begun; choose-reply goes back to another greeting";
                let error = ServiceError::new(Kind::Conflict, message).with("success", false);
                return Err(error.with("code", "CONVERSATION_BEGUN").with("greetings", all));
            }
        };
        let text = greetings.into_iter().find(|(other, _)| *other == number).map(|(_, text)| text);
        let ids = ReplyIds { message_id, conversation_id, user_id };
        let reply = ReplyHandle::without_model(ids, self.seed, text.unwrap_or_default());
        Ok(Some(Greeting { number, reply, all }))
    }
}

/// Puts the first greeting that there is before the first turn of a conversation with a character.
pub async fn before_turn(context: &Context, turn: &Turn) -> Result<(), ServiceError> {
    let Some(character) = &turn.setting.character else { return Ok(()) };
    let opening = Opening {
        conversation: &participants::conversation(context, turn.conversation_id).await?,
        is_new: false,
        character,
        persona: turn.setting.persona.clone(),
        tier: turn.tier,
        greeting: None,
        seed: turn.seed.unwrap_or_else(any_seed),
    };
    opening.choose(context).await?.write(context).await?;
    Ok(())
}

/// A conversation that does not exist yet, as a row.
pub fn new_conversation(user: Uuid, character: &Sheet) -> Json {
    let conversations = table("conversations");
    let mut row = conversations.default_row();
    let mut set = |column: &str, value: Value| row[conversations.at(column)] = value;
    set("id", Value::Uuid(Uuid::new_v4()));
    set("user_id", Value::Uuid(user));
    set("title", Value::text(&character.name));
    set("conversation_type", Value::text("character_roleplay"));
    set("character_id", Value::Uuid(character.id));
    actors::rows::object(conversations, &row)
}

fn row(conversation: &Json) -> Result<Row, ServiceError> {
    let conversations = table("conversations");
    let mut row = conversations.default_row();
    for (at, column) in conversations.table.columns.iter().enumerate() {
        let value = models::convert::from_json(column.kind, &conversation[column.name]);
        row[at] = value.map_err(|error| ServiceError::field(column.name, error.to_string()))?;
    }
    Ok(row)
}

/// A seed for macros that leave something to chance.
pub fn any_seed() -> u64 {
    // As many bits as JSON numbers carry without loss.
    Uuid::new_v4().as_u64_pair().0 >> 11
}

/// Whether the character has said anything on the present branch.
async fn has_begun(context: &Context, conversation: Uuid) -> Result<bool, ServiceError> {
    let replies = Query::all(position("messages"))
        .equal("conversation_id", Value::Uuid(conversation))
        .equal("sender", Value::text("assistant"))
        .limit(1);
    Ok(!context.rows(replies).await?.is_empty())
}

fn listed(conversation: Uuid, greetings: &[(usize, String)]) -> Json {
    let one = |(number, text): &(usize, String)| json!({"greeting": number, "message_id": greeting_id(conversation, *number), "content": text});
    greetings.iter().map(one).collect()
}

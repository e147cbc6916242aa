//! `POST chat/completions`: the next message of a conversation that the client keeps. A character may be the model:
//! then its sheet, its lorebook and the prompt's budget are as in our own conversations.

use actors::content_rules::ContentRating;
use actors::conversation::history::History;
use actors::conversation::prompt::Said;
use actors::conversation::setting::Setting;
use actors::language::Chosen;
use axum::extract::{Request, State};
use axum::response::Response;
use language::{Beginning, ChatMessage, ChatRequest, Role};
use services::Kind;
use services::age_gate;
use services::context::Context;
use services::conversations::participants;
use services::prompts::templates;
use store::shares::Held;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::authenticate::{Received, Requester, authenticate_with_body};
use super::chat_engine::{choose, submit};
use super::chat_reply::{Form, Reply, Shape};
use super::chat_request::{Body, ChatOptions};
use super::error::OpenAiError;
use super::models::CHARACTER;
use super::tool_calls::in_words;
use crate::app::App;
use crate::request_body::{Notes, with_header};

/// `POST chat/completions`
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Response, OpenAiError> {
    let (parts, body) = request.into_parts();
    let (requester, Received { bytes, turn }) = authenticate_with_body(&app, &parts, "chat", body).await?;
    let mut notes = Notes::default();
    let read = Body::read(&bytes, &mut notes);
    // Refused while the turn is held if it is more than a chat has; the reply takes long and needs no turn.
    let read = read.and_then(|body| Ok((body.options()?, body)));
    drop((bytes, turn));
    let answer = match read {
        Ok((options, body)) => answer(&app, &requester, options, body, Form::Chat, &mut notes).await,
        Err(error) => Err(error),
    };
    answer.map_err(|error| error.noting(&mut notes))
}

/// What the next message is.
pub(super) async fn answer(
    app: &App,
    requester: &Requester,
    mut options: ChatOptions,
    body: Body,
    form: Form,
    notes: &mut Notes,
) -> Result<Response, OpenAiError> {
    let context = requester.context(app);
    let may_have_nsfw = context.may_have_nsfw()?;
    let name = body.model.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let mut setting = match name.and_then(|name| name.strip_prefix(CHARACTER)) {
        Some(id) => Some(enter(&context, requester.user, id)?),
        None => None,
    };
    let rating = setting.as_ref().and_then(|setting| setting.character.as_ref());
    let tier = match body.tier()? {
        Some(tier) => tier,
        None if rating.is_some_and(|sheet| sheet.is_nsfw()) => ContentRating::Nsfw,
        None => ContentRating::Sfw,
    };
    let tier = age_gate::lowered(&context, tier)?;
    if context.lowered.is_noted() {
        notes.warnings.push(format!("content_rating: {}", age_gate::NOTICE));
    }
    if let Some(setting) = &setting {
        setting.admit(tier, may_have_nsfw)?;
    }
    options.check(tier)?;
    let chosen = choose(app, name.filter(|_| setting.is_none())).await?;
    options.sampling = body.sampling(chosen.says.over(options.sampling));
    options.max_tokens = body.max_tokens(chosen.says.max_tokens);
    let is_held = settle_tools(&mut options, setting.is_some(), chosen.provider == "local")?;
    let shown = name.map_or_else(|| chosen.model.clone(), str::to_string);
    let cancel = CancellationToken::new();
    let ends_it = cancel.clone().drop_guard();
    let (messages, max_tokens) = match &mut setting {
        None => (options.messages.clone(), options.max_tokens),
        Some(setting) => {
            let template = templates::roleplay(&context, &chosen.model, tier).await?;
            setting.template = (template.name.clone(), template.system_prompt.clone());
            setting.template_source = template.describe();
            setting.cancel = cancel.clone();
            let place = app.services.chat.engines().prepare(Some(requester.user)).await?;
            assemble(setting.clone(), &chosen, &options, place).await?
        }
    };
    let beginning = beginning(&options, &messages, chosen.provider == "local")?;
    let mut request = ChatRequest::new(messages);
    request.beginning = beginning;
    request.sampling = options.sampling;
    request.stop = options.stop;
    request.max_tokens = max_tokens;
    request.json_schema = options.json_schema;
    request.tools = options.tools.filter(|_| !is_held).map(|offer| offer.for_elsewhere());
    request.user = requester.user.to_string();
    request.cancel = cancel;
    let mut streams = Vec::with_capacity(options.choices);
    for index in 0..options.choices as u64 {
        // Each of several replies to a seed has one of its own.
        let seed = options.seed.map(|seed| seed.wrapping_add(index));
        streams.push(submit(app, &chosen, ChatRequest { seed, ..request.clone() }, requester.user).await?);
    }
    let warnings = notes.warnings();
    let engine = setting.is_none().then(|| chosen.engine_name().to_string());
    let shape = Shape { form, is_held, include_usage: options.include_usage };
    let reply = Reply::new(shown, engine, tier, shape, streams, ends_it);
    if options.stream { Ok(with_header(reply.streamed(), &warnings)) } else { reply.whole(warnings).await }
}

/// Where the reply begins: as the request says; otherwise a model of this machine goes on with a last message of the
/// assistant's, as llama.cpp's server does, and a server elsewhere does as it does.
fn beginning(
    options: &ChatOptions,
    messages: &[ChatMessage],
    is_local: bool,
) -> Result<Beginning, OpenAiError> {
    let ends_with_reply =
        messages.last().is_some_and(|last| last.role == Role::Assistant && last.tool_calls.is_empty());
    match options.beginning {
        Some(Beginning::LastMessage) if !ends_with_reply => {
            let reason = "the last message is not the assistant's, so there is none to continue";
            Err(OpenAiError::param("continue_final_message", reason))
        }
        Some(beginning) => Ok(beginning),
        None if is_local && ends_with_reply && options.tools.is_none() => Ok(Beginning::LastMessage),
        None => Ok(Beginning::NewMessage),
    }
}

/// Lets tools be called by who answers: a server elsewhere is told of them, a model of this machine is held to words or a
/// call by a grammar. Answers whether it is held.
fn settle_tools(options: &mut ChatOptions, by_character: bool, is_local: bool) -> Result<bool, OpenAiError> {
    let has_calls = options.messages.iter().any(|it| it.tool_call_id.is_some() || !it.tool_calls.is_empty());
    if by_character && (options.tools.is_some() || has_calls) {
        return Err(OpenAiError::param("tools", "a character calls none; name a model"));
    }
    if !is_local {
        return Ok(false);
    }
    if has_calls {
        options.messages = in_words(std::mem::take(&mut options.messages));
    }
    let Some(offer) = &options.tools else { return Ok(false) };
    options.json_schema = Some(offer.schema()?);
    // Not every template takes a second message of instructions.
    match options.messages.first_mut().filter(|first| first.role == Role::System) {
        Some(first) => {
            first.content = [offer.instructions(), std::mem::take(&mut first.content)].join("\n");
        }
        None => options.messages.insert(0, ChatMessage::new(Role::System, offer.instructions())),
    }
    Ok(true)
}

/// The character and what belongs to it, as far as the caller may know them.
fn enter(context: &Context, user: Uuid, id: &str) -> Result<Setting, OpenAiError> {
    let missing = || OpenAiError::no_model(&format!("{CHARACTER}{id}"), &[]);
    let character = Uuid::parse_str(id).map_err(|_| missing())?;
    let mut setting = Setting { user_name: participants::user_name(context, user)?, ..Setting::default() };
    match participants::enter(context, &mut setting, character) {
        Ok(()) => Ok(setting),
        Err(error) if error.kind() == Kind::NotFound => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// The prompt of a character's turn: what the client calls instructions is the scene, the rest was said.
async fn assemble(
    mut setting: Setting,
    chosen: &Chosen,
    options: &ChatOptions,
    place: Held,
) -> Result<(Vec<ChatMessage>, usize), OpenAiError> {
    if options.messages.iter().any(|message| !message.images.is_empty()) {
        return Err(OpenAiError::param(
            "messages",
            "a character looks at no pictures; name a model that can",
        ));
    }
    let (instructions, said): (Vec<_>, Vec<_>) =
        options.messages.iter().cloned().partition(|message| message.role == Role::System);
    setting.scene.extend(instructions.into_iter().map(|message| message.content));
    let said: Vec<Said> = said
        .into_iter()
        .map(|message| Said { id: None, role: message.role, text: message.content })
        .collect();
    if said.is_empty() {
        return Err(OpenAiError::param("messages", "nothing has been said yet"));
    }
    let replies = said.iter().filter(|said| said.role == Role::Assistant).count();
    let history = History { said, replies, memory: serde_json::json!({}), ..History::default() };
    let (chosen, seed, max_tokens) = (chosen.clone(), options.seed.unwrap_or(0), options.max_tokens);
    let assembled = tokio::task::spawn_blocking(move || {
        let _place = place;
        let count = |text: &str| chosen.count_tokens(text);
        let (mut material, _) = setting.material(Uuid::nil(), &history, None, seed, &count);
        material.max_tokens = max_tokens;
        material.context_tokens = chosen.context_tokens;
        material.assemble(&count)
    });
    let prompt = assembled
        .await
        .map_err(|_| OpenAiError::new(500, "server_error", "the prompt could not be made"))?
        .map_err(|error| OpenAiError::new(400, "context_length_exceeded", error.to_string()))?;
    Ok((prompt.messages, prompt.max_tokens))
}

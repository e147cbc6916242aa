//! roleplay-chat: one turn of a roleplay, or its beginning with a greeting.

use services::conversations::roleplay_turn::{self, Request};
use services::conversations::turn_warnings;
use services::pictures::scene_picture::{self, SceneRequest};
use services::prompts::ask_model::stand_in;

use super::{chat_answer, turn_body};
use crate::functions::http_call::{Call, Outcome};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let mut request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    call.warnings.extend(turn_warnings::of_roleplay(&request));
    let beginning = roleplay_turn::begin(&call.context, &mut request).await?;
    let is_greeting_all = !request.says_something() && beginning.opening.greets();
    let wanted = request.scene_generation.then(|| request.clone());
    if is_greeting_all {
        let facts = beginning.opening.facts();
        let tier = facts.tier;
        let greeting = beginning.opening.write(&call.context).await?;
        let greeting = greeting.ok_or_else(|| roleplay_turn::missing("message"))?;
        let running = greeting.reply.clone();
        let mut warnings = Vec::new();
        if let Some(request) = wanted {
            warnings =
                scene_picture::warnings(&call.context, running.user_id, &facts.character, &request).await?;
            let (user, conversation) = (running.user_id, running.conversation_id);
            let (character, persona) = (facts.character, facts.persona);
            let scene = SceneRequest { user, conversation, character, persona, tier, request };
            scene_picture::after(&call.context, running.clone(), scene);
        }
        let body = turn_body::of_greeting(greeting, tier, request.scene_generation, warnings);
        return chat_answer::answer(running, events, body).await;
    }
    let named = request.model_provider.clone();
    let prepared = roleplay_turn::prepare_in(&call.context, request, &beginning.conversation).await?;
    call.warnings.extend(stand_in("model_provider", named.as_deref(), &prepared.turn.chosen));
    if let Some(request) = &wanted {
        call.warnings.extend(scene_picture::unknown_models(&call.context, request).await?);
    }
    beginning.opening.write(&call.context).await?;
    let body = turn_body::of(&prepared);
    let turn = prepared.turn;
    let scene = wanted.zip(turn.setting.character.clone()).map(|(request, character)| SceneRequest {
        user: turn.user_id,
        conversation: turn.conversation_id,
        persona: turn.setting.persona.clone(),
        tier: turn.tier,
        character,
        request,
    });
    let running = call.context.services.chat.turn(turn).await?;
    if let Some(scene) = scene {
        scene_picture::after(&call.context, running.clone(), scene);
    }
    chat_answer::answer(running, events, body).await
}

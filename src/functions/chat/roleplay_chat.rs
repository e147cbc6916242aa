//! roleplay-chat: one turn of a roleplay; what the person says is stored by the client.

use services::conversations::roleplay_turn::{Request, prepare};
use services::pictures::scene_picture::{self, SceneRequest};

use super::{chat_answer, turn_body};
use crate::functions::http_call::{Call, Outcome};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    let wanted = request.scene_generation.then(|| request.clone());
    let prepared = prepare(&call.context, request).await?;
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

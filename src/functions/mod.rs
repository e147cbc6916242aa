//! `/functions/v1/{name}`: a file is a function, this one says who may call it.

mod accounts;
mod actions;
mod characters;
mod chat;
pub mod error;
pub mod http_call;
mod jobs;
mod media;
mod operators;
mod prompts;
mod scripts;
mod storyboards;
mod uploaded;
mod wording;

use std::future::Future;
use std::pin::Pin;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;
use services::age_gate;
use services::context::Context;
use store::shares::Owner;

use crate::app::App;
use crate::caller::{Bad, BadToken, bearer, claims_from};
use crate::receive::receive;
use crate::storage::drain;
use error::FunctionError;
use http_call::{Call, Outcome, Warnings};

type FunctionFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Who may call a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "every way in stands ready, whether or not a function uses it yet")]
enum Access {
    /// Those who can sign the request in the function's own way.
    Signed,
    /// Any valid key or token.
    Token,
    /// A signed-in account.
    User,
    /// An administrator, or the service key.
    Admin,
}

struct Function {
    name: &'static str,
    access: Access,
    run: fn(Call) -> FunctionFuture,
    /// Largest file that it takes; other functions take what the configuration allows for JSON.
    file_bytes_max: Option<usize>,
}

macro_rules! function {
    ($name:literal, $access:ident, $run:path) => {
        function!($name, $access, $run, None)
    };
    ($name:literal, $access:ident, $run:path, $file_bytes_max:expr) => {
        Function {
            name: $name,
            access: Access::$access,
            run: |call| Box::pin($run(call)),
            file_bytes_max: $file_bytes_max,
        }
    };
}

static FUNCTIONS: &[Function] = &[
    function!("create-invitation", Admin, accounts::invitations::create),
    function!("list-invitations", Admin, accounts::invitations::list),
    function!("revoke-invitation", Admin, accounts::invitations::revoke),
    function!("sessions", User, accounts::sessions::run),
    function!("check-store", Admin, operators::check_store::run),
    function!("server-settings", Admin, accounts::server_settings::run),
    function!("backups", Admin, operators::backups::run),
    function!("server-log", Admin, operators::server_log::run),
    function!("export-my-data", User, accounts::export_my_data::run),
    function!("import-data", User, accounts::import_data::run),
    function!("library-bin", User, accounts::library_bin::run),
    function!("claim-job", Signed, jobs::claim_job::run),
    function!("create-api-token", User, operators::api_tokens::create),
    function!("delete-character", User, characters::delete_in_use::character),
    function!("delete-project", User, characters::delete_in_use::project),
    function!("delete-workspace-item", User, jobs::delete_workspace_item::run),
    function!("export-character", User, characters::export_character::run),
    function!("export-chat", User, chat::export_chat::run),
    function!("get-spending", User, operators::spending::get),
    function!("set-spending-limit", Admin, operators::spending::set),
    function!("fal-image", User, jobs::replicate_image::fal),
    function!("run-model-tests", Admin, operators::model_tests::run),
    function!("report-picture", User, operators::moderation::report),
    function!("moderation-queue", Admin, operators::moderation::queue),
    function!("review-picture", Admin, operators::moderation::review),
    function!("ab-test-results", Admin, operators::ab_tests::results),
    function!("installed-models", Admin, operators::installed_models::run),
    function!("system-metrics", Admin, operators::system::metrics),
    function!("get-schema-info", Admin, schema_info),
    function!("sync-provider-balances", Admin, operators::system::sync_balances),
    function!("generate-content", User, operators::system::generate_content),
    function!("generate-admin-image", Admin, jobs::generate_admin_image::run),
    function!("generate-avatars", Admin, jobs::generate_admin_image::avatars),
    function!("get-negative-prompt", User, prompts::get_negative_prompt::run),
    function!(
        "import-character",
        User,
        characters::import_character::run,
        Some(characters::import_character::CARD_BYTES_MAX)
    ),
    function!("import-chat", User, chat::import_chat::run, Some(chat::import_chat::CHAT_BYTES_MAX)),
    function!("job-callback", Signed, jobs::job_callback::run),
    function!("job-progress", User, jobs::job_progress::run),
    function!("png-info", User, jobs::png_info::run, Some(jobs::png_info::PNG_BYTES_MAX)),
    function!("verify-picture", User, jobs::verify_picture::run, Some(jobs::png_info::PNG_BYTES_MAX)),
    function!("list-api-tokens", User, operators::api_tokens::list),
    function!("queue-job", User, jobs::queue_job::run),
    function!("train-lora", User, jobs::train_lora::run),
    function!("replicate-callback", Signed, jobs::replicate_webhook::retired),
    function!("replicate-image", User, jobs::replicate_image::run),
    function!("replicate-webhook", Signed, jobs::replicate_webhook::run),
    function!("revoke-api-token", User, operators::api_tokens::revoke),
    function!("workspace-actions", User, jobs::workspace_actions::run),
    function!("playground-chat", User, chat::playground_chat::run),
    function!("roleplay-chat", User, chat::roleplay_chat::run),
    function!("stop-reply", User, chat::stop_reply::run),
    function!("watch-reply", User, chat::watch_reply::run),
    function!("inspect-reply", User, chat::inspect_reply::run),
    function!("regenerate-reply", User, chat::regenerate_reply::run),
    function!("edit-message", User, chat::edit_message::run),
    function!("choose-reply", User, chat::choose_reply::run),
    function!("conversation-memory", User, chat::conversation_memory::run),
    function!("character-lorebook", User, characters::character_lorebook::run),
    function!("enhance-prompt", Token, prompts::enhance_prompt::run),
    function!("refresh-prompt-cache", Admin, prompts::refresh_prompt_cache::run),
    function!("try-template", Admin, prompts::try_template::run),
    function!("character-portrait", User, characters::character_portrait::run),
    function!("character-from-template", User, characters::character_from_template::run),
    function!("character-suggestions", User, characters::character_suggestions::run),
    function!("scene-narrative", User, prompts::scene_narrative::run),
    function!("generate-script", User, scripts::generate_script::run),
    function!("evaluate-script", User, scripts::evaluate_script::run),
    function!("script-transition", User, scripts::script_transition::run),
    function!("list-scripts", User, scripts::list_scripts::run),
    function!("compare-scripts", User, scripts::compare_scripts::run),
    function!("delete-script", User, scripts::delete_script::run),
    function!("generate-video", User, media::generate_video::run),
    function!("retry-video", User, media::retry_video::run),
    function!("generate-media", User, media::generate_media::run),
    function!("delete-media", User, media::delete_media::run),
    function!("order-scenes", User, storyboards::order_scenes::run),
    function!("draw-scene", User, storyboards::draw_scene::run),
    function!("approve-scene-picture", User, storyboards::approve_scene_picture::run),
    function!("make-clip", User, storyboards::make_clip::run),
    function!("extract-frame", User, storyboards::extract_frame::run),
    function!("render-storyboard", User, storyboards::render_storyboard::run),
    function!("storyboard-ai-assist", User, prompts::storyboard_ai_assist::run),
    function!("describe-image", User, prompts::describe_image::run),
    function!("score-generation", User, prompts::score_generation::run),
    function!("register-chat-worker", Admin, operators::chat_workers::register),
    function!("update-worker-url", Admin, operators::chat_workers::update),
    function!("get-active-worker-url", Admin, operators::chat_workers::active),
    function!("health-check-workers", Admin, operators::chat_workers::health),
];

/// Headers that sign a body as workers and this server do; `None` where the secret cannot be read.
pub(crate) fn signed_headers(secret: &str, id: &str, body: &str) -> Option<[(&'static str, String); 3]> {
    jobs::signed_headers(secret, id, body)
}

/// The names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// The names of all functions, and who may call each, as the documentation says it.
pub fn callers() -> impl Iterator<Item = (&'static str, &'static str)> {
    FUNCTIONS.iter().map(|function| {
        let who = match function.access {
            Access::Signed => "signed",
            Access::Token => "token",
            Access::User => "user",
            Access::Admin => "admin",
        };
        (function.name, who)
    })
}

/// get-schema-info, which names the functions.
async fn schema_info(call: Call) -> Outcome {
    operators::system::schema_info(call, names().collect()).await
}

/// Every route.
pub fn routes() -> Router<App> {
    Router::new().route("/{name}", any(invoke)).route("/{name}/{*rest}", any(invoke_below))
}

async fn invoke_below(
    state: State<App>,
    Path((name, _)): Path<(String, String)>,
    request: Request,
) -> Response {
    invoke(state, Path(name), request).await
}

async fn invoke(State(app): State<App>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        drain(&mut body.into_data_stream()).await;
        let body = json!({"code": "NOT_FOUND", "message": "Requested function was not found"});
        return (StatusCode::NOT_FOUND, axum::Json(body)).into_response();
    };
    // A body is kept only if its sender may call.
    let claims = match admit(function, &app, &parts.headers) {
        Ok(claims) => claims,
        Err(error) => {
            drain(&mut body.into_data_stream()).await;
            return error.into_response();
        }
    };
    let owner = parts.extensions.get::<Owner>().copied().unwrap_or(Owner::Service);
    let warnings = Warnings::default();
    let mut lowered = None;
    let outcome = async {
        let (body, _permit) = match function.file_bytes_max {
            None => {
                let body = receive(body, app.config.body_bytes_max).await?;
                let turn = app.budgets.begin_parse(owner, body.len()).await?;
                (body, Some(turn))
            }
            Some(bytes_max) => {
                let permit = app.budgets.files.try_hold(owner, 1).ok_or_else(too_many)?;
                (receive(body, bytes_max).await?, Some(permit))
            }
        };
        let context = Context::new(app.services.clone(), claims);
        lowered = Some(context.lowered.clone());
        let (method, headers, uri) = (parts.method, parts.headers, parts.uri);
        let call = Call { context, app, owner, method, headers, uri, body, warnings: warnings.clone() };
        (function.run)(call).await
    };
    let outcome = outcome.await;
    let is_lowered = lowered.is_some_and(|lowered| lowered.is_noted());
    warnings.clone().into_response(if is_lowered { with_notice(outcome) } else { outcome })
}

/// Says in an answer that it is `sfw` although `nsfw` was asked for.
fn with_notice(mut outcome: Outcome) -> Outcome {
    let body = match &mut outcome {
        Ok(http_call::Answer::Json(body)) => Some(body),
        // Events say it in the last of them.
        Ok(http_call::Answer::Other(_)) => None,
        Err(error) => Some(&mut *error.body),
    };
    if let Some(body) = body.filter(|body| body.is_object()) {
        body["content_tier"] = json!("sfw");
        body["notice"] = json!(age_gate::NOTICE);
    }
    outcome
}

fn too_many() -> FunctionError {
    let mut busy =
        FunctionError::new(StatusCode::TOO_MANY_REQUESTS, "too many files arrive; try again later");
    busy.retry_after_s = Some(2);
    busy
}

/// Who calls, if they may.
fn admit(function: &Function, app: &App, headers: &HeaderMap) -> Result<models::Claims, FunctionError> {
    let unauthorized = |message: &str| {
        FunctionError::new(StatusCode::UNAUTHORIZED, message).with("code", 401).with("message", message)
    };
    let claims = match claims_from(headers, app) {
        Ok(claims) => claims,
        Err(_) if function.access == Access::Signed => models::Claims::anonymous(),
        Err(BadToken { message, kind: Bad::Unknown }) => {
            return Err(FunctionError::unavailable("UNAVAILABLE", message));
        }
        Err(bad) => return Err(unauthorized(&bad.message)),
    };
    let has_key = matches!(bearer(headers), Ok(Some(_))) || headers.contains_key("apikey");
    match function.access {
        Access::Signed => Ok(claims),
        Access::Token if !has_key => Err(unauthorized("Missing authorization header")),
        Access::Token => Ok(claims),
        Access::User if claims.user_id.is_none() && !claims.is_service() => {
            Err(unauthorized("sign in to call this function"))
        }
        Access::User => Ok(claims),
        Access::Admin if claims.user_id.is_none() && !claims.is_service() => {
            Err(unauthorized("sign in as an administrator to call this function"))
        }
        Access::Admin => {
            let reads = app.services.actors.store().reads();
            let admin = claims.is_service() || store::Caller::new(&claims).is_admin(&reads)?;
            if admin { Ok(claims) } else { Err(FunctionError::forbidden("administrators only")) }
        }
    }
}

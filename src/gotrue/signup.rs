//! `POST signup`: a client makes its own account.

use actors::Refusal;
use actors::user::create_account::CreateAccount;
use actors::user::invitations::{self, CreateInvitedAccount};
use actors::user::metadata_size;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use models::{Row, Value};
use serde_json::{Value as Document, json};
use store::StoreError;
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::{column, find, id, service, start_session, time, user_json, user_json_of};
use crate::gotrue::after_answer::after_the_answer;
use crate::gotrue::body::{Body, Client, Parameters};
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox;
use crate::gotrue::password;
use crate::sign_up::{self, SignUp};

pub(crate) async fn signup(
    State(app): State<App>,
    query: Parameters,
    Client(from): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let (email, phone) = (body.email()?, body.phone()?);
    let given = body.text("password")?.unwrap_or_default().to_string();
    let mut user_metadata = Document::Object(body.object("data")?.unwrap_or_default());
    let invitation = invitation(&mut user_metadata)?;
    metadata_size::check(&Value::json(&user_metadata), &Value::Null, 0)?;
    let (sign_up, _) = sign_up::current(app.services.actors.store(), app.config.signup_enabled)?;
    let is_let_in = match sign_up {
        SignUp::Open => true,
        SignUp::Invitation => invitation.is_some(),
        SignUp::Closed => false,
    };
    if !is_let_in {
        let message = match sign_up {
            SignUp::Invitation => {
                "Signups not allowed for this instance without an invitation (data.invitation)"
            }
            _ => "Signups not allowed for this instance",
        };
        return Err(AuthError::new(422, "signup_disabled", message));
    }
    let anonymous = email.is_none() && phone.is_none();
    if anonymous && given.is_empty() && !app.config.anonymous_enabled {
        let message = "Anonymous sign-ins are disabled";
        return Err(AuthError::new(422, "anonymous_provider_disabled", message));
    }
    if anonymous && !given.is_empty() {
        let message = "To signup with a password, please provide your email";
        return Err(AuthError::new(422, "validation_failed", message));
    }
    if email.is_some() && phone.is_some() {
        return Err(AuthError::invalid(
            "Only an email address or phone number should be provided on signup.",
        ));
    }
    if !anonymous && given.is_empty() {
        return Err(AuthError::invalid("Signup requires a valid password"));
    }
    if let Some(address) = email.as_deref().filter(|_| !app.config.autoconfirm) {
        app.pace.may_mail(&app.config, address, from)?;
    }
    let mut password_hash = None;
    if !anonymous {
        password::acceptable(&given, &app.config)?;
        let account = email.as_deref().or(phone.as_deref()).unwrap_or_default();
        let place = password::Place::from(&app.budgets.passwords, account, from).await?;
        password_hash = Some(password::hash(&given, &place).await?);
    }
    let (confirmed, address) = (app.config.autoconfirm, email.clone());
    let decision = CreateAccount {
        user_id: Uuid::new_v4(),
        app_metadata: app_metadata(email.is_some(), phone.is_some()),
        email,
        phone,
        password_hash,
        user_metadata,
        email_confirmed: confirmed,
        phone_confirmed: confirmed,
        invited: invitation.is_some(),
    };
    if !anonymous && !confirmed && invitation.is_none() {
        let (redirect_to, challenge) = (query.get("redirect_to").map(str::to_string), body.challenge()?);
        return confirmed_later(&app, headers, decision, redirect_to, challenge);
    }
    let asks = service(&headers, &app);
    let made = match invitation {
        None => app.services.actors.ask(&asks, decision).await.map(Some),
        Some(token) => {
            let token_hash = invitations::hash(&token);
            app.services.actors.ask(&asks, CreateInvitedAccount { token_hash, account: decision }).await
        }
    };
    let user = match made {
        Ok(Some(user)) => user,
        Ok(None) => {
            let message = "This invitation is used up, revoked or too old: ask for another one";
            return Err(AuthError::new(403, "otp_expired", message));
        }
        Err(Refusal::Store(StoreError::Duplicate { table, .. })) if table.ends_with("users") => {
            // Any caller could find out by signing up anyway.
            return Err(AuthError::new(422, "user_already_exists", "User already registered"));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    if anonymous || confirmed {
        let method = if anonymous { "anonymous" } else { "password" };
        return start_session(&app, &headers, &user, method).await.map(Json);
    }
    if let Some(address) = &address {
        let (redirect_to, challenge) = (query.get("redirect_to"), body.challenge()?);
        let link = outbox::make(&app, &headers, &user, "signup", address, redirect_to, challenge).await?;
        outbox::keep(&app, &user, &link).await?;
        return Ok(Json(user_json(&app, &link.user)?));
    }
    Ok(Json(user_json(&app, &user)?))
}

/// Answers with the account that there is going to be, and makes it and its link after that, if the address is free:
/// neither the answer nor how long it takes tells whether there is one already.
fn confirmed_later(
    app: &App,
    headers: HeaderMap,
    account: CreateAccount,
    redirect_to: Option<String>,
    challenge: Option<(String, String)>,
) -> Result<Json<Document>, AuthError> {
    let address = account.email.clone();
    // Who asks a second time before confirming gets another link, for the same account; its password stays what it was.
    let waiting =
        address.as_ref().map(|address| find(app, "email", Value::text(address))).transpose()?.flatten();
    let waiting = waiting.filter(|user| column(user, "email_confirmed_at").is_null());
    let account = account.rows();
    let answer = user_json_of(&account.user, &account.identities);
    let mut answer = match &waiting {
        Some(user) => as_if_it_were(answer, user),
        None => answer,
    };
    if address.is_some() {
        answer["confirmation_sent_at"] = json!(time(chrono::Utc::now().timestamp_micros()));
    }
    let asked = app.clone();
    let work = async move {
        if let (Some(user), Some(address)) = (&waiting, &address) {
            let redirect_to = redirect_to.as_deref();
            let link =
                outbox::make(&asked, &headers, user, "signup", address, redirect_to, challenge).await?;
            return outbox::keep(&asked, user, &link).await;
        }
        let user = match asked.services.actors.ask(&service(&headers, &asked), account).await {
            Ok(user) => user,
            Err(Refusal::Store(StoreError::Duplicate { table, .. })) if table.ends_with("users") => {
                return Ok(());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let Some(address) = address else { return Ok(()) };
        let redirect_to = redirect_to.as_deref();
        let link = outbox::make(&asked, &headers, &user, "signup", &address, redirect_to, challenge).await?;
        outbox::keep(&asked, &user, &link).await
    };
    after_the_answer(app, "signup", work)?;
    Ok(Json(answer))
}

/// A new account's answer as that of one that waits to be confirmed: whose it is and since when, and nothing of what that
/// one says of itself, since any client may ask.
fn as_if_it_were(answer: Document, waiting: &Row) -> Document {
    let (new, known) = (answer["id"].as_str().unwrap_or_default(), id(waiting).to_string());
    let text = answer.to_string().replace(new, &known);
    let mut answer: Document = serde_json::from_str(&text).unwrap_or(answer);
    for name in ["created_at", "updated_at"] {
        if let Some(micros) = column(waiting, name).as_micros() {
            answer[name] = json!(time(micros));
        }
    }
    answer
}

/// Takes the token of an invitation out of what a new account says of itself.
fn invitation(user_metadata: &mut Document) -> Result<Option<String>, AuthError> {
    let given = user_metadata.as_object_mut().and_then(|members| members.remove("invitation"));
    match given {
        None | Some(Document::Null) => Ok(None),
        Some(Document::String(token)) if !token.is_empty() => Ok(Some(token)),
        Some(_) => Err(AuthError::invalid("data.invitation must be the text of an invitation's token")),
    }
}

/// What operators know of a new account.
pub(crate) fn app_metadata(email: bool, phone: bool) -> Document {
    let providers: Vec<&str> =
        [("email", email), ("phone", phone)].iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    match providers.first() {
        Some(first) => json!({ "provider": first, "providers": providers }),
        None => json!({}),
    }
}

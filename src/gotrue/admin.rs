//! `admin/*` and `invite`: accounts in the hands of the operator.

use actors::user::change_account::ChangeAccount;
use actors::user::create_account::CreateAccount;
use actors::user::delete_account::{EndAccount, delete_account, delete_own_account};
use actors::user::one_time_token::EMAIL_CHANGE_CURRENT;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use models::{Claims, Row, Value, schema};
use serde_json::{Map, Value as Document, json};
use store::Caller;
use store::query::{Limits, Query as Rows, Reader};
use store::shares::Owner;
use uuid::Uuid;

use crate::app::App;
use crate::caller::{bearer, claims_from};
use crate::ended_accounts;
use crate::gotrue::account::{column, find, id, user_json};
use crate::gotrue::body::{Body, Parameters, address};
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox;
use crate::gotrue::password;
use crate::gotrue::signup::app_metadata;

/// Accounts on a page unless asked otherwise.
const PER_PAGE: u64 = 50;
const PER_PAGE_MAX: u64 = 1000;

fn operator(headers: &HeaderMap, app: &App) -> Result<Claims, AuthError> {
    let claims = claims_from(headers, app)?;
    if claims.is_service() {
        return Ok(claims);
    }
    let said_who = bearer(headers).is_ok_and(|token| token.is_some());
    Err(if said_who { AuthError::new(403, "not_admin", "User not allowed") } else { AuthError::no_bearer() })
}

fn not_found() -> AuthError {
    AuthError::new(404, "user_not_found", "User not found")
}

fn named(app: &App, text: &str) -> Result<Row, AuthError> {
    let id = Uuid::parse_str(text).map_err(|_| AuthError::invalid("user_id must be an UUID"))?;
    find(app, "id", Value::Uuid(id))?.ok_or_else(not_found)
}

pub(crate) async fn list(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let claims = operator(&headers, &app)?;
    let number = |name: &str, default: u64| match query.get(name) {
        None | Some("") => Ok(default),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| AuthError::invalid(format!("Bad Pagination Parameters: {name} is not a number"))),
    };
    let page = number("page", 1)?.max(1);
    let per_page = number("per_page", PER_PAGE)?.clamp(1, PER_PAGE_MAX);
    let caller = Caller::new(&claims);
    let reader = Reader::new(app.services.actors.store().reads(), &caller, Limits::default());
    let mut wanted = Rows::all(schema().known("auth.users").id).order("created_at", true).limit(per_page);
    wanted.offset = (page - 1).saturating_mul(per_page);
    let found = reader.select(&wanted, true)?;
    let total = found.total.unwrap_or(0);
    let users: Result<Vec<Document>, AuthError> = found.rows.iter().map(|row| user_json(&app, row)).collect();
    let last = total.div_ceil(per_page).max(1);
    let mut links = Vec::new();
    if page < last {
        links.push(format!("</admin/users?page={}&per_page={per_page}>; rel=\"next\"", page + 1));
    }
    links.push(format!("</admin/users?page={last}&per_page={per_page}>; rel=\"last\""));
    let head = [
        (HeaderName::from_static("x-total-count"), total.to_string()),
        (HeaderName::from_static("link"), links.join(", ")),
    ];
    Ok((head, Json(json!({ "users": users?, "aud": "authenticated" }))).into_response())
}

pub(crate) async fn read(
    State(app): State<App>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Document>, AuthError> {
    operator(&headers, &app)?;
    Ok(Json(user_json(&app, &named(&app, &user)?)?))
}

/// Accounts always act as `authenticated`; the operator's rights come from the key alone.
fn only_authenticated(body: &Body) -> Result<(), AuthError> {
    match body.text("role")? {
        None | Some("" | "authenticated") => Ok(()),
        Some(other) => Err(AuthError::invalid(format!("role {other:?} cannot be given to an account"))),
    }
}

async fn chosen(app: &App, body: &Body) -> Result<Option<String>, AuthError> {
    let Some(given) = body.text("password")?.filter(|given| !given.is_empty()) else { return Ok(None) };
    password::acceptable(given, &app.config)?;
    let place = password::Place::of(&app.budgets.passwords, Owner::Service).await?;
    password::hash(given, &place).await.map(Some)
}

/// `none` lifts a ban; else numbers with the units h, m, s.
fn ban(body: &Body) -> Result<Option<Option<i64>>, AuthError> {
    let Some(text) = body.text("ban_duration")? else { return Ok(None) };
    if text == "none" {
        return Ok(Some(None));
    }
    let bad = || AuthError::invalid("invalid format for ban duration: use none or for example 24h30m");
    let (mut seconds, mut number) = (0_i64, None::<i64>);
    for character in text.chars() {
        if let Some(digit) = character.to_digit(10) {
            let so_far = number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(i64::from(digit)));
            number = Some(so_far.ok_or_else(bad)?);
            continue;
        }
        let unit = match character {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(bad)?;
        seconds = seconds.checked_add(part).ok_or_else(bad)?;
    }
    // A century is for ever.
    if number.is_some() || text.is_empty() || seconds > 100 * 366 * 86_400 * 10 {
        return Err(bad());
    }
    Ok(Some(Some(chrono::Utc::now().timestamp_micros().saturating_add(seconds * 1_000_000))))
}

/// How an account comes to be: by the operator's hand, or by a link, invited or not.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Admin,
    Link,
    Invitation,
}

async fn make(app: &App, claims: &Claims, body: &Body, origin: Origin) -> Result<Row, AuthError> {
    only_authenticated(body)?;
    let (email, phone) = (body.email()?, body.phone()?);
    if email.is_none() && phone.is_none() {
        return Err(AuthError::invalid("Cannot create a user without either an email or phone"));
    }
    let mut known = match app_metadata(email.is_some(), phone.is_some()) {
        Document::Object(known) => known,
        _ => Map::new(),
    };
    known.extend(body.object("app_metadata")?.unwrap_or_default());
    let user_id = match body.text("id")? {
        None | Some("") => Uuid::new_v4(),
        Some(text) => Uuid::parse_str(text).map_err(|_| AuthError::invalid("ID must be an UUID"))?,
    };
    if find(app, "id", Value::Uuid(user_id))?.is_some() {
        return Err(AuthError::new(422, "user_already_exists", "User already registered"));
    }
    let metadata = if origin == Origin::Admin { "user_metadata" } else { "data" };
    let banned_until = ban(body)?;
    let decision = CreateAccount {
        user_id,
        email,
        phone,
        password_hash: chosen(app, body).await?,
        user_metadata: Document::Object(body.object(metadata)?.unwrap_or_default()),
        app_metadata: Document::Object(known),
        email_confirmed: body.flag("email_confirm")?,
        phone_confirmed: body.flag("phone_confirm")?,
        invited: origin == Origin::Invitation,
    };
    let user = app.services.actors.ask(claims, decision).await?;
    if banned_until.is_none() {
        return Ok(user);
    }
    let change = ChangeAccount { user_id, banned_until, ..ChangeAccount::default() };
    app.services.actors.ask(claims, change).await?.ok_or_else(not_found)
}

pub(crate) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let claims = operator(&headers, &app)?;
    let user = make(&app, &claims, &body, Origin::Admin).await?;
    Ok(Json(user_json(&app, &user)?))
}

pub(crate) async fn change(
    State(app): State<App>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let claims = operator(&headers, &app)?;
    only_authenticated(&body)?;
    let user = named(&app, &user)?;
    let (password_hash, banned_until) = (chosen(&app, &body).await?, ban(&body)?);
    // A new password and a ban end the sessions of the account.
    let ends = password_hash.is_some() || banned_until.flatten().is_some();
    let change = ChangeAccount {
        user_id: id(&user),
        email: body.email()?,
        phone: body.phone()?,
        password_hash,
        end_sessions_but: ends.then_some(None),
        user_metadata: body.object("user_metadata")?,
        app_metadata: body.object("app_metadata")?,
        confirm_email: body.flag("email_confirm")?,
        confirm_phone: body.flag("phone_confirm")?,
        banned_until,
        ..ChangeAccount::default()
    };
    let user = app.services.actors.ask(&claims, change).await?.ok_or_else(not_found)?;
    Ok(Json(user_json(&app, &user)?))
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let claims = operator(&headers, &app)?;
    let user = named(&app, &user)?;
    let keeps_rows = body.flag("should_soft_delete")?;
    let user_id = id(&user);
    if keeps_rows {
        app.services
            .actors
            .ask(&claims, EndAccount { user_id, keeps_rows, spares_last_administrator: false })
            .await?;
        forget(&app, &user).await?;
    } else {
        remove(&app, claims, &user).await?;
    }
    Ok(Json(json!({})))
}

/// Deletes an account with everything that is its own, in the name of `claims`. The last administrator does not delete
/// itself.
pub(super) async fn remove(app: &App, claims: Claims, user: &Row) -> Result<(), AuthError> {
    // It goes on when the caller leaves, and with the next start when the process ends.
    let (actors, user_id) = (app.services.actors.clone(), id(user));
    let deletion = tokio::spawn(async move {
        match claims.user_id == Some(user_id) {
            true => delete_own_account(&actors, &claims, user_id).await,
            false => delete_account(&actors, &claims, user_id).await,
        }
    });
    deletion.await.map_err(AuthError::internal)??;
    forget(app, user).await
}

/// What is not in the store goes with an account too; if this is cut short, the sweep after the next start does it.
async fn forget(app: &App, user: &Row) -> Result<(), AuthError> {
    let user_id = id(user).to_string();
    for of in [column(user, "email").as_str(), column(user, "phone").as_str(), Some(&user_id)] {
        of.into_iter().for_each(|of| app.pace.forget(of));
    }
    let store = app.services.actors.store().clone();
    let forgotten = tokio::task::spawn_blocking(move || ended_accounts::forget_gone(&store)).await;
    forgotten.map_err(AuthError::internal)
}

pub(crate) async fn invite(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let claims = operator(&headers, &app)?;
    let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
    let user = make(&app, &claims, &body, Origin::Invitation).await?;
    let redirect_to = query.get("redirect_to");
    let link = outbox::make(&app, &headers, &user, "invite", &address, redirect_to, None).await?;
    outbox::keep(&app, &user, &link).await?;
    Ok(Json(user_json(&app, &link.user)?))
}

/// The address that an account is to have instead of its own.
fn new_address(app: &App, body: &Body) -> Result<String, AuthError> {
    let wanted = address(body.needed("new_email")?)?;
    if find(app, "email", Value::text(&wanted))?.is_some() {
        let message = "A user with this email address has already been registered";
        return Err(AuthError::new(422, "email_exists", message));
    }
    Ok(wanted)
}

pub(crate) async fn generate_link(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let claims = operator(&headers, &app)?;
    let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
    let known = find(&app, "email", Value::text(&address))?;
    let redirect_to = body.text("redirect_to")?.or(query.get("redirect_to"));
    let mut wanted = None;
    let (kind, user) = match (body.needed("type")?, known) {
        ("signup" | "invite", Some(user)) if !column(&user, "email_confirmed_at").is_null() => {
            let message = "A user with this email address has already been registered";
            return Err(AuthError::new(422, "email_exists", message));
        }
        ("signup", Some(user)) => ("signup", user),
        ("invite", Some(user)) => ("invite", user),
        ("signup", None) => ("signup", make(&app, &claims, &body, Origin::Link).await?),
        ("invite", None) => ("invite", make(&app, &claims, &body, Origin::Invitation).await?),
        ("magiclink", Some(user)) => ("magiclink", user),
        ("magiclink", None) => ("magiclink", make(&app, &claims, &body, Origin::Link).await?),
        ("recovery", Some(user)) => ("recovery", user),
        ("email_change_current" | "email_change_new", Some(user)) => {
            wanted = Some(new_address(&app, &body)?);
            let change =
                ChangeAccount { user_id: id(&user), new_email: wanted.clone(), ..ChangeAccount::default() };
            let user = app.services.actors.ask(&claims, change).await?.ok_or_else(not_found)?;
            if body.needed("type")? == EMAIL_CHANGE_CURRENT {
                wanted = None;
                (EMAIL_CHANGE_CURRENT, user)
            } else {
                ("email_change", user)
            }
        }
        ("recovery" | "email_change_current" | "email_change_new", None) => return Err(not_found()),
        (other, _) => return Err(AuthError::invalid(format!("Invalid email action link type {other:?}"))),
    };
    // Opening the link proves that the new address is the account's.
    let address = wanted.unwrap_or(address);
    let link = outbox::make(&app, &headers, &user, kind, &address, redirect_to, None).await?;
    let mut answer = user_json(&app, &link.user)?;
    answer["action_link"] = link.action_link.into();
    answer["email_otp"] = link.code.into();
    answer["hashed_token"] = link.token_hash.into();
    answer["redirect_to"] = link.redirect_to.into();
    answer["verification_type"] = body.needed("type")?.into();
    Ok(Json(answer))
}

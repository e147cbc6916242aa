//! `recover`, `otp`, `magiclink`, `resend`, `reauthenticate`: would send a link; the outbox keeps it.
//!
//! The answer is the same whether the account exists or not, and comes before the work.

use actors::Refusal;
use actors::user::change_account::ChangeAccount;
use actors::user::create_account::CreateAccount;
use actors::user::one_time_token::EMAIL_CHANGE_CURRENT;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use models::{Row, Value};
use serde_json::{Map, Value as Document, json};
use store::StoreError;
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::{column, current, find, id, service};
use crate::gotrue::after_answer::after_the_answer;
use crate::gotrue::body::{Body, Client, Parameters};
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox;
use crate::gotrue::signup::app_metadata;
use crate::sign_up;

type Answer = Result<Json<Document>, AuthError>;

/// What a request asks for, as the work after its answer needs it.
struct MailRequest {
    app: App,
    headers: HeaderMap,
    /// Of the account, and where the link goes unless the account wants to have another one.
    address: String,
    kind: &'static str,
    redirect_to: Option<String>,
    challenge: Option<(String, String)>,
    /// What a new account says of itself, where one is made for an address that no account has.
    new: Option<Map<String, Document>>,
}

impl MailRequest {
    /// Reads what all of these requests say, and counts a mail to the address, whether or not an account has it.
    fn read(
        app: App,
        query: &Parameters,
        Client(from): Client,
        headers: HeaderMap,
        body: &Body,
        kind: &'static str,
    ) -> Result<MailRequest, AuthError> {
        let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
        let challenge = body.challenge()?;
        app.pace.may_mail(&app.config, &address, from)?;
        let redirect_to = query.get("redirect_to").map(str::to_string);
        Ok(MailRequest { app, headers, address, kind, redirect_to, challenge, new: None })
    }

    /// Answers, and does the work after that: neither the answer nor how long it takes tells whether there is such an
    /// account. What would be refused to everybody is refused before.
    fn answer_first(self) -> Answer {
        let (app, kind) = (self.app.clone(), self.kind);
        after_the_answer(&app, kind, self.send())?;
        Ok(Json(json!({})))
    }

    /// Makes the link and keeps it in the outbox, where there is an account for it.
    async fn send(mut self) -> Result<(), AuthError> {
        let mut user = find(&self.app, "email", Value::text(&self.address))?;
        if let Some(metadata) = self.new.take()
            && user.is_none()
        {
            user = self.create(metadata).await?;
        }
        let Some(user) = user else { return Ok(()) };
        let (app, redirect_to) = (&self.app, self.redirect_to.as_deref());
        let is_confirmed = !column(&user, "email_confirmed_at").is_null();
        let kind = match self.kind {
            "signup" if is_confirmed => return Ok(()),
            "email_change" => return change_again(app, &self.headers, user, redirect_to).await,
            // The first link to an address confirms it.
            "magiclink" if !is_confirmed && !app.config.autoconfirm => "signup",
            kind => kind,
        };
        let (address, challenge) = (&self.address, self.challenge);
        let link = outbox::make(app, &self.headers, &user, kind, address, redirect_to, challenge).await?;
        outbox::keep(app, &user, &link).await
    }

    async fn create(&self, metadata: Map<String, Document>) -> Result<Option<Row>, AuthError> {
        let decision = CreateAccount {
            user_id: Uuid::new_v4(),
            app_metadata: app_metadata(true, false),
            email: Some(self.address.clone()),
            phone: None,
            password_hash: None,
            user_metadata: Document::Object(metadata),
            email_confirmed: false,
            phone_confirmed: false,
            invited: false,
        };
        match self.app.services.actors.ask(&service(&self.headers, &self.app), decision).await {
            // Another request made the account at the same moment.
            Ok(_) | Err(Refusal::Store(StoreError::Duplicate { .. })) => {
                find(&self.app, "email", Value::text(&self.address))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Sends the links of a change of address once more, where an account waits for one. What one of both addresses has agreed
/// to before counts no more.
async fn change_again(
    app: &App,
    headers: &HeaderMap,
    user: Row,
    redirect_to: Option<&str>,
) -> Result<(), AuthError> {
    let Some(wanted) = column(&user, "new_email").as_str() else { return Ok(()) };
    let change =
        ChangeAccount { user_id: id(&user), new_email: Some(wanted.to_string()), ..ChangeAccount::default() };
    if let Some(user) = app.services.actors.ask(&service(headers, app), change).await? {
        confirm_change(app, headers, user, redirect_to, None).await?;
    }
    Ok(())
}

/// Asks the address that an account wants to have, and the one that it has, to agree to the change. The account as it is
/// then.
pub(crate) async fn confirm_change(
    app: &App,
    headers: &HeaderMap,
    mut user: Row,
    redirect_to: Option<&str>,
    challenge: Option<(String, String)>,
) -> Result<Row, AuthError> {
    let addresses = [("email_change", "new_email"), (EMAIL_CHANGE_CURRENT, "email")];
    for (kind, name) in addresses {
        let Some(address) = column(&user, name).as_str().map(str::to_string) else { continue };
        let link = outbox::make(app, headers, &user, kind, &address, redirect_to, challenge.clone()).await?;
        outbox::keep(app, &user, &link).await?;
        user = link.user;
    }
    Ok(user)
}

pub(crate) async fn recover(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    MailRequest::read(app, &query, from, headers, &body, "recovery")?.answer_first()
}

pub(crate) async fn magiclink(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    MailRequest::read(app, &query, from, headers, &body, "magiclink")?.answer_first()
}

/// Signs in by a link alone; an unknown address gets an account first, unless the client does not want that.
pub(crate) async fn otp(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    if body.phone()?.is_some() {
        let message = "Unsupported phone provider: there is no way to send messages to a number";
        return Err(AuthError::new(400, "phone_provider_disabled", message));
    }
    let creates = body.flag_or("create_user", true)? && sign_up::is_open(&app);
    let metadata = body.object("data")?.unwrap_or_default();
    let asked = MailRequest::read(app, &query, from, headers, &body, "magiclink")?;
    MailRequest { new: creates.then_some(metadata), ..asked }.answer_first()
}

pub(crate) async fn resend(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let kind = match body.needed("type")? {
        "signup" => "signup",
        "email_change" => "email_change",
        _ => return Err(AuthError::invalid("Missing one of these types: signup, email_change")),
    };
    MailRequest::read(app, &query, from, headers, &body, kind)?.answer_first()
}

pub(crate) async fn reauthenticate(
    State(app): State<App>,
    Client(from): Client,
    headers: HeaderMap,
) -> Answer {
    let (_, user) = current(&headers, &app)?;
    let Some(address) = column(&user, "email").as_str() else {
        let message = "Reauthentication requires the user to have an email or a phone number";
        return Err(AuthError::new(422, "validation_failed", message));
    };
    app.pace.may_mail(&app.config, address, from)?;
    let link = outbox::make(&app, &headers, &user, "reauthentication", address, None, None).await?;
    outbox::keep(&app, &user, &link).await?;
    Ok(Json(json!({})))
}

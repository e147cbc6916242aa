//! Whom a training is for.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;

/// The account that a training is for, and its character: the caller, or for an administrator whose character it is. Job,
/// credits and LoRA are that account's.
pub(crate) async fn whose(context: &Context, character: Uuid) -> Result<Option<(Uuid, Json)>, ServiceError> {
    let (caller, is_admin) = (context.user()?, context.is_admin()?);
    let character = context.row("characters", character).await?;
    let owned = character.and_then(|row| Some((uuid(&row["user_id"])?, row)));
    Ok(owned.filter(|(owner, _)| is_admin || *owner == caller))
}

/// The account that a training of a character is for, if the caller may ask for it.
pub async fn account_of(context: &Context, character: Uuid) -> Result<Option<Uuid>, ServiceError> {
    Ok(whose(context, character).await?.map(|(user, _)| user))
}

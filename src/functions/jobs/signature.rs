//! HMAC-SHA256 signatures of workers and providers.

use axum::http::StatusCode;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::functions::error::FunctionError;
use crate::functions::http_call::Call;

/// Checks that a header holds `sha256=<hex HMAC of the raw body>` under the shared secret; compares in constant time.
pub(crate) fn check(call: &Call, header: &str) -> Result<(), FunctionError> {
    let Some(secret) = call.app.config.callback_secret.as_deref().filter(|secret| !secret.is_empty()) else {
        let message = "this server takes no reports of workers and providers: set callback_secret \
             (PLAYHOUSE_CALLBACK_SECRET) to a secret that they sign with";
        return Err(FunctionError::unavailable("CALLBACK_SECRET_NOT_SET", message));
    };
    let refused = |message: &str| FunctionError::new(StatusCode::UNAUTHORIZED, message);
    let given = call.header(header).ok_or_else(|| refused(&format!("{header} is missing")))?;
    let given = given.strip_prefix("sha256=").unwrap_or(given);
    let given = bytes(given).ok_or_else(|| refused(&format!("{header} is not sha256=<hex>")))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| {
        FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, "callback_secret cannot be used")
    })?;
    mac.update(&call.body);
    mac.verify_slice(&given).map_err(|_| refused(&format!("{header} does not fit the body")))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    (0..32).map(|place| u8::from_str_radix(hex.get(2 * place..2 * place + 2)?, 16).ok()).collect()
}

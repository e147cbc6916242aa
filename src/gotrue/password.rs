//! Passwords: argon2id, computed away from the threads that answer requests, a few at a time. Those that came in from
//! Supabase are bcrypt's until their accounts sign in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::SaltString;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use models::{Claims, Command, schema};
use store::query::{Limits, Query, Reader};
use store::shares::{Held, Owner, Shares};
use store::{Caller, Store, StoreError};
use tokio::sync::{OnceCell, Semaphore};
use uuid::Uuid;

use crate::config::Config;
use crate::gotrue::error::AuthError;
use crate::long_work;

/// Each takes some 19 MiB and a core.
static RUNNING: Semaphore = Semaphore::const_new(2);
/// How long one waits for a place before it is asked to come back.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the password of an unknown account is checked against, so that it takes as long.
static UNKNOWN_ACCOUNT: OnceCell<String> = OnceCell::const_new();
/// Whether passwords of bcrypt came in with an import. Imports have the data folder to themselves, so that this process
/// finds the answer once.
static HAS_IMPORTED: OnceCell<bool> = OnceCell::const_new();
/// What Supabase makes hashes of bcrypt with.
const BCRYPT_COST: u32 = 10;
/// Highest cost of bcrypt that is computed: 2 to the power of it rounds, some seconds.
const BCRYPT_COST_MAX: u32 = 16;
/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Whether a password may be chosen.
pub(crate) fn acceptable(password: &str, config: &Config) -> Result<(), AuthError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(AuthError::invalid("Password is too long"));
    }
    let min = config.password_chars_min;
    if password.chars().count() < min {
        let message = format!("Password should be at least {min} characters.");
        let error = AuthError::new(422, "weak_password", message);
        return Err(AuthError { reasons: vec!["length"], ..error });
    }
    Ok(())
}

/// A place for computing a password: of all places one guesser gets at most half.
#[derive(Debug)]
pub(crate) struct Place {
    _held: Held,
}

impl Place {
    /// Waits for a place that counts for `owner`.
    pub async fn of(places: &Arc<Shares>, owner: Owner) -> Result<Place, AuthError> {
        let held = places.hold(owner, 1, PATIENCE).await.ok_or_else(AuthError::too_many)?;
        Ok(Place { _held: held })
    }

    /// Waits for a place that counts for an address; on this machine, where a proxy may forward the requests of all
    /// clients, for the account that is named.
    pub async fn from(places: &Arc<Shares>, account: &str, from: IpAddr) -> Result<Place, AuthError> {
        let owner = match from.is_loopback() {
            true => Owner::Account(Uuid::new_v5(&Uuid::NAMESPACE_URL, account.as_bytes())),
            false => Owner::Address(from),
        };
        Place::of(places, owner).await
    }
}

/// The PHC string of a password.
pub(crate) async fn hash(password: &str, place: &Place) -> Result<String, AuthError> {
    let password = password.to_string();
    compute(place, move || {
        let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(|error| error.to_string())?;
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
    })
    .await
}

/// Whether a password fits; takes as long when there is none to fit.
pub(crate) async fn fits(password: &str, stored: Option<&str>, place: &Place) -> Result<bool, AuthError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    let known = stored.is_some();
    let stored = match stored {
        Some(stored) => stored.to_string(),
        None => UNKNOWN_ACCOUNT.get_or_try_init(|| hash("no account", place)).await?.clone(),
    };
    let password = password.to_string();
    let fits = compute(place, move || {
        if let Some(cost) = bcrypt_cost(&stored) {
            // A hash that is damaged fits nothing.
            return Ok(cost <= BCRYPT_COST_MAX && bcrypt::verify(&password, &stored).unwrap_or(false));
        }
        let hash = PasswordHash::new(&stored).map_err(|error| error.to_string())?;
        Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await?;
    Ok(fits && known)
}

/// As [`fits`], where passwords are kept in two ways: the work of both is done for every account and for none, so that the
/// time of an answer does not say which accounts were imported.
pub(crate) async fn fits_alike(
    password: &str,
    stored: Option<&str>,
    has_imported: bool,
    place: &Place,
) -> Result<bool, AuthError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    let fits_stored = fits(password, stored, place).await?;
    if !has_imported {
        return Ok(fits_stored);
    }
    match stored.and_then(bcrypt_cost) {
        Some(cost) => {
            fits(password, None, place).await?;
            burn(password, cost, place).await?;
        }
        None => burn(password, 0, place).await?,
    }
    Ok(fits_stored)
}

/// Does what is left of bcrypt's usual work after a hash of `cost`, 0 where there was none.
async fn burn(password: &str, cost: u32, place: &Place) -> Result<(), AuthError> {
    let password = password.to_string();
    compute(place, move || {
        // 2^c + 2^c + 2^(c+1) + … + 2^9 = 2^10.
        let costs = if cost == 0 { BCRYPT_COST..=BCRYPT_COST } else { cost..=BCRYPT_COST - 1 };
        for cost in costs {
            // What it makes of a password that it refuses is no matter: its account has none.
            let _ = bcrypt::hash_with_salt(&password, cost, [0; 16]);
        }
        Ok(())
    })
    .await
}

/// Whether a hash came in from Supabase, and is to be made anew.
pub(crate) fn is_imported(stored: &str) -> bool {
    bcrypt_cost(stored).is_some()
}

/// Whether any account had an imported password when this process first asked.
pub(crate) async fn has_imported(store: &Store, place: &Place) -> Result<bool, AuthError> {
    let look = || {
        let store = store.clone();
        compute(place, move || any_imported(&store).map_err(|error| error.to_string()))
    };
    HAS_IMPORTED.get_or_try_init(look).await.copied()
}

fn any_imported(store: &Store) -> Result<bool, StoreError> {
    let (service, users) = (Claims::service(), schema().known("auth.users"));
    let caller = Caller::new(&service);
    let limits = Limits { duration_max: Duration::from_secs(600), ..Limits::default() };
    let (password, mut found) = (users.at("encrypted_password"), false);
    Reader::new(store.reads(), &caller, limits).each_stored(
        &Query::all(users.id),
        Command::Select,
        &mut |user| {
            found = user[password].as_str().is_some_and(is_imported);
            Ok(!found)
        },
    )?;
    Ok(found)
}

/// The cost of a hash of bcrypt, `$2b$10$…`; `None` for another kind.
fn bcrypt_cost(stored: &str) -> Option<u32> {
    stored.strip_prefix("$2")?.split('$').nth(1)?.parse().ok()
}

async fn compute<T: Send + 'static>(
    _place: &Place,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, AuthError> {
    let running = RUNNING.acquire().await.map_err(AuthError::internal)?;
    // The permit goes along: work whose caller has left still takes memory.
    let task = long_work::spawn(move || {
        let _running = running;
        work()
    });
    task.await.map_err(AuthError::internal)?.map_err(AuthError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_of_bcrypt_is_known_by_its_form() {
        // Of crypt_blowfish's test vectors, in the form that Supabase's `auth.users` has.
        let stored = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert_eq!(bcrypt_cost(stored), Some(5));
        assert!(bcrypt::verify("U*U", stored).expect("a hash"));
        assert!(!bcrypt::verify("U*V", stored).expect("a hash"));
        assert_eq!(bcrypt_cost("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"), None);
    }
}

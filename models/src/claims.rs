//! Who is asking.

use uuid::Uuid;

/// The database role of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// No account.
    Anon,
    /// A signed-in account.
    Authenticated,
    /// The server's own work or its operator's key; row policies do not apply.
    Service,
}

impl Role {
    /// The name of the `role` claim.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Anon => "anon",
            Role::Authenticated => "authenticated",
            Role::Service => "service_role",
        }
    }

    /// Reads a `role` claim.
    pub fn parse(text: &str) -> Option<Role> {
        match text {
            "anon" => Some(Role::Anon),
            "authenticated" => Some(Role::Authenticated),
            "service_role" => Some(Role::Service),
            _ => None,
        }
    }
}

/// What is known of a caller for certain. Roles inside the product (`admin`) and age are looked up in the
/// tables when a policy asks, never taken from a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The database role.
    pub role: Role,
    /// The account; `None` for anonymous callers and the service.
    pub user_id: Option<Uuid>,
    /// The session of the account's token.
    pub session_id: Option<Uuid>,
    /// The request, for logs and audit rows; at most 64 characters.
    pub request_id: Option<String>,
}

impl Claims {
    /// A caller without an account.
    pub const fn anonymous() -> Claims {
        Claims { role: Role::Anon, user_id: None, session_id: None, request_id: None }
    }

    /// The server itself.
    pub const fn service() -> Claims {
        Claims { role: Role::Service, user_id: None, session_id: None, request_id: None }
    }

    /// A signed-in account.
    pub const fn user(user_id: Uuid) -> Claims {
        Claims { role: Role::Authenticated, user_id: Some(user_id), session_id: None, request_id: None }
    }

    /// The same rights as [`Claims::service`], keeping whom and what the work is for.
    pub fn elevated(&self) -> Claims {
        Claims { role: Role::Service, ..self.clone() }
    }

    /// Whether row policies are bypassed.
    pub fn is_service(&self) -> bool {
        self.role == Role::Service
    }
}

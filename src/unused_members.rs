//! Members of a JSON body that a handler never asked for: named in the header `x-warnings` of its answer, for dialects whose
//! answers have a shape of their own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use models::field_names::{Named, shown_name};
use serde_json::{Map, Value};

use crate::nearest::did_you_mean;
use crate::request_body::with_header;

/// What official clients send whether or not it means something.
const TAKEN: [&str; 5] = ["id", "name", "type", "download", "gotrue_meta_security"];

/// Which members a body has, and which of them were asked for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemberUse(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    given: BTreeSet<String>,
    asked: BTreeSet<&'static str>,
}

impl MemberUse {
    /// The one of a request; a new one where nothing looks at it.
    pub(crate) fn of(request: &Request) -> MemberUse {
        request.extensions().get::<MemberUse>().cloned().unwrap_or_default()
    }

    /// Says what a body has.
    pub(crate) fn given(&self, members: &Map<String, Value>) {
        self.known(|known| known.given.extend(members.keys().take(1000).cloned()));
    }

    /// Says that a member is asked for.
    pub(crate) fn ask(&self, name: &'static str) {
        self.known(|known| {
            known.asked.insert(name);
        });
    }

    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn warnings(&self) -> Vec<String> {
        self.known(|known| {
            let is_used =
                |name: &&String| known.asked.contains(name.as_str()) || TAKEN.contains(&name.as_str());
            let mut unused = Named::default();
            for name in known.given.iter().filter(|name| !is_used(name)) {
                unused.note(|| {
                    let meant = did_you_mean(name, known.asked.iter().copied());
                    format!("{}: not used{meant}", shown_name(name))
                });
            }
            unused.take(|more| format!("{more} more fields, not used"))
        })
    }
}

/// Names what was not used of the body of a request that succeeded; refusals name what is wrong themselves.
pub(crate) async fn name_unused(mut request: Request, next: Next) -> Response {
    let uses = MemberUse::default();
    request.extensions_mut().insert(uses.clone());
    let response = next.run(request).await;
    if response.status().is_success() { with_header(response, &uses.warnings()) } else { response }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_asked_for_is_named() {
        let uses = MemberUse::default();
        uses.given(json!({"prefx": "a", "limit": 3, "id": "x"}).as_object().expect("an object"));
        uses.ask("prefix");
        uses.ask("limit");
        assert_eq!(uses.warnings(), ["prefx: not used; did you mean prefix?"]);
    }
}

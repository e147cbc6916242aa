//! The states of a script and the transitions between them. No IO.

use store::StoreError;

/// How far a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being written; edited in place.
    Draft,
    /// Has a score and feedback.
    Evaluated,
    /// May be activated.
    Approved,
    /// Will not be used as it is.
    Rejected,
    /// The one that a chapter's media are made from.
    Active,
}

/// The word of another system for a script that was saved; it is read and never written.
pub const READY: &str = "ready";

/// Why the state of a script cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The state that it has.
    pub from: &'static str,
    /// The state that was asked for.
    pub to: &'static str,
    /// Why not.
    pub reason: &'static str,
}

impl Status {
    /// All of them, in the order of the enumeration.
    pub const ALL: [Status; 5] =
        [Status::Draft, Status::Evaluated, Status::Approved, Status::Rejected, Status::Active];

    /// Their names, in the same order.
    pub const NAMES: [&'static str; 5] = ["draft", "evaluated", "approved", "rejected", "active"];

    /// The word of the enumeration.
    pub fn name(self) -> &'static str {
        Status::NAMES[self as usize]
    }

    /// Reads a word; [`READY`] stands for approved where there is a score and for draft where there is none. A column
    /// without a value is a draft.
    pub fn read(word: Option<&str>, has_score: bool) -> Option<Status> {
        match word {
            None => Some(Status::Draft),
            Some(READY) => Some(if has_score { Status::Approved } else { Status::Draft }),
            Some(word) => Status::ALL.into_iter().find(|status| status.name() == word),
        }
    }

    /// The states that may follow, given what they ask for.
    pub fn next(self) -> &'static [Status] {
        match self {
            Status::Draft => &[Status::Evaluated, Status::Rejected],
            Status::Evaluated => &[Status::Evaluated, Status::Approved, Status::Rejected],
            Status::Approved => &[Status::Active, Status::Rejected],
            Status::Rejected => &[Status::Draft],
            Status::Active => &[Status::Approved],
        }
    }
}

/// What a change of state comes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// A score and feedback are stored in the same call.
    pub evaluation: bool,
    /// There is a score afterwards.
    pub score: bool,
}

/// Whether a script may go from one state to another. The same state without a new evaluation is no change, and is allowed.
pub fn judge(from: Status, to: Status, given: Given) -> Result<(), Refused> {
    let refused = |reason| Err(Refused { from: from.name(), to: to.name(), reason });
    if from == to && !given.evaluation {
        return Ok(());
    }
    if to == Status::Evaluated && matches!(from, Status::Active | Status::Approved) {
        return refused("what is approved is not evaluated again; a change of its text makes a new version");
    }
    if !from.next().contains(&to) {
        return refused("there is no such transition");
    }
    match to {
        Status::Evaluated if !given.evaluation => {
            refused("it takes evaluation_score and evaluation_feedback in the same call")
        }
        Status::Approved if from == Status::Evaluated && !given.score => {
            refused("what has no evaluation_score is not approved")
        }
        _ => Ok(()),
    }
}

/// How a refused transition travels: HTTP 409 by PostgREST's convention, with `from` and `to`.
impl From<Refused> for StoreError {
    fn from(refused: Refused) -> StoreError {
        let Refused { from, to, reason } = refused;
        let next = Status::read(Some(from), false).map_or(&[][..], Status::next);
        let next: Vec<&str> = next.iter().map(|status| status.name()).collect();
        StoreError::Raised {
            sqlstate: "PT409",
            message: format!("status: {from} to {to}: {reason}"),
            details: Some(serde_json::json!({"from": from, "to": to}).to_string()),
            hint: Some(format!("from {from} it goes to {}", next.join(" or "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_read_by_the_score() {
        assert_eq!(Status::read(Some(READY), true), Some(Status::Approved));
        assert_eq!(Status::read(Some(READY), false), Some(Status::Draft));
        assert_eq!(Status::read(None, true), Some(Status::Draft));
        assert_eq!(Status::read(Some("final"), true), None);
        assert!(!Status::NAMES.contains(&READY));
    }

    #[test]
    fn each_transition_of_the_contract_is_allowed_and_each_other_refused() {
        use Status::{Active, Approved, Draft, Evaluated, Rejected};
        let evaluated = Given { evaluation: true, score: true };
        let scored = Given { evaluation: false, score: true };
        let bare = Given::default();
        let allowed = [
            (Draft, Evaluated, evaluated),
            (Draft, Rejected, bare),
            (Evaluated, Rejected, scored),
            (Evaluated, Approved, scored),
            (Evaluated, Evaluated, evaluated),
            (Approved, Active, scored),
            (Approved, Rejected, scored),
            (Rejected, Draft, bare),
            (Active, Approved, scored),
        ];
        for (from, to, given) in allowed {
            assert_eq!(judge(from, to, given), Ok(()), "{from:?} {to:?}");
        }
        for from in Status::ALL {
            for to in Status::ALL {
                let is_allowed = allowed.iter().any(|it| (it.0, it.1) == (from, to));
                if from != to && !is_allowed {
                    for given in [bare, scored, evaluated] {
                        let refused = judge(from, to, given).expect_err("refused");
                        assert_eq!((refused.from, refused.to), (from.name(), to.name()));
                    }
                }
            }
            assert_eq!(judge(from, from, scored), Ok(()), "the same state is no change");
        }
        assert!(judge(Draft, Evaluated, scored).is_err(), "without an evaluation");
        assert!(judge(Evaluated, Approved, bare).is_err(), "without a score");
        assert!(judge(Approved, Evaluated, evaluated).is_err());
        assert!(judge(Active, Evaluated, evaluated).is_err());
    }
}

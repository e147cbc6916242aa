//! What a PostgREST request says: query strings and headers become syntax trees.
//!
//! [`phoenix`] does the same for the frames of the realtime sockets.
//!
//! Pure text → tree. Nothing here knows a table, so a column that does not exist parses like one that does; the
//! planner decides. Every parser is bounded by [`Limits`] and returns a [`SyntaxError`] instead of panicking.

mod cursor;

pub mod accept;
pub mod error;
pub mod field;
pub mod filter;
pub mod half_characters;
pub mod limits;
pub mod literal;
pub mod operator;
pub mod order;
pub mod phoenix;
pub mod prefer;
pub mod query_string;
pub mod range;
pub mod select;

pub use accept::{Format, NotAcceptable};
pub use error::{Construct, LiteralError, SyntaxError};
pub use field::{FieldPath, JsonKey, JsonStep};
pub use filter::{Connective, Filter, LogicTree, conditions};
pub use limits::Limits;
pub use operator::{IsValue, Operator, Quantifier, Test, TextSearch};
pub use order::{Direction, Nulls, OrderTerm};
pub use prefer::{Preference, Preferences};
pub use query_string::{FilterAt, RequestQuery};
pub use range::{RangeError, Window};
pub use select::{Aggregate, AggregateCall, JoinKind, SelectEmbed, SelectField, SelectItem};

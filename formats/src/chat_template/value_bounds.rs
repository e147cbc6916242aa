//! How large may a value of a template be? Filters that [`super::bounded_syntax`] puts where values are made, kept and
//! compared.

use minijinja::value::{DynObject, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, escape_formatter};

// A name with a colon is none that a template can write.
/// Passes a list or map that was made just now; a lazy one becomes a whole one.
pub(super) const HELD: &str = "bounds:held";
/// Passes a value that stays in a namespace.
pub(super) const KEPT: &str = "bounds:kept";
/// Passes a value that is about to be compared, searched or written.
pub(super) const WEIGHED: &str = "bounds:weighed";

/// What a list may come to with all that it holds, what it holds twice counted twice. Written as text it is a few times as
/// large at most.
const BYTES_MAX: u64 = 16 << 20;
/// Of one place in a list.
const PLACE_BYTES: u64 = 32;
const BYTES_PER_FUEL: u64 = 64;
/// Texts are compared faster than they are made.
const COMPARED_BYTES_PER_FUEL: u64 = 1024;
const DEPTH_MAX: usize = 64;

/// Gives the filters to an environment, and writes no value that was not weighed.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter(HELD, held);
    environment.add_filter(KEPT, kept);
    environment.add_filter(WEIGHED, weighed);
    environment.set_formatter(written);
    // It writes all variables, which together may be as large as they like.
    environment.remove_global("debug");
}

fn held(state: &State, value: Value) -> Result<Value, Error> {
    let Some(object) = value.as_object() else { return Ok(value) };
    let value = match is_lazy(object) {
        true => whole(state, object)?,
        false => value,
    };
    Weight::new(state, Namespaces::AsAWhole).add(&value, 0)?;
    Ok(value)
}

fn kept(state: &State, value: Value) -> Result<Value, Error> {
    Weight::new(state, Namespaces::Refused).add(&value, 0)?;
    Ok(value)
}

fn weighed(state: &State, value: Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => state.consume_fuel(text.len() as u64 / COMPARED_BYTES_PER_FUEL)?,
        None => Weight::new(state, Namespaces::AsAWhole).add(&value, 0)?,
    }
    Ok(value)
}

fn written(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.as_object().is_some() {
        Weight::new(state, Namespaces::AsAWhole).add(value, 0)?;
    }
    escape_formatter(out, state, value)
}

/// Whether it computes its items when it is asked for them: such lists may stand on each other, and hold more than they
/// show.
fn is_lazy(object: &DynObject) -> bool {
    let is_list = matches!(object.repr(), ObjectRepr::Seq | ObjectRepr::Iterable);
    is_list
        && object.downcast_ref::<Vec<Value>>().is_none()
        && object.downcast_ref::<minijinja::value::Tuple>().is_none()
}

fn whole(state: &State, object: &DynObject) -> Result<Value, Error> {
    let mut items = Vec::new();
    for item in object.try_iter().into_iter().flatten() {
        // Two places are a unit; the other half is paid when the list is weighed.
        if items.len() % 2 == 0 {
            state.consume_fuel(1)?;
        }
        if items.len() as u64 * PLACE_BYTES > BYTES_MAX {
            return refused("a list of more than 16 MiB");
        }
        items.push(item);
    }
    Ok(Value::from_object(items))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespaces {
    /// It may be one, but not hold one: what is in a namespace may grow after it was weighed, or hold itself.
    AsAWhole,
    Refused,
}

/// A sum of what a value holds, paid for as it grows.
struct Weight<'s, 'e, 't> {
    state: &'s State<'e, 't>,
    namespaces: Namespaces,
    bytes: u64,
    paid: u64,
}

impl<'s, 'e, 't> Weight<'s, 'e, 't> {
    fn new(state: &'s State<'e, 't>, namespaces: Namespaces) -> Self {
        Weight { state, namespaces, bytes: 0, paid: 0 }
    }

    fn add(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        // Texts by themselves were paid for when they were made.
        if depth > 0 {
            let text = value.as_str().map(str::len).or_else(|| value.as_bytes().map(<[u8]>::len));
            self.pay(PLACE_BYTES + text.unwrap_or(0) as u64)?;
        }
        let Some(object) = value.as_object() else { return Ok(()) };
        if depth >= DEPTH_MAX {
            return refused("lists nested more than 64 times");
        }
        if is_namespace(object) && (depth > 0 || self.namespaces == Namespaces::Refused) {
            return refused("a namespace within another value");
        }
        match object.repr() {
            ObjectRepr::Map => {
                for (key, value) in object.try_iter_pairs().into_iter().flatten() {
                    self.add(&key, depth + 1)?;
                    self.add(&value, depth + 1)?;
                }
            }
            ObjectRepr::Seq | ObjectRepr::Iterable => {
                for item in object.try_iter().into_iter().flatten() {
                    self.add(&item, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn pay(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes += bytes;
        if self.bytes > BYTES_MAX {
            return refused("a list of more than 16 MiB");
        }
        let fuel = self.bytes / BYTES_PER_FUEL - self.paid;
        self.paid += fuel;
        match fuel {
            0 => Ok(()),
            fuel => self.state.consume_fuel(fuel),
        }
    }
}

/// By the name of its type, which the engine keeps to itself.
fn is_namespace(object: &DynObject) -> bool {
    object.type_name().ends_with("::Namespace")
}

fn refused<T>(reason: &'static str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason))
}

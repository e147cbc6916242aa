//! Where a value stands in a body. Clients choose names and depths, so a place is put in words only when a message needs
//! it, and not all of a long one.

use models::field_names::shown_name;

/// Longest place in words, in characters.
const CHARS_MAX: usize = 200;

/// A place, as a member or an item of another one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'p> {
    /// The whole body.
    Whole,
    /// A member of an object, as the client spelled it.
    Member(&'p Place<'p>, &'p str),
    /// An item of a list.
    Item(&'p Place<'p>, usize),
}

impl<'p> Place<'p> {
    /// A member of the body by its name; the whole body without one.
    pub fn named(name: &'p str) -> Place<'p> {
        if name.is_empty() { Place::Whole } else { Place::Member(&Place::Whole, name) }
    }

    /// Whether it is the whole body.
    pub fn is_whole(&self) -> bool {
        matches!(self, Place::Whole)
    }

    /// In words: `others[1].colour`; empty for the whole body.
    pub fn worded(&self) -> String {
        let (mut outwards, mut place) = (Vec::new(), self);
        while let Place::Member(around, _) | Place::Item(around, _) = place {
            outwards.push(place);
            place = around;
        }
        let mut text = String::new();
        for place in outwards.into_iter().rev() {
            match place {
                Place::Whole => {}
                Place::Member(_, name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(&shown_name(name));
                }
                Place::Item(_, number) => text.push_str(&format!("[{number}]")),
            }
        }
        match text.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_worded_from_outside_and_not_all_of_a_long_one() {
        let long = "x".repeat(10_000);
        let outer = Place::named("others");
        let item = Place::Item(&outer, 1);
        assert_eq!(Place::Member(&item, "colour").worded(), "others[1].colour");
        assert_eq!(Place::Whole.worded(), "");
        let places = [Place::named(&long), Place::Member(&item, &long)];
        assert_eq!(places.map(|place| place.worded().len()), [60, 70]);
        let (a, b) = (Place::Member(&places[0], &long), Place::Member(&places[1], &long));
        let (a, b) = (Place::Member(&a, &long), Place::Member(&b, &long));
        assert_eq!([a, b].map(|place| place.worded().chars().count()), [182, 192]);
        assert_eq!(Place::Member(&b, &long).worded().chars().count(), CHARS_MAX + 1);
    }
}

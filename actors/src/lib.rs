//! Who decides: one actor kind per aggregate.

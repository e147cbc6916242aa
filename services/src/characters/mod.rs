//! Characters: what is more than a row that is written.

pub mod from_template;

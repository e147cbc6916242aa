//! What exists: every table as data, no IO.

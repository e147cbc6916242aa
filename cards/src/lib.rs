//! Character cards.

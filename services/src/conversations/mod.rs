//! Turns of conversations: who takes part, what goes into them, and making them once more.

pub mod messages;
pub mod opening;
pub mod participants;
pub mod playground_turn;
pub mod repeat_turn;
pub mod roleplay_turn;
pub mod shown_pictures;
pub mod turn;
pub mod turn_warnings;

//! Scripts of chapters: versions, their states, evaluations, and who appears in them.

pub(crate) mod before_write;
pub(crate) mod cast;
pub mod change;
pub mod delete_script;
pub mod evaluate_script;
pub mod evaluation;
pub mod mend_scripts;
pub mod move_script;
pub mod status;
pub mod version;

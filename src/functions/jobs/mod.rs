//! Jobs, local and remote workers, and results.

pub(super) mod claim_job;
pub(super) mod delete_workspace_item;
pub(super) mod generate_admin_image;
pub(super) mod job_callback;
pub(super) mod job_progress;
pub(super) mod png_info;
pub(super) mod queue_job;
pub(super) mod replicate_image;
pub(super) mod replicate_webhook;
pub(super) mod signature;
pub(super) mod train_lora;
pub(super) mod verify_picture;
pub(super) mod workspace_actions;

pub(super) use signature::signed_headers;

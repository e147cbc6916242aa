pub(super) mod export_my_data;
pub(super) mod import_data;
pub(super) mod invitations;
pub(super) mod library_bin;
pub(super) mod server_settings;
pub(super) mod sessions;

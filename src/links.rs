//! Addresses of this server, for use cases that hand them out.

use std::sync::Arc;

use services::Links;
use uuid::Uuid;

use crate::config::Config;
use crate::keys::Keys;
use crate::reader;
use crate::storage::signed_url;

/// Addresses of this server, signed with its keys.
#[derive(Debug)]
pub(crate) struct OwnLinks {
    pub keys: Arc<Keys>,
    pub config: Config,
}

impl Links for OwnLinks {
    fn base(&self) -> String {
        self.config.url()
    }

    fn signed(&self, bucket: &str, path: &str, seconds: u64) -> Result<String, String> {
        signed_url(&self.keys, &self.config, (bucket, path), None, seconds)
    }

    fn signed_bytes(&self, bucket: &str, path: &str, hash: &str, seconds: u64) -> Result<String, String> {
        signed_url(&self.keys, &self.config, (bucket, path), Some(hash), seconds)
    }

    fn reading(&self, export: Uuid, share: Uuid) -> String {
        format!("{}{}", self.config.url(), reader::path(&self.keys, export, share))
    }
}

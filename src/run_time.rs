//! Settings with numbers that an administrator may change while the server runs: what the configuration says, and what was
//! set since, which is kept in `system_config` and outlives the server.

use models::Value;
use models::schema;
use serde_json::Value as Json;
use store::{Store, StoreError};

use crate::config::Config;

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The member of `system_config.config` that holds it, and its name in requests.
    pub name: &'static str,
    /// Its name in the configuration.
    pub configured_as: &'static str,
    /// The smallest value.
    least: u64,
    /// Whether what the configuration says is the smallest: what the operator wants at least is not an administrator's to
    /// take away.
    is_floor: bool,
    /// The largest.
    pub most: u64,
    configured: fn(&Config) -> u64,
}

/// How many of the backups that are written by themselves are kept.
pub(crate) static BACKUPS_KEPT: Setting = Setting {
    name: "backupsKept",
    configured_as: "backups_kept",
    least: 1,
    is_floor: true,
    most: 1000,
    configured: |config| config.backups_kept as u64,
};
/// Hours between two of them.
pub(crate) static BACKUP_EVERY_H: Setting = Setting {
    name: "backupEveryH",
    configured_as: "backup_every_h",
    least: 1,
    is_floor: false,
    most: 8760,
    configured: |config| config.backup_every_h,
};
/// Days for which what was deleted from the library can be put back.
pub(crate) static LIBRARY_BIN_DAYS: Setting = Setting {
    name: "libraryBinDays",
    configured_as: "library_bin_days",
    least: 0,
    is_floor: false,
    most: 3650,
    configured: |config| config.library_bin_days.into(),
};

/// All of them.
pub(crate) static SETTINGS: [&Setting; 3] = [&BACKUPS_KEPT, &BACKUP_EVERY_H, &LIBRARY_BIN_DAYS];

impl Setting {
    /// What the configuration says.
    pub fn configured(&self, config: &Config) -> u64 {
        (self.configured)(config)
    }

    /// The smallest value beside what the configuration says.
    pub fn least(&self, configured: u64) -> u64 {
        if self.is_floor { configured.clamp(self.least, self.most) } else { self.least }
    }

    /// The value that counts now, and whether an administrator set it.
    pub fn current(&self, store: &Store, configured: u64) -> Result<(u64, bool), StoreError> {
        let table = schema().known("system_config");
        let row = store.reads().get(table, &[Value::Int(1)])?;
        let config = row.and_then(|row| row[table.at("config")].as_json()).unwrap_or_default();
        Ok(self.effective(configured, &config[self.name]))
    }

    fn effective(&self, configured: u64, stored: &Json) -> (u64, bool) {
        // What no version here writes changes nothing.
        match stored.as_u64().filter(|value| (self.least(configured)..=self.most).contains(value)) {
            Some(value) => (value, true),
            None => (configured, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_numbers_within_the_limits_count() {
        assert_eq!(BACKUPS_KEPT.effective(2, &json!(3)), (3, true));
        assert_eq!(BACKUPS_KEPT.effective(7, &json!(3)), (7, false), "fewer than the operator wants");
        assert_eq!(LIBRARY_BIN_DAYS.effective(30, &json!(3)), (3, true));
        for other in [json!(0), json!(1001), json!("3"), json!(2.5), json!(-1), Json::Null] {
            assert_eq!(BACKUPS_KEPT.effective(7, &other), (7, false), "{other}");
        }
    }
}

//! What the tests of official clients and of the page install beside themselves.

use std::fs::File;
use std::path::Path;
use std::process::Command;

/// Runs `tests/FOLDER/install.sh`. One at a time, for it replaces what others run: tests of one program run side by
/// side.
pub fn install(folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let turn = File::create(folder.join(".install.lock")).expect("a lock file");
    turn.lock().expect("a turn");
    let status = Command::new("sh").arg("install.sh").current_dir(&folder).status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{}: {status:?}", folder.display());
}

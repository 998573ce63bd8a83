//! Configuration files: every problem has a place, and nothing makes the reader panic or run away.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|data: &[u8]| {
    let file = FOLDER.path().join("keyproof.yaml");
    std::fs::write(&file, data).unwrap();
    match keyproof::config::load(&file) {
        Ok((plan, _)) => assert!(!plan.listeners.is_empty() && !plan.routes.is_empty()),
        Err(problems) => assert!(!problems.0.is_empty()),
    }
});

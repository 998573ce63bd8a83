//! Paths: one canonical form, which is its own canonical form and has nothing ambiguous in it.
#![no_main]

use keyproof::uri::{CanonicalPath, normalize_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(once) = normalize_path(text) {
        assert_eq!(normalize_path(&once).as_deref(), Some(&*once));
    }
    if let Ok(path) = CanonicalPath::parse(text) {
        let canonical = path.as_str();
        assert!(canonical.starts_with('/') && canonical.is_ascii());
        assert_eq!(
            CanonicalPath::parse(canonical).map(|path| path.as_str().to_owned()).as_deref(),
            Ok(canonical)
        );
        assert_eq!(normalize_path(text).as_deref(), Some(canonical), "`htu` and route see one path");
        assert!(
            !canonical.contains("//") && !canonical.split('/').any(|segment| matches!(segment, "." | ".."))
        );
    }
});

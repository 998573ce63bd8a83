//! The strict JSON reader: never a panic, never a name twice, and nothing that another reader would call an error.
#![no_main]

use keyproof::jose::json::{Limits, Object};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;

fuzz_target!(|data: &[u8]| {
    if let Ok(object) = Object::parse(data, Limits::TOKEN) {
        let mut names = HashSet::new();
        for (name, _) in object.iter() {
            assert!(names.insert(name.to_owned()), "{name} stands twice");
            assert!(object.get(name).is_some());
        }
        object.into_owned();
    }
});

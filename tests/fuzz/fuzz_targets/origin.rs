//! Origins and authorities, and `htu` compared with a target that they make.
#![no_main]

use keyproof::dpop::TargetUri;
use keyproof::uri::Origin;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let ours = Origin::parse("https://api.test").unwrap();
    let _ = ours.is_authority(text);
    let _ = TargetUri { origin: &ours, path: "/orders" }.check(text);
    if let Ok(origin) = Origin::parse(text) {
        assert_eq!(Origin::parse(origin.as_str()).as_ref(), Ok(&origin));
        assert!(origin.is_authority(origin.authority()));
        assert!(origin.authority().starts_with(origin.host()));
        let target = TargetUri { origin: &origin, path: "/" };
        assert_eq!(target.check(&target.to_string()), Ok(()));
    }
});

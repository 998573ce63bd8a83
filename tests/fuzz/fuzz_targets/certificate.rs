//! What a front says of its client's certificate, in each format.
#![no_main]

use keyproof::certificate::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    for format in [Format::Rfc9440, Format::Xfcc, Format::PemUrlEncoded] {
        if let Ok(thumbprint) = format.read(value) {
            // White space around it changes nothing, and another value after it is none.
            assert_eq!(format.read(&[b" ", value, b" "].concat()), Ok(thumbprint));
            assert!(format.read(&[value, b", ", value].concat()).is_err());
        }
    }
});

//! What tests share.

pub mod raw;
pub mod upstream;

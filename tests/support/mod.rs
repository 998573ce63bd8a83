//! What tests share.

pub mod gateway;
pub mod raw;
pub mod upstream;

//! What tests share.

pub mod gateway;
pub mod h2;
pub mod raw;
pub mod upstream;

//! keyproof: the gateway that makes a stolen access token useless.

pub mod admin;
pub mod app;
pub mod authorize;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod denial;
pub mod dpop;
pub mod identity;
pub mod issuer;
pub mod jose;
pub mod observe;
pub mod proxy;
pub mod replay;
pub mod route;
pub mod server;
pub mod token;
pub mod uri;

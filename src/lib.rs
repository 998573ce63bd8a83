//! keyproof: the gateway that makes a stolen access token useless.
//!
//! It stands in front of an API, verifies the access token and the DPoP proof of every request (RFC 9449), refuses every replay, and
//! forwards what is left with identity headers. This page is the map of the house.
//!
//! # A request's way
//!
//! *What was asked* → *who may ask* → *was this proof ever used* → *forward*, down one page, [`gate::Gate::decide`] and [`proxy::Proxy`], in one direction. Every
//! check leaves its evidence in a type, and only the last type can be forwarded:
//!
//! 1. [`server`] accepts the connection, speaks TLS and HTTP, and hands over one request.
//! 2. [`uri`] finds which of our [`uri::Origin`]s was asked and gives the path its one [`uri::CanonicalPath`]; [`route`] chooses by both.
//! 3. [`authorize::Authorizer::verify`] checks credentials, [`token`], binding, [`dpop`] proof, scope and [`identity`], without any effect:
//!    [`authorize::Verified`].
//! 4. [`authorize::Authorizer::spend`] does the one atomic insert into the [`replay`] store: [`authorize::Permit`].
//! 5. [`proxy`] strips what no client may say ([`headers`]), sets what we say, and forwards by [`upstream`].
//!
//! Whatever fails is a [`denial::Denial`], and its table says what that means on the wire. Whatever happens is recorded once, by
//! [`observe::Exchange`], when it is dropped.
//!
//! # The rooms
//!
//! | room | knows | must not know |
//! | --- | --- | --- |
//! | [`clock`] | the operating system's time | anything else |
//! | [`names`] | which listener, route and upstream, for as long as the process lives | anything else |
//! | [`jose`] | JSON, JWS, public keys, the crypto crate | claims, DPoP, HTTP, time |
//! | [`hot_keys`] | keys that are seen often, their tables and the thread that makes them | what a proof says, tokens, HTTP |
//! | [`uri`] | origins and paths as RFC 3986 has them | requests |
//! | [`headers`] | names that are set, stripped or reserved; how a field is read | what the values say |
//! | [`certificate`] | what names a client certificate, how fronts write one into a field | who is believed, TLS |
//! | [`dpop`] | RFC 9449 section 4.3 | token contents, replay, routes, header maps, clocks |
//! | [`token`] | RFC 9068 claims, key sets, what an issuer's answer about a token means (RFC 7662), who is denied | where keys and answers come from, DPoP, HTTP |
//! | [`seal`] | the sealed tokens of an issuer that knows no DPoP | what the token inside says, HTTP, where secrets come from |
//! | [`replay`] | a fixed-size key, `until`, `now` | what a proof is |
//! | [`route`] | host, path, method | connections, tokens |
//! | [`denial`] | the errors of the rooms above; statuses, codes, labels | bodies, metrics |
//! | [`identity`] | which claim goes into which header | how the permit was earned |
//! | [`authorize`] | all of the above, and their order | sockets, the YAML |
//! | [`config`] | the YAML, files, the types it plans into | running state |
//! | [`issuer`] | fetching and keeping keys, asking about tokens | requests in flight |
//! | [`net`] | the worker threads and their turns, sockets that take connections, writes to sockets, the way out to issuers, TLS as a client, PEM files | what is sent |
//! | [`server`] | sockets, TLS, HTTP's limits, drain | tokens, routes |
//! | [`upstream`] | servers, their names and their health, connections and TLS to them, bodies, the types it is planned in | tokens, routes, decisions |
//! | [`gate`] | the stages in order, which evidence is missing and who can bring it | bodies, upstreams, how an answer is written |
//! | [`entrance`] | who came in, when, whose word is taken; begins the record | decisions, how an answer is written |
//! | [`forward_auth`] | the doors for other proxies, over HTTP and over gRPC: read what they describe, say what they may do | TLS set-up, YAML, how verification works, upstreams |
//! | [`proxy`] | the door that forwards: reads a question, writes an answer | TLS set-up, YAML, how verification works |
//! | [`observe`] | records and labels | decisions: it is told, never asks |
//! | [`doctor`] | the marks of `keyproof doctor`, and what came with each | how a request is decided, who may ask |
//! | [`admin`] | health, metrics, the effective configuration, and who may ask for it | requests in flight |
//! | [`client`] | the other side: making keys, proofs, token requests | the gateway |
//! | [`demo`] | an authorization server and an upstream for the story that `keyproof demo` tells | |
//! | [`app`] | every room: wiring, readiness, drain | |
//! | [`cli`] | arguments and exit codes | |
//!
//! `tests/architecture.rs` holds this table as data. One room more is built for tests alone: `simulation` puts the rooms that promise that no
//! proof is taken twice into worlds where clocks lie, processes die and messages are lost.
//!
//! # What carries the security
//!
//! * **Verified is not Permit.** Checks may be repeated; spending may not, and only spending makes a permit.
//! * **Absence denies.** No route, no key, no room to remember: no forward.
//! * **Spend last.** A refused request uses nothing up, and only a holder of a live token and its key can fill the store.
//! * **One owner per number.** [`dpop::AcceptanceWindow`] answers both "acceptable now?" and "remember until when?".
//! * **The store knows since when it is complete** ([`replay::Store::complete_since`]). A proof that could have been used before is answered
//!   with a nonce: honest clients retry once, a replay dies. One rule for restart, failover and scale-out. A nonce of this process says by
//!   its [mark](replay::FirstUse::mark) that it is from after everything that was forgotten, so no clock has to be right for that.
//! * **Time is an argument**, and the clock is read again after every wait: for a turn, for keys, for a shared store.
//! * **One path, one authority.** What matched the route is compared with `htu` and forwarded. What is ambiguous is refused.
//! * **Strip, then set**, on every route, in every spelling.

pub mod admin;
pub mod app;
pub mod authorize;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod denial;
pub mod doctor;
pub mod dpop;
pub mod entrance;
pub mod forward_auth;
pub mod gate;
pub mod headers;
pub mod hot_keys;
pub mod identity;
pub mod issuer;
pub mod jose;
pub mod names;
pub mod net;
pub mod observe;
pub mod proxy;
pub mod replay;
pub mod route;
pub mod seal;
pub mod server;
#[cfg(test)]
mod simulation;
pub mod token;
pub mod upstream;
pub mod uri;

//! What the gateway promises, end to end: real sockets, a real upstream, a clock that the test sets.

// `cfg(test)` is always set here; it says that these modules, helpers included, are tests.
#[cfg(test)]
mod clocks;
mod cors;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod nonce;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod waiting;

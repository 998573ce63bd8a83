//! `keyproof doctor`: what the gateway tells of a marked request.

// `cfg(test)` is always set here; it says that these modules, helpers included, are tests.
#[cfg(test)]
mod command;
#[cfg(test)]
mod marks;

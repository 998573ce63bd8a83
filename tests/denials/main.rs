//! Every reason to be refused, each brought about by a real request of `tests/support/reasons.rs`.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod log;
#[cfg(test)]
mod observed;

//! The public contract as a stranger meets it: the program started as a process with files written from the documentation, and bytes on
//! sockets. What single rules say in detail stands in the other tests; here is what only the whole program can break.

// `cfg(test)` is always set here; it says that these modules, helpers included, are tests.
#[cfg(test)]
mod answers;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod life;
#[cfg(test)]
mod load;
#[cfg(test)]
mod reloads;
#[cfg(test)]
mod replacement;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod stops;
#[cfg(test)]
mod stranger;
#[cfg(test)]
mod turbulence;

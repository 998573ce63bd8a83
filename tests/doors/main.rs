//! The listeners for other proxies, asked in the words of each front. What real fronts make of it is in `tests/fronts`.

// `cfg(test)` is always set here; it says that these modules, helpers included, are tests.
#[cfg(test)]
mod allowed;
#[cfg(test)]
mod descriptions;
#[cfg(test)]
mod front;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod once;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod reload;

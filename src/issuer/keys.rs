//! Fetching a key set: bounded in size and time, no redirects.

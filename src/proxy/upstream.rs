//! Connections to the upstreams, pooled.

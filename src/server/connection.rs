//! One connection: HTTP/1.1 or HTTP/2, with limits.

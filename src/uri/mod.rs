//! URIs as RFC 3986 means them: one origin, one canonical path, for routing, for `htu` and for forwarding.

mod origin;
mod path;
mod shown;

pub use origin::{Origin, OriginError, Scheme};
pub use path::{CanonicalPath, PathError, normalize_path};
pub use shown::without_secrets;

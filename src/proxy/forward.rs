//! The permitted request, on its way to the upstream.

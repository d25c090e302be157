//! The compiled plugin in real hosts.

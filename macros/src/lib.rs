//! The attribute macro of `osgi-remote`.

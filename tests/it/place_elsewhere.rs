//! What the usual file system has on systems other than Linux, as far as the tests that run there
//! ask.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Modes,
    Symlinks,
    HardLinks,
    LinkCounts,
    LinkNumbers,
    FreshLinkCounts,
    NoReplace,
    OneStep,
}

/// Nothing of it is missing.
pub(crate) fn has(_: Feature) -> bool {
    true
}

/// Whether any of it is missing, and the test cannot go on.
pub(crate) fn lacks(features: &[Feature]) -> bool {
    !features.iter().all(|feature| has(*feature))
}

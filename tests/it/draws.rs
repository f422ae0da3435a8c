//! What proptest draws for the tests.

use std::env;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Draws something new each time, but in CI always the same: the tests also count what was drawn,
/// and none may fail by chance.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    match env::var_os("CI") {
        Some(_) => {
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        }
        None => TestRunner::new(config),
    }
}

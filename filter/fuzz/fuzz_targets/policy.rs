//! A document in either carrier is taken or refused with a problem, never with a panic, and in the same way each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::policy::Policy;
use portcullis_filter::problem::Severity;

fuzz_target!(|bytes: &[u8]| {
    let digest = |bytes| Policy::load(bytes).map(|(policy, _)| policy.digest);
    match digest(bytes) {
        Ok(name) => assert_eq!(digest(bytes), Ok(name)),
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            let lines = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            // What is written to a log holds no control character of the document.
            assert!(!lines.chars().any(|c| c.is_control() && c != '\n'), "{lines:?}");
            assert_eq!(digest(bytes), Err(problems));
        }
    }
});

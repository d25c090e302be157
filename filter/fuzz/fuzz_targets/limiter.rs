//! What a rate limit service says is read or refused, in bounds, whatever it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::guards::rate_limit::global::message::{Code, response};
use portcullis_filter::guards::rate_limit::global::{frame, read_answer};
use portcullis_filter::host::Answer;
use portcullis_filter::http::head::serialize;
use portcullis_filter::limits::LIMITER_RESET_MAX;

fuzz_target!(|bytes: &[u8]| {
    let read = response(bytes, 2);
    if let Ok(response) = &read {
        assert!(response.statuses.len() <= 2);
        let resets = response.statuses.iter().map(|status| status.reset).chain([response.reset]);
        assert!(resets.flatten().all(|seconds| seconds <= LIMITER_RESET_MAX));
        assert!(response.overall == Code::Unknown || !bytes.is_empty(), "a decision out of nothing");
    }
    let map = |name: &str, value: &str| serialize([(name.as_bytes(), value.as_bytes())].into_iter());
    let answer = Answer {
        status: 200,
        headers: map("content-type", "application/grpc"),
        body: Some(frame(bytes)),
        trailers: map("grpc-status", "0"),
    };
    assert_eq!(read_answer(answer.clone(), 2).ok(), read.ok());
    // The same bytes as a frame, as a head and as trailers.
    let _ = read_answer(Answer { body: Some(bytes.to_vec()), ..answer.clone() }, 2);
    let _ = read_answer(Answer { headers: bytes.to_vec(), ..answer.clone() }, 2);
    let _ = read_answer(Answer { trailers: bytes.to_vec(), ..answer }, 2);
});

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let took = tokenrouter_fuzz::pattern_time(bytes);
    assert!(took.is_none_or(|took| took <= tokenrouter_fuzz::LONGEST), "took {took:?}");
});

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tokenrouter_fuzz::predictor(bytes));

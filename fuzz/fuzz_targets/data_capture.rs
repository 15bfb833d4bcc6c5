#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("data_capture", data));

#![no_main]
#![allow(dead_code, reason = "one body of all")]

#[path = "../bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::compose::compose(data));

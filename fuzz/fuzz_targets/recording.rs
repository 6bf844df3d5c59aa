//! Any bytes as a recording: an error that says what is wrong, or routes. Half of the mutations damage the header as the JSON that
//! it is, so that what comes behind it is reached.

#![no_main]

mod damage;
#[path = "../../crates/contrib-routes/tests/common/untrusted.rs"]
mod untrusted;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = untrusted::read_in_every_way(bytes.to_vec()) {
        untrusted::names_its_cause(&error);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 2 == 0
        && let Some(damaged) = damage::with_damaged_header(&data[..size], seed)
        && damaged.len() <= max_size
    {
        data[..damaged.len()].copy_from_slice(&damaged);
        return damaged.len();
    }
    fuzzer_mutate(data, size, max_size)
});

//! Any bytes in a link's memory: `cargo +nightly fuzz run shared_memory`, from the top of the checkout.
//!
//! The body is a test's, which `cargo test` feeds with random bytes on every run.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/forkful-core/tests/it/scribble.rs"]
mod scribble;

fuzz_target!(|noise: &[u8]| scribble::ask_everything(noise));

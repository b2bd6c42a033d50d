//! A worker may write anything anywhere: the parent gets errors, and goes on.

use crate::scribble::ask_everything;
use crate::watchdog::Watchdog;
use proptest::prelude::*;

#[test]
fn quiet_memory_and_simple_noise() {
    let _watchdog = Watchdog::over("quiet_memory_and_simple_noise");
    ask_everything(b"");
    for byte in [0, 1, 0x7f, 0x80, 0xff] {
        for first in [0, 1] {
            let mut noise = [byte; 64];
            noise[0] = first;
            ask_everything(&noise);
        }
    }
}

/// How many regions each of the two below is shown; `make fuzz` asks for more.
fn regions() -> ProptestConfig {
    let asked = std::env::var("FORKFUL_FUZZ_REGIONS").ok();
    let asked = asked.map(|text| text.parse().expect("FORKFUL_FUZZ_REGIONS is a number"));
    ProptestConfig::with_cases(asked.unwrap_or(1500))
}

proptest! {
    #![proptest_config(regions())]

    #[test]
    fn any_bytes_are_only_errors(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        ask_everything(&noise);
    }

    /// Words that look like states, lengths and positions get further in than random bytes.
    #[test]
    fn likely_words_are_only_errors(place: [u8; 8], words in proptest::collection::vec(word(), 1..40)) {
        let mut noise = place.to_vec();
        noise.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        ask_everything(&noise);
    }
}

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..20u64,
        (0..4u64, 0..5u64, 0..5u64)
            .prop_map(|(lap, worker, phase)| lap << 20 | worker << 4 | phase),
        (1..300u64, any::<u16>()).prop_map(|(len, kind)| u64::from(kind) << 32 | len),
        (0..300u64).prop_map(|flags| flags << 32),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

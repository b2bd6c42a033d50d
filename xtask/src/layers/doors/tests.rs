//! What counts as unsafe code, and where.

use super::check;
use crate::tree::{File, Finding};

fn found(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    check(&File::new(path, text), &mut findings);
    findings
}

#[test]
fn unsafe_code_stays_behind_the_doors() {
    for text in [
        "fn f() { unsafe { g() } }",
        "unsafe impl Send for A {}",
        "unsafe fn f() {}",
        "#![allow(unsafe_code)]",
        "#[allow(dead_code, unsafe_code)] mod a;",
        "#[cfg_attr(test, expect(unsafe_code))] fn f() {}",
        "#[unsafe(no_mangle)] fn f() {}",
    ] {
        assert_eq!(
            found("crates/forkful-core/src/threads/pool.rs", text).len(),
            1,
            "{text}"
        );
        assert_eq!(
            found("crates/forkful-core/src/future/cellar.rs", text).len(),
            1,
            "{text}"
        );
        assert_eq!(
            found("crates/forkful-python/src/future.rs", text).len(),
            1,
            "{text}"
        );
        for door in [
            "core/src/sys/linux/futex",
            "core/src/shm/mod",
            "core/src/future/cell",
            "python/src/ffi",
        ] {
            assert_eq!(
                found(&format!("crates/forkful-{door}.rs"), text),
                [],
                "{text}"
            );
        }
    }
}

#[test]
fn talking_of_it_and_forbidding_it_is_free() {
    let text = "//! unsafe\n#![deny(unsafe_code)]\n#![forbid(unsafe_code)]\n// unsafe\nfn f() { \"unsafe\" }\n\
                #![deny(unsafe_op_in_unsafe_fn)]";
    assert_eq!(found("crates/forkful-core/src/lib.rs", text), []);
}

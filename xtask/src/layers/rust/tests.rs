//! Good and bad imports in the engine, and what the bindings may name.

use super::check;
use crate::tree::File;

/// The rules that a text breaks at this path below `crates/`, with the lines.
fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    let mut findings = Vec::new();
    check(&File::new(&format!("crates/{path}"), text), &mut findings);
    findings.sort();
    findings
        .into_iter()
        .map(|finding| (finding.line, finding.rule))
        .collect()
}

const UP: (usize, &str) = (1, "upward-import");

#[test]
fn downward_imports_pass() {
    for text in [
        "use crate::future::{self, cell::Cell, state::{State, Verdict}};",
        "use crate::{prim, sys::futex as sleep, deadline::Deadline};",
        "use std::threads::worker; use super::queue; use self::sleep::Sleep;",
        "pub(crate) use crate::threads::queue::Queue;",
        "fn f() { crate::wire::frame() + crate::threads::g() }",
        "pub(in crate::threads) fn f() {} pub(in super::super) fn g() {}",
        "mod tests { use super::*; use super::super::queue; }",
        "fn f() -> impl Sized + use<'a> {}",
        "fn f() { crate::id::parse::<u8>(1) as usize }",
    ] {
        assert_eq!(
            broken("forkful-core/src/threads/pool.rs", text),
            [],
            "{text}"
        );
    }
}

#[test]
fn upward_imports_are_found_however_written() {
    for text in [
        "use crate::threads;",
        "use crate::threads::pool::Pool as P;",
        "use crate::{prim, sys::{self, futex}, threads::{pool}};",
        "use crate::{sys as s, wire as w};",
        "pub use crate::wire::Frame;",
        "pub(crate) use crate::wire::*;",
        "use super::super::threads::pool;",
        "use super::{state, super::wire::Frame};",
        "use self::super::super::wire;",
        "fn f() { use crate::wire; }",
        "fn f() { crate::wire::g() }",
        "fn f(x: &dyn crate::threads::Run) {}",
        "fn f() { 1 as crate::wire::Size }",
        "fn f() { crate::prim::A as crate::wire::Size }",
        "macro_rules! m { () => { $crate::wire::g() } }",
        "#[cfg(test)] mod tests { use crate::threads; }",
        "#[cfg(test)] mod tests { use super::super::super::threads; }",
        "mod a { mod b {} fn f() {} } use super::super::wire;",
    ] {
        assert_eq!(
            broken("forkful-core/src/future/cell.rs", text),
            [UP],
            "{text}"
        );
    }
}

#[test]
fn each_finding_has_its_own_line() {
    let text = "use crate::{\n    wire,\n    prim,\n    threads::{\n        pool,\n        queue::Queue,\n    },\n};";
    let rule = "upward-import";
    assert_eq!(
        broken("forkful-core/src/sys/mod.rs", text),
        [(2, rule), (5, rule), (6, rule)]
    );
}

#[test]
fn neighbours_do_not_meet_except_for_prim() {
    assert_eq!(
        broken("forkful-core/src/sync/lock.rs", "use crate::future;"),
        [UP]
    );
    assert_eq!(
        broken("forkful-core/src/fork.rs", "use crate::future;"),
        [UP]
    );
    assert_eq!(
        broken("forkful-core/src/id.rs", "use crate::deadline;"),
        [UP]
    );
    assert_eq!(broken("forkful-core/src/prim.rs", "use crate::id;"), [UP]);
    assert_eq!(broken("forkful-core/src/id.rs", "use crate::prim;"), []);
}

#[test]
fn comments_and_strings_import_nothing() {
    let text = "//! use crate::wire;\n/// [`crate::wire`]\n/* use crate::wire; */ fn f() { \"use crate::wire;\" }";
    assert_eq!(broken("forkful-core/src/sys/mod.rs", text), []);
}

#[test]
fn the_whole_crate_and_its_root_are_not_imported() {
    for text in [
        "use crate::*;",
        "use super::*;",
        "use crate::{self as engine};",
        "use crate::Future;",
    ] {
        assert_eq!(broken("forkful-core/src/sys/mod.rs", text), [UP], "{text}");
    }
}

#[test]
fn every_module_has_a_storey() {
    assert_eq!(
        broken("forkful-core/src/attic/mod.rs", "//! A."),
        [(1, "storey")]
    );
    let root =
        "mod sys;\npub mod wire { }\nmod attic;\n#[cfg(test)] mod tests;\npub use wire::Frame;";
    assert_eq!(broken("forkful-core/src/lib.rs", root), [(3, "storey")]);
    assert_eq!(
        broken(
            "forkful-core/src/sys/mod.rs",
            "#[path = \"x.rs\"] mod linux;"
        ),
        [(1, "storey")]
    );
    assert_eq!(
        broken("forkful-core/tests/attic.rs", "use forkful_core::threads;"),
        []
    );
}

#[test]
fn the_crate_for_programs_has_storeys_too() {
    assert_eq!(
        broken("forkful/src/error.rs", "use crate::future::Future;"),
        [UP]
    );
    assert_eq!(
        broken(
            "forkful/src/thread_pool/build.rs",
            "use crate::process_pool::A;"
        ),
        [UP]
    );
    assert_eq!(
        broken("forkful/src/future.rs", "use crate::error::TaskError;"),
        []
    );
    assert_eq!(broken("forkful/src/future.rs", "use crate::Status;"), [UP]);
    assert_eq!(
        broken(
            "forkful/src/lib.rs",
            "mod future;\nmod attic;\npub mod __private {}"
        ),
        [(2, "storey")]
    );
    assert_eq!(
        broken("forkful/src/init.rs", "use rustix::process;"),
        [(1, "owned-word")]
    );
    assert_eq!(broken("forkful/examples/a.rs", "use rustix::process;"), []);
    assert_eq!(
        broken(
            "forkful/src/wait/tests.rs",
            "use crate::ThreadPoolExecutor;"
        ),
        []
    );
}

#[test]
fn some_words_have_an_owner() {
    let owned = (1, "owned-word");
    for text in [
        "use rustix::io;",
        "fn f() { libc::getpid() }",
        "#[cfg(target_os = \"linux\")] fn f() {}",
    ] {
        assert_eq!(
            broken("forkful-core/src/sync/lock.rs", text),
            [owned],
            "{text}"
        );
        assert_eq!(broken("forkful-core/src/lib.rs", text), [owned], "{text}");
        assert_eq!(
            broken("forkful-core/src/sys/linux/futex.rs", text),
            [],
            "{text}"
        );
    }
    for text in ["use loom::sync;", "#[cfg(not(forkful_loom))] fn f() {}"] {
        assert_eq!(
            broken("forkful-core/src/sync/lock.rs", text),
            [owned],
            "{text}"
        );
        assert_eq!(broken("forkful-core/src/prim.rs", text), [], "{text}");
        assert_eq!(broken("forkful-core/src/lib.rs", text), [], "{text}");
        assert_eq!(
            broken("forkful-core/tests/loom/main.rs", text),
            [],
            "{text}"
        );
    }
    assert_eq!(
        broken("forkful-core/src/sync/lock.rs", "// rustix and loom"),
        []
    );
}

#[test]
fn the_engine_never_names_its_bindings() {
    for text in [
        "// as CPython does",
        "fn f() { \"pickle\" }",
        "use pyo3 as p;",
        "fn unpickled() {}",
    ] {
        assert_eq!(
            broken("forkful-core/src/sys/mod.rs", text),
            [(1, "engine-words")],
            "{text}"
        );
    }
    assert_eq!(
        broken("forkful-core/src/sys/mod.rs", "/* a\n b\n the Python c */"),
        [(3, "engine-words")]
    );
    assert_eq!(
        broken(
            "forkful-python/src/lib.rs",
            "use pyo3::prelude::*; // Python"
        ),
        []
    );
    let manifest =
        "[package]\ndescription = \"no Python\"\n[dependencies]\nlibc = \"0.2\" # not pyo3\n";
    assert_eq!(broken("forkful-core/Cargo.toml", manifest), []);
    let manifest = "[dev-dependencies]\npyo3 = \"1\"\n[dependencies.pyo3]\nversion = \"1\"\n";
    assert_eq!(
        broken("forkful-core/Cargo.toml", manifest),
        [(2, "engine-words"), (3, "engine-words")]
    );
}

#[test]
fn exceptions_are_made_in_one_file() {
    let text = "create_exception!(m, A, B);";
    assert_eq!(
        broken("forkful-python/src/future.rs", text),
        [(1, "exceptions")]
    );
    let text = "pyo3::import_exception!(asyncio, CancelledError);";
    assert_eq!(
        broken("forkful-python/src/future.rs", text),
        [(1, "exceptions")]
    );
    assert_eq!(broken("forkful-python/src/errors.rs", text), []);
    assert_eq!(
        broken(
            "forkful-python/src/future.rs",
            "if import_exception != a {}"
        ),
        []
    );
}

#[test]
fn the_bindings_import_nothing_of_the_package() {
    for text in [
        "py.import(\"forkful._errors\")?;",
        "CELL.import(py, \"forkful\", \"Future\")?;",
    ] {
        assert_eq!(broken("forkful-python/src/lib.rs", text), [UP], "{text}");
    }
    for text in [
        "py.import(\"logging\")?;",
        "#[pyclass(module = \"forkful.futures\")] struct A;",
    ] {
        assert_eq!(broken("forkful-python/src/lib.rs", text), [], "{text}");
    }
}

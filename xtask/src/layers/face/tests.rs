//! What shows the engine, and what only uses it.

use super::check;
use crate::tree::File;

const USES: &str = "use forkful_core::{deadline::Deadline, future::{self, State as Word}, prim};\n";

fn lines(text: &str) -> Vec<usize> {
    let mut findings = Vec::new();
    let text = format!("{USES}{text}");
    check(
        &File::new("crates/forkful/src/future.rs", text),
        &mut findings,
    );
    findings.into_iter().map(|finding| finding.line).collect()
}

#[test]
fn what_others_see_of_the_engine_is_found() {
    for text in [
        "pub fn f() -> forkful_core::deadline::Deadline {}",
        "pub fn f(until: Deadline) {}",
        "pub fn f<T: Into<Deadline>>(until: T) {}",
        "pub fn f(x: impl Fn(u8) -> Word) {}",
        "pub struct A { pub word: Word, other: u8 }",
        "pub struct A(pub Word);",
        "struct B; pub struct A { pub word: Word }",
        "struct B(u8); pub struct A { pub word: Word }",
        "pub enum A { B { until: Deadline }, C }",
        "pub enum A { C, B(Deadline) }",
        "pub type A = future::Core<u8>;",
        "pub use forkful_core::deadline::Deadline as Until;",
        "pub trait A { } pub trait B: prim::C {}",
        "pub const A: Deadline = B;",
    ] {
        assert_eq!(lines(text), [2], "{text}");
    }
}

#[test]
fn what_nobody_sees_passes() {
    for text in [
        "pub(crate) fn f() -> Deadline {}",
        "pub struct A { word: Word }",
        "pub struct A { pub state: u8, word: Word }",
        "pub enum A { B } fn f(x: Word) {}",
        "pub fn f() -> u8 { Deadline::NEVER }",
        "pub fn state(deadline: u8) -> State {}",
        "pub mod deadline; pub use crate::future::State;",
        "fn f(x: Word) {} struct B(Word);",
        "pub(crate) struct A { pub word: Word, pub other: u8 } pub struct B { pub other: u8 }",
    ] {
        assert_eq!(lines(text), [], "{text}");
    }
}

#[test]
fn other_crates_show_what_they_like() {
    let mut findings = Vec::new();
    let text = "pub fn f(x: forkful_core::deadline::Deadline) {}";
    check(
        &File::new("crates/forkful-python/src/a.rs", text),
        &mut findings,
    );
    assert_eq!(findings, []);
}

//! Good and bad examples of every rule.

use super::check;
use crate::tree::File;

fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    let mut findings = check(&[File::new(path, text)]);
    findings.sort();
    findings
        .into_iter()
        .map(|finding| (finding.line, finding.rule))
        .collect()
}

/// The rules that a Rust text breaks below a good first line, which is line 1.
fn rust(text: &str) -> Vec<(usize, &'static str)> {
    broken("a/b.rs", &format!("//! One thing.\n{text}"))
}

fn python(text: &str) -> Vec<(usize, &'static str)> {
    broken("a/b.py", &format!("\"\"\"One thing.\"\"\"\n{text}"))
}

#[test]
fn long_files_say_why() {
    let long = "fn f() {}\n".repeat(500);
    assert_eq!(rust(&long[10..]), []);
    assert_eq!(rust(&long), [(1, "length")]);
    assert_eq!(
        rust(&format!("// Long because it is one table.\n{long}")),
        []
    );
    assert_eq!(broken("a/tests/b.rs", &format!("//! One.\n{long}")), []);
    assert_eq!(
        broken("a/test_b.py", &format!("'''One.'''\n{}", "a\n".repeat(900))),
        []
    );
    assert_eq!(
        broken("a/b.pyi", &format!("'''One.'''\n{}", "a\n".repeat(900))),
        [(1, "length")]
    );
}

#[test]
fn an_excuse_comes_early() {
    let late = format!(
        "{}// long because\n{}",
        "\n".repeat(9),
        "fn f() {}\n".repeat(500)
    );
    assert_eq!(rust(&late), [(1, "length")]);
}

#[test]
fn tests_inside_a_file_are_not_counted() {
    let text = format!(
        "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(400),
        "fn g() {}\n".repeat(400)
    );
    assert_eq!(rust(&text), []);
    assert_eq!(rust(&text.replace("cfg(test)", "cfg(all(test, a))")), []);
    assert_eq!(rust(&text.replace("cfg(test)", "cfg(a)")), [(1, "length")]);
}

#[test]
fn rooms_write_down_what_they_know() {
    let path = "crates/forkful-core/src/sys/mod.rs";
    assert_eq!(
        broken(path, "//! A.\n//!\n//! Knows: prim. Does not know: pools."),
        []
    );
    assert_eq!(broken(path, "//! A.\n//! Knows: prim."), [(1, "room")]);
    assert_eq!(
        broken(path, "//! A.\nconst A: &str = \"Knows: Does not know:\";"),
        [(1, "room"), (1, "room")]
    );
    assert_eq!(broken("xtask/src/a/mod.rs", "//! A."), []);
}

#[test]
fn unsafe_code_gives_its_reason() {
    let bad = (2, "safety");
    for text in [
        "fn f() { unsafe { g() } }",
        "unsafe impl Send for A {}",
        "unsafe fn f() {}",
        "pub unsafe trait T {}",
        "#[unsafe(no_mangle)] fn f() {}",
        "unsafe extern \"C\" {}",
        "/* SAFETY: other */ fn g() {} unsafe impl Send for A {}",
        "const S: &str = \"SAFETY: a\" + unsafe { f() };",
    ] {
        assert_eq!(rust(text), [bad], "{text}");
    }
    for text in [
        "fn f() {\n    // SAFETY: S2.\n    let a = b(unsafe { g() });\n}",
        "fn f() {\n    let a =\n        // SAFETY: S2.\n        unsafe { g() };\n}",
        "// SAFETY: S2.\n#[cfg(x)]\nunsafe impl Send for A {}",
        "/// # Safety\n/// No.\n#[inline]\npub const unsafe fn f() {}",
        "type F = unsafe fn(u8); type G = unsafe extern \"C\" fn(u8);",
        "// unsafe\nconst A: &str = \"unsafe\";",
    ] {
        assert_eq!(rust(text), [], "{text}");
    }
}

#[test]
fn handshakes_have_two_sides() {
    let bad = (2, "sync");
    assert_eq!(
        rust("// SYNC(ring.publish): release, the slot\nf();\ng(); // SYNC(ring.publish): acquire"),
        []
    );
    assert_eq!(rust("// SYNC(a): seqcst\n// SYNC(a): seqcst"), []);
    assert_eq!(rust("/// SYNC(a): nothing\nfn f() { \"// SYNC(a)\" }"), []);
    assert_eq!(rust("// SYNC(a): release"), [bad]);
    assert_eq!(
        rust("// SYNC(a): acquire\n// SYNC(b): release"),
        [bad, (3, "sync")]
    );
    assert_eq!(rust("// SYNC(a): acqrel"), [bad]);
    assert_eq!(rust("// SYNC(a)"), [bad]);
    assert_eq!(rust("// SYNC(a): releases"), [bad]);
    let two = [("a.rs", "release"), ("b.rs", "acquire")]
        .map(|(path, side)| File::new(path, format!("//! One.\n// SYNC(x): {side}")));
    assert_eq!(check(&two), []);
}

#[test]
fn file_names_say_something() {
    for path in [
        "a/utils.py",
        "a/_common.py",
        "common/b.md",
        "a/helpers/b.txt",
        "misc.toml",
        "python/forkful/_base.py",
    ] {
        let findings = broken(path, "'''One.'''");
        assert_eq!(findings, [(1, "file-name")], "{path}");
    }
    for path in [
        "python/forkful/futures/_base.py",
        "a/managers.py",
        "a/commonplace.py",
    ] {
        assert_eq!(broken(path, "'''One.'''"), [], "{path}");
    }
}

#[test]
fn files_start_with_a_sentence() {
    let bad = [(1, "first-line")];
    for text in ["", "fn f() {}", "\n//! One.", "//!\n//! One.", "// One."] {
        assert_eq!(broken("a.rs", text), bad, "{text:?}");
    }
    for text in [
        "",
        "import a",
        "\"\"\"\nOne.\n\"\"\"",
        "# One.\n'''One.'''",
        "\n'''One.'''",
    ] {
        assert_eq!(broken("a.py", text), bad, "{text:?}");
    }
    assert_eq!(broken("a.py", "#!/usr/bin/env python3\nr'''One.'''"), []);
    assert_eq!(broken("a.pyi", "\"\"\"One.\"\"\""), []);
    assert_eq!(broken("a.md", ""), []);
}

#[test]
fn nothing_is_left_unfinished() {
    assert_eq!(
        rust("fn f() { todo!() }\nfn g() { unimplemented![\"a\"] }"),
        [(2, "unfinished"), (3, "unfinished")]
    );
    assert_eq!(
        rust("// todo!()\nfn f() { if todo != 1 { \"todo!()\" } }"),
        []
    );
}

#[test]
fn paths_of_one_machine_are_found() {
    for top in ["root", "work", "home"] {
        let path = format!("/{top}/");
        assert_eq!(
            broken("a.md", &format!("# A\nin {path}x")),
            [(2, "machine-path")]
        );
        assert_eq!(
            broken("Makefile", &format!("A={path}x")),
            [(1, "machine-path")]
        );
        assert_eq!(
            broken(
                "a.md",
                &format!("https://a.org{path} ~{path} $HOME{path} ${{A}}{path} ..{path}")
            ),
            []
        );
    }
}

#[test]
fn skipped_tests_say_why_in_rust() {
    let bad = [(2, "skip-reason")];
    for text in [
        "#[ignore] fn f() {}",
        "#[cfg_attr(a, ignore)] fn f() {}",
        "#[ignore = \" \"] fn f() {}",
    ] {
        assert_eq!(rust(text), bad, "{text}");
    }
    assert_eq!(
        rust("#[ignore = \"slow\"] fn f(ignore: A) { g(a, ignore) }"),
        []
    );
}

#[test]
fn skipped_tests_say_why_in_python() {
    let bad = [(2, "skip-reason")];
    for text in [
        "@pytest.mark.skip\ndef test_a(): pass",
        "@pytest.mark.skip()",
        "@pytest.mark.skipif(a, b)",
        "@pytest.mark.skipif('a')",
        "pytest.param(1, marks=pytest.mark.xfail)",
        "@pytest.mark.skip(reason='')",
        "pytest.skip()",
        "@unittest.skip",
        "x = [pytest.mark.xfail(a > (1), strict=True)]",
    ] {
        assert_eq!(python(text), bad, "{text}");
    }
    for text in [
        "@pytest.mark.skip('slow')",
        "@pytest.mark.skipif(f(a), reason=f'not {b}')",
        "pytest.skip(why)",
        "@pytest.mark.xfail(raises=A, reason=('a' 'b'))",
        "pytest.importorskip('rich')",
        "a.skip()",
    ] {
        assert_eq!(python(text), [], "{text}");
    }
}

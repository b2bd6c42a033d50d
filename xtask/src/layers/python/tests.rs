//! Good and bad imports in the Python package.

use super::check;
use crate::tree::File;

fn broken(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    let mut findings = Vec::new();
    check(
        &File::new(&format!("python/forkful/{path}"), text),
        &mut findings,
    );
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
        "import threading, queue, multiprocessing",
        "import forkful._engine as e, os",
        "from . import _base",
        "from ._base import Future, wait",
        "from .. import _engine, _config",
        "from .._stats import (\n    PoolStats,  # (\n    Histogram as H,\n)",
        "from forkful import _loop",
        "from forkful.futures import _base",
        "def f():\n    yield from forkful.cli\n    raise A from forkful",
        "from concurrent.futures import thread",
    ] {
        assert_eq!(broken("futures/thread.py", text), [], "{text}");
    }
    assert_eq!(
        broken(
            "__init__.py",
            "from .futures import *\nfrom . import cli, _install"
        ),
        []
    );
    assert_eq!(
        broken("__main__.py", "from forkful import __version__, cli"),
        []
    );
    assert_eq!(
        broken(
            "cli/top.py",
            "from . import serve\nfrom .serve import a\nfrom ..dashboard import b"
        ),
        []
    );
}

#[test]
fn upward_imports_are_found_however_written() {
    for text in [
        "import forkful",
        "import os, forkful.cli as c",
        "from forkful import Future",
        "from forkful import *",
        "from forkful import _engine, cli",
        "from .. import install",
        "from .. import (_engine,\\\n  aio as a)",
        "from ..threading import Lock",
        "from ..multiprocessing.pool import Pool",
        "from . import Future",
        "from . import _base, wait",
        "from .. import futures",
        "from forkful.futures import ThreadPoolExecutor",
        "import forkful.futures",
        "import_module('forkful.cli')",
        "x = importlib.import_module(\"..cli\", __package__)",
        "__import__('forkful')",
        "if a: import forkful.cli",
        "try: from .. import cli",
        "a = 1; from .. import cli",
        "from .. import nonsense",
        "import_module(f'forkful.{name}')",
    ] {
        let findings = broken("futures/thread.py", text);
        assert!(
            findings.len() == 1 && findings[0].1 == UP.1,
            "{text}: {findings:?}"
        );
    }
}

#[test]
fn lazy_imports_count() {
    let text = "def submit(self):\n    \"\"\"Doc.\"\"\"\n    from ..cli import run\n    import forkful.dashboard\n";
    assert_eq!(broken("futures/_base.py", text), [(3, UP.1), (4, UP.1)]);
    assert_eq!(
        broken(
            "futures/_base.py",
            "def __getattr__(name):\n    from .thread import A"
        ),
        [(2, UP.1)]
    );
}

#[test]
fn imports_for_type_checkers_count() {
    let text = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from forkful.futures import Future\n";
    assert_eq!(broken("_stats.py", text), [(4, UP.1)]);
    assert_eq!(broken("_engine.pyi", "from ._stats import PoolStats"), [UP]);
}

#[test]
fn strings_and_comments_import_nothing() {
    let text = "\"\"\"Doc.\n\nimport forkful.cli\n\"\"\"\n# import forkful.cli\nx = '''\nfrom forkful import cli\n'''\n";
    assert_eq!(broken("_stats.py", text), []);
}

#[test]
fn neighbours_do_not_meet() {
    assert_eq!(broken("_config.py", "from . import _cpus"), [UP]);
    assert_eq!(broken("threading.py", "from .queue import Queue"), [UP]);
    // Lent to its neighbours.
    assert_eq!(broken("queue.py", "from .threading import Lock"), []);
    assert_eq!(broken("queue.py", "import threading"), []);
}

#[test]
fn every_module_has_a_storey() {
    assert_eq!(broken("attic.py", ""), [(1, "storey")]);
    assert_eq!(broken("futures/attic.py", ""), [(1, "storey")]);
    assert_eq!(broken("cli/attic.py", ""), []);
    assert_eq!(broken("cli/py.py", "import forkful.attic"), [UP]);
    assert_eq!(broken("futures/__init__.py", "from .attic import a"), [UP]);
}

#[test]
fn other_files_are_free() {
    let mut findings = Vec::new();
    check(
        &File::new("tests/python/a.py", "import forkful"),
        &mut findings,
    );
    assert_eq!(broken("py.typed", "import forkful"), []);
    assert_eq!(findings, []);
}

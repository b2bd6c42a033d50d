//! The contract of executors and futures: one body for each promise, run over threads and over processes.
//!
//! Not under the standard harness, as workers of processes are this program, run again: `main` has to begin with `init`.

mod awaiting;
mod callbacks;
mod collecting;
mod ending;
mod kinds;
mod mapping;
mod nesting;
mod submitting;
mod tasks;
mod watchdog;

use kinds::{Kind, Processes, Threads};
use libtest_mimic::{Arguments, Trial};

/// One trial for each kind of executor.
fn both(name: &str, over_threads: fn(), over_processes: fn()) -> [Trial; 2] {
    [
        (Threads::NAME, over_threads),
        (Processes::NAME, over_processes),
    ]
    .map(|(kind, body)| {
        let name = format!("{kind}::{name}");
        Trial::test(name.clone(), move || {
            let _watchdog = watchdog::Watchdog::over(name);
            body();
            Ok(())
        })
    })
}

/// Names the bodies of a module, each generic over the kind.
macro_rules! contract {
    ($($body:ident)*) => {
        /// The trials of this module.
        pub fn trials() -> Vec<libtest_mimic::Trial> {
            [$(crate::both(
                concat!(module_path!(), "::", stringify!($body)).trim_start_matches("contract::"),
                $body::<crate::kinds::Threads>,
                $body::<crate::kinds::Processes>,
            )),*].into_iter().flatten().collect()
        }
    };
}
use contract;

fn main() {
    forkful::init();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Tasks that panic as they should would bury what a failed test says.
        if !info.to_string().contains(tasks::ON_PURPOSE) {
            usual(info);
        }
    }));
    let modules = [
        submitting::trials(),
        callbacks::trials(),
        awaiting::trials(),
        collecting::trials(),
        mapping::trials(),
        nesting::trials(),
        ending::trials(),
    ];
    let trials = modules.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

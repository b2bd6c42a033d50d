//! What is lacking where the kernel has refused something, and the way out, in words.

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::{error, fmt, io};

/// A refusal that knows which call was refused.
#[derive(Debug)]
struct Refused {
    call: String,
    errno: Errno,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, io::Error::from(self.errno))
    }
}

impl error::Error for Refused {}

/// Gives the error of a call its name.
pub(super) fn named(call: impl Into<String>) -> impl FnOnce(Errno) -> io::Error {
    move |errno| {
        let kind = io::Error::from(errno).kind();
        let call = call.into();
        io::Error::new(kind, Refused { call, errno })
    }
}

/// The error's number, if the kernel gave it one.
pub fn code_of(error: &io::Error) -> Option<i32> {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref());
    match refused {
        Some(Refused { errno, .. }) => Some(errno.raw_os_error()),
        None => error.raw_os_error(),
    }
}

/// This process may have no more descriptors: what a lost one means.
pub fn too_many_files() -> io::Error {
    Errno::MFILE.into()
}

/// What was refused, why, and the way out.
pub fn in_words(error: &io::Error) -> String {
    match code_of(error).and_then(advice) {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}

/// What a refusal with this error number (`errno`) means to whoever runs the program: the limit with its present value, and
/// what can be done. `None` where the number says enough by itself.
pub fn advice(code: i32) -> Option<String> {
    let limit = |resource| match getrlimit(resource).current {
        Some(limit) => format!("is {limit}"),
        None => "is not set".to_owned(),
    };
    Some(match Errno::from_raw_os_error(code) {
        Errno::MFILE | Errno::TOOMANYREFS => format!(
            "the limit of open file descriptors, RLIMIT_NOFILE (ulimit -n), {}: raise it, close files, or use fewer workers",
            limit(Resource::Nofile)
        ),
        Errno::NFILE => "the machine's limit of open files (sysctl fs.file-max) is reached".into(),
        Errno::AGAIN => format!(
            "there may be no more processes or threads: RLIMIT_NPROC (ulimit -u) {}, and a container may have a limit of its \
             own (pids.max); raise it, or use fewer workers",
            limit(Resource::Nproc)
        ),
        Errno::NOMEM => format!(
            "there is not enough memory for it, or may not be: RLIMIT_AS (ulimit -v) {}; use fewer workers, or raise it",
            limit(Resource::As)
        ),
        Errno::FBIG => format!(
            "the limit of a file's size, RLIMIT_FSIZE (ulimit -f), {}, too little for the memory that workers share; raise \
             it, or use fewer workers",
            limit(Resource::Fsize)
        ),
        Errno::NOSYS | Errno::PERM => "the kernel or a filter of system calls (seccomp, of a container) forbids it: forkful's \
             processes need Linux 5.4 or newer and memfd_create, pidfd_open and pidfd_send_signal; allow them, or use \
             concurrent.futures' own pool"
            .into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_limit() {
        let named = [
            (libc::EMFILE, "RLIMIT_NOFILE"),
            (libc::ETOOMANYREFS, "RLIMIT_NOFILE"),
            (libc::ENFILE, "fs.file-max"),
            (libc::EAGAIN, "RLIMIT_NPROC"),
            (libc::ENOMEM, "RLIMIT_AS"),
            (libc::EFBIG, "RLIMIT_FSIZE"),
            (libc::ENOSYS, "seccomp"),
            (libc::EPERM, "seccomp"),
        ];
        for (code, name) in named {
            assert!(advice(code).unwrap().contains(name), "{code}");
        }
        assert_eq!(advice(libc::ENOENT), None);
    }

    #[test]
    fn a_refused_call_is_named() {
        let error = named("memfd_create")(Errno::NOSYS);
        assert_eq!(code_of(&error), Some(libc::ENOSYS));
        let words = in_words(&error);
        assert!(
            words.starts_with("memfd_create: ") && words.contains("seccomp"),
            "{words}"
        );
        assert_eq!(
            in_words(&io::ErrorKind::NotFound.into()),
            "entity not found"
        );
    }
}

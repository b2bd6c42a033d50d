//! Messages between a pool and its nursery, the process that makes its workers: layout only, descriptors travel beside them.
//!
//! | letter | from | fields, little-endian, by offset | descriptors |
//! |---|---|---|---|
//! | `S` | pool | 4: seat, 8: generation | request, dump, link, bell |
//! | `W`, `K` | pool | 4: seat, 8: generation | |
//! | `Q` | pool | | |
//! | `r` | nursery | | |
//! | `s` | nursery | 4: seat, 8: generation, 16: pid | the worker's pidfd |
//! | `f` | nursery | 2: the kernel's error or 0, 4: seat, 8: generation, 16: text | |
//! | `x` | nursery | 4: pid, 8: status, 12: largest resident size in KiB | |
//! | `n` | nursery | 4: text | |

/// The longest message of a nursery: why a worker could not start, a traceback perhaps, of which it sends this much at most.
pub const LONGEST_REPORT: usize = 1 << 16;

/// What a pool's message asks of its nursery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A worker for this seat, by this request.
    Start(u32, u64),
    /// The descriptor of that worker again, which got lost.
    Again(u32, u64),
    /// The end of that worker, of which the pool has no descriptor.
    Kill(u32, u64),
    /// To leave when the workers are gone.
    Quit,
}

impl Ask {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let (letter, worker, generation) = match *self {
            Ask::Start(worker, generation) => (b'S', worker, generation),
            Ask::Again(worker, generation) => (b'W', worker, generation),
            Ask::Kill(worker, generation) => (b'K', worker, generation),
            Ask::Quit => return vec![b'Q', 0, 0, 0],
        };
        let mut bytes = vec![letter, 0, 0, 0];
        bytes.extend(worker.to_le_bytes());
        bytes.extend(generation.to_le_bytes());
        bytes
    }

    /// What these bytes ask; `None` for what this version doesn't know.
    pub fn read(bytes: &[u8]) -> Option<Ask> {
        let named = || Some((u32_at(bytes, 4)?, u64_at(bytes, 8)?));
        match bytes.first()? {
            b'S' => named().map(|(worker, generation)| Ask::Start(worker, generation)),
            b'W' => named().map(|(worker, generation)| Ask::Again(worker, generation)),
            b'K' => named().map(|(worker, generation)| Ask::Kill(worker, generation)),
            b'Q' => Some(Ask::Quit),
            _ => None,
        }
    }
}

/// What a nursery's message tells its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It takes requests.
    Ready,
    /// A worker was born.
    Started {
        /// On this seat.
        worker: u32,
        /// For this request.
        generation: u64,
        /// Its process.
        pid: i32,
    },
    /// None could be.
    Failed {
        /// The seat.
        worker: u32,
        /// The request.
        generation: u64,
        /// Why.
        text: String,
        /// As the kernel has it, where it was the kernel.
        code: Option<i32>,
    },
    /// One has ended.
    Exited {
        /// The process.
        pid: i32,
        /// As `wait` has it.
        status: i32,
        /// Largest resident size in KiB.
        peak: u64,
    },
    /// Something that the user should read.
    Note(String),
}

impl Report {
    /// Its bytes. Of a text that is too long the end stays, which says most.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Report::Ready => vec![b'r', 0, 0, 0],
            Report::Started {
                worker,
                generation,
                pid,
            } => {
                let mut bytes = vec![b's', 0, 0, 0];
                bytes.extend(worker.to_le_bytes());
                bytes.extend(generation.to_le_bytes());
                bytes.extend(pid.to_le_bytes());
                bytes
            }
            Report::Failed {
                worker,
                generation,
                text,
                code,
            } => {
                let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
                let mut bytes = vec![b'f', 0];
                bytes.extend(code.to_le_bytes());
                bytes.extend(worker.to_le_bytes());
                bytes.extend(generation.to_le_bytes());
                bytes.extend(end_of(text, LONGEST_REPORT - bytes.len()));
                bytes
            }
            Report::Exited { pid, status, peak } => {
                let mut bytes = vec![b'x', 0, 0, 0];
                bytes.extend(pid.to_le_bytes());
                bytes.extend(status.to_le_bytes());
                bytes.extend(peak.to_le_bytes());
                bytes
            }
            Report::Note(text) => {
                let mut bytes = vec![b'n', 0, 0, 0];
                bytes.extend(end_of(text, LONGEST_REPORT - bytes.len()));
                bytes
            }
        }
    }

    /// What these bytes tell; `None` for what this version doesn't know.
    pub fn read(bytes: &[u8]) -> Option<Report> {
        Some(match bytes.first()? {
            b'r' => Report::Ready,
            b's' => Report::Started {
                worker: u32_at(bytes, 4)?,
                generation: u64_at(bytes, 8)?,
                pid: i32_at(bytes, 16)?,
            },
            b'f' => Report::Failed {
                worker: u32_at(bytes, 4)?,
                generation: u64_at(bytes, 8)?,
                text: text_at(bytes, 16),
                code: match u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?) {
                    0 => None,
                    code => Some(code.into()),
                },
            },
            b'x' => Report::Exited {
                pid: i32_at(bytes, 4)?,
                status: i32_at(bytes, 8)?,
                peak: u64_at(bytes, 12)?,
            },
            b'n' => Report::Note(text_at(bytes, 4)),
            _ => return None,
        })
    }
}

/// The last `most` bytes at most, from the start of a character on.
fn end_of(text: &str, most: usize) -> &[u8] {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text.as_bytes()[start..]
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn text_at(bytes: &[u8], at: usize) -> String {
    String::from_utf8_lossy(bytes.get(at..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reports() -> impl Strategy<Value = Report> {
        prop_oneof![
            Just(Report::Ready),
            (any::<u32>(), any::<u64>(), any::<i32>()).prop_map(|(worker, generation, pid)| {
                Report::Started {
                    worker,
                    generation,
                    pid,
                }
            }),
            (
                any::<u32>(),
                any::<u64>(),
                any::<String>(),
                prop::option::of(1..4096)
            )
                .prop_map(|(worker, generation, text, code)| Report::Failed {
                    worker,
                    generation,
                    text,
                    code
                }),
            (any::<i32>(), any::<i32>(), any::<u64>())
                .prop_map(|(pid, status, peak)| Report::Exited { pid, status, peak }),
            any::<String>().prop_map(Report::Note),
        ]
    }

    fn asks() -> impl Strategy<Value = Ask> {
        let named =
            (0..3usize, any::<u32>(), any::<u64>()).prop_map(|(kind, worker, generation)| {
                let kinds: [fn(u32, u64) -> Ask; 3] = [Ask::Start, Ask::Again, Ask::Kill];
                kinds[kind](worker, generation)
            });
        prop_oneof![Just(Ask::Quit), named]
    }

    proptest! {
        #[test]
        fn a_report_is_read_as_it_was_written(report in reports()) {
            prop_assert_eq!(Report::read(&report.bytes()), Some(report));
        }

        #[test]
        fn an_ask_is_read_as_it_was_written(ask in asks()) {
            prop_assert_eq!(Ask::read(&ask.bytes()), Some(ask));
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (Ask::read(&bytes), Report::read(&bytes));
        }
    }

    #[test]
    fn a_long_text_keeps_its_end() {
        let report = Report::Failed {
            worker: 1,
            generation: 2,
            text: format!("{}the end", "ö".repeat(LONGEST_REPORT)),
            code: None,
        };
        let bytes = report.bytes();
        assert!(bytes.len() <= LONGEST_REPORT);
        let Some(Report::Failed { text, .. }) = Report::read(&bytes) else {
            panic!("it is read as another message");
        };
        assert!(text.starts_with('ö') && text.ends_with("the end"));
    }

    #[test]
    fn an_exit_is_laid_out_as_ever() {
        let mut bytes = vec![b'x', 0, 0, 0];
        bytes.extend(77i32.to_le_bytes());
        bytes.extend(9i32.to_le_bytes());
        bytes.extend(1024u64.to_le_bytes());
        let report = Report::Exited {
            pid: 77,
            status: 9,
            peak: 1024,
        };
        assert_eq!(Report::read(&bytes), Some(report));
    }
}

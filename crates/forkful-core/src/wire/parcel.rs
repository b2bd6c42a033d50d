//! What a worker and its parent's hatch say to each other, on a socket, about the descriptors of tasks and outcomes.
//!
//! ```text
//! worker                                   parent's hatch
//! Fetch(token, first)          ->          Answer(errno, total) and up to 250 descriptors from `first` on
//! Push(key, token, seat, total), 250 fds   ->          Answer(errno, total)
//! ```
//!
//! One question, one answer, as often as it takes; nothing of it is remembered but the parts of a push. Both ends take what
//! they read for anything, and hang up on what is no message.

use crate::sys::random_token;
use std::fmt;
use std::io;

/// Descriptors in one message at most; the kernel takes three more.
pub const MOST_PER_MESSAGE: usize = 250;
/// Descriptors in one parcel at most: more than limits allow in practice.
pub const MOST_PER_PARCEL: u32 = 1 << 16;
/// Bytes of the longest message.
pub const MESSAGE: usize = 48;

/// A number that only those know who were told it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// A new one.
    pub fn random() -> io::Result<Token> {
        random_token().map(Token)
    }

    /// From the first sixteen bytes, and what follows them.
    pub fn split(bytes: &[u8]) -> Option<(Token, &[u8])> {
        let (token, rest) = bytes.split_first_chunk()?;
        Some((Token(*token), rest))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Logs are read by people whom nobody has told it.
        f.write_str("Token(..)")
    }
}

/// Where a parcel lies, as a task names it: the hatch, and the parcel there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The hatch's name.
    pub hatch: Token,
    /// The parcel's.
    pub parcel: Token,
}

impl Label {
    /// In 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.hatch.0);
        bytes[16..].copy_from_slice(&self.parcel.0);
        bytes
    }

    /// From them; no other length is a label.
    pub fn of_bytes(bytes: &[u8]) -> Option<Label> {
        let (hatch, rest) = Token::split(bytes)?;
        let (parcel, rest) = Token::split(rest)?;
        rest.is_empty().then_some(Label { hatch, parcel })
    }
}

/// The name of a hatch's socket, in the namespace that no file system has.
pub fn hatch_name(hatch: Token) -> Vec<u8> {
    let mut name = b"forkful-".to_vec();
    for byte in hatch.0 {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        name.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    name
}

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// It wants the descriptors of a parcel, from this one on.
    Fetch {
        /// The parcel.
        token: Token,
        /// How many it has.
        first: u32,
    },
    /// It brings some of those of an outcome that it is going to commit.
    Push {
        /// What its pool has told it.
        key: Token,
        /// How the outcome will name them.
        token: Token,
        /// The worker's seat.
        seat: u32,
        /// How many there are in all.
        total: u32,
    },
}

impl Request {
    /// As a message.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Request::Fetch { token, first } => {
                let mut bytes = b"F\0\0\0".to_vec();
                bytes.extend(first.to_le_bytes());
                bytes.extend(token.0);
                bytes
            }
            Request::Push {
                key,
                token,
                seat,
                total,
            } => {
                let mut bytes = b"P\0\0\0".to_vec();
                bytes.extend(total.to_le_bytes());
                bytes.extend(seat.to_le_bytes());
                bytes.extend([0; 4]);
                bytes.extend(key.0);
                bytes.extend(token.0);
                bytes
            }
        }
    }

    /// From a message, if it is one.
    pub fn of_bytes(bytes: &[u8]) -> Option<Request> {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (number, rest) = u32_of(rest)?;
        match kind {
            b"F\0\0\0" => {
                let (token, rest) = Token::split(rest)?;
                rest.is_empty().then_some(Request::Fetch {
                    token,
                    first: number,
                })
            }
            b"P\0\0\0" => {
                let (seat, rest) = u32_of(rest)?;
                let (key, rest) = Token::split(rest.strip_prefix(&[0; 4])?)?;
                let (token, rest) = Token::split(rest)?;
                rest.is_empty().then_some(Request::Push {
                    key,
                    token,
                    seat,
                    total: number,
                })
            }
            _ => None,
        }
    }
}

/// What the hatch says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 0, or why not, in the kernel's numbers.
    pub errno: u32,
    /// How many descriptors the parcel has in all.
    pub total: u32,
}

impl Answer {
    /// As a message.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = *b"A\0\0\0........";
        bytes[4..8].copy_from_slice(&self.errno.to_le_bytes());
        bytes[8..].copy_from_slice(&self.total.to_le_bytes());
        bytes
    }

    /// From a message, if it is one.
    pub fn of_bytes(bytes: &[u8]) -> Option<Answer> {
        let (errno, rest) = u32_of(bytes.strip_prefix(b"A\0\0\0")?)?;
        let (total, rest) = u32_of(rest)?;
        rest.is_empty().then_some(Answer { errno, total })
    }
}

fn u32_of(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(bytes: [u8; 16], other: [u8; 16], first: u32, second: u32) {
            let (token, key) = (Token(bytes), Token(other));
            let fetch = Request::Fetch { token, first };
            prop_assert_eq!(Request::of_bytes(&fetch.to_bytes()), Some(fetch));
            let push = Request::Push { key, token, seat: first, total: second };
            prop_assert_eq!(Request::of_bytes(&push.to_bytes()), Some(push));
            prop_assert!(push.to_bytes().len() <= MESSAGE);
            let answer = Answer { errno: first, total: second };
            prop_assert_eq!(Answer::of_bytes(&answer.to_bytes()), Some(answer));
            let label = Label { hatch: key, parcel: token };
            prop_assert_eq!(Label::of_bytes(&label.to_bytes()), Some(label));
        }

        #[test]
        fn any_other_bytes_are_no_message(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(request) = Request::of_bytes(&bytes) {
                prop_assert_eq!(request.to_bytes(), bytes.clone());
            }
            if let Some(answer) = Answer::of_bytes(&bytes) {
                prop_assert_eq!(answer.to_bytes().to_vec(), bytes.clone());
            }
            prop_assert_eq!(Label::of_bytes(&bytes).is_some(), bytes.len() == 32);
        }

        #[test]
        fn a_cut_message_is_none(token: [u8; 16], first: u32, cut in 0usize..24) {
            let whole = Request::Fetch { token: Token(token), first }.to_bytes();
            prop_assert_eq!(Request::of_bytes(&whole[..cut]), None);
        }
    }

    #[test]
    fn a_name_is_readable_and_a_token_is_not_shown() {
        let token = Token([0xa7; 16]);
        assert_eq!(
            hatch_name(token),
            b"forkful-a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"
        );
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}

//! What a buffer is without another process.

use super::*;
use crate::codec::{Incoming, Outgoing};
use serde::{Deserialize as De, Serialize as Se};
use std::io::Write;

#[test]
fn a_clone_is_written_to_without_the_other() {
    let mut one = Bytes::from(vec![1; 100]);
    let two = one.clone();
    let address = two.as_ptr();
    one[0] = 2;
    assert_eq!((one[0], two[0]), (2, 1));
    drop(two);
    let before = one.as_ptr();
    one[1] = 3;
    assert_eq!(one.as_ptr(), before, "alone it stays where it is");
    assert_ne!(one.as_ptr(), address);
    assert_eq!(one.clone().into_vec(), *one);
}

#[test]
fn it_grows_and_shrinks_as_a_vector() {
    let mut bytes = Bytes::with_capacity(10);
    assert!(bytes.capacity() >= 10);
    bytes.write_all(b"abc").unwrap();
    let twin = bytes.clone();
    bytes.extend_from_slice(b"def");
    assert_eq!(*bytes, *b"abcdef");
    assert_eq!(*twin, *b"abc");
    let before = bytes.clone();
    bytes.truncate(2);
    bytes.truncate(5);
    assert_eq!((&*bytes, &*before), (&b"ab"[..], &b"abcdef"[..]));
    assert_eq!(format!("{bytes:?}"), "Bytes(2)");
    assert_eq!(bytes, vec![97, 98]);
    assert_eq!(Bytes::zeroed(5), vec![0; 5]);
    assert_eq!((0..3).collect::<Bytes>(), vec![0, 1, 2]);
}

#[derive(Se, De, PartialEq, Debug)]
struct Holding {
    name: String,
    bytes: Vec<Bytes>,
}

#[test]
fn another_format_has_them_as_bytes() {
    let holding = Holding {
        name: "x".into(),
        bytes: vec![Bytes::from(vec![7; 3]), Bytes::zeroed(BESIDE + 1)],
    };
    let text = serde_json::to_string(&holding).unwrap();
    assert!(text.starts_with(r#"{"name":"x","bytes":[[7,7,7],["#));
    assert_eq!(serde_json::from_str::<Holding>(&text).unwrap(), holding);
    let bytes = postcard::to_stdvec(&holding).unwrap();
    assert!(bytes.len() > BESIDE);
    assert_eq!(postcard::from_bytes::<Holding>(&bytes).unwrap(), holding);
    assert_eq!(*serde_json::from_str::<Bytes>(r#""ab""#).unwrap(), *b"ab");
}

/// Keeps itself in a format of its own inside of a message.
struct Wrapped(Bytes);

impl Se for Wrapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&postcard::to_stdvec(&self.0).unwrap())
    }
}

#[test]
fn a_format_of_its_own_inside_of_a_message_keeps_them_itself() {
    let outgoing = Outgoing::of(&Wrapped(Bytes::zeroed(2 * BESIDE))).unwrap();
    assert!(outgoing.bytes().len() > 2 * BESIDE);
    let inner: Vec<u8> = Incoming::new(outgoing.bytes()).read::<Bytes>().map_or_else(
        |_| {
            let bytes: serde_bytes_like::Buf = Incoming::new(outgoing.bytes()).read().unwrap();
            bytes.0
        },
        |_| panic!("these are no bytes of a message"),
    );
    let bytes: Bytes = postcard::from_bytes(&inner).unwrap();
    assert_eq!(bytes, Bytes::zeroed(2 * BESIDE));
}

/// Bytes as a format has them, for the test above.
mod serde_bytes_like {
    use super::*;

    pub struct Buf(pub Vec<u8>);

    impl<'de> De<'de> for Buf {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Buf, D::Error> {
            let bytes = deserializer.deserialize_byte_buf(OfAny)?;
            Ok(Buf(bytes.into_vec()))
        }
    }
}

#[test]
fn they_go_anywhere_also_through_a_panic() {
    fn goes_anywhere<
        T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe,
    >() {
    }
    goes_anywhere::<Bytes>();
    goes_anywhere::<crate::Shared<Bytes>>();
    goes_anywhere::<crate::Fd>();
    goes_anywhere::<crate::sync::Mutex>();
    goes_anywhere::<crate::sync::OwnerDied<()>>();
    goes_anywhere::<crate::sync::Semaphore>();
    goes_anywhere::<crate::sync::Permit<'_>>();
    goes_anywhere::<crate::sync::Event>();
    goes_anywhere::<crate::sync::Condvar>();
    goes_anywhere::<crate::sync::Barrier>();
    goes_anywhere::<crate::sync::Queue<Bytes>>();
}

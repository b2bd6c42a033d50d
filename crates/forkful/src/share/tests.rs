//! Shared objects within one process: what a handle is, when the memory goes, what garbage is answered with.

use super::*;
use crate::Bytes;
use crate::codec::{Incoming, Outgoing};
use forkful_core::procs::parcels::Standing;
use serde::{Deserialize as De, Serialize as Se};

#[derive(Se, De, Debug, PartialEq)]
struct Table {
    names: Vec<String>,
    rows: Bytes,
    more: Option<Bytes>,
}

fn table() -> Table {
    Table {
        names: vec!["a".into(), "b".into()],
        rows: Bytes::from(vec![7; 100_000]),
        more: Some(Bytes::from(vec![8; 70_001])),
    }
}

#[test]
fn it_is_read_where_it_lies_and_written_to_elsewhere() {
    let shared = share(table()).unwrap();
    assert_eq!(*shared, table());
    let same = shared.clone();
    assert!(std::ptr::eq(&*shared, &*same));
    assert_eq!(shared.rows.as_ptr() as usize % 4096, 0);
    let mut own = shared.rows.clone();
    assert_eq!(own.as_ptr(), shared.rows.as_ptr());
    own[0] = 1;
    assert_eq!((own[0], shared.rows[0]), (1, 7));
    assert!(format!("{shared:?}").starts_with("Shared(Table { names"));
    let bytes = shared.rows.clone();
    drop((shared, same));
    assert_eq!(bytes[99_999], 7, "a view keeps the memory");
}

/// Sends it as a result is sent, and reads that.
fn by_descriptor(shared: &Shared<Table>) -> crate::codec::Parts {
    Outgoing::in_parts(shared).unwrap()
}

fn read(parts: crate::codec::Parts) -> Result<Shared<Table>, Error> {
    let (stream, _, fds) = parts;
    Incoming::of_parts(&stream, Vec::new(), fds).read()
}

#[test]
fn it_arrives_as_what_is_here_and_outlives_its_first_holder() {
    let shared = share(table()).unwrap();
    let again = read(by_descriptor(&shared)).unwrap();
    assert!(std::ptr::eq(&*shared, &*again));
    let parts = by_descriptor(&shared);
    let token = shared.0.hold.token;
    drop((shared, again));
    assert!(Hold::known(token).is_none(), "no handle is left");
    let late = read(parts).unwrap();
    assert_eq!(*late, table());
}

#[test]
fn one_inside_of_another_is_sent_with_it() {
    let inner = share(table()).unwrap();
    let outer = share(vec![(1_u8, inner.clone())]).unwrap();
    let parts = Outgoing::in_parts(&outer).unwrap();
    assert!(std::ptr::eq(&*outer[0].1, &*inner));
    drop((outer, inner));
    let (stream, _, fds) = parts;
    let read: Shared<Vec<(u8, Shared<Table>)>> =
        Incoming::of_parts(&stream, Vec::new(), fds).read().unwrap();
    assert_eq!(*read[0].1, table());
}

#[test]
fn outside_of_a_task_it_says_so() {
    let shared = share(5_u8).unwrap();
    let error = serde_json::to_string(&shared).unwrap_err();
    assert_eq!(error.to_string(), OUTSIDE);
}

#[test]
fn a_call_names_it_in_few_bytes_and_keeps_it() {
    let shared = share(table()).unwrap();
    let token = shared.0.hold.token;
    let mut call = forkful_core::procs::record::Call::default();
    let outgoing = Outgoing::of(&(shared.clone(), shared)).unwrap();
    outgoing.into_call(&mut call).unwrap();
    assert!(call.payload.len() < 300 && call.cargo.is_none());
    let here = Hold::known(token).unwrap();
    assert!(here.value::<Value<Table>>().is_some(), "the call keeps it");
    drop(here);
    // In the process that has it a ticket needs nothing else.
    let back: (Shared<Table>, Shared<Table>) = Incoming::new(&call.payload).read().unwrap();
    assert_eq!(*back.1, table());
    drop(call);
    drop(back);
    assert!(Hold::known(token).is_none());
}

#[test]
fn one_that_comes_again_while_its_last_handle_goes_can_be_given() {
    let shared = share(table()).unwrap();
    // As another thread has it that is about to take it back.
    let last = Standing::new(shared.0.hold.token, Vec::new()).unwrap();
    let gone = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(last);
    });
    let given = shared.0.hold.give();
    assert!(given.is_ok(), "{given:?}");
    gone.join().unwrap();
}

#[test]
fn garbage_is_an_error() {
    let shared = share(table()).unwrap();
    let (stream, _, fds) = by_descriptor(&shared);
    drop(shared);
    for nth in 0..stream.len() {
        let mut stream = stream.clone();
        stream[nth] ^= 0x55;
        let fds = fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
        let read = Incoming::of_parts(&stream, Vec::new(), fds).read::<Shared<Table>>();
        // Another token for the same memory is the same value.
        assert!(read.is_err() || *read.unwrap() == table(), "{nth}");
    }
    let loose = forkful_core::sys::memfd("forkful-test", 4096).unwrap();
    assert!(read((stream.clone(), Vec::new(), vec![loose])).is_err());
    assert!(read((stream, Vec::new(), Vec::new())).is_err());
    let wrong = share(3_u8).unwrap();
    let (stream, _, fds) = Outgoing::in_parts(&wrong).unwrap();
    assert!(read((stream, Vec::new(), fds)).is_err(), "another type");
}

/// Can be written, and not read back.
#[derive(Debug)]
struct OneWay;

impl Serialize for OneWay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<OneWay, D::Error> {
        Err(serde::de::Error::custom("no way back"))
    }
}

#[test]
fn what_can_not_be_read_back_is_not_shared() {
    let error = share(OneWay).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

//! What travels beside messages, both ways, without another process: one link, and a desk for each side of it.

use super::context::{put_fd, take_fd, way};
use super::*;
use crate::Bytes;
use crate::bytes::BESIDE;
use forkful_core::shm::append;
use forkful_core::wire::{Bell, Extent, Link, Shape};
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer};
use serde::ser::Serializer;
use std::os::fd::AsFd;

/// Bytes of each segment of the tests' arenas.
const SEGMENT: u64 = 1 << 20;

/// A link, a worker's desk, and one that stands for the parent, which reads what the worker lends.
struct Rig {
    worker: Desk,
    parent: Desk,
}

impl Rig {
    fn new() -> Rig {
        let shape = Shape {
            workers: 2,
            slots: 8,
            ring: 1024,
            library: 4096,
            area: 65536,
            arena: 64 << 20,
        };
        let link = Arc::new(Link::create(shape).unwrap());
        let bell = Arc::new(Bell::create().unwrap());
        let worker = Desk::new(link.clone(), bell.clone(), 0);
        // Whoever asks for a segment has his answer: there is no other than what lies in the purse.
        (0..100).for_each(|_| link.purse(0).answer());
        Rig {
            worker,
            parent: Desk::new(link, bell, 1),
        }
    }

    /// Puts a segment into the worker's purse, of a size that fits so many bytes.
    fn lay(&self, nth: u64, bytes: usize) {
        let segment = Extent {
            offset: nth * SEGMENT,
            len: bytes.next_power_of_two().max(128 << 10) as u64,
        };
        assert!(self.worker.link().purse(0).put(segment));
    }

    /// What the parent does with a call: its head and payload, with the cargo in the first segment, or behind the payload.
    fn send(&self, mut call: Call, inside: bool) -> (TaskHead, Vec<u8>) {
        let mut payload = call.payload.to_vec();
        let mut head = TaskHead {
            flags: call.flags,
            ..TaskHead::default()
        };
        if let Some(cargo) = call.cargo.take() {
            if inside {
                append(&*cargo, &mut payload).unwrap();
                head.loan = CARGO_INSIDE;
            } else {
                self.worker.link().stow(0, &*cargo);
                head.loan = 1;
            }
        }
        (head, payload)
    }

    fn arguments<T: Serialize>(&self, value: T, inside: bool) -> (TaskHead, Vec<u8>) {
        let mut call = Call::default();
        let outgoing = Outgoing::of(&value).unwrap();
        drop(value);
        outgoing.into_call(&mut call).unwrap();
        self.send(call, inside)
    }

    fn received<T: DeserializeOwned>(&self, (head, payload): &(TaskHead, Vec<u8>)) -> T {
        let incoming = Incoming::of_call(head, payload, &self.worker);
        incoming.unwrap().read().unwrap()
    }

    /// The outcome of a value: its kind, its message, and the segments that it hands over, with how many of them were copied into.
    fn outcome<T: Serialize>(&self, value: T) -> (u16, Vec<u8>, Vec<u64>, u64) {
        let mut outgoing = Outgoing::over(Vec::new());
        outgoing.write(&value).unwrap();
        drop(value);
        let mut bytes = Vec::new();
        let sent = outgoing.into_outcome(&self.worker, &mut bytes).unwrap();
        if !sent.lends {
            return (sent.kind, bytes, Vec::new(), 0);
        }
        let word = |nth: usize| u64::from_le_bytes(bytes[8 * nth..8 * nth + 8].try_into().unwrap());
        let count = word(0) as u32 as usize;
        let offsets = (1..=count).map(word).collect();
        let copied = word(0) >> 32;
        (sent.kind, bytes.split_off(8 * (count + 1)), offsets, copied)
    }

    /// The result, where the parent reads it.
    fn result<T: DeserializeOwned>(
        &self,
        kind: u16,
        message: &[u8],
        lent: &[u64],
    ) -> Result<T, Error> {
        let lease = |offset: &u64| {
            let hold = self.parent.holdings().hold_alone(*offset, SEGMENT);
            hold.unwrap().lease()
        };
        Incoming::of_leases(kind, message, lent.iter().map(lease).collect(), None)?.read()
    }
}

fn patterned(len: usize) -> Bytes {
    (0..len).map(|nth| (nth % 251) as u8).collect()
}

#[test]
fn small_ones_are_the_bytes_alone() {
    let outgoing = Outgoing::of(&(1_u8, "ab")).unwrap();
    assert!(!outgoing.bytes.spilled(), "without an allocation");
    let mut call = Call::default();
    outgoing.into_call(&mut call).unwrap();
    assert_eq!((&*call.payload, call.flags), (&[1, 2, 97, 98][..], 0));
    assert!(call.cargo.is_none() && call.parcel.is_none());
    let rig = Rig::new();
    let (kind, bytes, ..) = rig.outcome((1_u8, "ab"));
    assert_eq!((kind, bytes), (0, vec![1, 2, 97, 98]));
    let mut spare = Vec::with_capacity(1000);
    let place = spare.as_ptr();
    let mut outgoing = Outgoing::over(std::mem::take(&mut spare));
    outgoing.write(&5_u8).unwrap();
    outgoing.into_outcome(&rig.worker, &mut spare).unwrap();
    assert_eq!(
        (spare.as_ptr(), &*spare),
        (place, &[5][..]),
        "in the memory there was"
    );
}

#[test]
fn arguments_are_seen_in_the_segment_and_written_there() {
    let rig = Rig::new();
    let sent = rig.arguments((7_u8, patterned(BESIDE), "x", patterned(3 * BESIDE)), false);
    assert!(sent.1.len() < 200);
    let (seven, mut one, x, two): (u8, Bytes, String, Bytes) = rig.received(&sent);
    assert_eq!((seven, &*x), (7, "x"));
    assert!(one == patterned(BESIDE) && two == patterned(3 * BESIDE));
    let place = rig.worker.holdings().at(0, 1).unwrap().as_ptr();
    assert_eq!(one.as_ptr(), place.cast_const());
    one[0] = 9;
    assert_eq!(one.as_ptr(), place.cast_const(), "without a copy");
    assert!(rig.worker.holdings().find(place as usize).is_some());
    drop(one);
    assert!(rig.worker.holdings().find(place as usize).is_some());
    drop(two);
    assert!(
        rig.worker.holdings().find(place as usize).is_none(),
        "given back"
    );
    let again: (u8, Bytes, String, Bytes) =
        rig.received(&rig.arguments((7_u8, patterned(BESIDE), "x", patterned(3 * BESIDE)), true));
    assert!(again.3 == patterned(3 * BESIDE));
}

#[test]
fn a_call_keeps_its_buffers_and_the_owner_may_write_his() {
    let rig = Rig::new();
    let mut bytes = patterned(BESIDE);
    let outgoing = Outgoing::of(&bytes).unwrap();
    bytes[0] = 99;
    let mut call = Call::default();
    outgoing.into_call(&mut call).unwrap();
    drop(bytes);
    let sent = rig.send(call, false);
    assert_eq!(rig.received::<Bytes>(&sent), patterned(BESIDE));
}

#[test]
fn what_serde_writes_at_length_goes_beside_too() {
    let rig = Rig::new();
    let numbers: Vec<u64> = (0..100_000).map(|nth| nth * 1_000_003).collect();
    for inside in [false, true] {
        let sent = rig.arguments((numbers.clone(), patterned(BESIDE)), inside);
        assert!(inside || sent.1.len() < 200);
        let (read, bytes): (Vec<u64>, Bytes) = rig.received(&sent);
        assert!(read == numbers && bytes == patterned(BESIDE));
    }
    rig.lay(3, 600_000);
    let (kind, message, lent, copied) = rig.outcome((numbers.clone(), patterned(BESIDE)));
    assert_eq!((lent.as_slice(), copied), (&[3 * SEGMENT][..], 1));
    let read: (Vec<u64>, Bytes) = rig.result(kind, &message, &lent).unwrap();
    assert!(read.0 == numbers && read.1 == patterned(BESIDE));
}

#[test]
fn an_argument_that_is_returned_goes_as_it_lies() {
    let rig = Rig::new();
    let sent = rig.arguments((patterned(BESIDE), patterned(2 * BESIDE)), false);
    let (one, mut two): (Bytes, Bytes) = rig.received(&sent);
    two[1] = 77;
    let (kind, message, lent, copied) = rig.outcome((two, 5_u8, one));
    assert_eq!((lent.as_slice(), copied), (&[0][..], 0));
    assert!(
        rig.worker
            .holdings()
            .find(rig.worker.holdings().at(0, 1).unwrap().as_ptr() as usize)
            .is_none()
    );
    let (two, five, one): (Bytes, u8, Bytes) = rig.result(kind, &message, &lent).unwrap();
    assert_eq!((two[1], five, one.len()), (77, 5, BESIDE));
    assert!(one == patterned(BESIDE) && two[2..] == patterned(2 * BESIDE)[2..]);
}

#[test]
fn what_somebody_keeps_is_copied() {
    let rig = Rig::new();
    let sent = rig.arguments((patterned(2 * BESIDE), patterned(2 * BESIDE)), false);
    let (one, two): (Bytes, Bytes) = rig.received(&sent);
    rig.lay(5, 2 * BESIDE);
    let kept = two;
    let (kind, message, lent, copied) = rig.outcome(one);
    assert_eq!((lent.as_slice(), copied), (&[5 * SEGMENT][..], 1));
    assert!(rig.result::<Bytes>(kind, &message, &lent).unwrap() == patterned(2 * BESIDE));
    rig.lay(6, 2 * BESIDE);
    let twin = kept.clone();
    let (kind, message, lent, copied) = rig.outcome((kept, 1_u8));
    assert_eq!((lent.as_slice(), copied), (&[6 * SEGMENT][..], 1));
    let (read, _): (Bytes, u8) = rig.result(kind, &message, &lent).unwrap();
    assert!(read == patterned(2 * BESIDE) && twin == read);
    rig.lay(7, 4 * BESIDE);
    let (.., lent, copied) = rig.outcome((twin.clone(), twin));
    assert_eq!(
        (lent.as_slice(), copied),
        (&[7 * SEGMENT][..], 1),
        "twice the same is two to its reader"
    );
}

#[test]
fn garbage_of_places_is_an_error() {
    let rig = Rig::new();
    let at = |len, segment, offset| Place {
        len,
        segment,
        offset,
    };
    let bad = [
        vec![at(SEGMENT + 1, 0, 0)],
        vec![at(10, 0, SEGMENT - 9)],
        vec![at(u64::MAX, 0, 1)],
        vec![at(10, 1, 0)],
        vec![at(0, 0, 0)],
        vec![at(100, 0, 0), at(100, 0, 99)],
        vec![at(100, 0, 0), at(100, 0, 0)],
        vec![at(1, manifest::BEHIND, 0)],
        vec![at(2, manifest::BEHIND, u64::MAX - 1)],
        vec![at(1, HERE, 0)],
    ];
    for places in bad {
        let mut message = Payload::new();
        manifest::write(&mut message, at(2, HERE, 0), &places, &[1, 0]);
        let read = rig.result::<Bytes>(WITH_BUFFERS, &message, &[SEGMENT]);
        assert!(read.is_err(), "{places:?}");
    }
    // A number that nobody has, and one that somebody has had.
    for stream in [&[1, 7][..], &[2, 0], &[1, 0, 1, 0]] {
        let mut message = Payload::new();
        manifest::write(&mut message, at(2, HERE, 0), &[at(9, 0, 0)], stream);
        let read = rig.result::<(Bytes, Bytes)>(WITH_BUFFERS, &message, &[SEGMENT]);
        assert!(read.is_err(), "{stream:?}");
    }
    let head = TaskHead {
        flags: LADEN,
        loan: 1 + (64 << 20),
        ..TaskHead::default()
    };
    let mut message = Payload::new();
    manifest::write(&mut message, at(2, HERE, 0), &[at(9, 0, 0)], &[1, 0]);
    let incoming = Incoming::of_call(&head, &message, &rig.worker);
    assert!(incoming.is_err(), "a segment outside of the arena");
}

/// A value that writes another message while it is written, and may panic.
struct Nested(bool);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = Outgoing::of(&patterned(BESIDE)).unwrap();
        assert_eq!(context::buffers_of(inner.beside.unwrap()).len(), 1);
        assert!(!self.0, "as asked for");
        patterned(2 * BESIDE).serialize(serializer)
    }
}

#[test]
fn contexts_do_not_mix() {
    let rig = Rig::new();
    let sent = rig.arguments((patterned(BESIDE), Nested(false), patterned(BESIDE)), false);
    let (one, two, three): (Bytes, Bytes, Bytes) = rig.received(&sent);
    assert_eq!(
        (one.len(), two.len(), three.len()),
        (BESIDE, 2 * BESIDE, BESIDE)
    );
    let panics = std::panic::catch_unwind(|| Outgoing::of(&Nested(true)).map(drop));
    assert!(panics.is_err());
    assert_eq!(way(), Way::Nothing, "no context is left behind");
    assert!(context::put_buffer(Arc::new(Bulk::Own(Vec::new()))).is_none());
}

/// A descriptor, as a primitive sends one.
struct Fd(OwnedFd);

impl Serialize for Fd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match put_fd(self.0.as_fd()) {
            Some(number) => serializer.serialize_u32(number.unwrap()),
            None => Err(context::refuse("a descriptor needs a task")),
        }
    }
}

impl<'de> Deserialize<'de> for Fd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fd, D::Error> {
        let number = u32::deserialize(deserializer)?;
        let fd = take_fd(number).ok_or_else(|| context::reject("a descriptor needs a task"))?;
        Ok(Fd(fd.unwrap()))
    }
}

#[test]
fn descriptors_of_a_call_are_its_parcel() {
    let file = Fd(std::fs::File::open("/dev/null").unwrap().into());
    let mut call = Call::default();
    let outgoing = Outgoing::of(&(file, patterned(BESIDE))).unwrap();
    outgoing.into_call(&mut call).unwrap();
    assert!(call.parcel.is_some() && call.cargo.is_some());
    assert_eq!(call.flags, LADEN | CARRIES);
    let rig = Rig::new();
    let sent = rig.send(call, true);
    let mut incoming = Incoming::of_call(&sent.0, &sent.1, &rig.worker).unwrap();
    assert!(incoming.read::<(u32, Bytes)>().unwrap().1.len() == BESIDE);
    let (stream, _, fds) =
        Outgoing::in_parts(&Fd(std::fs::File::open("/dev/null").unwrap().into())).unwrap();
    assert!(
        Incoming::of_parts(&stream, Vec::new(), fds)
            .read::<Fd>()
            .is_ok()
    );
    let error = Incoming::new(&stream).read::<Fd>().map(drop).unwrap_err();
    assert!(
        error
            .0
            .ends_with("can't be read: a descriptor needs a task"),
        "{error}"
    );
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Tree {
    Leaf,
    Raw(Bytes),
    Text(String),
    Numbers(Vec<i64>),
    Many(Vec<Tree>),
    Both {
        left: Option<Box<Tree>>,
        right: (f64, Bytes),
    },
}

fn buffers() -> impl Strategy<Value = Bytes> {
    let len = prop_oneof![
        0..200_usize,
        BESIDE - 2..BESIDE + 2,
        Just(LONG),
        Just(3 * BESIDE)
    ];
    (len, any::<u8>()).prop_map(|(len, first)| {
        let mut bytes = patterned(len);
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        bytes
    })
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Leaf),
        buffers().prop_map(Tree::Raw),
        ".{0,40}".prop_map(Tree::Text),
        prop::collection::vec(any::<i64>(), 0..30).prop_map(Tree::Numbers),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::Many),
            (prop::option::of(inner), -1e9..1e9_f64, buffers()).prop_map(
                |(left, number, bytes)| {
                    let left = left.map(Box::new);
                    Tree::Both {
                        left,
                        right: (number, bytes),
                    }
                }
            ),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_arrives_is_what_was_sent(tree in trees(), inside: bool, purse in prop::option::of(1_usize..SEGMENT as usize)) {
        let rig = Rig::new();
        let mut call = Call::default();
        Outgoing::of(&tree).unwrap().into_call(&mut call).unwrap();
        let sent = rig.send(call, inside);
        let read: Tree = rig.received(&sent);
        prop_assert_eq!(&read, &tree);
        // Back again, with a segment to be had for what is copied, or not.
        if let Some(bytes) = purse {
            rig.lay(9, bytes);
        }
        let (kind, message, lent, _) = rig.outcome(read);
        let lease = |offset: &u64| rig.parent.holdings().hold_alone(*offset, SEGMENT).unwrap().lease();
        let leases = lent.iter().map(lease).collect();
        let back: Tree = Incoming::of_leases(kind, &message, leases, None).unwrap().read().unwrap();
        prop_assert_eq!(&back, &tree);
    }

    #[test]
    fn garbage_is_an_error_and_no_more(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u16..16, loan in 0_u64..3) {
        let rig = Rig::new();
        let head = TaskHead { flags: u32::from(kind), loan, ..TaskHead::default() };
        if let Ok(mut incoming) = Incoming::of_call(&head, &bytes, &rig.worker) {
            let _ = incoming.read::<Tree>();
        }
        let _ = rig.result::<Tree>(kind, &bytes, &[SEGMENT]);
    }

    #[test]
    fn a_changed_message_is_an_error_or_a_value(at in 0_usize..120, to: u8, cut in 0_usize..400) {
        let rig = Rig::new();
        let (head, mut payload) = rig.arguments((patterned(BESIDE), "text", patterned(BESIDE)), false);
        if let Some(byte) = payload.get_mut(at) {
            *byte = to;
        }
        payload.truncate(cut);
        if let Ok(mut incoming) = Incoming::of_call(&head, &payload, &rig.worker)
            && let Ok((one, _, two)) = incoming.read::<(Bytes, String, Bytes)>()
        {
            // Whatever they are, they are memory, and two.
            let sum = |bytes: &Bytes| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            prop_assert!(sum(&one) + sum(&two) > 0 || one.is_empty() || two.is_empty());
        }
    }
}

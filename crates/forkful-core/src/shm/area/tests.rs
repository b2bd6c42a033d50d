//! The allocator against a list of who has what.

use super::*;
use proptest::prelude::*;

#[test]
fn the_last_freed_block_comes_first() {
    let mut area = Area::new(1 << 20);
    let (one, two) = (area.alloc(3000).unwrap(), area.alloc(3000).unwrap());
    area.free(one);
    area.free(two);
    assert_eq!(area.alloc(2000), Some(two));
    assert_eq!(area.alloc(4096), Some(one));
}

#[test]
fn an_area_is_used_to_its_last_page() {
    for (size, count) in [
        (1024, 128),
        (4096, 32),
        (16384, 8),
        (65536, 2),
        (131_072, 1),
    ] {
        let mut area = Area::new(131_072 + 100);
        let all: Vec<_> = std::iter::from_fn(|| area.alloc(size)).collect();
        assert_eq!((all.len(), area.available()), (count, 0), "of {size}");
        for extent in all {
            area.free(extent);
        }
        // Whatever it was cut into, it serves as a whole again.
        let extent = area.alloc(131_072).unwrap();
        assert_eq!((extent.offset, area.warm()), (0, 0));
    }
}

#[test]
fn what_is_past_the_limit_goes_back() {
    let mut area = Area::new(4 * WARM);
    let half = WARM as usize / 2;
    let parts: Vec<_> = (0..4).map(|_| area.alloc(half).unwrap()).collect();
    let back: Vec<_> = parts.iter().filter_map(|part| area.free(*part)).collect();
    assert_eq!(back, parts[2..]);
    assert_eq!((area.warm(), area.available()), (WARM, 4 * WARM));
    // Warm memory is used first.
    assert_eq!(area.alloc(half), Some(parts[0]));
}

#[test]
fn nothing_comes_of_nothing() {
    assert_eq!(Area::new(0).alloc(1), None);
    assert_eq!(Area::new(4095).alloc(0), None);
    assert_eq!(Area::new(1 << 20).alloc(usize::MAX), None);
}

fn steps() -> impl Strategy<Value = Vec<Result<usize, usize>>> {
    let len = prop_oneof![0..5000usize, 5000..70_000usize, 70_000..600_000usize];
    let step = prop_oneof![3 => len.prop_map(Ok), 2 => any::<usize>().prop_map(Err)];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn nobody_shares_and_all_comes_back(pages in 1u64..600, steps in steps()) {
        let (mut area, mut held) = (Area::new(pages * PAGE), Vec::<Extent>::new());
        for step in steps {
            match step {
                Ok(len) => {
                    if let Some(new) = area.alloc(len) {
                        prop_assert!(new.len >= len as u64 && new.offset + new.len <= pages * PAGE);
                        prop_assert!(new.len < PAGE || new.offset % PAGE == 0);
                        for old in &held {
                            prop_assert!(new.offset + new.len <= old.offset || old.offset + old.len <= new.offset);
                        }
                        held.push(new);
                    }
                }
                Err(nth) if !held.is_empty() => {
                    let extent = held.swap_remove(nth % held.len());
                    prop_assert_eq!(area.free(extent), None);
                }
                Err(_) => {}
            }
            let lent: u64 = held.iter().map(|extent| extent.len).sum();
            prop_assert_eq!(area.available() + lent, pages * PAGE);
            prop_assert!(area.warm() <= area.available());
        }
        for extent in held {
            area.free(extent);
        }
        let whole = area.alloc((pages * PAGE) as usize).unwrap();
        prop_assert_eq!(whole.offset, 0);
        prop_assert_eq!(area.warm(), 0);
    }
}

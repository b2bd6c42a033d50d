//! What the task ring costs alone, and what it does under many workers: threads stand in for processes.
//!
//! No criterion: the answer is a table of throughputs, not the time of one call. A row with more workers than CPUs shows what the
//! ring does when its users are interrupted anywhere; it can't show how many caches fight for one line.

use forkful_core::deadline::Deadline;
use forkful_core::sys::{Stamp, allowed_cpus, spin_until, thread_cpu_time};
use forkful_core::wire::{
    Bell, Cursor, Link, Look, OutcomeHead, OutcomeReader, Shape, Standing, TaskHead,
};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const SLOTS: u32 = 4096;
/// For claims alone: a table that lasts until the last thread of a crowd is awake. 4096 slots are gone before the second one is.
const LONG: u32 = 65536;
const CROWDS: [u32; 5] = [1, 2, 8, 64, 256];

fn link(workers: u32, slots: u32) -> Arc<Link> {
    let shape = Shape {
        workers,
        slots,
        ring: 65536,
        library: 0,
        area: 0,
        arena: 0,
    };
    Arc::new(Link::create(shape).unwrap())
}

fn put(link: &Link, position: u64) {
    let head = TaskHead {
        position,
        ..TaskHead::default()
    };
    link.tasks().write(&head, b"");
    link.tasks().publish(position);
}

fn main() {
    println!("{} CPUs, {SLOTS} slots", allowed_cpus());
    alone();
    claims();
    whole();
}

/// Nanoseconds of one call, the best of 20 rounds over a full table.
fn alone() {
    let link = link(1, SLOTS);
    let bell = Bell::create().unwrap();
    let (mut writer, mut reader) = (link.writer(0), link.reader(0));
    let (tasks, bells) = (link.tasks(), link.bells());
    // Frames of one round fit into the ring.
    let frames = 400u64;
    let mut best = [f64::MAX; 10];
    let mut payload = Vec::new();
    for round in 0..20 {
        let first = round * u64::from(SLOTS);
        let positions = first..first + u64::from(SLOTS);
        let mut nth = 0;
        let mut time = |count: u64, work: &mut dyn FnMut()| {
            let start = Stamp::now();
            work();
            let each = Stamp::now().since(start) as f64 / count as f64;
            best[nth] = best[nth].min(each);
            nth += 1;
        };
        let slots = u64::from(SLOTS);
        time(slots, &mut || {
            positions.clone().for_each(|position| put(&link, position))
        });
        time(slots, &mut || while tasks.claim(0).is_some() {});
        time(slots, &mut || {
            for position in positions.clone() {
                black_box(tasks.read(position, &mut payload).unwrap());
            }
        });
        time(slots, &mut || {
            positions.clone().for_each(|position| tasks.free(position))
        });
        for bytes in [&[][..], &[7; 100][..]] {
            time(frames, &mut || {
                for position in 0..frames {
                    let head = OutcomeHead {
                        position,
                        ..OutcomeHead::default()
                    };
                    assert!(writer.try_push(&head, bytes));
                }
            });
            time(frames, &mut || {
                while reader.next(&mut payload).unwrap().is_some() {}
            });
        }
        time(slots, &mut || {
            for _ in 0..slots {
                black_box(bells.wake_one());
                bells.ring(&bell);
            }
        });
        time(slots, &mut || {
            for _ in 0..slots {
                black_box(bells.sleep_until(0, || true, Deadline::NEVER));
            }
        });
    }
    println!("\nalone, ns each");
    let names = [
        "write + publish",
        "claim",
        "read, no payload",
        "free",
        "try_push, 0 bytes",
        "next, 0 bytes",
        "try_push, 100 bytes",
        "next, 100 bytes",
        "wake_one + ring, nobody there",
        "sleep_until, ready at once",
    ];
    for (name, each) in names.iter().zip(best) {
        println!("{name:30} {each:6.1}");
    }
}

/// A full table, and everybody claims until it is empty. In CPU time, as a crowd takes longer to gather than to claim, and with
/// how often the claimer changed from one position to the next: a number near 0 means that they did not meet, and that the row
/// says nothing of contention.
fn claims() {
    println!("\nclaims from a full table, nothing else");
    println!(
        "{:>8} {:>18} {:>18}",
        "workers", "CPU ns per claim", "claimer changes"
    );
    for workers in CROWDS {
        let (rounds, mut changes) = (20u64, 0u64);
        let used = AtomicU64::new(0);
        for _ in 0..rounds {
            let link = link(workers, LONG);
            (0..u64::from(LONG)).for_each(|position| put(&link, position));
            let gathered = AtomicU64::new(0);
            thread::scope(|scope| {
                for worker in 0..workers {
                    let (link, gathered, used) = (&link, &gathered, &used);
                    scope.spawn(move || {
                        gathered.fetch_add(1, Ordering::SeqCst);
                        // Awake, so that each has its CPU when the last one arrives.
                        while gathered.load(Ordering::SeqCst) < u64::from(workers) {
                            if workers > allowed_cpus() {
                                thread::yield_now();
                            }
                        }
                        let before = thread_cpu_time();
                        while link.tasks().claim(worker).is_some() {}
                        let nanos = (thread_cpu_time() - before).as_nanos();
                        used.fetch_add(nanos as u64, Ordering::Relaxed);
                    });
                }
            });
            let looks: Vec<_> = (0..u64::from(LONG))
                .map(|position| link.tasks().look(position))
                .collect();
            changes += looks.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64;
        }
        let all = (rounds * u64::from(LONG)) as f64;
        let each = used.load(Ordering::Relaxed) as f64 / all;
        println!(
            "{workers:8} {each:18.0} {:17.1}%",
            100.0 * changes as f64 / all
        );
    }
}

/// Useful cores near the number of CPUs say that the machine was free; far below, with long tasks, that a row says little.
///
/// A parent that fills, wakes, drains and frees, and workers that claim, work, answer, ring and sleep.
fn whole() {
    println!(
        "\nthe whole way: parent, claims, tasks, outcomes, bells (a claim is timed from call to return, the clock included)"
    );
    println!(
        "{:>8} {:>8} {:>12} {:>13} {:>12} {:>12}",
        "workers", "task us", "k tasks/s", "useful cores", "claim p50 ns", "claim p99 ns"
    );
    for task in [0, 5, 50] {
        for workers in CROWDS {
            let (rate, p50, p99) = run(workers, task * 1000);
            let useful = rate * task as f64 / 1e6;
            println!(
                "{workers:8} {task:8} {:12.0} {useful:13.2} {p50:12} {p99:12}",
                rate / 1e3
            );
        }
    }
}

/// Tasks per second, and the median and 99th percentile of a claim.
fn run(workers: u32, task: u64) -> (f64, u64, u64) {
    let (link, bell) = (link(workers, SLOTS), Bell::create().unwrap());
    let ran = AtomicU64::new(0);
    let (mut times, mut nanos, mut done) = (Vec::new(), 0, 0u64);
    thread::scope(|scope| {
        let crew: Vec<_> = (0..workers)
            .map(|worker| {
                let (link, bell, ran) = (&link, &bell, &ran);
                scope.spawn(move || work(link, bell, worker, task, ran))
            })
            .collect();
        let mut readers: Vec<_> = (0..workers).map(|worker| link.reader(worker)).collect();
        (nanos, done) = parent(&link, &mut readers, Duration::from_millis(700));
        link.close();
        link.bells().wake_all();
        for worker in crew {
            times.extend(worker.join().unwrap());
        }
    });
    assert!(ran.load(Ordering::Relaxed) >= done);
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0);
    (done as f64 * 1e9 / nanos as f64, at(50), at(99))
}

fn parent(link: &Link, readers: &mut [OutcomeReader], time: Duration) -> (u64, u64) {
    let (tasks, bells) = (link.tasks(), link.bells());
    let mut slots = vec![None; SLOTS as usize];
    let (mut cursor, mut payload, mut done) = (Cursor::new(SLOTS), Vec::new(), 0);
    let (start, end) = (Stamp::now(), Deadline::after(time));
    while !end.passed() {
        for _ in 0..SLOTS / 4 {
            let standing = |index: u32| match slots[index as usize] {
                None => Standing::Free,
                Some(position) => match tasks.look(position) {
                    Look::Taken(_) => Standing::Taken,
                    _ => Standing::Ready,
                },
            };
            let Some(position) = cursor.next_position(standing) else {
                break;
            };
            slots[(position % u64::from(SLOTS)) as usize] = Some(position);
            put(link, position);
            bells.wake_one();
        }
        let before = done;
        for reader in readers.iter_mut() {
            while let Some(head) = reader.next(&mut payload).unwrap() {
                slots[(head.position % u64::from(SLOTS)) as usize] = None;
                tasks.free(head.position);
                done += 1;
            }
        }
        let is_quiet = || readers.iter().all(OutcomeReader::is_empty);
        if done == before && !spin_until(|| !is_quiet()) {
            let expected = bells.listen();
            if is_quiet() {
                bells.sleep(expected, Deadline::after(Duration::from_millis(50)));
            }
            bells.unlisten();
        }
    }
    (Stamp::now().since(start), done)
}

fn work(link: &Arc<Link>, bell: &Bell, worker: u32, task: u64, ran: &AtomicU64) -> Vec<u64> {
    let (tasks, bells, mut writer) = (link.tasks(), link.bells(), link.writer(worker));
    let (mut payload, mut times, mut count) = (Vec::new(), Vec::new(), 0u64);
    loop {
        let before = Stamp::now();
        let claimed = tasks.claim(worker);
        let start = Stamp::now();
        let Some(position) = claimed else {
            let ready = || tasks.is_ready() || link.is_closing();
            if link.is_closing() {
                ran.fetch_add(count, Ordering::Relaxed);
                return times;
            }
            if !spin_until(ready) {
                bells.sleep_until(worker, ready, Deadline::NEVER);
            }
            continue;
        };
        count += 1;
        if count.is_multiple_of(8) && times.len() < 20_000 {
            times.push(start.since(before));
        }
        black_box(tasks.read(position, &mut payload).unwrap());
        while Stamp::now().since(start) < task {}
        let head = OutcomeHead {
            position,
            ..OutcomeHead::default()
        };
        while !writer.try_push(&head, b"") {
            if link.is_closing() {
                break;
            }
            writer.wait_for_room(0, bell, || link.is_closing(), Deadline::NEVER);
        }
        bells.ring(bell);
        if link.is_closing() {
            ran.fetch_add(count, Ordering::Relaxed);
            return times;
        }
    }
}

//! A real job on both executors: hashes every file of a folder, and says which way was the fastest.
//!
//! `cargo run --release --example hash_files -- FOLDER`; without a name it takes the folder in which it is started.

use forkful::{Executor, ProcessPoolExecutor, TaskError, ThreadPoolExecutor};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The sum of one file as text, or why it can't be read: an error of the system can't travel between processes, its words can.
#[forkful::task]
fn hash(path: PathBuf) -> Result<String, String> {
    digest(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => break,
            length => hasher.update(&block[..length]),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// All that the job needs to know of an executor: whether its workers are threads or processes it does not see.
fn hash_all(executor: &impl Executor, files: &[PathBuf]) -> Result<Vec<Sum>, TaskError> {
    let futures: Vec<_> = files
        .iter()
        .map(|file| executor.call(hash, (file.clone(),)))
        .collect();
    futures.into_iter().map(|future| future.result()).collect()
}

type Sum = Result<String, String>;

fn main() -> Result<(), Box<dyn Error>> {
    forkful::init();

    let folder = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let mut files = Vec::new();
    collect(Path::new(&folder), &mut files)?;
    files.sort();
    let bytes: u64 = files
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|data| data.len())
        .sum();
    println!("{} files, {:.1} MB", files.len(), bytes as f64 / 1e6);

    let workers = std::thread::available_parallelism()?.get();
    let threads = ThreadPoolExecutor::new(workers);
    let processes = ProcessPoolExecutor::new(workers)?;
    // So that no way pays for the start of its workers, nor for files that the system has not in memory yet.
    hash_all(&threads, &files)?;
    hash_all(&processes, &files[..files.len().min(workers)])?;

    let (alone, alone_took) = timed(|| Ok(files.iter().map(|file| hash(file.clone())).collect()))?;
    let (on_threads, threads_took) = timed(|| hash_all(&threads, &files))?;
    let (on_processes, processes_took) = timed(|| hash_all(&processes, &files))?;
    let ways = [
        ("one after the other".to_owned(), alone_took),
        (format!("{workers} threads"), threads_took),
        (format!("{workers} processes"), processes_took),
    ];
    for (way, took) in &ways {
        println!("{way:<20} {:>10.1} ms", took.as_secs_f64() * 1e3);
    }
    let fastest = ways.iter().min_by_key(|(_, took)| *took);
    println!("fastest: {}", fastest.map_or("", |(way, _)| way));

    if alone != on_threads || alone != on_processes {
        return Err("the sums differ: files have changed meanwhile".into());
    }
    println!("all ways found the same sums");
    for problem in alone.iter().filter_map(|sum| sum.as_ref().err()) {
        println!("not read: {problem}");
    }
    Ok(())
}

fn timed(
    job: impl FnOnce() -> Result<Vec<Sum>, TaskError>,
) -> Result<(Vec<Sum>, Duration), TaskError> {
    let start = Instant::now();
    Ok((job()?, start.elapsed()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

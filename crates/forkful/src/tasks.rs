//! Functions that worker processes can be asked to run, by name.
//!
//! Knows: the codec. Does not know: executors, processes.

use crate::codec::{self, Incoming, Outgoing};
use crate::failure::{Failure, guarded};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::TypeId;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Once, OnceLock, PoisonError, RwLock};

/// A function, or a closure, whose arguments are the tuple `A`.
///
/// Implemented for every `Fn(A1, ..) -> R` of up to eight arguments that is `Copy`. Processes take only what is registered
/// ([`#[forkful::task]`](macro@crate::task), [`register`]); threads take all of them.
///
/// # Examples
/// ```
/// use forkful::Function;
///
/// fn add(a: i32, b: i32) -> i32 {
///     a + b
/// }
///
/// fn twice<F: Function<(i32, i32), Output = i32>>(function: F) -> i32 {
///     function.call((1, 2)) + function.call((3, 4))
/// }
///
/// assert_eq!(twice(add), 10);
/// ```
pub trait Function<A>: Copy + Send + Sync + 'static {
    /// What it returns.
    type Output;
    /// Calls it.
    fn call(self, args: A) -> Self::Output;
}

macro_rules! function {
    ($($arg:ident $value:ident),*) => {
        impl<F, R, $($arg),*> Function<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> R + Copy + Send + Sync + 'static,
        {
            type Output = R;
            fn call(self, ($($value,)*): ($($arg,)*)) -> R {
                self($($value),*)
            }
        }
    };
}

function!();
function!(A a);
function!(A a, B b);
function!(A a, B b, C c);
function!(A a, B b, C c, D d);
function!(A a, B b, C c, D d, E e);
function!(A a, B b, C c, D d, E e, G g);
function!(A a, B b, C c, D d, E e, G g, H h);
function!(A a, B b, C c, D d, E e, G g, H h, I i);

/// What can travel to another process and back: whatever serde can write and read.
///
/// # Examples
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Job {
///     path: std::path::PathBuf,
///     limit: Option<u64>,
/// }
///
/// fn travels<T: forkful::Portable>() {}
/// travels::<(Job, Vec<String>, forkful::Bytes)>();
/// ```
///
/// A reference can't:
/// ```compile_fail
/// fn travels<T: forkful::Portable>() {}
/// travels::<&str>();
/// ```
pub trait Portable: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Portable for T {}

/// A task's flag: its CPU time is wanted, two system calls.
pub(crate) const METERED: u32 = 1 << 31;
/// A task's flag: it is the calls of a function with each of many arguments.
pub(crate) const CHUNK: u32 = 1 << 30;

/// What a worker does with a task's arguments. `Err`: they, or the result, could not be read or written.
type Run = dyn Fn(&mut Incoming<'_>, &mut Outgoing) -> Result<(), codec::Error> + Send + Sync;

/// A registered function.
pub(crate) struct Entry {
    /// Its full name, for people.
    pub(crate) name: &'static str,
    /// By which a worker finds it.
    pub(crate) sign: String,
    /// Reads the arguments, calls, writes the result. A panic goes through.
    pub(crate) run: Box<Run>,
    /// The same for many at once: one that panics fails alone.
    pub(crate) run_many: Box<Run>,
}

/// What becomes of one of many calls.
pub(crate) type Each<R> = Result<R, Failure>;

fn write_each<R: Serialize>(
    results: &mut Vec<Each<R>>,
    outgoing: &mut Outgoing,
) -> Result<(), codec::Error> {
    let all = outgoing.write(&*results);
    if all.is_ok() {
        return all;
    }
    // One of them can't be written, and must not fail the others.
    for result in &mut *results {
        if let Err(error) = Outgoing::of(result) {
            *result = Err(Failure::NotSent(error.to_string()));
        }
    }
    *outgoing = Outgoing::default();
    outgoing.write(&*results)
}

#[derive(Default)]
struct Registry {
    by_type: HashMap<TypeId, Arc<Entry>>,
    by_sign: HashMap<String, Arc<Entry>>,
}

/// What a function is called in all runs of this program, and no other one: functions of one full name are no rarity, as closures of one
/// function have it, and those of two versions of one crate.
fn sign<F: 'static>() -> String {
    let mut hasher = DefaultHasher::new();
    TypeId::of::<F>().hash(&mut hasher);
    format!("{} {:016x}", std::any::type_name::<F>(), hasher.finish())
}

fn registry() -> &'static RwLock<Registry> {
    static REGISTRY: OnceLock<RwLock<Registry>> = OnceLock::new();
    REGISTRY.get_or_init(RwLock::default)
}

/// What `#[forkful::task]` leaves for [`settle`].
#[doc(hidden)]
pub struct Registration(pub fn());

inventory::collect!(Registration);

/// Registers what bears the attribute, once.
pub(crate) fn settle() {
    static SETTLED: Once = Once::new();
    SETTLED.call_once(|| {
        for registration in inventory::iter::<Registration> {
            (registration.0)();
        }
    });
}

/// Registers a function, so that worker processes can be asked to run it: what `#[forkful::task]` does, for functions that can't bear
/// the attribute, as those of other crates and instances of generic ones, and for closures without captures.
///
/// Call it before [`init`](fn@crate::init), so that workers know it too. Twice is as good as once. What has captures, or is a pointer to a
/// function, does not compile: its type does not say what it does.
///
/// # Examples
/// ```standalone_crate
/// use forkful::ProcessPoolExecutor;
/// use serde::{Serialize, de::DeserializeOwned};
///
/// fn largest<T: Ord + Serialize + DeserializeOwned>(all: Vec<T>) -> Option<T> {
///     all.into_iter().max()
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::register(largest::<u32>);
///     forkful::init();
///     let pool = ProcessPoolExecutor::new(1)?;
///     assert_eq!(pool.submit(largest::<u32>, (vec![3, 9, 4],)).result()?, Some(9));
///     Ok(())
/// }
/// ```
///
/// A closure with captures:
/// ```compile_fail
/// let more = 1;
/// forkful::register(move |n: i32| n + more);
/// ```
pub fn register<F, A>(function: F)
where
    F: Function<A>,
    A: Portable,
    F::Output: Portable,
{
    const {
        assert!(
            size_of::<F>() == 0,
            "only a function itself can be registered, or a closure without captures: not a pointer, nor what has captures"
        );
    }
    let entry = Entry {
        name: std::any::type_name::<F>(),
        sign: sign::<F>(),
        run: Box::new(move |incoming, outgoing| {
            let args: A = incoming.read()?;
            outgoing.write(&function.call(args))
        }),
        run_many: Box::new(move |incoming, outgoing| {
            let many: Vec<A> = incoming.read()?;
            let calls = many.into_iter();
            let mut results = calls.map(|args| guarded(|| function.call(args))).collect();
            write_each(&mut results, outgoing)
        }),
    };
    let mut registry = registry().write().unwrap_or_else(PoisonError::into_inner);
    let entry = Arc::new(entry);
    registry.by_sign.insert(entry.sign.clone(), entry.clone());
    registry.by_type.insert(TypeId::of::<F>(), entry);
}

/// A function's entry, if it is registered.
pub(crate) fn entry<F: 'static>() -> Option<Arc<Entry>> {
    settle();
    let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
    registry.by_type.get(&TypeId::of::<F>()).cloned()
}

/// The same by its sign.
pub(crate) fn signed(sign: &str) -> Option<Arc<Entry>> {
    settle();
    let registry = registry().read().unwrap_or_else(PoisonError::into_inner);
    registry.by_sign.get(sign).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(a: i32, b: i32) -> i32 {
        a + b
    }

    #[test]
    fn a_registered_function_is_found_by_type_and_by_sign() {
        register(add);
        register(add);
        let entry = entry_of(add);
        assert!(signed(&entry.sign).is_some());
        let args = Outgoing::of(&(2, 3)).unwrap();
        let mut outgoing = Outgoing::default();
        (entry.run)(&mut Incoming::new(args.bytes()), &mut outgoing).unwrap();
        assert_eq!(Incoming::new(outgoing.bytes()).read::<i32>().unwrap(), 5);
    }

    #[test]
    fn functions_of_one_name_are_told_apart() {
        let (one, other) = (|a: u8| a + 1, |a: u8| a + 2);
        register(one);
        register(other);
        let (one, other) = (entry_of(one), entry_of(other));
        assert_eq!(one.name, other.name);
        let called = |entry: Arc<Entry>| {
            let args = Outgoing::of(&(1u8,)).unwrap();
            let mut outgoing = Outgoing::default();
            let entry = signed(&entry.sign).unwrap();
            (entry.run)(&mut Incoming::new(args.bytes()), &mut outgoing).unwrap();
            Incoming::new(outgoing.bytes()).read::<u8>().unwrap()
        };
        assert_eq!((called(one), called(other)), (2, 3));
    }

    fn entry_of<F: 'static>(_: F) -> Arc<Entry> {
        entry::<F>().unwrap()
    }
}

//! Tests of the pool of threads.

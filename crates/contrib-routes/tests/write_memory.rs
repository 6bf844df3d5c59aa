//! What writing allocates: little, whatever the number of edges, and nothing that may not be refused. A refusal that the library
//! does not expect ends the process of this test.

mod common;

use common::model::{Choices, Model};
use contrib_routes::{Error, Format, Labels, Options, Routes, Targets, routes, write};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::{io, ptr};

/// The system's allocator, which counts the bytes that a thread has while it is armed, and refuses one of its requests.
struct Counting;

thread_local! {
    static IS_ARMED: Cell<bool> = const { Cell::new(false) };
    /// Requests that are granted before one is refused.
    static GRANTED: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Bytes now, and at most.
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn is_refused(bytes: usize) -> bool {
    if !IS_ARMED.get() {
        return false;
    }
    let granted = GRANTED.get();
    GRANTED.set(granted.wrapping_sub(1));
    if granted != 0 {
        BYTES.set(BYTES.get() + bytes);
        MOST.set(MOST.get().max(BYTES.get()));
    }
    granted == 0
}

fn give_back(bytes: usize) {
    if IS_ARMED.get() {
        BYTES.set(BYTES.get().saturating_sub(bytes));
    }
}

// SAFETY: null for what is refused; the system's allocator does all else. A block grows by the default `realloc`, which allocates
// another.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return ptr::null_mut();
        }
        // SAFETY: the arguments are the caller's own.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: the arguments are the caller's own.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The result of a call in which the request after `granted` others is refused, and the most bytes that it had.
fn armed<T>(granted: usize, call: impl FnOnce() -> T) -> (T, usize) {
    GRANTED.set(granted);
    BYTES.set(0);
    MOST.set(0);
    IS_ARMED.set(true);
    let result = call();
    IS_ARMED.set(false);
    (result, MOST.get())
}

fn found(n_pos: usize, n_layers: usize) -> (Routes, Labels) {
    let model = Model::new(Choices { n_layers, n_pos, biases: [true; 2], ..Choices::PLAIN });
    let options = Options { threshold: 0.001, ..Options::default() };
    let found = routes(&mut model.recording(), Targets::At(&[n_pos - 1]), &options).unwrap();
    let mut labels = Labels::default();
    labels.set_prompt("a prompt").unwrap();
    for position in 0..n_pos {
        labels.push_token(format!(" token{position}")).unwrap();
    }
    labels.push_next_token(" next", 0.5).unwrap();
    (found, labels)
}

#[test]
fn writing_allocates_little_whatever_the_number_of_edges() {
    let (few, many) = (found(48, 2), found(48, 30));
    assert!(many.0.n_edges() > 10 * few.0.n_edges() && many.0.n_edges() > 20_000, "{}", many.0.n_edges());
    for format in Format::ALL {
        let most = |(routes, labels): &(Routes, Labels)| {
            let (result, most) = armed(usize::MAX, || write(routes, labels, format, &mut io::sink()));
            result.unwrap();
            most
        };
        assert!(most(&many) < 100_000, "{format:?}: {}", most(&many));
        // A picture also keeps where names of heads stand, of which there is a bounded number.
        if format != Format::Svg {
            assert_eq!(most(&few), most(&many), "{format:?}");
        }
    }
}

#[test]
fn each_request_that_is_refused_is_an_error() {
    let (routes, mut labels) = found(20, 3);
    for format in Format::ALL {
        let mut refused = 0;
        while let (Err(error), _) = armed(refused, || write(&routes, &labels, format, &mut io::sink())) {
            assert!(matches!(error, Error::OutOfMemory { .. }), "{format:?}: {error}");
            refused += 1;
        }
        assert!((1..1000).contains(&refused), "{format:?}: {refused}");
    }
    let before = labels.clone();
    let text = [b'x'; 5000];
    let mut refused = 0;
    while let (Err(error), _) = armed(refused, || labels.push_next_token(text, 0.5)) {
        assert!(matches!(error, Error::OutOfMemory { .. }));
        assert_eq!(labels, before);
        refused += 1;
    }
    assert!(refused > 0 && labels.next_tokens().len() == before.next_tokens().len() + 1);
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::ptr;

use crate::{Trace, TraceBuilder};

/// The maximum number of events of a recorded program.
const MOST_EVENTS: usize = 1 << 20;

/// A request. Blocks are identified by their addresses.
#[derive(Clone, Copy)]
enum Event {
    Allocated { block: usize, layout: Layout },
    Reallocated { before: usize, block: usize, size: usize },
    Freed { block: usize },
}

thread_local! {
    /// The list to which this thread's events are added, or null if this thread isn't
    /// recording.
    static EVENTS: Cell<*mut Vec<Event>> = const { Cell::new(ptr::null_mut()) };
}

/// The system's allocator, which also records the requests of a thread while [`record`]
/// runs.
pub(crate) struct Recorder;

/// Ends the recording when dropped, even if the program panics.
struct Recording;

impl Drop for Recording {
    fn drop(&mut self) {
        EVENTS.set(ptr::null_mut());
    }
}

/// Runs a program twice and returns the trace of the second run. In the first run, the
/// program allocates the memory that it keeps for good.
pub(crate) fn record(program: &dyn Fn()) -> Trace {
    program();
    let mut events = Vec::with_capacity(MOST_EVENTS);
    {
        let _recording = Recording;
        EVENTS.set(&raw mut events);
        program();
    }
    assert!(events.len() < MOST_EVENTS, "the program makes too many requests to be recorded");
    trace(&events)
}

/// Returns the trace of the events. Blocks that were allocated before the recording are
/// left out.
fn trace(events: &[Event]) -> Trace {
    let mut trace = TraceBuilder::new();
    let mut live = HashMap::new();
    for &event in events {
        match event {
            Event::Allocated { block, layout } => {
                live.insert(block, trace.allocate(layout.size(), layout.align()));
            }
            Event::Reallocated { before, block, size } => {
                if let Some(known) = live.remove(&before) {
                    trace.reallocate(&known, size);
                    live.insert(block, known);
                }
            }
            Event::Freed { block } => {
                if let Some(known) = live.remove(&block) {
                    trace.free(known);
                }
            }
        }
    }
    trace.build()
}

/// Adds an event if this thread is recording.
fn note(event: Event) {
    // SAFETY: the vector lives until the recording ends, and only this thread accesses
    // it. Pushing below the capacity doesn't allocate.
    if let Some(events) = unsafe { EVENTS.get().as_mut() }
        && events.len() < events.capacity()
    {
        events.push(event);
    }
}

// SAFETY: all blocks are those of the system's allocator.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: guaranteed by the caller.
        let block = unsafe { System.alloc(layout) };
        note(Event::Allocated { block: block.addr(), layout });
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: guaranteed by the caller.
        let block = unsafe { System.alloc_zeroed(layout) };
        note(Event::Allocated { block: block.addr(), layout });
        block
    }

    unsafe fn realloc(&self, before: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: guaranteed by the caller.
        let block = unsafe { System.realloc(before, layout, size) };
        note(Event::Reallocated { before: before.addr(), block: block.addr(), size });
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(Event::Freed { block: block.addr() });
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(block, layout) };
    }
}

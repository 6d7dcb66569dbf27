use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::ptr;

use crate::{Trace, TraceBuilder};

/// The most that is recorded of a program.
const MOST_EVENTS: usize = 1 << 20;

/// What happened to a block, which is named by its address.
#[derive(Clone, Copy)]
enum Event {
    Allocated { block: usize, layout: Layout },
    Reallocated { before: usize, block: usize, size: usize },
    Freed { block: usize },
}

thread_local! {
    /// Where this thread's events are noted; null while nothing is recorded.
    static EVENTS: Cell<*mut Vec<Event>> = const { Cell::new(ptr::null_mut()) };
}

/// The system's allocator, which notes what a thread asks of it while [`record`] runs.
pub(crate) struct Recorder;

/// Ends the recording, also where the program panics.
struct Recording;

impl Drop for Recording {
    fn drop(&mut self) {
        EVENTS.set(ptr::null_mut());
    }
}

/// Runs a program twice, the second time as a trace. (The first time it makes what it keeps for good.)
pub(crate) fn record(program: &dyn Fn()) -> Trace {
    program();
    let mut events = Vec::with_capacity(MOST_EVENTS);
    {
        let _recording = Recording;
        EVENTS.set(&raw mut events);
        program();
    }
    assert!(events.len() < MOST_EVENTS, "the program is too long to be recorded");
    trace(&events)
}

/// A trace of the events. Blocks that are older than the recording are left out.
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

/// Notes what happened, if this thread records.
fn note(event: Event) {
    // SAFETY: what the pointer is to lives until the recording ends, and only this thread has it. Within the capacity,
    // pushing doesn't allocate.
    if let Some(events) = unsafe { EVENTS.get().as_mut() }
        && events.len() < events.capacity()
    {
        events.push(event);
    }
}

// SAFETY: what is returned is the system's.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { System.alloc(layout) };
        note(Event::Allocated { block: block.addr(), layout });
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { System.alloc_zeroed(layout) };
        note(Event::Allocated { block: block.addr(), layout });
        block
    }

    unsafe fn realloc(&self, before: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        let block = unsafe { System.realloc(before, layout, size) };
        note(Event::Reallocated { before: before.addr(), block: block.addr(), size });
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(Event::Freed { block: block.addr() });
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) };
    }
}

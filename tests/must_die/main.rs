//! Runs programs that misuse a pool or a heap, each in a separate process. Each must die
//! with the right message: that of a hardened build, or else that of `AddressSanitizer`
//! if the crate is built for it.
#![cfg(any(hpalloc_hardened, hpalloc_asan))]

#[path = "../common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;

use common::with_pages;
use hpalloc::{Arena, Boxed, FixedBlock, Lazy, Locked, Page, Pool, PoolBox, SizeClasses, Spin};

/// Defines a test for each program: its name, the report of a hardened build, and the
/// report of `AddressSanitizer`, which is `None` if it can't detect the misuse.
macro_rules! dies {
    ($($(#[$attribute:meta])* $name:ident, $hardened:literal, $asan:expr, $program:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            #[test]
            fn dies() {
                crate::dies(module_path!(), $hardened, $asan);
            }

            #[test]
            #[ignore = "dies on purpose; another test runs it in a separate process"]
            fn program() {
                // SAFETY: not upheld. This is the misuse under test, and it ends the
                // process.
                #[allow(unused_unsafe, reason = "some programs misuse safe functions")]
                unsafe { $program }
            }
        }
    )*};
}

mod heap;

/// Runs one of the programs below in a separate process, and asserts that it fails with
/// the message.
fn dies(program: &str, hardened: &str, asan: Option<&str>) {
    let Some(message) = (if cfg!(hpalloc_hardened) { Some(hardened) } else { asan }) else { return };
    let program = program.trim_start_matches("must_die::");
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args(["--exact", "--ignored", "--nocapture", &format!("{program}::program")]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("running 1 test") && !output.status.success(), "{program} did not die:\n{text}");
    assert!(text.contains(message), "{program} did not report {message:?}:\n{text}");
}

/// The panic is reported at the line that freed or requested the block.
#[test]
fn the_message_names_the_line() {
    for program in [
        "double_free",
        "write_after_free",
        "double_free_in_a_heap",
        "write_after_free_in_a_heap",
        "heap::double_free",
        "heap::write_after_free",
    ] {
        dies(program, "panicked at tests/must_die/", None);
    }
}

const POISON: Option<&str> = Some("AddressSanitizer: use-after-poison");

type Blocks<'a> = FixedBlock<&'a Arena<hpalloc::Borrowed<'a>>>;

/// Creates two pools of 64-byte blocks over one arena.
fn with_pools(program: impl FnOnce(Blocks<'_>, Blocks<'_>)) {
    with_pages(16, |pages| {
        let arena = Arena::from_pages(pages).unwrap();
        program(FixedBlock::new(&arena, 64).unwrap(), FixedBlock::new(&arena, 64).unwrap());
    });
}

fn with_heap(program: impl FnOnce(&SizeClasses<Arena<hpalloc::Borrowed<'_>>>)) {
    with_pages(16, |pages| program(&SizeClasses::new(Arena::from_pages(pages).unwrap())));
}

/// Changes a byte.
unsafe fn overwrite(byte: std::ptr::NonNull<u8>) {
    // SAFETY: not upheld. This is the misuse under test.
    unsafe { byte.write_volatile(byte.read_volatile() ^ 1) };
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

static HEAP: Locked<SizeClasses<Lazy<Boxed>>, Spin> =
    Locked::new(SizeClasses::new(Lazy::new(|| Boxed::new(1 << 20).and_then(Arena::from_region))));

dies! {
    double_free, "was freed twice", POISON, {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            pool.deallocate(block);
            pool.deallocate(block);
        });
    }

    double_free_after_other_operations, "was freed twice", POISON, {
        with_pools(|pool, other| {
            let blocks = [(); 200].map(|()| pool.allocate().unwrap());
            for block in blocks {
                pool.deallocate(block);
                assert!(other.allocate().is_some());
            }
            for _ in 0..100 {
                pool.allocate().unwrap();
            }
            pool.deallocate(blocks[50]);
        });
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_value_on_the_stack, "is not from this pool", None, {
        with_pools(|pool, _| {
            pool.allocate().unwrap();
            let mut value = [0_u64; 16];
            pool.deallocate(std::ptr::NonNull::from(&mut value).cast());
            std::hint::black_box(value);
        });
    }

    #[cfg(hpalloc_hardened)]
    free_before_anything_was_allocated, "is not from this pool", None, {
        with_pools(|pool, other| pool.deallocate(other.allocate().unwrap()));
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_block_of_another_arena, "is not from this pool", None, {
        with_pools(|pool, _| with_pools(|other, _| {
            pool.allocate().unwrap();
            pool.deallocate(other.allocate().unwrap());
        }));
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_block_of_another_pool_of_the_arena, "is not from this pool", None, {
        with_pools(|pool, other| {
            pool.allocate().unwrap();
            pool.deallocate(other.allocate().unwrap());
        });
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_page_of_the_arena, "is not from this pool", None, {
        with_pages(4, |pages| {
            let arena = Arena::from_pages(pages).unwrap();
            let pool = FixedBlock::new(&arena, 64).unwrap();
            pool.allocate().unwrap();
            let page = arena.alloc_page().unwrap();
            page.zero();
            pool.deallocate(std::ptr::NonNull::from(page).cast());
        });
    }

    free_of_a_block_that_was_never_handed_out, "was never allocated", POISON, {
        with_pools(|pool, _| {
            let first = pool.allocate().unwrap();
            let second = pool.allocate().unwrap();
            pool.deallocate(first.add(2 * (second.addr().get() - first.addr().get())));
        });
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_page_that_was_never_handed_out, "is not from this pool", None, {
        with_pages(4, |pages| {
            let last = std::ptr::NonNull::from(&mut pages[3]).cast::<u8>();
            let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 64).unwrap();
            pool.allocate().unwrap();
            pool.deallocate(last);
        });
    }

    #[cfg(hpalloc_hardened)]
    free_of_the_inside_of_a_block, "is not the start of a block", None, {
        with_pools(|pool, _| pool.deallocate(pool.allocate().unwrap().add(8)));
    }

    #[cfg(hpalloc_hardened)]
    free_of_a_misaligned_pointer, "is not the start of a block", None, {
        with_pools(|pool, _| pool.deallocate(pool.allocate().unwrap().add(1)));
    }

    #[cfg(hpalloc_hardened)]
    free_of_the_inside_of_a_block_of_pages, "is not from this pool", None, {
        with_pages(8, |pages| {
            let pool = FixedBlock::new(Arena::from_pages(pages).unwrap(), 3 * 4096).unwrap();
            pool.deallocate(pool.allocate().unwrap().add(4096));
        });
    }

    write_after_free, "was written to after it was freed", POISON, {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            pool.deallocate(block);
            overwrite(block.add(63));
            let _ = pool.allocate();
        });
    }

    write_after_free_over_the_link, "the link to the next free block", POISON, {
        with_pools(|pool, _| {
            let [one, other] = [(); 2].map(|()| pool.allocate().unwrap());
            pool.deallocate(one);
            pool.deallocate(other);
            other.cast::<usize>().write_volatile(0x1000);
            let _ = pool.allocate();
        });
    }

    #[cfg(not(hpalloc_hardened))]
    read_after_free, "", POISON, {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            pool.deallocate(block);
            std::hint::black_box(block.read_volatile());
        });
    }

    overflow_by_a_byte, "was written to past its end", POISON, {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            overwrite(block.add(64));
            pool.deallocate(block);
        });
    }

    overflow_by_two_words, "was written to past its end", POISON, {
        with_pools(|pool, _| {
            pool.allocate().unwrap();
            let block = pool.allocate().unwrap();
            block.add(64).cast::<[usize; 2]>().write_volatile([1, 1]);
            pool.deallocate(block);
        });
    }

    overflow_from_a_free_block, "was written to after it was freed", POISON, {
        with_pools(|pool, _| {
            let block = pool.allocate().unwrap();
            pool.deallocate(block);
            overwrite(block.add(64 + size_of::<usize>()));
            let _ = pool.allocate();
        });
    }

    double_free_in_a_slice, "was freed twice", POISON, {
        let mut memory = [std::mem::MaybeUninit::uninit(); 1000];
        let pool = FixedBlock::from_uninit(&mut memory, 24).unwrap();
        let block = pool.allocate().unwrap();
        pool.allocate().unwrap();
        pool.deallocate(block);
        pool.deallocate(block);
    }

    a_box_made_twice, "was freed twice", POISON, {
        let mut pages = [const { Page::new() }; 2];
        let pool = Pool::<[u64; 8], _>::new(Arena::from_pages(&mut pages).unwrap());
        let raw = PoolBox::into_raw(pool.alloc([7; 8]).unwrap());
        drop((pool.from_raw(raw), pool.from_raw(raw)));
    }

    a_box_of_a_string_made_twice, "was freed twice", POISON, {
        let mut pages = [const { Page::new() }; 2];
        let pool = Pool::<String, _>::new(Arena::from_pages(&mut pages).unwrap());
        let raw = PoolBox::into_raw(pool.alloc(String::from("dropped once")).unwrap());
        drop((pool.from_raw(raw), pool.from_raw(raw)));
    }

    a_string_taken_out_twice, "was freed twice", POISON, {
        let mut pages = [const { Page::new() }; 2];
        let pool = Pool::<String, _>::new(Arena::from_pages(&mut pages).unwrap());
        let raw = PoolBox::into_raw(pool.alloc(String::from("taken once")).unwrap());
        let text = PoolBox::into_inner(pool.from_raw(raw));
        let again = PoolBox::into_inner(pool.from_raw(raw));
        std::hint::black_box((text.len(), again.len()));
    }

    a_box_of_a_locked_pool_made_twice, "was freed twice", POISON, {
        let pool: Locked<_, Spin> =
            Locked::new(Pool::<String, _>::new(Arena::from_region(Boxed::new(1 << 16).unwrap()).unwrap()));
        let raw = PoolBox::into_raw(pool.alloc(String::from("dropped once")).unwrap());
        drop((pool.from_raw(raw), pool.from_raw(raw)));
    }

    #[cfg(hpalloc_hardened)]
    a_long_overflow_from_the_last_block_of_a_run, "at the end of a run of pages was written to", None, {
        with_pools(|pool, _| {
            let blocks = [(); 32].map(|()| pool.allocate().unwrap());
            let end = 4096 - blocks[31].addr().get() % 4096;
            blocks[31].write_bytes(0x41, end);
            pool.deallocate(blocks[31]);
        });
    }

    double_free_in_a_heap, "was freed twice", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            heap.deallocate(block, layout(100));
        });
    }

    #[cfg(hpalloc_hardened)]
    realloc_of_a_value_on_the_stack, "is not from this pool", None, {
        let mut value = [0_u64; 16];
        HEAP.alloc(layout(100));
        let value = (&raw mut value).cast();
        HEAP.realloc(value, layout(100), 300);
    }

    realloc_of_a_free_block, "was freed twice", POISON, {
        let block = HEAP.alloc(layout(100));
        HEAP.dealloc(block, layout(100));
        let _ = std::panic::catch_unwind(|| HEAP.realloc(block, layout(100), 300));
    }

    #[cfg(hpalloc_hardened)]
    realloc_in_place_of_a_free_block, "was freed twice", None, {
        let block = HEAP.alloc(layout(100));
        HEAP.dealloc(block, layout(100));
        let _ = std::panic::catch_unwind(|| HEAP.realloc(block, layout(100), 101));
    }

    #[cfg(hpalloc_hardened)]
    free_with_another_layout, "is not from this pool", None, {
        with_heap(|heap| {
            heap.allocate(layout(500)).unwrap();
            heap.deallocate(heap.allocate(layout(100)).unwrap(), layout(500));
        });
    }

    overflow_in_a_heap, "was written to past its end", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(112)).unwrap();
            overwrite(block.add(112));
            heap.deallocate(block, layout(112));
        });
    }

    write_after_free_in_a_heap, "was written to after it was freed", POISON, {
        with_heap(|heap| {
            let block = heap.allocate(layout(100)).unwrap();
            heap.deallocate(block, layout(100));
            overwrite(block.add(111));
            let _ = heap.allocate(layout(100));
        });
    }

    double_free_of_a_run_of_pages, "was freed twice", POISON, {
        with_heap(|heap| {
            let run = heap.allocate(layout(20_000)).unwrap();
            heap.deallocate(run, layout(20_000));
            heap.deallocate(run, layout(20_000));
        });
    }

    #[cfg(hpalloc_hardened)]
    overflow_of_a_run_of_pages, "was written to past its end", None, {
        with_heap(|heap| {
            let run = heap.allocate(layout(20_000)).unwrap();
            overwrite(run.add(heap.usable_size(layout(20_000))));
            heap.deallocate(run, layout(20_000));
        });
    }

    double_free_in_a_global_allocator, "was freed twice", POISON, {
        let block = HEAP.alloc(layout(100));
        HEAP.dealloc(block, layout(100));
        // The process ends here, even if the panic is caught. If the heap is the
        // program's global allocator, the report may allocate from it, so the heap must
        // not hold its lock during the report.
        let _ = std::panic::catch_unwind(|| HEAP.dealloc(block, layout(100)));
    }

    #[cfg(hpalloc_hardened)]
    leak, "3 blocks of 64 bytes were live when their pool", None, {
        hpalloc::hardened::set_hook(|error| panic!("{error}"));
        with_pools(|pool, _| {
            let blocks = [(); 4].map(|()| pool.allocate().unwrap());
            pool.deallocate(blocks[1]);
        });
    }
}

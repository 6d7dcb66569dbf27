//! A trace depends only on its seed.

use hpalloc_memory::ALL_TRACES;

#[test]
fn a_seed_makes_the_same_trace_each_time() {
    for program in ALL_TRACES {
        let trace = program.trace(7);
        let again = std::thread::spawn(|| program.trace(7)).join().unwrap();
        assert_eq!(trace.operations(), again.operations(), "{}", program.name);
        assert_ne!(trace.operations(), program.trace(8).operations(), "{}", program.name);
    }
}

#[test]
fn peaks_are_those_of_small_programs() {
    for program in ALL_TRACES {
        for seed in 1..=4 {
            let peak = program.trace(seed).peak();
            assert!((4 << 10..=220 << 10).contains(&peak), "{}: {peak} bytes", program.name);
        }
    }
}

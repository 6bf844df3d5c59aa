//! Every instruction set that this machine has gives the same bits, and they are the bits that every other machine gives.

mod common;

use common::Job;
use contrib_core::{Context, InstructionSet};
use contrib_testing::{Arrangement, Kind, Layout, Operation, Random};

/// Norms of every way to measure.
const NORMS: [f64; 5] = [1.0, 2.0, 3.0, f64::INFINITY, 2.7];

/// A context for each instruction set of this machine.
fn contexts() -> Vec<Context> {
    let sets = InstructionSet::ALL.into_iter().filter(|&set| set <= InstructionSet::best());
    let contexts: Vec<_> = sets.map(|set| Context::new(1).unwrap().at_most(set)).collect();
    let names: Vec<_> = contexts.iter().map(|context| context.instruction_set().name()).collect();
    println!("instruction sets: {}", names.join(", "));
    contexts
}

/// Calls with vectors of lengths around those of a vector, all totals, a piece and a packed piece.
fn jobs() -> Vec<Job> {
    let mut random = Random::new(3);
    let mut jobs = Vec::new();
    for kind in Kind::ALL {
        for len in [1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 255, 256, 257, 1023, 1024, 1025, 2100] {
            jobs.push(Job::random(Operation::Contributions, kind, &[&[2, len], &[21, 2, len]], &mut random));
        }
        let shapes: [&[usize]; 3] = [&[1, 3, 70], &[1, 3, 70], &[1, 3, 5, 6, 70]];
        jobs.push(Job::random(Operation::Attention, kind, &shapes, &mut random));
    }
    jobs
}

#[test]
fn all_instruction_sets_give_the_same_bits_for_any_layout() {
    let contexts = contexts();
    // Vectors contiguous; parts side by side; neither.
    let layouts: [Arrangement; 3] = [Layout::row_major, Layout::column_major, Layout::padded];
    for job in jobs() {
        for norm in NORMS {
            let job = job.with_norm(norm);
            let expected = job.bits(None);
            for layout in layouts {
                let job = job.laid_out(layout);
                for context in &contexts {
                    let (set, shape) = (context.instruction_set().name(), &job.inputs[1].1.layout);
                    assert_eq!(job.bits(Some(context)), expected, "norm {norm}, {set}, {shape:?}");
                }
            }
        }
    }
}

/// The bits of all results, in one number (FNV-1a).
fn hash(results: impl Iterator<Item = u64>) -> u64 {
    let bytes = results.flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn every_machine_and_version_gives_these_bits() {
    let hashes = NORMS.map(|norm| {
        let results = jobs().into_iter().flat_map(|job| job.with_norm(norm).bits(None)).flatten();
        format!("norm {norm}: {:016x}", hash(results))
    });
    assert_eq!(
        hashes,
        [
            "norm 1: 8ff0f1db7a3bfa73",
            "norm 2: d9ab91699050a5ad",
            "norm 3: d9780144a725b257",
            "norm inf: 55e315412a6cbe83",
            "norm 2.7: 523bcc54449846e3"
        ],
        "results changed: that is a change for users, to be named in CHANGELOG.md"
    );
}

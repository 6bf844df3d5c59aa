//! Every instruction set that this machine has gives the same bits, and they are the bits that every other machine gives.

mod common;

use common::{Form, Job};
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

/// Calls with factored parts: with vectors and values of lengths around those of a vector, all that is added in `f32`, and
/// a block; of parts that are small beside their whole, about as large, and larger; with zeros among the coefficients.
fn factored_jobs() -> Vec<Job> {
    let mut random = Random::new(5);
    let mut jobs = Vec::new();
    for kind in Kind::ALL {
        for (number, len) in [1, 15, 16, 17, 33, 256, 257, 300, 1040].into_iter().enumerate() {
            let size = [0.01, 0.5, 1.0, 5.0][number % 4];
            let [queries, keys, d_head] = [1 + number % 6, 3 + number, [1, 15, 31, 32, 33, 64, 65][number % 7]];
            let resid = &[2, queries, len][..];
            let shapes = [resid, resid, &[2, 4, queries, keys], &[2, keys, 2, d_head], &[4, d_head, len]];
            let mut heads = Job::random(Operation::AttentionFactored, kind, &shapes, &mut random);
            let resid = &[queries, len][..];
            let shapes = [resid, resid, &[queries, 5 * keys], &[5 * keys, len]];
            let mut neurons = Job::random(Operation::MlpNeurons, kind, &shapes, &mut random);
            // Directions near the whole's, so that parts come nearer to it.
            let whole = neurons.input("resid_post").to_f64();
            towards(&mut neurons, "w_out", &whole[..len]);
            let whole = heads.input("resid_mid").to_f64();
            towards(&mut heads, "w_o", &whole[..len]);
            for (job, name) in [(&mut heads, "pattern"), (&mut neurons, "activations")] {
                let stored = job.input_mut(name);
                for index in stored.layout.indices() {
                    let number = 3.0 * stored.numbers.get(index);
                    stored.numbers.set(index, if number < -0.8 { 0.0 } else { size * number.abs() });
                }
            }
            jobs.push(heads.with_value_output());
            jobs.push(heads.clone().with_form(Form::Sums));
            jobs.push(heads);
            jobs.push(neurons.clone().with_form(Form::Strongest(4)));
            jobs.push(neurons);
        }
    }
    jobs
}

/// Adds a vector to each of an input.
fn towards(job: &mut Job, name: &str, vector: &[f64]) {
    let stored = job.input_mut(name);
    for (number, index) in stored.layout.indices().into_iter().enumerate() {
        stored.numbers.set(index, stored.numbers.get(index) + vector[number % vector.len()]);
    }
}

#[test]
fn all_instruction_sets_give_the_same_bits_for_any_layout() {
    let contexts = contexts();
    // Vectors contiguous; parts side by side; neither.
    let layouts: [Arrangement; 3] = [Layout::row_major, Layout::column_major, Layout::padded];
    for job in jobs().into_iter().chain(factored_jobs()) {
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

/// The hashes of the results of these calls, for each norm.
fn hashes(jobs: &[Job]) -> [String; NORMS.len()] {
    NORMS.map(|norm| {
        let results = jobs.iter().flat_map(|job| job.with_norm(norm).bits(None)).flatten();
        format!("norm {norm}: {:016x}", hash(results))
    })
}

#[test]
fn every_machine_and_version_gives_these_bits_of_factored_parts() {
    assert_eq!(
        hashes(&factored_jobs()),
        [
            "norm 1: caa712efb034ab30",
            "norm 2: 73374cf737dc4735",
            "norm 3: addf8e13e3a633da",
            "norm inf: c1513fa6bc6b00e6",
            "norm 2.7: 6be14074b5e23941"
        ],
        "results changed: that is a change for users, to be named in CHANGELOG.md"
    );
}

#[test]
fn every_machine_and_version_gives_these_bits() {
    assert_eq!(
        hashes(&jobs()),
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

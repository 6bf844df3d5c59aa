//! What fuzzing began with and what it found: files of `fuzz/corpus`, of which each is an error that names its cause or has routes.

mod common;
#[path = "../../../fuzz/fuzz_targets/damage.rs"]
mod damage;

use common::model::{Choices, Model};
use common::untrusted::{names_its_cause, read_in_every_way};
use contrib_testing::Kind;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/recording")
}

/// Small recordings with everything that a file can have.
fn seeds() -> Vec<(&'static str, Choices)> {
    let small = Choices { n_layers: 1, n_pos: 2, d_head: 2, d_model: 4, ..Choices::PLAIN };
    vec![
        ("queries", Choices { scoring: [true; 4], ..small }),
        ("pattern", Choices { by_pattern: true, kv_heads: 2, ..small }),
        ("value-output", Choices { has_value_output: true, has_scale: true, kind: Some(Kind::F16), ..small }),
        ("parallel", Choices { is_parallel: true, biases: [true; 2], kind: Some(Kind::Bf16), ..small }),
        ("layers", Choices { n_layers: 2, biases: [true; 2], has_scale: true, kind: Some(Kind::F64), ..small }),
    ]
}

#[test]
#[ignore = "writes the seeds of the corpus"]
fn write_seeds() {
    for (name, choices) in seeds() {
        std::fs::write(corpus().join(name), Model::new(choices).file()).unwrap();
    }
}

#[test]
fn each_file_of_the_corpus_is_an_error_or_has_routes() {
    let mut with_routes = 0;
    let mut files = 0;
    for entry in std::fs::read_dir(corpus()).unwrap() {
        files += 1;
        match read_in_every_way(std::fs::read(entry.unwrap().path()).unwrap()) {
            Ok(edges) => with_routes += usize::from(edges.iter().any(|&edges| edges > 0)),
            Err(error) => names_its_cause(&error),
        }
    }
    assert!(files >= seeds().len() && with_routes >= seeds().len(), "{with_routes} of {files} have routes");
}

#[test]
fn the_seeds_are_those_that_models_make() {
    for (name, choices) in seeds() {
        let file = std::fs::read(corpus().join(name)).unwrap();
        let made = Model::new(choices).file();
        // The order of metadata is any.
        assert_eq!(file.len(), made.len(), "{name}");
        assert!(read_in_every_way(made).unwrap().iter().any(|&edges| edges > 0), "{name}");
    }
}

/// Rounds of damage; `DAMAGED_ROUNDS` may ask for more.
const ROUNDS: u32 = 2000;

#[test]
fn recordings_with_damaged_headers_are_errors_that_name_their_cause_or_have_routes() {
    let rounds = std::env::var("DAMAGED_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let seeds: Vec<Vec<u8>> = seeds().into_iter().map(|(_, choices)| Model::new(choices).file()).collect();
    let (mut opened, mut refused) = (0, 0);
    for round in 0..rounds {
        let mut bytes = seeds[round as usize % seeds.len()].clone();
        // Every fourth twice, the second time what the first left.
        for time in 0..=round % 4 / 3 {
            match damage::with_damaged_header(&bytes, round.wrapping_mul(2).wrapping_add(time)) {
                Some(damaged) => bytes = damaged,
                None => break,
            }
        }
        match read_in_every_way(bytes) {
            Ok(_) => opened += 1,
            Err(error) => {
                names_its_cause(&error);
                refused += 1;
            }
        }
    }
    assert!(opened > rounds / 20 && refused > rounds / 5, "{opened} opened, {refused} refused");
}

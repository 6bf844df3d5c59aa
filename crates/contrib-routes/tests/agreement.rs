//! The check that a recording is right: what is right passes, and each thing that is wrong is found where it is.

mod common;

use common::model::{Choices, Model, choices};
use contrib_routes::{Agreement, Error, File, Memory, Recording, Stage, Targets, check};
use contrib_testing::Kind;
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::path::Path;

fn all(recording: &mut dyn Recording) -> Vec<Agreement> {
    check(recording, Targets::All, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn worst(agreements: &[Agreement]) -> Agreement {
    *agreements.iter().max_by(|one, other| one.unexplained().total_cmp(&other.unexplained())).unwrap()
}

proptest! {
    #[test]
    fn what_is_right_is_explained_by_rounding(choices in choices()) {
        let model = Model::new(choices);
        let agreements = all(&mut model.recording());
        let stages = if choices.is_parallel { 1 } else { 2 };
        prop_assert_eq!(agreements.len(), choices.n_layers * stages);
        let worst = worst(&agreements);
        // The stream after attention of a parallel block is rounded on the way, and not recorded.
        let most = if choices.is_parallel { 0.05 } else { 1e-6 };
        prop_assert!(worst.unexplained() < most, "{:?}", worst);
    }

    #[test]
    fn a_number_that_is_wrong_is_found_in_its_layer(choices in choices(), which in any::<prop::sample::Index>()) {
        let mut model = Model::new(Choices { kind: Some(Kind::F32), ..choices });
        let last = choices.n_layers - 1;
        // The last position sees itself, so that all that belongs to it counts.
        let layer = &mut model.layers[last];
        let names: Vec<_> = layer.arrays.keys().copied().filter(|name| !is_of_score(name)).collect();
        let name = names[which.index(names.len())];
        let numbers = &mut layer.arrays.get_mut(name).unwrap().numbers;
        let place = numbers.len() - 1;
        numbers.set(place, numbers.get(place) + 1000.0);
        let worst = worst(&all(&mut model.recording()));
        prop_assert_eq!(worst.layer, last);
        if name != "attn_scale" {
            prop_assert!(worst.unexplained() > 1e-3, "{}: {:?}", name, worst);
        }
    }
}

/// What changes a score may change nothing: of one key the pattern is 1, whatever its score is.
fn is_of_score(name: &str) -> bool {
    matches!(name, "queries" | "keys" | "slopes" | "sinks")
}

#[test]
fn scores_that_are_wrong_are_found() {
    for name in ["queries", "keys", "slopes", "sinks"] {
        let mut model = Model::new(Choices { scoring: [true; 4], kv_heads: 2, ..Choices::PLAIN });
        assert!(worst(&all(&mut model.recording())).unexplained() < 1e-6);
        let numbers = &mut model.layers[1].arrays.get_mut(name).unwrap().numbers;
        for place in 0..numbers.len() {
            numbers.set(place, -3.0 * numbers.get(place));
        }
        let worst = worst(&all(&mut model.recording()));
        assert_eq!((worst.layer, worst.stage), (1, Stage::ResidMid), "{name}");
        assert!(worst.unexplained() > 0.01, "{name}: {worst:?}");
    }
}

#[test]
fn the_worst_position_is_named() {
    let mut model = Model::new(Choices { n_pos: 70, ..Choices::PLAIN });
    let numbers = &mut model.layers[0].arrays.get_mut("mlp_out").unwrap().numbers;
    numbers.set(41 * 8, numbers.get(41 * 8) + 10.0);
    let agreements = all(&mut model.recording());
    let worst = worst(&agreements);
    assert_eq!((worst.layer, worst.stage, worst.position), (0, Stage::ResidPost, 41));
    assert!((worst.difference - 10.0).abs() < 1e-4);
    let places: Vec<_> = agreements.iter().map(|agreement| (agreement.layer, agreement.stage)).collect();
    let (mid, post) = (Stage::ResidMid, Stage::ResidPost);
    assert_eq!(places, [(0, mid), (0, post), (1, mid), (1, post)]);
    let others = [0, 40, 42, 69];
    let of_others = check(&mut model.recording(), Targets::At(&others), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(of_others.iter().all(|agreement| agreement.unexplained() < 1e-6));
}

#[test]
fn the_recording_of_a_real_model_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/smollm2-135m-capitals.safetensors");
    let mut file = File::open(path).unwrap();
    for is_by_pattern in [true, false] {
        file.read_by_pattern(is_by_pattern).unwrap();
        let worst = worst(&all(&mut file));
        assert!(worst.unexplained() < 0.002, "{worst:?}");
    }
}

#[test]
fn numbers_that_are_not_finite_and_positions_that_are_not_there_are_errors() {
    let mut model = Model::new(Choices::PLAIN);
    let of = |recording: &mut Memory<'_>, positions: &[usize]| {
        check(recording, Targets::At(positions), &mut |_| ControlFlow::Continue(())).map(|_| ())
    };
    assert!(matches!(of(&mut model.recording(), &[5]), Err(Error::Target { got: 5, positions: 5 })));
    model.layers[0].arrays.get_mut("values").unwrap().numbers.set(0, f64::NAN);
    let error = of(&mut model.recording(), &[4]).unwrap_err().to_string();
    assert_eq!(error, "values.0: not a finite number at [0, 0, 0]");
}

#[test]
fn the_callback_stops_the_check() {
    let model = Model::new(Choices::PLAIN);
    let mut heard = 0;
    let stopped = check(&mut model.recording(), Targets::All, &mut |progress| {
        heard += 1;
        assert_eq!((progress.done, progress.positions), (5, 5));
        if heard == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!(heard, 3);
}

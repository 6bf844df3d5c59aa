//! What is prepared of `w_o` makes routes faster, and changes none of them.

mod common;

use common::model::{Choices, Model, choices};
use contrib_core::{Argument, Cause, PreparedProjection};
use contrib_routes::{Error, Layer, Memory, Moves, Options, Targets, routes};
use proptest::prelude::*;

/// What is prepared of each layer's `w_o`; nothing where a layer has none.
fn prepared(layers: &[Layer<'_>]) -> Vec<Option<PreparedProjection>> {
    let of_layer = |layer: &Layer<'_>| match layer.attention.moves {
        Moves::Values { w_o, .. } => Some(PreparedProjection::new(&w_o, &contrib_core::Options::default()).unwrap()),
        Moves::ValueOutput(_) => None,
    };
    layers.iter().map(of_layer).collect()
}

/// The layers with what was prepared.
fn with<'a>(layers: &[Layer<'a>], all: &'a [Option<PreparedProjection>]) -> Memory<'a> {
    let mut layers = layers.to_vec();
    for (layer, of_layer) in layers.iter_mut().zip(all) {
        if let Moves::Values { prepared, .. } = &mut layer.attention.moves {
            *prepared = of_layer.as_ref();
        }
    }
    Memory::new(layers).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_prepared_changes_no_bit(choices in choices(), block in 1_usize..5) {
        let model = Model::new(Choices { has_value_output: false, ..choices });
        let (layers, options) = (model.tensors(), Options { block: Some(block), ..Options::default() });
        let all = prepared(&layers);
        let expected = routes(&mut model.recording(), Targets::All, &options).unwrap();
        prop_assert_eq!(routes(&mut with(&layers, &all), Targets::All, &options).unwrap(), expected);
    }
}

#[test]
fn what_was_prepared_of_another_layer_is_an_error_that_names_it() {
    let model = Model::new(Choices::PLAIN);
    let layers = model.tensors();
    let mut all = prepared(&layers);
    all.swap(0, 1);
    let error = routes(&mut with(&layers, &all), Targets::All, &Options::default()).unwrap_err();
    let Error::Core(error) = error else { panic!("{error}") };
    assert_eq!(error.argument(), Argument::of_layer(1, "prepared"));
    assert_eq!(*error.cause(), Cause::PreparedOfAnother { like: Argument::of_layer(1, "w_o") });
}

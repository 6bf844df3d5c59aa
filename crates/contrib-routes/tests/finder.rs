//! A finder finds the same routes in less work.

mod common;

use common::model::{Choices, Model, choices};
use contrib_core::Norm;
use contrib_routes::{
    Attends, Error, Extent, Finder, HeadEdges, Layer, MaskedKeys, Memory, Options, Progress, Recording, Routes,
    Targets, routes,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A recording that notes what is asked of it.
struct Noted<'a> {
    memory: Memory<'a>,
    layers: usize,
    positions: BTreeSet<u32>,
}

impl<'a> Noted<'a> {
    fn new(memory: Memory<'a>) -> Self {
        Noted { memory, layers: 0, positions: BTreeSet::new() }
    }
}

impl Recording for Noted<'_> {
    fn n_layers(&self) -> usize {
        self.memory.n_layers()
    }

    fn n_pos(&self) -> usize {
        self.memory.n_pos()
    }

    fn n_heads(&self) -> usize {
        self.memory.n_heads()
    }

    fn layer(&mut self, _: usize) -> Result<Layer<'_>, Error> {
        panic!("a finder says where it computes")
    }

    fn layer_at(&mut self, index: usize, positions: &[u32]) -> Result<Layer<'_>, Error> {
        self.layers += 1;
        self.positions.extend(positions);
        self.memory.layer(index)
    }
}

/// Equal but for the order in which the core adds up a row.
#[track_caller]
fn assert_near(found: &Routes, expected: &Routes) {
    assert!(found.nodes().eq(expected.nodes()));
    assert_eq!(found.edge_kinds(), expected.edge_kinds());
    assert_eq!(found.edge_heads(), expected.edge_heads());
    for (found, expected) in found.edges().zip(expected.edges()) {
        assert_eq!((found.from, found.to), (expected.from, expected.to));
        assert!((found.weight - expected.weight).abs() < 1e-12);
        assert!((found.flow - expected.flow).abs() < 1e-12);
    }
}

fn options() -> impl Strategy<Value = Options<'static>> {
    let renormalise = prop::option::of(0.0..0.2_f64);
    let norm = prop::sample::select(vec![1.0, 1.0, 2.0, f64::INFINITY]);
    (0.0..0.3_f64, renormalise, any::<[bool; 3]>(), norm, 1_usize..6).prop_map(
        |(threshold, renormalise, [is_summed, is_counted, is_all], norm, block)| Options {
            threshold,
            renormalise,
            heads: if is_summed { HeadEdges::Summed } else { HeadEdges::Each },
            masked_keys: if is_counted { MaskedKeys::Counted } else { MaskedKeys::LeftOut },
            extent: if is_all { Extent::All } else { Extent::Reached },
            norm: Norm::new(norm).unwrap(),
            block: Some(block),
            ..Options::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn routes_are_the_same_while_a_recording_grows_and_shrinks(
        choices in choices(), options in options(), lens in prop::collection::vec((1_usize..9, 0_usize..9, any::<bool>()), 1..8)
    ) {
        let model = Model::new(choices);
        let mut finder = Finder::new();
        for (len, target, is_all) in lens {
            let len = len.min(choices.n_pos);
            let (model, target) = (model.prefix(len), [target % len]);
            let targets = if is_all { Targets::All } else { Targets::At(&target) };
            // The extent may differ from call to call.
            let extent = if is_all { Extent::Reached } else { options.extent };
            let options = Options { extent, ..options };
            let found = finder.routes(&mut model.recording(), targets, &options, &mut go_on).unwrap();
            assert_near(&found, &routes(&mut model.recording(), targets, &options).unwrap());
            // Nothing is computed again, and all has the same bits.
            let mut noted = Noted::new(model.recording());
            let again = finder.routes(&mut noted, targets, &options, &mut go_on).unwrap();
            prop_assert_eq!(again, found);
            prop_assert_eq!(noted.layers == 0, options.masked_keys == MaskedKeys::LeftOut);
        }
    }

    #[test]
    fn the_same_recording_has_the_same_bits(choices in choices(), options in options(), targets in prop::collection::vec(0_usize..9, 1..6)) {
        let model = Model::new(choices);
        let mut finder = Finder::new();
        for target in targets {
            let target = [target % choices.n_pos];
            let found = finder.routes(&mut model.recording(), Targets::At(&target), &options, &mut go_on).unwrap();
            prop_assert_eq!(found, routes(&mut model.recording(), Targets::At(&target), &options).unwrap());
        }
    }
}

#[test]
fn only_what_is_new_is_computed() {
    let model = Model::new(Choices { n_pos: 8, n_layers: 3, ..Choices::PLAIN });
    let options = Options { threshold: 0.0, ..Options::default() };
    let mut finder = Finder::new();
    let positions = |finder: &mut Finder, len: usize, options: &Options<'_>| {
        let model = model.prefix(len);
        let mut noted = Noted::new(model.recording());
        finder.routes(&mut noted, Targets::All, options, &mut go_on).unwrap();
        noted.positions.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(positions(&mut finder, 5, &options), [0, 1, 2, 3, 4]);
    assert_eq!(positions(&mut finder, 6, &options), [5]);
    assert_eq!(positions(&mut finder, 8, &options), [6, 7]);
    finder.truncate(3);
    assert_eq!(positions(&mut finder, 6, &options), [3, 4, 5], "tokens that were taken back");
    assert_eq!(positions(&mut finder, 4, &options), Vec::<u32>::new());
    assert_eq!(positions(&mut finder, 6, &options), [4, 5], "a recording that had become shorter");
    let other = Options { threshold: 0.01, ..options };
    assert_eq!(positions(&mut finder, 3, &other), [0, 1, 2], "edges above another threshold");
}

#[test]
fn tokens_that_were_taken_back_leave_no_trace() {
    let choices = Choices { n_pos: 6, ..Choices::PLAIN };
    let (one, other) = (Model::new(choices), Model::new(Choices { seed: 2, ..choices }));
    let mut finder = Finder::new();
    let of = |finder: &mut Finder, model: &Model| {
        finder.routes(&mut model.recording(), Targets::All, &Options::default(), &mut go_on).unwrap()
    };
    let of_one = of(&mut finder, &one);
    assert_eq!(of(&mut finder, &other), of_one, "a finder cannot see that a prompt is another");
    finder.truncate(0);
    assert_eq!(of(&mut finder, &other), routes(&mut other.recording(), Targets::All, &Options::default()).unwrap());
}

#[test]
fn nothing_is_kept_of_attention_that_sees_later_tokens() {
    let model = Model::new(Choices { n_pos: 6, ..Choices::PLAIN });
    let mut finder = Finder::new();
    for len in [3, 6, 5] {
        let model = model.prefix(len);
        let mut layers = model.tensors();
        for layer in &mut layers {
            if let Attends::Scores(scores) = &mut layer.attention.attends {
                scores.causal = false;
            }
        }
        let found =
            finder.routes(&mut Memory::new(layers.clone()).unwrap(), Targets::All, &Options::default(), &mut go_on);
        let expected = routes(&mut Memory::new(layers).unwrap(), Targets::All, &Options::default());
        assert_eq!(found.unwrap(), expected.unwrap());
    }
}

#[test]
fn a_finder_that_was_stopped_finds_all_the_next_time() {
    let model = Model::new(Choices { n_pos: 6, n_layers: 3, ..Choices::PLAIN });
    let expected = routes(&mut model.recording(), Targets::All, &Options::default()).unwrap();
    for stop_after in 1..7 {
        let (mut finder, mut calls) = (Finder::new(), 0);
        let mut stop = |_| {
            calls += 1;
            if calls == stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let stopped = finder.routes(&mut model.recording(), Targets::All, &Options::default(), &mut stop);
        assert!(matches!(stopped, Err(Error::Stopped)));
        let found = finder.routes(&mut model.recording(), Targets::All, &Options::default(), &mut go_on).unwrap();
        assert_eq!(found, expected);
    }
}

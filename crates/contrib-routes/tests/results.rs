//! Totals and differences of results.

mod common;

use common::model::{Choices, Model};
use contrib_routes::{EdgeKind, Error, HeadEdges, NodeKind, Options, Routes, Targets, Totals, difference, routes};
use contrib_testing::Random;

fn of(model: &Model, target: usize, options: &Options<'_>) -> Routes {
    routes(&mut model.recording(), Targets::At(&[target]), options).unwrap()
}

#[test]
fn totals_are_the_sums_of_flows() {
    let model = Model::new(Choices { biases: [true; 2], n_layers: 3, ..Choices::PLAIN });
    let found = of(&model, 4, &Options::default());
    let totals = Totals::new(&found).unwrap();
    let near = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
    let sum = |layer: usize, kind: EdgeKind, head: Option<usize>| -> f64 {
        let is_asked = |edge: &contrib_routes::Edge| {
            edge.to.layer == layer && edge.kind == kind && (head.is_none() || edge.head == head)
        };
        found.edges().filter(is_asked).map(|edge| edge.flow).sum()
    };
    for layer in 0..3 {
        assert!(near(totals.attention()[layer], sum(layer, EdgeKind::Attention, None)));
        assert!(near(totals.mlps()[layer], sum(layer, EdgeKind::MlpOutput, None)));
        assert!(near(totals.biases()[layer], sum(layer, EdgeKind::Bias, None)));
        assert!(near(totals.residual()[layer], sum(layer, EdgeKind::Residual, None)));
        for head in 0..2 {
            assert!(near(totals.heads().unwrap()[layer * 2 + head], sum(layer, EdgeKind::Attention, Some(head))));
        }
    }
    for (position, &of_token) in totals.tokens().iter().enumerate() {
        let is_token = |node: &usize| {
            let node = found.node(*node);
            node.kind == NodeKind::Embedding && node.position == position
        };
        let flow = (0..found.n_nodes()).find(is_token).map_or(0.0, |node| found.node_flows()[node]);
        assert!(near(of_token, flow));
    }
    let arrived: f64 = totals.tokens().iter().chain(totals.biases()).sum();
    assert!(near(arrived + totals.lost(), 1.0) && totals.lost() > 0.0);
}

#[test]
fn totals_of_several_results_add_up() {
    let (short, long) = (Model::new(Choices::PLAIN), Model::new(Choices { n_pos: 7, seed: 2, ..Choices::PLAIN }));
    let options = Options::default();
    let mut totals = Totals::new(&of(&short, 4, &options)).unwrap();
    let others = Totals::new(&of(&long, 6, &options)).unwrap();
    let before = totals.clone();
    totals.add(&others).unwrap();
    assert_eq!((totals.targets(), totals.tokens().len()), (2, 7));
    for (index, &sum) in totals.heads().unwrap().iter().enumerate() {
        assert_eq!(sum, before.heads().unwrap()[index] + others.heads().unwrap()[index]);
    }
    // Those of all targets are the sums of those of each.
    let all = routes(&mut short.recording(), Targets::All, &options).unwrap();
    let mut sums = Totals::new(&all.routes_to(Targets::At(&[0]), 0.0).unwrap()).unwrap();
    for target in 1..5 {
        sums.add(&Totals::new(&all.routes_to(Targets::At(&[target]), 0.0).unwrap()).unwrap()).unwrap();
    }
    let of_all = Totals::new(&all).unwrap();
    for (sum, of_all) in sums.heads().unwrap().iter().zip(of_all.heads().unwrap()) {
        assert!((sum - of_all).abs() < 1e-12);
    }

    let summed = Totals::new(&of(&short, 4, &Options { heads: HeadEdges::Summed, ..options })).unwrap();
    assert!(summed.heads().is_none());
    assert!(matches!(totals.add(&summed), Err(Error::Unlike { what: "heads" })));
    let deeper = Totals::new(&of(&Model::new(Choices { n_layers: 3, ..Choices::PLAIN }), 4, &options)).unwrap();
    assert!(matches!(totals.add(&deeper), Err(Error::Unlike { what: "layers" })));
}

#[test]
fn a_result_does_not_differ_from_itself() {
    let found = of(&Model::new(Choices::PLAIN), 4, &Options::default());
    assert!(difference(&found, &found, 0.0).unwrap().is_empty());
}

#[test]
fn a_difference_is_what_appeared_went_and_changed() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let choices = Choices { seed, biases: [true; 2], ..Choices::PLAIN };
        let model = Model::new(choices);
        let threshold = random.unit() * 0.1;
        let options = Options { threshold, ..Options::default() };
        let before = of(&model, 4, &options);
        let after = of(&Model::new(Choices { seed: seed / 2, ..choices }), 4, &options);
        let changes = difference(&before, &after, 0.01).unwrap();
        let mut heard = changes.iter();
        let alike = |one: &contrib_routes::Edge, other: &contrib_routes::Edge| {
            (one.from, one.to, one.kind, one.head) == (other.from, other.to, other.kind, other.head)
        };
        let find = |routes: &Routes, edge: &contrib_routes::Edge| routes.edges().find(|other| alike(edge, other));
        let mut expected = 0;
        for edge in before.edges() {
            match find(&after, &edge) {
                None => {
                    expected += 1;
                    let is_it = |change: &&contrib_routes::Change| {
                        (change.from, change.to, change.head) == (edge.from, edge.to, edge.head)
                            && change.kind == edge.kind
                    };
                    let went = changes.iter().find(is_it).unwrap();
                    assert!(went.after.is_none() && went.before.unwrap().weight == edge.weight);
                }
                Some(other) => {
                    let differs = |one: f64, other: f64| (one - other).abs() > 0.01;
                    expected += usize::from(differs(edge.weight, other.weight) || differs(edge.flow, other.flow));
                }
            }
        }
        let appeared = after.edges().filter(|edge| find(&before, edge).is_none()).count();
        assert_eq!(changes.iter().filter(|change| change.before.is_none()).count(), appeared);
        assert_eq!(changes.len(), expected + appeared);
        assert!(heard.all(|change| change.before.is_some() || change.after.is_some()));
    }
}

#[test]
fn results_of_unlike_models_have_no_difference() {
    let options = Options::default();
    let found = of(&Model::new(Choices::PLAIN), 4, &options);
    let unlike = |choices: Choices, options: &Options<'_>| match difference(
        &found,
        &of(&Model::new(choices), 4, options),
        0.0,
    ) {
        Err(Error::Unlike { what }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(unlike(Choices { n_layers: 3, ..Choices::PLAIN }, &options), "layers");
    assert_eq!(unlike(Choices { kv_heads: 2, ..Choices::PLAIN }, &options), "heads");
    assert_eq!(unlike(Choices { n_pos: 6, ..Choices::PLAIN }, &options), "positions");
    assert_eq!(unlike(Choices::PLAIN, &Options { heads: HeadEdges::Summed, ..options }), "heads");
}

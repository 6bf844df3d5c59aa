//! What holds of routes, in random small models.

mod common;

use common::graph::{Graph, weights};
use common::model::{Choices, Model, choices};
use contrib_core::{Context, Norm};
use contrib_routes::{
    EdgeKind, Extent, HeadEdges, MaskedKeys, Node, NodeKind, Options, Routes, Targets, Totals, routes,
};
use contrib_testing::Random;
use proptest::prelude::*;

/// By how much a weight may be off. (Renormalising divides by what is left.)
const TOLERANCE: f64 = 1e-6;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn options() -> impl Strategy<Value = Options<'static>> {
    let threshold = prop_oneof![Just(0.0), 0.0..0.3_f64, 0.3..1.0_f64];
    let renormalise = prop::option::of(prop_oneof![Just(0.0), 0.0..0.2_f64]);
    let norm = prop::sample::select(vec![1.0, 1.0, 2.0, 2.5, f64::INFINITY]);
    (threshold, renormalise, any::<[bool; 2]>(), norm, 1_usize..6).prop_map(
        |(threshold, renormalise, [is_summed, is_counted], norm, block)| Options {
            threshold,
            renormalise,
            heads: if is_summed { HeadEdges::Summed } else { HeadEdges::Each },
            masked_keys: if is_counted { MaskedKeys::Counted } else { MaskedKeys::LeftOut },
            norm: Norm::new(norm).unwrap(),
            block: Some(block),
            ..Options::default()
        },
    )
}

/// Some positions of a prompt.
fn targets(choices: &Choices) -> Vec<usize> {
    let mut random = Random::new(choices.seed ^ 1);
    let chosen: Vec<usize> = (0..choices.n_pos).filter(|_| random.below(3) == 0).collect();
    if chosen.is_empty() { vec![choices.n_pos - 1] } else { chosen }
}

fn of(model: &Model, targets: Targets<'_>, options: &Options<'_>) -> Routes {
    routes(&mut model.recording(), targets, options).unwrap()
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn routes_are_those_of_a_naive_graph_walked_backwards(choices in choices(), options in options()) {
        let model = Model::new(choices);
        let graph = Graph::new(&model, &options);
        // What is left is at least the renormalising threshold, or all.
        let tolerance = TOLERANCE * options.renormalise.map_or(1.0, |threshold| 1.0 / threshold.max(0.02));
        prop_assume!(graph.is_clear(&options, 2.0 * tolerance));
        let targets = targets(&choices);
        let found = weights(&of(&model, Targets::At(&targets), &options));
        let expected = graph.routes_to(&targets, choices.n_layers, options.threshold);
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for ((edge, found), expected) in found.iter().zip(expected.values()) {
            prop_assert!((found - expected).abs() <= tolerance, "{:?}: {} is not {}", edge, found, expected);
        }
    }

    #[test]
    fn top_down_is_the_whole_graph_filtered_backwards(choices in choices(), options in options()) {
        let model = Model::new(choices);
        let targets = targets(&choices);
        let all = of(&model, Targets::All, &Options { extent: Extent::All, block: None, ..options });
        let top_down = of(&model, Targets::At(&targets), &options);
        prop_assert_eq!(&all.routes_to(Targets::At(&targets), options.threshold).unwrap(), &top_down);
        // So is one target's result of that of many, and a higher threshold's of a lower one's.
        let last = &targets[targets.len() - 1..];
        let higher = Options { threshold: options.threshold + 0.1, ..options };
        let of_last = of(&model, Targets::At(last), &higher);
        prop_assert_eq!(top_down.routes_to(Targets::At(last), higher.threshold).unwrap(), of_last);
    }

    #[test]
    fn routes_do_not_change_when_tokens_follow(choices in choices(), options in options(), len in 1_usize..9) {
        let options = Options { masked_keys: MaskedKeys::LeftOut, ..options };
        let model = Model::new(choices);
        let len = len.min(choices.n_pos);
        let targets = [len - 1];
        let of_all = of(&model, Targets::At(&targets), &options);
        let of_prefix = of(&model.prefix(len), Targets::At(&targets), &options);
        prop_assert!(of_all.nodes().eq(of_prefix.nodes()));
        prop_assert_eq!(of_all.edge_kinds(), of_prefix.edge_kinds());
        prop_assert_eq!(of_all.edge_heads(), of_prefix.edge_heads());
        // The order in which the core adds up a row depends on how many keys there are.
        for (of_all, of_prefix) in of_all.edges().zip(of_prefix.edges()) {
            prop_assert_eq!((of_all.from, of_all.to), (of_prefix.from, of_prefix.to));
            prop_assert!((of_all.weight - of_prefix.weight).abs() < 1e-12);
            prop_assert!((of_all.flow - of_prefix.flow).abs() < 1e-12);
        }
    }

    #[test]
    fn flow_is_conserved_where_weights_are_renormalised(choices in choices(), options in options()) {
        let options = Options { renormalise: Some(options.threshold), threshold: 0.0, ..options };
        let model = Model::new(choices);
        let targets = targets(&choices);
        let found = of(&model, Targets::At(&targets), &options);
        let (mut arrived, mut ended) = (0.0, 0.0);
        for (node, &flow) in found.nodes().zip(found.node_flows()) {
            let is_source = matches!(node.kind, NodeKind::Embedding | NodeKind::MlpBias | NodeKind::AttentionBias);
            if is_source {
                arrived += flow;
            } else if found.edges_to(found.find(node).unwrap()).is_empty() {
                // Nothing is left of this whole.
                ended += flow;
            }
        }
        let expected = targets.len() as f64;
        prop_assert!((arrived + ended - expected).abs() < 1e-9 * expected, "{} and {}", arrived, ended);
        let totals = Totals::new(&found).unwrap();
        prop_assert!((totals.lost() - ended).abs() < 1e-9);
        let biases: f64 = totals.biases().iter().sum();
        prop_assert!((totals.tokens().iter().sum::<f64>() + biases - arrived).abs() < 1e-9);
    }

    #[test]
    fn graphs_are_sorted_and_flow_is_what_it_is_defined_as(choices in choices(), options in options()) {
        let model = Model::new(choices);
        let targets = targets(&choices);
        let found = of(&model, Targets::At(&targets), &options);
        prop_assert_eq!(found.targets().collect::<Vec<_>>(), targets.clone());
        prop_assert_eq!(found.starts().len(), found.n_nodes() + 1);
        prop_assert_eq!(found.starts()[0], 0);
        let mut flows = vec![0.0; found.n_nodes()];
        for (node, flow) in flows.iter_mut().enumerate() {
            prop_assert_eq!(found.find(found.node(node)), Some(node));
            let Node { layer, kind, position } = found.node(node);
            if layer + 1 == choices.n_layers && kind == NodeKind::ResidPost && targets.contains(&position) {
                *flow += 1.0;
            }
            let keys: Vec<_> = found.edges_to(node).map(|edge| {
                (found.edge_froms()[edge], found.edge_kinds()[edge], found.edge_heads()[edge])
            }).collect();
            prop_assert!(keys.is_sorted() && keys.iter().all(|key| key.0 as usize > node));
            for edge in found.edges_to(node) {
                prop_assert_eq!(found.edge_tos()[edge] as usize, node);
                let weight = found.edge_weights()[edge];
                prop_assert!(weight > options.threshold);
                let share = if found.edge_kinds()[edge] == EdgeKind::MlpInput { 1.0 } else { weight };
                prop_assert!((found.edge_flows()[edge] - share * found.node_flows()[node]).abs() < 1e-12);
            }
        }
        for edge in 0..found.n_edges() {
            flows[found.edge_froms()[edge] as usize] += found.edge_flows()[edge];
        }
        for (found, expected) in found.node_flows().iter().zip(&flows) {
            prop_assert!((found - expected).abs() < 1e-12);
        }
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads_and_any_blocks() {
    let large = Choices {
        n_pos: 96,
        kv_heads: 2,
        heads_of_kv: 4,
        d_head: 16,
        d_model: 128,
        biases: [true; 2],
        ..Choices::PLAIN
    };
    for by_pattern in [false, true] {
        let model = Model::new(Choices { by_pattern, ..large });
        let renormalise = [None, Some(0.01)];
        let heads = [HeadEdges::Each, HeadEdges::Summed];
        for (renormalise, heads) in renormalise.into_iter().flat_map(|one| heads.map(|other| (one, other))) {
            let options = Options { renormalise, heads, threshold: 0.02, ..Options::default() };
            let expected = of(&model, Targets::All, &options);
            assert!(expected.n_edges() > 500);
            for threads in [1, 2, 3] {
                let context = Context::new(threads).unwrap();
                for block in [None, Some(1), Some(7), Some(64), Some(1000)] {
                    let found = of(&model, Targets::All, &Options { context: Some(&context), block, ..options });
                    assert_eq!(found, expected, "{threads} threads, block {block:?}");
                }
            }
        }
    }
}

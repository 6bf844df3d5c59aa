//! The recording of `examples/data`: its routes are those of the reference.

use contrib_routes::{EdgeKind, Extent, File, HeadEdges, MaskedKeys, Node, NodeKind, Options, Targets, routes};
use contrib_testing::routes::{Case, RECORDING, cases};

fn name(node: Node) -> String {
    let kind = match node.kind {
        NodeKind::Embedding => 'X',
        NodeKind::ResidMid => 'A',
        NodeKind::Mlp => 'M',
        NodeKind::ResidPost => 'I',
        NodeKind::MlpBias | NodeKind::AttentionBias => panic!("the model has no biases"),
    };
    contrib_testing::routes::name(kind, node.layer, node.position)
}

/// The options of a case: the reference sums heads, and counts masked keys.
fn options(case: &Case) -> Options<'_> {
    Options {
        threshold: case.threshold,
        renormalise: case.renormalise,
        heads: HeadEdges::Summed,
        masked_keys: MaskedKeys::Counted,
        ..Options::default()
    }
}

#[test]
fn routes_are_those_of_the_reference() {
    let mut recording = File::open(RECORDING).unwrap();
    let cases = cases();
    assert_eq!(cases.len(), 36);
    for case in &cases {
        let found = routes(&mut recording, Targets::At(&[case.target]), &options(case)).unwrap();
        case.check(&found.edges().map(|edge| ((name(edge.from), name(edge.to)), edge.weight)).collect());
    }
}

#[test]
fn a_recording_has_as_many_edges_by_its_queries_and_keys_as_by_its_pattern() {
    let mut recording = File::open(RECORDING).unwrap();
    assert_eq!(recording.tokens().unwrap().len(), 12);
    let of = |recording: &mut File| routes(recording, Targets::At(&[11]), &Options::default()).unwrap();
    let by_pattern = of(&mut recording);
    recording.read_by_pattern(false).unwrap();
    let by_queries_and_keys = of(&mut recording);
    assert!(by_pattern.n_edges().abs_diff(by_queries_and_keys.n_edges()) <= by_pattern.n_edges() / 50);
    assert!(by_pattern.edges().all(|edge| edge.head.is_some() == (edge.kind == EdgeKind::Attention)));
}

#[test]
fn top_down_in_a_real_recording_is_its_whole_graph_filtered_backwards() {
    let mut recording = File::open(RECORDING).unwrap();
    for by_pattern in [true, false] {
        recording.read_by_pattern(by_pattern).unwrap();
        for renormalise in [None, Some(0.01)] {
            for heads in [HeadEdges::Each, HeadEdges::Summed] {
                let options = Options { renormalise, heads, ..Options::default() };
                let whole = Options { extent: Extent::All, ..options };
                let all = routes(&mut recording, Targets::All, &whole).unwrap();
                for target in [0, 5, 11] {
                    let top_down = routes(&mut recording, Targets::At(&[target]), &options).unwrap();
                    assert_eq!(all.routes_to(Targets::At(&[target]), options.threshold).unwrap(), top_down);
                }
            }
        }
    }
}

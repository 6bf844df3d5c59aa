//! The graph of a model as it is defined, in `f64`: every whole, every part, every edge.

use super::model::{Choices, LayerOfModel, Model};
use contrib_routes::{EdgeKind, HeadEdges, MaskedKeys, NodeKind, Options, Routes};
use contrib_testing::naive;
use std::collections::BTreeMap;

/// The layer, kind and position of a node.
pub type NodeName = (usize, NodeKind, usize);

/// The part, the whole, the kind and the head of an edge.
pub type EdgeName = (NodeName, NodeName, EdgeKind, Option<usize>);

/// Edges with their weights.
pub type Weights = BTreeMap<EdgeName, f64>;

/// One part of a whole.
struct Part {
    from: NodeName,
    kind: EdgeKind,
    head: Option<usize>,
    vector: Vec<f64>,
}

fn resid_pre(layer: usize, position: usize) -> NodeName {
    match layer {
        0 => (0, NodeKind::Embedding, position),
        layer => (layer - 1, NodeKind::ResidPost, position),
    }
}

/// What attention adds, and the stream before it.
fn parts_of_attention(
    layer: &LayerOfModel,
    index: usize,
    position: usize,
    choices: &Choices,
    options: &Options<'_>,
) -> Vec<Part> {
    let vector = layer.arrays["resid_pre"].row(&[position]);
    let mut parts = vec![Part { from: resid_pre(index, position), kind: EdgeKind::Residual, head: None, vector }];
    for key in 0..choices.n_pos {
        for head in 0..choices.n_heads() {
            let is_masked = layer.pattern[head][position][key] == 0.0;
            if is_masked && options.masked_keys == MaskedKeys::LeftOut {
                continue;
            }
            let vector = layer.moved(choices, position, key, head);
            parts.push(Part { from: resid_pre(index, key), kind: EdgeKind::Attention, head: Some(head), vector });
        }
    }
    if let Some(vector) = layer.bias("attn_bias", position) {
        let from = (index, NodeKind::AttentionBias, position);
        parts.push(Part { from, kind: EdgeKind::Bias, head: None, vector });
    }
    parts
}

/// What the MLP adds.
fn parts_of_mlp(layer: &LayerOfModel, index: usize, position: usize) -> Vec<Part> {
    let from = (index, NodeKind::Mlp, position);
    let vector = layer.arrays["mlp_out"].row(&[position]);
    let mut parts = vec![Part { from, kind: EdgeKind::MlpOutput, head: None, vector }];
    if let Some(vector) = layer.bias("mlp_bias", position) {
        let from = (index, NodeKind::MlpBias, position);
        parts.push(Part { from, kind: EdgeKind::Bias, head: None, vector });
    }
    parts
}

/// The weights of the edges to one whole, before any threshold but that of renormalising.
fn weights_of(to: NodeName, whole: &[f64], parts: &[Part], options: &Options<'_>, all: &mut Graph) {
    let vectors = parts.iter().map(|part| part.vector.clone()).collect();
    let contributions = naive::contributions(whole, &[vectors], options.norm.p()).remove(0);
    all.contributions.extend(&contributions);
    let weights = match options.renormalise {
        None => contributions,
        Some(threshold) => naive::threshold_and_renormalise(&contributions, 0.0, threshold).0,
    };
    for (part, weight) in parts.iter().zip(weights) {
        // 0/0, where nothing is left.
        let weight = if weight.is_nan() { 0.0 } else { weight };
        let mut name = (part.from, to, part.kind, part.head);
        if options.heads == HeadEdges::Summed && part.kind == EdgeKind::Attention {
            name.3 = None;
            if part.from.2 == to.2 {
                name.2 = EdgeKind::Residual;
            }
        }
        *all.weights.entry(name).or_default() += weight;
    }
}

/// All edges of a model, and the contributions that they are made of.
#[derive(Default)]
pub struct Graph {
    pub weights: Weights,
    pub contributions: Vec<f64>,
}

impl Graph {
    pub fn new(model: &Model, options: &Options<'_>) -> Self {
        let choices = &model.choices;
        let mut graph = Graph::default();
        for (index, layer) in model.layers.iter().enumerate() {
            for position in 0..choices.n_pos {
                let post = (index, NodeKind::ResidPost, position);
                let mid = (index, NodeKind::ResidMid, position);
                let mlp = (index, NodeKind::Mlp, position);
                let resid_post = layer.arrays["resid_post"].row(&[position]);
                let mut of_post = parts_of_mlp(layer, index, position);
                let of_attention = parts_of_attention(layer, index, position, choices, options);
                let read = if let Some(resid_mid) = layer.arrays.get("resid_mid") {
                    let vector = resid_mid.row(&[position]);
                    weights_of(mid, &vector, &of_attention, options, &mut graph);
                    of_post.push(Part { from: mid, kind: EdgeKind::Residual, head: None, vector });
                    mid
                } else {
                    of_post.extend(of_attention);
                    resid_pre(index, position)
                };
                weights_of(post, &resid_post, &of_post, options, &mut graph);
                let weight = graph.weights[&(mlp, post, EdgeKind::MlpOutput, None)];
                graph.weights.insert((read, mlp, EdgeKind::MlpInput, None), weight);
            }
        }
        graph
    }

    /// The edges above the threshold that are reached backwards from the targets.
    pub fn routes_to(&self, targets: &[usize], n_layers: usize, threshold: f64) -> Weights {
        let mut routes = Weights::new();
        let mut to_visit: Vec<NodeName> =
            targets.iter().map(|&target| (n_layers - 1, NodeKind::ResidPost, target)).collect();
        while let Some(node) = to_visit.pop() {
            for (&name, &weight) in self.weights.iter().filter(|(name, weight)| name.1 == node && **weight > threshold)
            {
                if routes.insert(name, weight).is_none() {
                    to_visit.push(name.0);
                }
            }
        }
        routes
    }

    /// Whether no weight and no contribution is so near to a threshold that rounding may decide.
    pub fn is_clear(&self, options: &Options<'_>, tolerance: f64) -> bool {
        let is_clear = |number: f64, threshold: f64| number == 0.0 || (number - threshold).abs() > tolerance;
        self.weights.values().all(|&weight| is_clear(weight, options.threshold))
            && options.renormalise.is_none_or(|threshold| {
                self.contributions.iter().all(|&contribution| is_clear(contribution, threshold))
            })
    }
}

/// The edges of a result.
pub fn weights(routes: &Routes) -> Weights {
    let name = |node: contrib_routes::Node| (node.layer, node.kind, node.position);
    routes.edges().map(|edge| ((name(edge.from), name(edge.to), edge.kind, edge.head), edge.weight)).collect()
}

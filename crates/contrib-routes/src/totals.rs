//! Where the flow of routes comes from: by head, MLP, bias, token and layer.

use crate::allocate::{extend, filled};
use crate::error::Error;
use crate::graph::{EdgeKind, NodeKind, Routes};
use crate::options::HeadEdges;

/// Sums of flows. Those of several results add up, so that they say which heads matter over many prompts.
///
/// What attention, the MLP and biases of all layers bring, and what passes their layer along the residual edge, is not a
/// division of the targets' flow: what a head brings comes from the stream before it, and is counted there again. What arrives
/// at `tokens` and `biases`, and what is `lost`, is such a division: it sums to the number of targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    n_heads: usize,
    heads: Option<Vec<f64>>,
    attention: Vec<f64>,
    mlps: Vec<f64>,
    biases: Vec<f64>,
    residual: Vec<f64>,
    tokens: Vec<f64>,
    lost: f64,
    targets: usize,
    prompts: usize,
}

impl Totals {
    /// Those of no prompt, to which [`Totals::add`] adds others of a model with so many layers and heads; `heads` as in the
    /// [`Options`](crate::Options) of their routes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn empty(n_layers: usize, n_heads: usize, heads: HeadEdges) -> Result<Self, Error> {
        let of_layers = || filled(0.0_f64, n_layers);
        let heads = match heads {
            HeadEdges::Each => Some(filled(0.0, n_layers.saturating_mul(n_heads))?),
            HeadEdges::Summed => None,
        };
        Ok(Totals {
            n_heads,
            heads,
            attention: of_layers()?,
            mlps: of_layers()?,
            biases: of_layers()?,
            residual: of_layers()?,
            tokens: Vec::new(),
            lost: 0.0,
            targets: 0,
            prompts: 0,
        })
    }

    /// Those of these routes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(routes: &Routes) -> Result<Self, Error> {
        let mut totals = Totals::empty(routes.n_layers(), routes.n_heads(), routes.heads())?;
        totals.tokens = filled(0.0, routes.n_pos())?;
        totals.targets = routes.targets().len();
        totals.prompts = 1;
        for node in 0..routes.n_nodes() {
            totals.add_node(routes, node);
        }
        Ok(totals)
    }

    fn add_node(&mut self, routes: &Routes, node: usize) {
        let layer = routes.nodes.layer[node] as usize;
        let flow_of_node = routes.nodes.flow[node];
        let mut passed_on = 0.0;
        for edge in routes.edges_to(node) {
            let flow = routes.edges.flow[edge];
            passed_on += flow;
            match routes.edges.kind[edge] {
                EdgeKind::Residual => self.residual[layer] += flow,
                EdgeKind::Attention => {
                    self.attention[layer] += flow;
                    let head = routes.edges.head[edge] as usize;
                    if let Some(of_head) =
                        self.heads.as_mut().and_then(|heads| heads.get_mut(layer * self.n_heads + head))
                    {
                        *of_head += flow;
                    }
                }
                EdgeKind::MlpInput => {}
                EdgeKind::MlpOutput => self.mlps[layer] += flow,
                EdgeKind::Bias => self.biases[layer] += flow,
            }
        }
        match routes.nodes.kind[node] {
            NodeKind::Embedding => self.tokens[routes.nodes.position[node] as usize] += flow_of_node,
            NodeKind::MlpBias | NodeKind::AttentionBias => {}
            NodeKind::ResidPost | NodeKind::ResidMid | NodeKind::Mlp => self.lost += flow_of_node - passed_on,
        }
    }

    /// The number of heads of a layer.
    #[must_use]
    pub fn n_heads(&self) -> usize {
        self.n_heads
    }

    /// What each head brings, `[layer, head]`: the sum of the flows of its edges. `None` where heads are summed.
    #[must_use]
    pub fn heads(&self) -> Option<&[f64]> {
        self.heads.as_deref()
    }

    /// What attention brings, by layer. Where heads are summed, without what it brings from a token's own position.
    #[must_use]
    pub fn attention(&self) -> &[f64] {
        &self.attention
    }

    /// What the MLP brings, by layer.
    #[must_use]
    pub fn mlps(&self) -> &[f64] {
        &self.mlps
    }

    /// What biases that are parts of their own bring, by layer.
    #[must_use]
    pub fn biases(&self) -> &[f64] {
        &self.biases
    }

    /// What the residual edges of each layer bring, to `resid_mid` and to `resid_post` together.
    #[must_use]
    pub fn residual(&self) -> &[f64] {
        &self.residual
    }

    /// What arrives at the embedding of each position.
    #[must_use]
    pub fn tokens(&self) -> &[f64] {
        &self.tokens
    }

    /// What goes to no edge, as it is of parts that are not above the threshold. With renormalised weights that is only what
    /// arrives where nothing is left.
    #[must_use]
    pub fn lost(&self) -> f64 {
        self.lost
    }

    /// How many targets the flow is that of.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// How many prompts the flow is that of: results that were added, those of one prompt as often as it was.
    #[must_use]
    pub fn prompts(&self) -> usize {
        self.prompts
    }

    /// How many layers the model has.
    #[must_use]
    pub fn n_layers(&self) -> usize {
        self.mlps.len()
    }

    /// Adds those of other routes of the same model: of another prompt, too, whose positions are then added one by one.
    ///
    /// # Errors
    /// [`Error::Unlike`] where the number of layers or of heads is another, or heads are summed in one only;
    /// [`Error::OutOfMemory`].
    pub fn add(&mut self, other: &Totals) -> Result<(), Error> {
        if self.mlps.len() != other.mlps.len() {
            return Err(Error::Unlike { what: "layers" });
        }
        if self.n_heads != other.n_heads || self.heads.is_some() != other.heads.is_some() {
            return Err(Error::Unlike { what: "heads" });
        }
        let missing = other.tokens.len().saturating_sub(self.tokens.len());
        extend(&mut self.tokens, &filled(0.0, missing)?)?;
        let add = |sums: &mut [f64], others: &[f64]| sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        if let (Some(heads), Some(others)) = (&mut self.heads, &other.heads) {
            add(heads, others);
        }
        add(&mut self.attention, &other.attention);
        add(&mut self.mlps, &other.mlps);
        add(&mut self.biases, &other.biases);
        add(&mut self.residual, &other.residual);
        add(&mut self.tokens, &other.tokens);
        self.lost += other.lost;
        self.targets += other.targets;
        self.prompts += other.prompts;
        Ok(())
    }
}

//! The routes by which information reached a transformer's prediction.
//!
//! A transformer writes sums of vectors into its residual stream. What each summand contributed to a sum ([`contrib_core`])
//! is the weight of an edge, from the part to the whole. The *routes* to a prediction are all edges that are reached backwards
//! from the last layer's stream over edges above a threshold, as in "Information Flow Routes" (Ferrando & Voita, arXiv
//! 2403.00824).
//!
//! [`routes`] follows them from the top down through a [`Recording`] of one forward pass, and computes nothing that they do not
//! reach. A [`Finder`] does so for a recording that grows, token by token. [`Routes`] are flat arrays: [`Routes::routes_to`] takes out those of one target, [`Totals`] sums up which heads,
//! MLPs and tokens they lead through, and [`difference`] says how two of them differ. [`write()`] makes JSON, CSV, pictures and a
//! page to explore of them.
//!
//! Memory that is missing is [`Error::OutOfMemory`]. It can end the process in one place only, of which [`File::open`] says how
//! that is kept from happening.
//!
//! # Example
//!
//! A model with one layer, one head, one channel and two tokens. The second token attends to both alike.
//!
//! ```
//! use contrib_core::Tensor;
//! use contrib_routes::{Attends, Attention, Layer, Memory, Moves, Node, NodeKind, Options, Targets, Totals, routes};
//!
//! let resid_pre = [1.0_f32, 2.0];
//! let pattern = [1.0_f32, 0.0, 0.5, 0.5];
//! let value_output = [4.0_f32, 8.0];
//! let resid_mid = [1.0 + 4.0_f32, 2.0 + 0.5 * 4.0 + 0.5 * 8.0];
//! let mlp_out = [5.0_f32, 8.0];
//! let resid_post = [10.0_f32, 16.0];
//! let stream = |rows| Tensor::new(rows, &[2, 1]);
//! let layer = Layer {
//!     resid_pre: stream(&resid_pre)?,
//!     resid_mid: Some(stream(&resid_mid)?),
//!     resid_post: stream(&resid_post)?,
//!     attention: Attention {
//!         attends: Attends::Pattern(Tensor::new(&pattern, &[1, 2, 2])?),
//!         moves: Moves::ValueOutput(Tensor::new(&value_output, &[2, 1, 1])?),
//!         scale: None,
//!         bias: None,
//!     },
//!     mlp_out: stream(&mlp_out)?,
//!     mlp_bias: None,
//! };
//!
//! let mut recording = Memory::new(vec![layer])?;
//! let found = routes(&mut recording, Targets::At(&[1]), &Options::default())?;
//! // The MLP has half of resid_post, and reads resid_mid. Of that, attention brought a quarter from the first token, a half
//! // from the second, and a quarter was there before.
//! assert_eq!(found.n_edges(), 6);
//! let first_token = found.find(Node { layer: 0, kind: NodeKind::Embedding, position: 0 }).unwrap();
//! assert!((found.node_flows()[first_token] - 0.25).abs() < 1e-5);
//! assert!((Totals::new(&found)?.tokens()[1] - 0.75).abs() < 1e-5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agreement;
mod allocate;
mod builder;
mod coefficients;
mod contributions;
mod difference;
mod error;
mod finder;
mod flow;
mod found;
mod graph;
mod kept;
mod layer;
mod options;
mod progress;
mod recording;
mod rows;
mod top_down;
mod totals;
mod walk;
mod write;

pub use recording::{Attends, Attention, Batch, File, Layer, Memory, Moves, Recording, Scores, StoredTensor};

pub use agreement::{Agreement, check};

pub use finder::Finder;
pub use options::{Extent, HeadEdges, MaskedKeys, Options, Targets};
pub use progress::{Progress, Stage};
pub use top_down::{routes, routes_with_progress};

pub use difference::{Change, Strength, difference};
pub use graph::{Edge, EdgeKind, Node, NodeKind, Routes};
pub use totals::Totals;

pub use write::{Format, Labels, write};

pub use error::Error;

//! The residual stream, and what stands beside it.

use super::{BIAS, FAINT, LEAST_FLOW, MLP, Picture, Quoted, ROOM_FOR_MARKS, STEP, STREAM, width_of_flow};
use crate::error::Error;
use crate::graph::{Edge, EdgeKind, NodeKind};

impl Picture<'_> {
    /// A line for each column, and a dotted one where neighbours in the picture are none in the prompt.
    pub(super) fn streams(&mut self) -> Result<(), Error> {
        let (bottom, top) = (self.y(0), self.y(self.routes.n_layers()));
        for index in 0..self.columns.len() {
            let position = self.columns[index];
            let x = self.x(position as usize);
            self.straight([x, bottom, x, top], "#d5dbe2", self.scale())?;
            if index > 0 && self.columns[index - 1] + 1 != position && self.column >= ROOM_FOR_MARKS {
                let x = x - self.column / 2.0;
                writeln!(
                    self.output,
                    "<line x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" y2=\"{top:.1}\" stroke=\"{FAINT}\" \
                     stroke-dasharray=\"1 5\"/>"
                )?;
            }
        }
        Ok(())
    }

    /// The residual stream of each token as far as the targets' flow runs in it: through its residual edges, and through its
    /// MLPs, which read the same stream.
    pub(super) fn streams_on_routes(&mut self) -> Result<(), Error> {
        for number in 0..self.routes.n_nodes() {
            let node = self.routes.node(number);
            if !matches!(node.kind, NodeKind::ResidPost | NodeKind::ResidMid) || !self.is_shown(node) {
                continue;
            }
            let mut flow = 0.0;
            let mut bottom = None;
            for edge in self.routes.edges_to(number).map(|edge| self.routes.edge(edge)) {
                match edge.kind {
                    EdgeKind::Residual => bottom = Some(self.y_of(edge.from)),
                    EdgeKind::MlpOutput => bottom = bottom.or(Some(self.y_of(node) + self.step / 2.0)),
                    _ => continue,
                }
                flow += edge.flow;
            }
            let (x, y, flow) = (self.x(node.position), self.y_of(node), flow);
            if let Some(bottom) = bottom.filter(|_| flow >= LEAST_FLOW) {
                self.straight([x, bottom, x, y], STREAM, width_of_flow(flow) * self.scale())?;
            }
        }
        Ok(())
    }

    pub(super) fn nodes(&mut self) -> Result<(), Error> {
        let scale = self.scale();
        for number in 0..self.routes.n_nodes() {
            let node = self.routes.node(number);
            if !matches!(node.kind, NodeKind::ResidPost | NodeKind::Embedding) || !self.is_shown(node) {
                continue;
            }
            let flow = self.routes.node_flows()[number];
            let (x, y) = (self.x(node.position), self.y_of(node));
            if flow >= LEAST_FLOW {
                let radius = (1.8 + width_of_flow(flow) / 4.0) * scale;
                writeln!(
                    self.output,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"#ffffff\" stroke=\"{STREAM}\" \
                     stroke-width=\"{:.1}\"/>",
                    1.2 * scale
                )?;
            } else if self.column >= ROOM_FOR_MARKS {
                writeln!(self.output, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.4\" fill=\"#c3ccd6\"/>")?;
            }
        }
        Ok(())
    }

    /// MLPs and biases, by their contributions: beside the stream, which would hide the small ones.
    pub(super) fn marks(&mut self) -> Result<(), Error> {
        for number in 0..self.routes.n_edges() {
            let Edge { from, to, kind, weight, flow, .. } = self.routes.edge(number);
            let (name, side, colour) = match kind {
                EdgeKind::MlpOutput => ("MLP", -1.0, MLP),
                EdgeKind::Bias => ("bias", 1.0, BIAS),
                _ => continue,
            };
            let is_on_route = flow >= LEAST_FLOW;
            if self.column < ROOM_FOR_MARKS && !is_on_route || !self.is_shown(from) {
                continue;
            }
            let beside = (self.column / 3.0).min(11.0);
            let colour = if is_on_route { colour } else { "#ccd4dd" };
            let at = [self.x(from.position) + side * beside, self.y_of(from)];
            self.square(at, 13.0 * weight.clamp(0.0, 1.0).sqrt() * self.scale() * (self.step / STEP), colour)?;
            let token = Quoted(self.labels, from.position);
            writeln!(self.output, "<title>{name}, layer {}: {token}, {weight:.3}</title></rect>", to.layer)?;
        }
        Ok(())
    }
}

//! What is written around the routes: heading, layers, tokens, predictions and legend.

use super::{ATTENTION, BIAS, FAINT, LEAST_FLOW, MARGIN, MLP, Picture, STREAM, UPRIGHT, width_of_flow};
use crate::allocate::push;
use crate::error::Error;
use crate::graph::{EdgeKind, Node, NodeKind};
use crate::write::visible::{Visible, xml};

const TOKEN_SIZE: f64 = 14.0;
/// What a slanted token needs beside it.
const ROOM_FOR_TOKEN: f64 = 17.0;
/// What the title looks like.
const TITLE: &str = "ink bold";

impl<'a> Picture<'a> {
    pub(super) fn heading(&mut self) -> Result<(), Error> {
        let room = self.width - 2.0 * MARGIN;
        let at = [MARGIN, 42.0];
        let mut targets = self.routes.targets();
        let count = targets.len();
        let only = targets.next().filter(|_| count == 1);
        match (only, only.and_then(|target| self.prediction(target)), only.and_then(|target| self.labels.token(target)))
        {
            (None, ..) => self.text(at, 22.0, TITLE, format_args!("Where {count} predictions came from"))?,
            (_, Some((token, _)), _) => {
                let token = Visible::new(token, xml).without_space().fit(22.0, room / 2.0);
                self.text(at, 22.0, TITLE, format_args!("Where “{token}” came from"))?;
            }
            (_, None, Some(token)) => {
                let token = Visible::new(token, xml).without_space().fit(22.0, room / 3.0);
                self.text(at, 22.0, TITLE, format_args!("Where the prediction after “{token}” came from"))?;
            }
            (Some(target), None, None) => {
                self.text(at, 22.0, TITLE, format_args!("Where the prediction at position {target} came from"))?;
            }
        }
        if let Some(prompt) = self.labels.prompt() {
            self.text([MARGIN, 67.0], 15.0, "ink", Visible::prose(prompt, xml).fit(15.0, room))?;
        }
        let name = Visible::new(self.labels.model().unwrap_or("contributions"), xml).fit(12.0, room / 2.0);
        let threshold = self.routes.threshold();
        let edges = self.routes.n_edges();
        self.text([MARGIN, 88.0], 12.0, "pale", format_args!("{name}, {edges} edges above {threshold}"))
    }

    /// A pale band for every other layer, to follow a layer across the picture, and the layers' numbers.
    pub(super) fn layers(&mut self) -> Result<(), Error> {
        let (left, step) = (self.first_column - 32.0, self.step);
        let width = self.column * self.columns.len().saturating_sub(1) as f64 + 84.0;
        for layer in (0..self.routes.n_layers()).step_by(2) {
            let y = self.y(layer + 1);
            writeln!(
                self.output,
                "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{step:.1}\" fill=\"#f5f8fa\"/>"
            )?;
        }
        let x = self.first_column - 38.0;
        self.text([x, self.y(0) + 14.0], 11.0, "pale end", "embedding")?;
        let every = (12.0 / step).ceil() as usize;
        for layer in (0..self.routes.n_layers()).step_by(every.max(1)) {
            let y = self.y(layer) - step / 2.0 + 4.0;
            if layer == 0 {
                self.text([x, y], 11.0, "pale end", "layer 0")?;
            } else {
                self.text([x, y], 11.0, "pale end", layer)?;
            }
        }
        Ok(())
    }

    /// What a target's routes lead to: the likeliest next token after the last position.
    fn prediction(&self, position: usize) -> Option<(&'a str, f64)> {
        let labels = self.labels;
        labels.next_tokens().next().filter(|_| position + 1 == self.routes.n_pos())
    }

    pub(super) fn predictions(&mut self) -> Result<(), Error> {
        let targets = self.routes.targets();
        let is_only = targets.len() == 1;
        for position in targets {
            let (x, y) = (self.x(position), self.y(self.routes.n_layers()));
            let scale = self.scale();
            self.straight([x, y, x, y - 20.0], STREAM, width_of_flow(1.0) * scale)?;
            let predicted = self.prediction(position);
            if predicted.is_none() && !is_only {
                continue;
            }
            // Inside the picture, wherever the column is.
            let left = (x - 58.0).clamp(MARGIN, self.width - MARGIN - 116.0);
            let (middle, top) = (left + 58.0, y - 62.0);
            writeln!(
                self.output,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"116\" height=\"42\" rx=\"8\" fill=\"#ebf4ff\" \
                 stroke=\"{STREAM}\" stroke-width=\"1.5\"/>"
            )?;
            let Some((token, probability)) = predicted else {
                self.text([middle, y - 36.0], 16.0, "ink bold middle", "prediction")?;
                continue;
            };
            let token = Visible::new(token, xml).without_space().fit(16.0, 108.0);
            self.text([middle, y - 43.0], 16.0, "ink bold middle", token)?;
            self.text([middle, y - 27.0], 11.0, "pale middle", format_args!("p = {probability:.2}"))?;
        }
        Ok(())
    }

    /// Below each column its token, and how much of the targets' flow begins there. Where not all have room, those have it through
    /// which most flows.
    pub(super) fn tokens(&mut self) -> Result<(), Error> {
        let y = self.y(0);
        for (position, flow) in self.embeddings()? {
            let on_route = flow >= LEAST_FLOW;
            let share = 100.0 * flow / self.routes.targets().len().max(1) as f64;
            let x = self.x(position);
            let classes = if on_route { "ink bold" } else { "pale" };
            write!(self.output, "<text font-size=\"{TOKEN_SIZE}\" class=\"{classes}")?;
            if self.column >= UPRIGHT {
                write!(self.output, " middle\" x=\"{x:.1}\" y=\"{:.1}\">", y + 26.0)?;
            } else {
                write!(self.output, " end\" transform=\"translate({:.1} {:.1}) rotate(-60)\">", x + 5.0, y + 20.0)?;
            }
            let width = if self.column >= UPRIGHT { self.column - 6.0 } else { 110.0 };
            match self.labels.token(position) {
                Some(token) => {
                    write!(self.output, "{}", Visible::new(token, xml).without_space().fit(TOKEN_SIZE, width))?;
                }
                None => write!(self.output, "{position}")?,
            }
            if on_route && share >= 0.5 && self.column < UPRIGHT {
                write!(self.output, "<tspan font-size=\"11\" class=\"stream normal\">")?;
                write!(self.output, " {share:.0} %</tspan>")?;
            }
            writeln!(self.output, "</text>")?;
            if on_route && self.column >= UPRIGHT {
                self.text([x, y + 44.0], 12.0, "stream middle", format_args!("{share:.0} %"))?;
            }
        }
        Ok(())
    }

    /// The positions whose tokens are written, and the flow that begins there.
    fn embeddings(&self) -> Result<Vec<(usize, f64)>, Error> {
        let mut all = Vec::new();
        for &position in &self.columns {
            let position = position as usize;
            let embedding = self.routes.find(Node { layer: 0, kind: NodeKind::Embedding, position });
            push(&mut all, (position, embedding.map_or(0.0, |node| self.routes.node_flows()[node])))?;
        }
        if self.column >= ROOM_FOR_TOKEN {
            return Ok(all);
        }
        // The strongest first, each where none before it stands; of equal ones the first. This sort allocates nothing.
        all.sort_unstable_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        let mut kept: Vec<(usize, f64)> = Vec::new();
        for (position, flow) in all {
            let x = self.x(position);
            if kept.iter().all(|&(other, _)| (self.x(other) - x).abs() >= ROOM_FOR_TOKEN) {
                push(&mut kept, (position, flow))?;
            }
        }
        Ok(kept)
    }

    pub(super) fn legend(&mut self) -> Result<(), Error> {
        let (x, upper, lower) = (MARGIN, self.height - 54.0, self.height - 28.0);
        self.straight([x, upper - 24.0, self.width - x, upper - 24.0], "#e4e7eb", 1.0)?;
        self.straight([x, upper, x + 26.0, upper], STREAM, 4.0)?;
        self.text([x + 34.0, upper + 4.0], 12.0, "ink", "residual stream on the route")?;
        self.straight([x + 230.0, upper, x + 256.0, upper], ATTENTION, 4.0)?;
        self.text([x + 264.0, upper + 4.0], 12.0, "ink", "attention on the route, and its heads")?;
        self.square([x + 521.0, upper], 13.0, MLP)?;
        writeln!(self.output, "</rect>")?;
        self.text([x + 542.0, upper + 4.0], 12.0, "ink", "MLP’s share of resid_post (area; this is all)")?;
        for (index, flow) in [1.0, 0.25, 0.04].into_iter().enumerate() {
            let at = x + 84.0 * index as f64;
            self.straight([at, lower, at + 26.0, lower], STREAM, width_of_flow(flow))?;
            self.text([at + 32.0, lower + 4.0], 12.0, "ink", format_args!("{:.0} %", 100.0 * flow))?;
        }
        self.text([x + 264.0, lower + 4.0], 12.0, "ink", "of the prediction’s flow (width)")?;
        self.straight([x + 508.0, lower, x + 534.0, lower], FAINT, 1.5)?;
        self.text([x + 542.0, lower + 4.0], 12.0, "ink", "less than 0.5 % of the flow")?;
        let has_bias = self.routes.edge_kinds().contains(&EdgeKind::Bias);
        if has_bias {
            self.square([x + 728.0, lower], 10.0, BIAS)?;
            writeln!(self.output, "</rect>")?;
            self.text([x + 742.0, lower + 4.0], 12.0, "ink", "bias")?;
        }
        Ok(())
    }
}

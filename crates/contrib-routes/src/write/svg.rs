//! A picture of routes. Tokens stand side by side and layers above one another, the embedding at the bottom. A layer is a step up:
//! the lower half of it is attention (`resid_pre` to `resid_mid`), the upper half the MLP (`resid_mid` to `resid_post`). What
//! flows to the prediction is drawn in colour over everything else that is above the threshold.

use super::labels::Labels;
use super::visible::{LETTER, Visible, xml};
use crate::allocate::{filled, push};
use crate::error::Error;
use crate::graph::{Edge, EdgeKind, Node, NodeKind, Routes};
use std::fmt;
use std::io::Write;
use std::ops::Range;

// Lengths are in pixels.
const LEFT: f64 = 128.0;
const RIGHT: f64 = 76.0;
const TOP: f64 = 162.0;
const MARGIN: f64 = 28.0;
const MIN_WIDTH: f64 = 860.0;
/// As wide as columns are where there is room, all of them where they shrink, and one where they no longer do.
const COLUMN: f64 = 86.0;
const ALL_COLUMNS: f64 = 24.0 * COLUMN;
const MIN_COLUMN: f64 = 1.5;
/// The same of the steps of layers.
const STEP: f64 = 26.0;
const ALL_STEPS: f64 = 48.0 * STEP;
const MIN_STEP: f64 = 8.0;
/// The least widths of columns in which tokens stand upright, and have their heads' names and the marks of MLPs beside them.
const UPRIGHT: f64 = 56.0;
const ROOM_FOR_MARKS: f64 = 18.0;

/// What a slanted token needs beside it.
const ROOM_FOR_TOKEN: f64 = 17.0;
/// As many positions at most are all shown.
const SHORT: usize = 40;

const FAINT: &str = "#a9b4c0";
const STREAM: &str = "#2b6cb0";
const ATTENTION: &str = "#c2255c";
const MLP: &str = "#f08c00";
const BIAS: &str = "#2b8a3e";

/// What texts look like.
const STYLE: &str = ".ink { fill: #1f2933 } .pale { fill: #7b8794 } .stream { fill: #2b6cb0 } .attention { fill: #c2255c } \
                     .bold { font-weight: bold } .normal { font-weight: normal } .middle { text-anchor: middle } \
                     .end { text-anchor: end }";
/// That of the title.
const TITLE: &str = "ink bold";

const TOKEN_SIZE: f64 = 14.0;
const HEAD_SIZE: f64 = 10.0;
/// Between a stream and the MLP's mark beside the next.
const WIDEST_HEADS: f64 = 50.0;
/// Below this flow, where that of a target is 1, an edge is drawn like those that no flow passes.
const LEAST_FLOW: f64 = 0.005;

pub(super) fn write(routes: &Routes, labels: &Labels, output: &mut dyn Write) -> Result<(), Error> {
    Picture::new(routes, labels, output)?.draw()
}

struct Picture<'a> {
    routes: &'a Routes,
    labels: &'a Labels,
    output: &'a mut dyn Write,
    width: f64,
    height: f64,
    /// The positions that have a column, in order.
    columns: Vec<u32>,
    /// Where the first token stands.
    first_column: f64,
    column: f64,
    step: f64,
    /// Where names of heads stand, so that none is written over another.
    taken: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Place {
    fn meets(&self, other: &Place) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

/// What attention brings from one position to another in one layer: all heads' edges are one line.
struct Line {
    edges: Range<usize>,
    from: Node,
    to: Node,
    weight: f64,
    flow: f64,
}

impl Line {
    fn is_on_route(&self) -> bool {
        self.flow >= LEAST_FLOW
    }
}

/// The heads of some edges: ` h1 h4`.
struct Heads<'a>(&'a [u32]);

impl fmt::Display for Heads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().filter(|&&head| head != Routes::NO_HEAD).try_for_each(|head| write!(f, " h{head}"))
    }
}

/// A token in a sentence: its text in quotes, isolated from the direction of what stands beside it, or its position.
struct Quoted<'a>(&'a Labels, usize);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.token(self.1) {
            Some(token) => write!(f, "“\u{2068}{}\u{2069}”", Visible::new(token, xml).letters(200.0)),
            None => write!(f, "position {}", self.1),
        }
    }
}

/// Area, not width, is what the eye compares; and thin routes stay visible. Of several targets, more than 1 may flow together, which
/// is drawn as 1.
fn width_of_flow(flow: f64) -> f64 {
    8.0 * flow.clamp(0.0, 1.0).sqrt()
}

/// The positions that have a column: all of a short prompt, and of a long one those that flow reaches.
fn columns(routes: &Routes) -> Result<Vec<u32>, Error> {
    let mut has_column = filled(routes.n_pos() <= SHORT, routes.n_pos())?;
    for (&position, &flow) in routes.node_positions().iter().zip(routes.node_flows()) {
        has_column[position as usize] |= flow > 0.0;
    }
    let mut columns = Vec::new();
    for (position, _) in has_column.iter().enumerate().filter(|(_, has_column)| **has_column) {
        push(&mut columns, position as u32)?;
    }
    Ok(columns)
}

impl<'a> Picture<'a> {
    fn new(routes: &'a Routes, labels: &'a Labels, output: &'a mut dyn Write) -> Result<Self, Error> {
        let columns = columns(routes)?;
        let (n_columns, n_layers) = (columns.len() as f64, routes.n_layers() as f64);
        let column = (ALL_COLUMNS / n_columns.max(1.0)).clamp(MIN_COLUMN, COLUMN);
        let step = (ALL_STEPS / n_layers.max(1.0)).clamp(MIN_STEP, STEP);
        let grid = LEFT + RIGHT + column * (n_columns - 1.0).max(0.0);
        let width = grid.max(MIN_WIDTH);
        let below = if column < UPRIGHT { 240.0 } else { 140.0 };
        let height = TOP + step * n_layers + below;
        let first_column = LEFT + (width - grid) / 2.0;
        Ok(Picture { routes, labels, output, width, height, columns, first_column, column, step, taken: Vec::new() })
    }

    fn draw(&mut self) -> Result<(), Error> {
        let Picture { width, height, .. } = *self;
        writeln!(
            self.output,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n\
             <title>Where a prediction came from</title>\n\
             <style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
        )?;
        self.heading()?;
        self.layers()?;
        self.streams()?;
        self.lines(|line| !line.is_on_route(), Self::line)?;
        self.streams_on_routes()?;
        self.lines(Line::is_on_route, Self::line)?;
        self.nodes()?;
        self.marks()?;
        if self.column >= UPRIGHT {
            self.lines(Line::is_on_route, Self::heads)?;
        }
        self.predictions()?;
        self.tokens()?;
        self.legend()?;
        writeln!(self.output, "</svg>")?;
        Ok(())
    }

    fn x(&self, position: usize) -> f64 {
        let column = self.columns.partition_point(|&of| (of as usize) < position);
        self.first_column + self.column * column as f64
    }

    fn is_shown(&self, node: Node) -> bool {
        self.columns.binary_search(&(node.position as u32)).is_ok()
    }

    /// Of the stream before a layer, which is that after the one below.
    fn y(&self, layer: usize) -> f64 {
        TOP + self.step * (self.routes.n_layers() as f64 - layer as f64)
    }

    fn y_of(&self, node: Node) -> f64 {
        let below = self.y(node.layer);
        match node.kind {
            NodeKind::Embedding => below,
            NodeKind::AttentionBias => below - self.step / 4.0,
            NodeKind::ResidMid => below - self.step / 2.0,
            NodeKind::Mlp | NodeKind::MlpBias => below - self.step * 3.0 / 4.0,
            NodeKind::ResidPost => below - self.step,
        }
    }

    /// Hands each line of attention that is asked for to `draw`.
    fn lines(
        &mut self,
        is_asked: impl Fn(&Line) -> bool,
        mut draw: impl FnMut(&mut Self, &Line) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let routes = self.routes;
        for node in 0..routes.n_nodes() {
            let row = routes.edges_to(node);
            let mut start = row.start;
            while start < row.end {
                let Edge { from, to, kind, .. } = routes.edge(start);
                // Edges from the same node follow one another, ordered by kind.
                let (froms, kinds) = (routes.edge_froms(), routes.edge_kinds());
                let is_alike = |&edge: &usize| froms[edge] == froms[start] && kinds[edge] == kind;
                let edges = start..start + (start..row.end).take_while(is_alike).count();
                start = edges.end;
                if kind == EdgeKind::Attention {
                    let weight = routes.edge_weights()[edges.clone()].iter().sum();
                    let flow = routes.edge_flows()[edges.clone()].iter().sum();
                    let line = Line { edges, from, to, weight, flow };
                    if is_asked(&line) && self.is_shown(from) && self.is_shown(to) {
                        draw(self, &line)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// From the stream before to the position that attends; of its own position, a bow beside the stream.
    fn line(&mut self, line: &Line) -> Result<(), Error> {
        let Line { from, to, weight, flow, .. } = *line;
        let (x1, y1, x2, y2) = (self.x(from.position), self.y_of(from), self.x(to.position), self.y_of(to));
        let is_bow = from.position == to.position;
        let bend = if is_bow { (self.column / 3.0).min(14.0) } else { (x2 - x1) / 2.0 };
        let second = if is_bow { x2 + bend } else { x2 - bend };
        let (colour, width) =
            if line.is_on_route() { (ATTENTION, width_of_flow(flow)) } else { (FAINT, 0.6 + 3.0 * weight.min(1.0)) };
        let width = width * self.scale();
        write!(
            self.output,
            "<path d=\"M{x1:.1} {y1:.1} C{:.1} {y1:.1} {second:.1} {y2:.1} {x2:.1} {y2:.1}\" fill=\"none\" \
             stroke=\"{colour}\" stroke-width=\"{width:.2}\" stroke-linecap=\"round\">",
            x1 + bend
        )?;
        let heads = Heads(&self.routes.edge_heads()[line.edges.clone()]);
        let (from, to_token) = (Quoted(self.labels, from.position), Quoted(self.labels, to.position));
        writeln!(
            self.output,
            "<title>attention, layer {}{heads}: {from} → {to_token}, {weight:.3}</title></path>",
            to.layer
        )?;
        Ok(())
    }

    /// By how much lines and marks are thinner where columns are narrow.
    fn scale(&self) -> f64 {
        (self.column / 40.0).clamp(0.2, 1.0)
    }

    /// The names of a line's heads: above it where it arrives, or else where it sets out, as the gap between two columns holds no
    /// stream. Where there is no room, the line's title still has them.
    fn heads(&mut self, line: &Line) -> Result<(), Error> {
        let heads = &self.routes.edge_heads()[line.edges.clone()];
        let letters: usize = heads.iter().map(|head| 3 + (*head).max(1).ilog10() as usize).sum();
        let mut width = letters.saturating_sub(1) as f64 * LETTER * HEAD_SIZE;
        if heads.contains(&Routes::NO_HEAD) {
            return Ok(());
        }
        let is_long = width > WIDEST_HEADS;
        if is_long {
            width = WIDEST_HEADS;
        }
        let (from, to) = (self.x(line.from.position), self.x(line.to.position));
        let mut bottom = self.y_of(line.to) - 2.0 - width_of_flow(line.flow) / 2.0;
        let mut middles = [to - self.column / 2.0, from + self.column / 2.0];
        if line.from.position == line.to.position {
            middles = [to + 17.0 + width / 2.0; 2];
            bottom += 12.0;
        }
        let places = middles.map(|middle| Place {
            left: middle - width / 2.0,
            top: bottom - HEAD_SIZE,
            right: middle + width / 2.0,
            bottom,
        });
        let is_free = |place: &&Place| !self.taken.iter().any(|taken| taken.meets(place));
        let Some(&place) = places.iter().find(is_free) else { return Ok(()) };
        push(&mut self.taken, place)?;
        let (x, y) = (place.left.midpoint(place.right), place.bottom - 1.0);
        write!(self.output, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{HEAD_SIZE}\" class=\"attention middle\">")?;
        if is_long {
            write!(self.output, "{} heads", heads.len())?;
        } else {
            write!(self.output, "{}", Heads(heads))?;
        }
        writeln!(self.output, "</text>")?;
        Ok(())
    }

    fn straight(&mut self, [x1, y1, x2, y2]: [f64; 4], colour: &str, width: f64) -> Result<(), Error> {
        writeln!(
            self.output,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
             stroke-width=\"{width:.2}\"/>"
        )?;
        Ok(())
    }

    fn text(&mut self, [x, y]: [f64; 2], size: f64, classes: &str, text: impl fmt::Display) -> Result<(), Error> {
        writeln!(
            self.output,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" class=\"{classes}\">{text}</text>"
        )?;
        Ok(())
    }

    fn square(&mut self, [x, y]: [f64; 2], side: f64, colour: &str) -> Result<(), Error> {
        write!(
            self.output,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" rx=\"1\" fill=\"{colour}\">",
            x - side / 2.0,
            y - side / 2.0
        )?;
        Ok(())
    }

    /// A pale band for every other layer, to follow a layer across the picture, and the layers' numbers.
    fn layers(&mut self) -> Result<(), Error> {
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

    /// A line for each column, and a dotted one where neighbours in the picture are none in the prompt.
    fn streams(&mut self) -> Result<(), Error> {
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
    fn streams_on_routes(&mut self) -> Result<(), Error> {
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

    fn nodes(&mut self) -> Result<(), Error> {
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
    fn marks(&mut self) -> Result<(), Error> {
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

    /// What a target's routes lead to: the likeliest next token after the last position.
    fn prediction(&self, position: usize) -> Option<(&'a str, f64)> {
        let labels = self.labels;
        labels.next_tokens().next().filter(|_| position + 1 == self.routes.n_pos())
    }

    fn predictions(&mut self) -> Result<(), Error> {
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

    fn heading(&mut self) -> Result<(), Error> {
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

    /// Below each column its token, and how much of the targets' flow begins there. Where not all have room, those have it through
    /// which most flows.
    fn tokens(&mut self) -> Result<(), Error> {
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

    fn legend(&mut self) -> Result<(), Error> {
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

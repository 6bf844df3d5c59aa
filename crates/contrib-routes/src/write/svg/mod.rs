//! A picture of routes. Tokens stand side by side and layers above one another, the embedding at the bottom. A layer is a step up:
//! the lower half of it is attention (`resid_pre` to `resid_mid`), the upper half the MLP (`resid_mid` to `resid_post`). What
//! flows to the prediction is drawn in colour over everything else that is above the threshold.

mod attention;
mod stream;
mod words;

use super::labels::Labels;
use super::visible::{Visible, xml};
use crate::allocate::{filled, push};
use crate::error::Error;
use crate::graph::{Node, NodeKind, Routes};
use attention::{Line, Place};
use std::fmt;
use std::io::Write;

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

    /// By how much lines and marks are thinner where columns are narrow.
    fn scale(&self) -> f64 {
        (self.column / 40.0).clamp(0.2, 1.0)
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
}

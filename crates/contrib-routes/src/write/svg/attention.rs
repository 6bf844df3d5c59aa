//! Lines of attention, and the names of their heads.

use super::{ATTENTION, FAINT, LEAST_FLOW, Picture, Quoted, width_of_flow};
use crate::allocate::push;
use crate::error::Error;
use crate::graph::{Edge, EdgeKind, Node, Routes};
use crate::write::visible::LETTER;
use std::fmt;
use std::ops::Range;

const HEAD_SIZE: f64 = 10.0;
/// Between a stream and the MLP's mark beside the next.
const WIDEST_HEADS: f64 = 50.0;

#[derive(Clone, Copy)]
pub(super) struct Place {
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
pub(super) struct Line {
    edges: Range<usize>,
    from: Node,
    to: Node,
    weight: f64,
    flow: f64,
}

impl Line {
    pub(super) fn is_on_route(&self) -> bool {
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

impl Picture<'_> {
    /// Hands each line of attention that is asked for to `draw`.
    pub(super) fn lines(
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
    pub(super) fn line(&mut self, line: &Line) -> Result<(), Error> {
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

    /// The names of a line's heads: above it where it arrives, or else where it sets out, as the gap between two columns holds no
    /// stream. Where there is no room, the line's title still has them.
    pub(super) fn heads(&mut self, line: &Line) -> Result<(), Error> {
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
}

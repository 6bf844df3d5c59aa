//! `contrib routes`: the routes to a prediction, as a report or in files.

mod report;

use super::recorded::Recorded;
use crate::arguments::Routes;
use crate::output::{Writer, check_distinct, print, write_all};
use contrib_routes::{Extent, Format, write};

pub fn run(arguments: &Routes) -> anyhow::Result<()> {
    let Routes { json, csv, dot, svg, html, .. } = arguments;
    let outputs =
        [(Format::Json, json), (Format::Csv, csv), (Format::Dot, dot), (Format::Svg, svg), (Format::Html, html)];
    let wanted = || outputs.iter().filter_map(|(format, destination)| Some((*format, destination.as_ref()?)));
    check_distinct(wanted().map(|(_, destination)| destination))?;
    let mut recorded = Recorded::open(&arguments.file)?;
    let extent = if arguments.all_edges { Extent::All } else { Extent::Reached };
    let found = recorded.routes(&arguments.target, &arguments.choices, extent)?;
    if wanted().next().is_none() {
        return print(&report::report(&recorded, &found, arguments)?);
    }
    let writer = |format: Format| -> Writer<'_> {
        let (routes, labels) = (&found.routes, &recorded.labels);
        Box::new(move |output| Ok(write(routes, labels, format, output)?))
    };
    write_all(&wanted().map(|(format, destination)| (destination, writer(format))).collect::<Vec<_>>())
}

//! What has to hold of any bytes whatsoever that come as a recording. Fuzzing includes this file.

use contrib_routes::{
    Error, Extent, File, Format, HeadEdges, Labels, MaskedKeys, Options, Recording, Targets, Totals, check, routes,
    write,
};
use std::ops::ControlFlow;

/// Reads bytes as a recording in every way there is. Gives the error of opening them, or of each way the number of edges.
pub fn read_in_every_way(bytes: Vec<u8>) -> Result<Vec<usize>, Error> {
    let mut file = File::from_bytes(bytes)?;
    assert!(file.n_layers() > 0 && file.n_pos() > 0 && file.n_heads() > 0);
    let labels = file.labels().unwrap_or_default();
    assert!(file.all_metadata().iter().any(|&(key, _)| key == "n_layers"));
    assert!(!file.stored_tensors().is_empty());
    let last = [file.n_pos() - 1];
    let each = Options::default();
    let summed = Options { heads: HeadEdges::Summed, renormalise: Some(0.01), ..each };
    let all = Options { extent: Extent::All, masked_keys: MaskedKeys::Counted, threshold: 0.3, ..each };
    let mut edges = Vec::new();
    for is_by_pattern in [true, false] {
        if let Err(error) = file.read_by_pattern(is_by_pattern) {
            names_its_cause(&error);
            continue;
        }
        for (targets, options) in [(Targets::At(&last), each), (Targets::At(&last), summed), (Targets::All, all)] {
            edges.push(follow(&mut file, targets, &options, &labels));
        }
        if let Err(error) = check(&mut file, Targets::At(&last), &mut |_| ControlFlow::Continue(())) {
            names_its_cause(&error);
        }
    }
    Ok(edges)
}

/// Follows routes, and looks at everything that they have. Gives the number of edges; none of an error.
fn follow(file: &mut File, targets: Targets<'_>, options: &Options<'_>, labels: &Labels) -> usize {
    let found = match routes(file, targets, options) {
        Ok(found) => found,
        Err(error) => {
            names_its_cause(&error);
            return 0;
        }
    };
    for edge in found.edges() {
        assert!(edge.weight > options.threshold && edge.weight <= 1.0 + 1e-5, "{edge:?}");
        assert!(edge.flow >= 0.0 && edge.flow.is_finite(), "{edge:?}");
    }
    let totals = Totals::new(&found).expect("totals of routes");
    assert!(totals.tokens().iter().chain(totals.mlps()).all(|flow| flow.is_finite()));
    for format in [Format::Json, Format::Csv] {
        let mut text = Vec::new();
        write(&found, labels, format, &mut text).expect("memory takes every text");
        std::str::from_utf8(&text).expect("UTF-8");
    }
    found.n_edges()
}

/// An error of what a file has says where in the file.
pub fn names_its_cause(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
    let names_it = match error {
        Error::Missing { tensor }
        | Error::Shape { tensor, .. }
        | Error::Heads { tensor, .. }
        | Error::ElementType { tensor, .. }
        | Error::Empty { tensor, .. }
        | Error::Misaligned { tensor, .. }
        | Error::NotFinite { tensor, .. } => text.contains(&tensor.to_string()),
        Error::Metadata { key, .. } => text.contains(key),
        Error::Number { name, .. } => text.contains(&name.to_string()),
        Error::Header(problem) => !problem.is_empty(),
        Error::NotANumber { .. } | Error::TooLarge { .. } | Error::OutOfMemory { .. } => true,
        _ => panic!("an error that no file can be the cause of: {error:?}"),
    };
    assert!(names_it, "{text}");
}

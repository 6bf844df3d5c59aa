//! What can be typed.

use crate::choices::Choices;
use crate::output::Destination;
use crate::target::Selected;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done; also where the reader of the output has closed it
  1    an error: a file that cannot be read, or is no recording
  2    wrong arguments
  3    inspect: the recording is not right
  130  stopped by Ctrl-C: nothing was written";

/// Where a transformer's prediction came from, out of a recording of its forward pass.
///
/// A recording is a safetensors file with the residual stream, what attention and MLPs add to it, and how much heads attend to which
/// token, layer by layer.
#[derive(Debug, Parser)]
#[command(name = "contrib", version, after_long_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Routes(Routes),
    Inspect(Inspect),
    Diff(Diff),
    Totals(Totals),
    /// Write completions for a shell.
    #[command(hide = true)]
    Completions {
        shell: Shell,
    },
    /// Write man pages into a folder.
    #[command(hide = true)]
    Man {
        folder: PathBuf,
    },
}

/// Find the routes to a prediction: all edges above a threshold that lead to it.
///
/// Without an output a report is printed. An output `-` is the standard output. Files are written beside their place and renamed when
/// all of them are whole, so that what was there before stays where something fails.
#[derive(Debug, Args)]
pub struct Routes {
    /// The recording.
    pub file: PathBuf,
    /// Positions whose predictions are looked at: `last`, `all`, or numbers such as `3,-1`. Negative ones count from the end.
    #[arg(long, value_name = "POSITIONS", default_value = "last", allow_hyphen_values = true)]
    pub target: Selected,
    #[command(flatten)]
    pub choices: Choices,
    /// Compute all edges of the prompt above the threshold, not only those on routes to a target.
    #[arg(long)]
    pub all_edges: bool,
    /// Nodes and edges as JSON.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub json: Option<Destination>,
    /// Edges as comma-separated values.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub csv: Option<Destination>,
    /// The graph for Graphviz.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub dot: Option<Destination>,
    /// A picture.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub svg: Option<Destination>,
    /// A page to explore the routes in a browser: one file, which needs no network.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub html: Option<Destination>,
    /// How many tokens, heads, MLPs and edges the report has of each.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
}

/// Say what a recording has, and check that it is right.
///
/// It is right where each stream is the stream before plus what attention or the MLP adds, layer by layer. What attention adds is
/// calculated anew in 64 bits, which takes long in long prompts: of those some positions are checked.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The recording.
    pub file: PathBuf,
    /// Positions that are checked: `all`, `last`, or numbers such as `0,-1`. [default: 32 from the first to the last]
    #[arg(long, value_name = "POSITIONS", allow_hyphen_values = true)]
    pub positions: Option<Selected>,
    /// Check nothing.
    #[arg(long, conflicts_with = "positions")]
    pub no_check: bool,
    /// What may be missing of what a layer adds, as a share of it, beyond the rounding of the recorded types.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub tolerance: f64,
    /// List each tensor.
    #[arg(long)]
    pub tensors: bool,
}

/// Say which edges differ between two recordings of the same length, or between two targets of one.
///
/// The edges whose flows differ most come first.
#[derive(Debug, Args)]
pub struct Diff {
    /// The recording.
    pub file: PathBuf,
    /// Another recording of the same model, with as many tokens. Without it, two targets of one are compared.
    #[arg(required_unless_present = "other_target")]
    pub other_file: Option<PathBuf>,
    /// Positions whose predictions are looked at: `last`, `all`, or numbers such as `3,-1`. Negative ones count from the end.
    #[arg(long, value_name = "POSITIONS", default_value = "last", allow_hyphen_values = true)]
    pub target: Selected,
    /// Those that it is compared with. [default: the same]
    #[arg(long, value_name = "POSITIONS", allow_hyphen_values = true)]
    pub other_target: Option<Selected>,
    /// By how much a weight or a flow has to differ.
    #[arg(long, value_name = "DIFFERENCE", default_value_t = 0.01)]
    pub tolerance: f64,
    #[command(flatten)]
    pub choices: Choices,
    /// How many edges are printed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// All changes as JSON.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub json: Option<Destination>,
    /// All changes as comma-separated values.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub csv: Option<Destination>,
}

/// Sum up over many prompts which heads and MLPs the routes lead through.
///
/// All recordings have to be of the same model.
#[derive(Debug, Args)]
pub struct Totals {
    /// The recordings.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Positions whose predictions are looked at: `last`, `all`, or numbers such as `3,-1`. Negative ones count from the end.
    #[arg(long, value_name = "POSITIONS", default_value = "last", allow_hyphen_values = true)]
    pub target: Selected,
    #[command(flatten)]
    pub choices: Choices,
    /// How many heads and MLPs are printed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// All sums as JSON.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub json: Option<Destination>,
    /// All sums as comma-separated values.
    #[arg(long, value_name = "OUT", help_heading = "Outputs")]
    pub csv: Option<Destination>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}

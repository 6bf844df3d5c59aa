//! What a user can choose of how routes are found.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use contrib_core::{Context, Norm};
use contrib_routes::{HeadEdges, MaskedKeys, Options};

#[derive(Debug, Args)]
#[command(next_help_heading = "Choices")]
pub struct Choices {
    /// What the weight of an edge has to be greater than.
    #[arg(long, value_name = "T", default_value_t = 0.04, value_parser = threshold)]
    pub threshold: f64,
    /// The norm of contributions: a number from 1 on, or `max`.
    #[arg(long, value_name = "P", default_value = "1", value_parser = norm)]
    pub norm: Norm,
    /// Whether an edge is what each head brings, or what all bring together.
    #[arg(long, value_enum, default_value_t = Heads::Each)]
    pub heads: Heads,
    /// First drop what contributes no more than this to its whole, and divide the others by what is left.
    #[arg(long, value_name = "R", value_parser = threshold)]
    pub renormalise: Option<f64>,
    /// Count keys that a query may not see as zero vectors, as the PyTorch code does.
    #[arg(long)]
    pub count_masked_keys: bool,
    /// Threads; 0 is one for each core. The result does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads)]
    pub threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Heads {
    Each,
    Summed,
}

fn threshold(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_string())?;
    if number >= 0.0 && number.is_finite() {
        Ok(number)
    } else {
        Err("expected a finite number, 0 or more".to_string())
    }
}

fn norm(text: &str) -> Result<Norm, String> {
    let p = if text.eq_ignore_ascii_case("max") { Ok(f64::INFINITY) } else { text.parse() };
    p.ok().and_then(|p| Norm::new(p).ok()).ok_or_else(|| "expected a number from 1 on, or max".to_string())
}

fn threads(text: &str) -> Result<usize, String> {
    let threads: usize = text.parse().map_err(|_| "expected a number".to_string())?;
    if threads <= Context::MAX_THREADS {
        Ok(threads)
    } else {
        Err(format!("expected at most {}", Context::MAX_THREADS))
    }
}

impl Choices {
    pub fn context(&self) -> anyhow::Result<Context> {
        Context::new(self.threads).context("threads")
    }

    /// The same for the library.
    pub fn options<'a>(&self, context: &'a Context) -> Options<'a> {
        Options {
            threshold: self.threshold,
            renormalise: self.renormalise,
            heads: match self.heads {
                Heads::Each => HeadEdges::Each,
                Heads::Summed => HeadEdges::Summed,
            },
            masked_keys: if self.count_masked_keys { MaskedKeys::Counted } else { MaskedKeys::LeftOut },
            norm: self.norm,
            context: Some(context),
            ..Options::default()
        }
    }

    /// What was chosen, for a reader of a report.
    pub fn in_words(&self) -> String {
        let norm = match self.norm.p() {
            p if p.is_infinite() => "maximum norm".to_string(),
            p => format!("{p}-norm"),
        };
        let heads = match self.heads {
            Heads::Each => "each head's own",
            Heads::Summed => "all heads together",
        };
        let renormalised = self.renormalise.map(|above| format!(", renormalised above {above}")).unwrap_or_default();
        let masked = if self.count_masked_keys { "counted" } else { "left out" };
        format!("above {} in the {norm}, {heads}{renormalised}; masked keys {masked}", self.threshold)
    }
}

//! Which positions of a prompt are meant.

use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    Last,
    All,
    /// Negative ones count from the end: -1 is the last.
    At(Vec<i64>),
}

impl FromStr for Selected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "last" => Ok(Selected::Last),
            "all" => Ok(Selected::All),
            numbers => {
                let number = |text: &str| text.trim().parse::<i64>().ok();
                let numbers: Option<Vec<i64>> = numbers.split(',').map(number).collect();
                numbers.map(Selected::At).ok_or_else(|| "expected last, all, or numbers such as 3,-1".to_string())
            }
        }
    }
}

impl Selected {
    /// The positions in a prompt of so many tokens.
    pub fn positions(&self, n_pos: usize) -> anyhow::Result<Vec<usize>> {
        let position = |number: &i64| {
            let from_end = || usize::try_from(number.unsigned_abs()).ok().and_then(|number| n_pos.checked_sub(number));
            let position = if *number < 0 { from_end() } else { usize::try_from(*number).ok() };
            position.filter(|&position| position < n_pos).ok_or_else(|| {
                anyhow::anyhow!("position {number}: expected one of 0 to {}, or of -{n_pos} to -1", n_pos.max(1) - 1)
            })
        };
        match self {
            Selected::Last => [-1].iter().map(position).collect(),
            Selected::All => Ok((0..n_pos).collect()),
            Selected::At(numbers) => numbers.iter().map(position).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_positions_count_from_the_end() {
        let of = |text: &str| text.parse::<Selected>().unwrap().positions(12);
        assert_eq!(of("3,-1,-12").unwrap(), [3, 11, 0]);
        assert_eq!(of("last").unwrap(), [11]);
        assert_eq!(of("ALL").unwrap(), (0..12).collect::<Vec<_>>());
        for wrong in ["12", "-13", "1,9223372036854775807", "-9223372036854775808"] {
            assert!(of(wrong).unwrap_err().to_string().ends_with("expected one of 0 to 11, or of -12 to -1"));
        }
        for wrong in ["", "first", "1,,2", "1.5"] {
            wrong.parse::<Selected>().unwrap_err();
        }
        assert!(Selected::Last.positions(0).is_err());
    }
}
